package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/gitfleet/gitfleet/api"
)

// ErrNothingToExplain tells that the fleet knows nothing of that name.
var ErrNothingToExplain = errors.New("nothing of that name")

// Explain says why something is where it is: which file and commit put it there, what it waits for, and what lately
// happened to it. what is placement/NAME, member/NAME, serviceexport, serviceimport or multiclusterservice with /NAMESPACE/NAME, or an object as KIND/NAMESPACE/NAME, or KIND/NAME for one without a
// namespace; a kind may be written as kubectl takes it: Deployment, deployment.apps, deployments, deploy. The error is
// ErrNothingToExplain, with the nearest names, or tells what is wrong with what.
func Explain(w io.Writer, r Report, what string, now time.Time) error {
	x := &explainer{tab: tabwriter.NewWriter(w, 0, 0, 3, ' ', 0), r: r, now: now}
	kind, name, ok := strings.Cut(what, "/")
	if !ok || kind == "" || name == "" {
		return fmt.Errorf("%q: want placement/NAME, member/NAME or KIND/NAMESPACE/NAME", what)
	}
	var err error
	switch strings.ToLower(kind) {
	case "placement", "placements", "crp", "clusterresourceplacement":
		err = x.placement(name)
	case "member", "members", "membercluster", "cluster":
		err = x.member(name)
	case "serviceexport", "serviceexports", "svcexport", "serviceimport", "serviceimports", "svcimport":
		err = x.service(kind, name, name)
	case "multiclusterservice", "multiclusterservices", "mcs":
		err = x.service(kind, name, x.importOf(name))
	default:
		err = x.object(kind, name)
	}
	return errors.Join(err, x.tab.Flush())
}

// explainer prints one explanation.
type explainer struct {
	tab *tabwriter.Writer
	r   Report
	now time.Time
}

// row prints cells of a table, or a line of text; what it cannot write the final flush tells.
func (x *explainer) row(cells ...string) {
	for i, c := range cells {
		cells[i] = oneLine(c)
	}
	fmt.Fprintln(x.tab, strings.Join(cells, "\t"))
}

// fact prints one line of a heading; nothing when there is nothing to say.
func (x *explainer) fact(name, format string, args ...any) {
	if text := fmt.Sprintf(format, args...); text != "" {
		x.row("  "+name, text)
	}
}

func (x *explainer) member(name string) error {
	m, err := find("member", x.r.Members, name, func(m Member) string { return m.Name })
	if err != nil {
		return err
	}
	x.row("Member " + m.Name)
	x.fact("registered in", "%s", m.Source)
	x.fact("labels", "%s", labels.FormatLabels(m.Labels))
	x.fact("joined", "%s", m.Joined)
	x.fact("API server", "%s", m.Version)
	x.fact("last seen", "%s ago", age(m.LastSeen, x.now))
	if m.Nodes != nil {
		x.fact("nodes", "%d", *m.Nodes)
	}
	if m.Resources != nil {
		x.fact("capacity", "%s", quantities(m.Resources.Capacity))
		x.fact("allocatable", "%s", quantities(m.Resources.Allocatable))
		x.fact("available", "%s", quantities(m.Resources.Available))
	}
	if m.Suspended {
		x.fact("suspended", "by the annotation %s in Git: nothing is changed on it", api.AnnotationSuspend)
	}
	x.fact("message", "%s", m.Message)
	x.row("")
	x.row("PLACEMENT", "APPLIED", "HEALTHY", "CHANGED-IN", "MESSAGE")
	for _, p := range x.r.Placements {
		for _, c := range p.Clusters {
			if c.Cluster == name {
				x.row(p.Key(), c.Applied, c.Healthy, shortCommit(c.Revision), c.Message)
			}
		}
	}
	x.removals(func(r Removal) bool { return r.Cluster == name })
	x.drift(func(d Drift) bool { return d.Cluster == name })
	return nil
}

func (x *explainer) placement(name string) error {
	leaving := x.removals(func(r Removal) bool { return r.Placement == name })
	p, err := find("placement", x.r.Placements, name, Placement.Key)
	if err != nil && leaving {
		return nil // all that is left of it has been said
	}
	if err != nil {
		return err
	}
	x.row("Placement " + p.Key())
	x.fact("written in", "%s", p.Source)
	x.fact("in force", "%s", commit(x.r))
	x.fact("scheduled", "%s: %s", p.Decision.Scheduled.Status, p.Decision.Scheduled.Message)
	x.fact("objects", "%d", len(p.Resources))
	x.fact("depends on", "%s", strings.Join(p.DependsOn, ", "))
	x.fact("acts as", "%s", p.Account)
	if p.Suspended {
		x.fact("suspended", "by the annotation %s in Git: nothing of it is changed", api.AnnotationSuspend)
	}
	x.confirmation()
	x.row("")
	x.row("CLUSTER", "SELECTED", "APPLIED", "HEALTHY", "CHANGED-IN", "REASON")
	for _, v := range p.Decision.Verdicts {
		c := PlacementOnCluster{}
		if j := slices.IndexFunc(p.Clusters, func(c PlacementOnCluster) bool { return c.Cluster == v.Cluster }); j >= 0 {
			c = p.Clusters[j]
		}
		reason := v.Reason
		if c.Message != "" {
			reason += "; " + c.Message
		}
		x.row(v.Cluster, yesNo(v.Selected), c.Applied, c.Healthy, shortCommit(c.Revision), reason)
	}
	x.drift(func(d Drift) bool { return d.Placement == name })
	return nil
}

// holding is one object on one cluster.
type holding struct {
	placement Placement
	cluster   PlacementOnCluster
	object    PlacedObject
}

func (x *explainer) object(kind, name string) error {
	found := map[api.Ref][]holding{}
	for _, p := range x.r.Placements {
		for _, c := range p.Clusters {
			for _, o := range c.Objects {
				if names(o.Ref, kind, name) {
					found[o.Ref] = append(found[o.Ref], holding{p, c, o})
				}
			}
		}
	}
	leaving := x.removals(func(r Removal) bool { return names(r.Ref, kind, name) })
	if len(found) == 0 && !leaving {
		return x.notPlaced(kind, name)
	}
	for _, ref := range slices.SortedFunc(maps.Keys(found), api.Ref.Compare) {
		x.placedObject(ref, found[ref])
	}
	return nil
}

func (x *explainer) placedObject(ref api.Ref, on []holding) {
	x.row(ref.String())
	x.fact("written in", "%s", on[0].object.Source.String())
	x.fact("in force", "%s", commit(x.r))
	x.confirmation()
	x.row("")
	x.row("CLUSTER", "PLACEMENT", "APPLIED", "HEALTH", "PLACEMENT-CHANGED-IN", "MESSAGE")
	for _, h := range on {
		message := ""
		switch {
		case h.object.Error != "":
			message = h.object.Error
		case h.object.Wait != "":
			message = "waits: " + h.object.Wait
		case h.object.Health.Message != "":
			message = h.object.Health.Message
		case h.object.Applied != "True" && h.cluster.Message != "":
			message = "the placement: " + h.cluster.Message
		}
		x.row(h.cluster.Cluster, h.placement.Key(), h.object.Applied, string(h.object.Health.Status), shortCommit(h.cluster.Revision), message)
	}
	x.drift(func(d Drift) bool { return d.Ref == ref })
}

// notPlaced explains an object that is on no cluster: rendered and not selected, or not in the commit at all.
func (x *explainer) notPlaced(kind, name string) error {
	for _, u := range x.r.Unplaced {
		if names(u.Ref, kind, name) {
			x.row(u.Ref.String())
			x.fact("written in", "%s", u.Source.String())
			x.fact("on no cluster", "%s", "no placement selects it, nor its namespace")
			return nil
		}
	}
	var known []string
	for _, p := range x.r.Placements {
		for _, id := range p.Resources {
			ref := refOf(id)
			if isKind(ref, kind) { // else what is suggested would not be found either
				known = append(known, strings.TrimPrefix(ref.Namespace+"/"+ref.Name, "/"))
			}
			if names(ref, kind, name) {
				x.row(ref.String())
				x.fact("selected by", "placement %s (%s)", p.Key(), p.Source)
				x.fact("on no cluster", "%s", p.Decision.Scheduled.Message)
				return nil
			}
		}
	}
	return notFound("object "+kind, name, known)
}

// find returns the one of that name, or an error with the nearest name.
func find[T any](kind string, list []T, name string, nameOf func(T) string) (found T, err error) {
	var known []string
	for _, item := range list {
		if nameOf(item) == name {
			return item, nil
		}
		known = append(known, nameOf(item))
	}
	return found, notFound(kind, name, known)
}

func notFound(kind, name string, known []string) error {
	slices.Sort(known)
	hint := ""
	if nearest := api.Nearest(name, slices.Compact(known)); nearest != "" {
		hint = "; did you mean " + nearest + "?"
	}
	return fmt.Errorf("%s %s: %w in the commit in force%s", kind, name, ErrNothingToExplain, hint)
}

// drift prints what was lately put back of what keep accepts.
func (x *explainer) drift(keep func(Drift) bool) {
	title := false
	for _, d := range x.r.Drift {
		if !keep(d) {
			continue
		}
		if !title {
			x.row("")
			x.row("PUT-BACK", "CLUSTER", "OBJECT", "TIMES", "WHAT")
			title = true
		}
		x.row(age(d.Time, x.now)+" ago", d.Cluster, d.Ref.String(), fmt.Sprint(d.Count), d.String())
	}
}

// removals prints what is no longer wanted and still there of what keep accepts, and reports whether there is any.
func (x *explainer) removals(keep func(Removal) bool) bool {
	const most = 20
	n := 0
	for _, r := range x.r.Removals {
		if !keep(r) {
			continue
		}
		if n == 0 {
			x.confirmation()
			x.row("NO-LONGER-IN-GIT", "CLUSTER", "PLACEMENT", "WAITS-FOR")
		}
		if n++; n <= most {
			x.row(r.Ref.String(), r.Cluster, r.Placement, r.Reason)
		}
	}
	if n > most {
		x.row(fmt.Sprintf("and %d more", n-most))
	}
	if n > 0 {
		x.row("")
	}
	return n > 0
}

func (x *explainer) confirmation() {
	if c := x.r.Confirm; c != nil {
		x.fact("waits", "%s", c.Message)
	}
}

// names tells whether kind and name, as a person writes them, mean ref.
func names(ref api.Ref, kind, name string) bool {
	namespace, short, ok := strings.Cut(name, "/")
	if !ok {
		namespace, short = "", name
	}
	return ref.Namespace == namespace && ref.Name == short && isKind(ref, kind)
}

// shortNames are those of kubectl for kinds that people type often.
var shortNames = map[string]string{"cm": "ConfigMap", "cj": "CronJob", "crd": "CustomResourceDefinition", "deploy": "Deployment",
	"ds": "DaemonSet", "ep": "Endpoints", "hpa": "HorizontalPodAutoscaler", "ing": "Ingress", "netpol": "NetworkPolicy", "ns": "Namespace",
	"pdb": "PodDisruptionBudget", "po": "Pod", "pv": "PersistentVolume", "pvc": "PersistentVolumeClaim", "rs": "ReplicaSet",
	"sa": "ServiceAccount", "sts": "StatefulSet", "svc": "Service"}

// isKind tells whether kind, in any case, in the plural or short, with or without its group, is that of ref.
func isKind(ref api.Ref, kind string) bool {
	kind, group, qualified := strings.Cut(kind, ".")
	if qualified && !strings.EqualFold(group, ref.Group) {
		return false
	}
	for _, form := range []string{ref.Kind, ref.Kind + "s", ref.Kind + "es", strings.TrimSuffix(ref.Kind, "y") + "ies"} {
		if strings.EqualFold(form, kind) {
			return true
		}
	}
	return shortNames[strings.ToLower(kind)] == ref.Kind
}

// quantities prints resources by name: "cpu 12, memory 48Gi".
func quantities(of map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, name+" "+of[name])
	}
	return strings.Join(list, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
