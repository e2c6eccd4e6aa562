package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// editSeeds is how many seeded edits must hold. TestPlanAgrees makes as many as there are kinds of edits unless
// GITFLEET_EDITS says otherwise: "200" for the seeds 1 to 200, "57-57" for one, on what the edits before it leave.
const editSeeds = 200

// mostFailures is after how many edits with a wrong plan no more are made.
const mostFailures = 5

// TestPlanAgrees makes random commits, plans each before it is pushed, and compares what was announced with what the API servers
// were asked for when gitfleet took it.
func TestPlanAgrees(t *testing.T) {
	if testing.Short() {
		t.Skip("needs real API servers")
	}
	first, last := seedsToRun(t)
	w := &world{t: t, fleet: realfleet.StartAudited(t, 3), dir: t.TempDir()}
	w.access = w.dir
	w.stepBetween()
	w.fresh()
	a := &agreement{world: w, edited: newEdited(w.fleet.Members), marks: map[string]realfleet.AuditMark{}, told: map[string]int{}}
	var mend []func(*editing)
	for seed := uint64(1); seed < first; seed++ {
		mend = a.edit(seed, mend).mend
	}
	a.begin()
	failures := 0
	for seed := first; seed <= last; seed++ {
		c := a.edit(seed, mend)
		mend = c.mend
		if !a.commit(seed, c) {
			failures++
		}
		if failures == mostFailures {
			return
		}
	}
	a.p.stop()
	if first == 1 && last >= uint64(len(editKinds())) {
		a.everythingWasTold()
	}
}

func seedsToRun(t *testing.T) (first, last uint64) {
	t.Helper()
	text := os.Getenv("GITFLEET_EDITS")
	if text == "" {
		return 1, uint64(len(editKinds()))
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		from, to = "1", from
	}
	first, errFirst := strconv.ParseUint(from, 10, 32)
	last, errLast := strconv.ParseUint(to, 10, 32)
	if errFirst != nil || errLast != nil || first < 1 {
		t.Fatalf("GITFLEET_EDITS=%q: want a number such as 200, or a range such as 57-57", text)
	}
	return first, last
}

// agreement is a repository that is edited, and the gitfleet that follows it.
type agreement struct {
	*world
	*edited
	p       *process
	inForce string                         // commit
	refused map[string]bool                // what the plan of it says is refused: gitfleet tries that again until the next commit
	marks   map[string]realfleet.AuditMark // what of the audit logs was read
	told    map[string]int                 // actions, moves and risks of all plans
}

// begin brings the repository to the members.
func (a *agreement) begin() {
	a.foreignInventories()
	a.git(a.tree(), "remote", "set-url", "origin", "file://"+a.remote()) // as gitfleet names the repository, by which a plan knows it
	a.p = a.start()
	a.write("begin")
	a.git(a.tree(), "push", "--quiet", "origin", "main")
	a.inForce = a.git(a.tree(), "rev-parse", "HEAD")
	a.settle(report.Plan{Head: a.inForce})
	a.writes()
}

// foreignInventories gives every member an inventory that another repository's gitfleet has left.
func (a *agreement) foreignInventories() {
	a.t.Helper()
	parent, err := apply.EncodeParent(apply.Parent{Name: foreignSet, Source: "https://git.example.com/other.git main", Revision: "1"})
	if err != nil {
		a.t.Fatal(err)
	}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(parent)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, member := range a.fleet.Members {
		a.fleet.Kubectl(a.t, member, "create", "namespace", api.SystemNamespace)
		if _, err := a.client(member).Resource(configMaps).Namespace(api.SystemNamespace).Create(context.Background(),
			&unstructured.Unstructured{Object: object}, metav1.CreateOptions{}); err != nil {
			a.t.Fatal(err)
		}
	}
}

// write commits the repository as it is now.
func (a *agreement) write(message string) {
	a.t.Helper()
	entries, err := os.ReadDir(a.tree())
	if err != nil {
		a.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			removeAll(a.t, filepath.Join(a.tree(), e.Name()))
		}
	}
	for name, content := range a.files() {
		path := filepath.Join(a.tree(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			a.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			a.t.Fatal(err)
		}
	}
	a.git(a.tree(), "add", "--all")
	a.git(a.tree(), "commit", "--quiet", "--allow-empty", "--message", message)
}

// commit plans an edit, pushes it, and compares. It reports whether what was announced is what was done.
func (a *agreement) commit(seed uint64, c *editing) (agrees bool) {
	a.t.Helper()
	for _, do := range c.before {
		do(a.world)
	}
	if c.away != "" {
		a.fleet.StopMember(a.t, c.away)
	}
	a.write(fmt.Sprintf("seed %d: %s", seed, c))
	plan := a.plan()
	if digest, asked := confirmation(plan); asked {
		a.git(a.tree(), "commit", "--quiet", "--amend", "--message", fmt.Sprintf("seed %d: %s\n\n%s: %s", seed, c, api.TrailerConfirm, digest))
	}
	plan.Head = a.git(a.tree(), "rev-parse", "HEAD")
	a.git(a.tree(), "push", "--quiet", "origin", "main")
	if c.away != "" {
		a.fleet.StartMember(a.t, c.away)
	}
	a.t.Logf("seed %d: %s: %d changes, %d risks", seed, c, len(plan.Changes), len(plan.Risks))
	r := a.settle(plan)
	announced := announcedBy(plan)
	done, refused := a.writes()
	wrong := differences(announced, done) + otherPlaces(plan, r)
	anew := namedBy(plan, report.RiskRecreate) // whose refusal is what makes gitfleet start over
	for attempt := range refused {
		if !plannedRefusals(plan)[attempt] && !a.refused[attempt] && !anew[attempt] {
			wrong += "\nrefused, and the plan does not say so: " + attempt
		}
	}
	if wrong != "" {
		a.t.Errorf("seed %d: %s: what was announced and what was done differ:\n%s", seed, c, wrong)
		a.t.Logf("announced:\n%s\ndone:\n%s\nplan:\n%s\ncommit:\n%s", sortedLines(announced), sortedLines(done), planText(plan), a.git(a.tree(), "diff", a.inForce, "HEAD"))
	}
	a.count(plan)
	if len(plan.Errors) == 0 {
		a.inForce, a.refused = plan.Head, plannedRefusals(plan)
	}
	return wrong == ""
}

// plan runs `gitfleet plan` as somebody does before pushing.
func (a *agreement) plan() report.Plan {
	a.t.Helper()
	var out, errs bytes.Buffer
	args := []string{"plan", "--repo", a.tree(), "--base", a.inForce, "--kubeconfig", filepath.Join(a.access, "members"), "-o", "json"}
	code := execute(context.Background(), args, strings.NewReader(""), &out, &errs)
	var plan report.Plan
	if err := json.Unmarshal(out.Bytes(), &plan); err != nil {
		a.t.Fatalf("gitfleet plan: exit %d: %v\n%s%s", code, err, &out, &errs)
	}
	return plan
}

// confirmation returns what a person must confirm, if the plan says that somebody must.
func confirmation(plan report.Plan) (digest string, asked bool) {
	for _, r := range plan.Risks {
		asked = asked || r.Kind == report.RiskConfirm
	}
	return plan.Digest, asked
}

// settle waits until gitfleet has done what it can do about the commit of a plan.
func (a *agreement) settle(plan report.Plan) report.Report {
	a.t.Helper()
	return a.p.await("settled on "+plan.Head[:12], func(r report.Report) error {
		if err := unsettled(plan, r); err != nil {
			return fmt.Errorf("%w\n%splanned:\n%s", err, report.Summary(r), planText(plan))
		}
		return nil
	})
}

// otherPlaces tells what a plan places elsewhere than gitfleet does, and whether a person who confirms the plan's digest would be
// heard.
func otherPlaces(plan report.Plan, r report.Report) string {
	unseen := slices.ContainsFunc(plan.Risks, func(risk report.Risk) bool { return risk.Kind == report.RiskUnseen })
	if r.Applied.Commit != plan.Head || plan.Digest == r.Digest || unseen {
		return ""
	}
	other := fmt.Sprintf("\nplanned with digest %s, done with %s", plan.Digest, r.Digest)
	for _, planned := range plan.Placements {
		for _, p := range r.Placements {
			var now []string
			for _, c := range p.Clusters {
				now = append(now, c.Cluster)
			}
			var then []string
			for _, v := range planned.Verdicts {
				if v.Selected {
					then = append(then, v.Cluster)
				}
			}
			if slices.Sort(then); p.Key() == planned.Key() && !slices.Equal(now, then) {
				other += fmt.Sprintf("\nplacement %s is planned on %q and goes to %q", p.Key(), then, now)
			}
		}
	}
	return other
}

// unsettled returns what gitfleet has still to do; nil when nothing is left but what the plan says will not be done.
func unsettled(plan report.Plan, r report.Report) error {
	switch {
	case r.Head.Commit != plan.Head:
		return fmt.Errorf("%s is not seen yet", plan.Head)
	case len(plan.Errors) > 0:
		if len(r.Errors) == 0 || r.Applied.Commit == plan.Head {
			return fmt.Errorf("the commit is not refused: %v", r.Errors)
		}
		return nil
	case r.Applied.Commit != plan.Head || r.SourceErr != "" || len(r.Errors) > 0:
		return fmt.Errorf("%s is not in force: %s %v", plan.Head, r.SourceErr, r.Errors)
	case r.Confirm != nil:
		return fmt.Errorf("nobody was asked before: %s%s", r.Confirm.Message, otherPlaces(plan, r))
	}
	suspended := map[string]bool{}
	for _, m := range r.Members {
		suspended[m.Name] = m.Suspended
		if m.Joined != "True" {
			return fmt.Errorf("member %s: %s", m.Name, m.Message)
		}
	}
	for _, gone := range r.Removals {
		if !strings.HasPrefix(gone.Reason, "suspended") {
			return fmt.Errorf("%s on %s is still there: %s", gone.Ref, gone.Cluster, gone.Reason)
		}
	}
	refusals := plannedRefusals(plan)
	for _, p := range r.Placements {
		for _, c := range p.Clusters {
			if p.Suspended || suspended[c.Cluster] || c.Applied == "True" && c.Healthy == "True" || isBlocked(plan, p.Key(), c.Cluster) {
				continue
			}
			if err := unsettledOn(c, refusals); err != nil {
				return fmt.Errorf("placement %s: %w", p.Key(), err)
			}
		}
	}
	return nil
}

func unsettledOn(c report.PlacementOnCluster, refusals map[string]bool) error {
	if c.Applied != "False" {
		return fmt.Errorf("on %s: applied %s, healthy %s: %s", c.Cluster, c.Applied, c.Healthy, c.Message)
	}
	for _, o := range c.Objects {
		if expected := o.Error != "" && refusals[c.Cluster+" "+o.Ref.String()]; o.Applied != "True" && !expected {
			return fmt.Errorf("%s on %s: %s: %s%s", o.Ref, c.Cluster, o.Applied, o.Error, o.Wait)
		}
	}
	return nil
}

func isBlocked(plan report.Plan, placement, cluster string) bool {
	return slices.ContainsFunc(plan.Risks, func(r report.Risk) bool {
		return r.Kind == report.RiskBlocked && strings.HasPrefix(r.Message, fmt.Sprintf("placement %s on %s:", placement, cluster))
	})
}

// namedBy returns the changes that risks of a kind name, each as "cluster object".
func namedBy(plan report.Plan, kinds ...string) map[string]bool {
	named := map[string]bool{}
	for _, c := range plan.Changes {
		for _, r := range plan.Risks {
			on, found := strings.CutPrefix(r.Message, c.Ref().String()+" on ")
			clusters, _, _ := strings.Cut(on, ":")
			if found && slices.Contains(kinds, r.Kind) && slices.Contains(strings.Split(clusters, ", "), c.Cluster) {
				named[c.Cluster+" "+c.Ref().String()] = true
			}
		}
	}
	return named
}

// plannedRefusals are the changes that no member takes, by the plan's own word.
func plannedRefusals(plan report.Plan) map[string]bool {
	return namedBy(plan, report.RiskRefused, report.RiskImmutable)
}

// announcedBy returns what a plan says will be written, as "cluster verb object": what it says will be refused is no write, and what
// is made anew is deleted and created.
func announcedBy(plan report.Plan) map[string]bool {
	announced, refused, anew := map[string]bool{}, plannedRefusals(plan), namedBy(plan, report.RiskRecreate)
	for _, c := range plan.Changes {
		switch on := c.Cluster + " " + c.Ref().String(); {
		case refused[on]:
		case anew[on]:
			announced[fmt.Sprintf("%s %s %s", c.Cluster, apply.Delete, c.Ref())] = true
			announced[fmt.Sprintf("%s %s %s", c.Cluster, apply.Create, c.Ref())] = true
		default:
			announced[fmt.Sprintf("%s %s %s", c.Cluster, c.Action, c.Ref())] = true
		}
	}
	return announced
}

// editedKinds are the kinds of the resources that edits bring to members.
var editedKinds = map[schema.GroupResource]string{
	{Resource: "namespaces"}: "Namespace", {Resource: "configmaps"}: "ConfigMap", {Resource: "secrets"}: "Secret", {Resource: "services"}: "Service",
	{Group: "apps", Resource: "deployments"}: "Deployment", {Group: "apps", Resource: "statefulsets"}: "StatefulSet",
	{Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}:          "ClusterRole",
	{Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions"}:  "CustomResourceDefinition",
	{Group: "plan.example.com", Resource: "gadgets"}:                        "Gadget",
	{Group: "networking.fleet.azure.com", Resource: "serviceexports"}:       "ServiceExport",
	{Group: "networking.fleet.azure.com", Resource: "multiclusterservices"}: "MultiClusterService",
}

// aside are resources that gitfleet writes on its own account, besides its inventories: nobody's commit names them.
var aside = []string{"leases", "events", "serviceimports", "endpointslices"}

// writes returns what gitfleet has written since the last call, as "cluster verb object", and what API servers refused it, as
// "cluster object".
func (a *agreement) writes() (done, refused map[string]bool) {
	a.t.Helper()
	done, refused = map[string]bool{}, map[string]bool{}
	for _, member := range a.fleet.Members {
		var writes []realfleet.Write
		writes, a.marks[member] = a.fleet.Audit(a.t, member, a.marks[member])
		created := map[api.Ref]bool{}
		for _, write := range writes {
			if write.UserAgent != "gitfleet" || write.DryRun || write.Subresource != "" || slices.Contains(aside, write.Resource) ||
				write.Namespace == api.SystemNamespace || write.Name == api.SystemNamespace {
				continue
			}
			kind, known := editedKinds[schema.GroupResource{Group: write.Group, Resource: write.Resource}]
			if !known {
				a.t.Errorf("%s: gitfleet writes what no edit brings: %s", member, write)
			}
			ref := api.Ref{Group: write.Group, Kind: kind, Namespace: write.Namespace, Name: write.Name}
			switch {
			case write.Code == 409, write.Code == 404: // it changed, or went, in between: it is looked at again
			case write.Code >= 300:
				refused[member+" "+ref.String()] = true
			case write.Verb == "delete":
				done[fmt.Sprintf("%s %s %s", member, apply.Delete, ref)] = true
			case write.Code == 201:
				created[ref] = true
				done[fmt.Sprintf("%s %s %s", member, apply.Create, ref)] = true
			case !created[ref]: // else its ownership is put in order
				done[fmt.Sprintf("%s %s %s", member, apply.Update, ref)] = true
			}
		}
	}
	return done, refused
}

// differences returns one line for each element that is in one set only.
func differences(announced, done map[string]bool) string {
	var list []string
	for line := range announced {
		if !done[line] {
			list = append(list, "announced, not done: "+line)
		}
	}
	for line := range done {
		if !announced[line] {
			list = append(list, "done, not announced: "+line)
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func planText(plan report.Plan) string {
	var b strings.Builder
	_ = plan.Text(&b, false) // a strings.Builder takes everything
	return b.String()
}

func sortedLines(set map[string]bool) string {
	return strings.Join(slices.Sorted(maps.Keys(set)), "\n")
}

// count notes what a plan told of.
func (a *agreement) count(plan report.Plan) {
	for _, c := range plan.Changes {
		a.told["action "+string(c.Action)]++
		if strings.HasPrefix(c.Reason, "handed over") {
			a.told["hand-over"]++
		}
	}
	for _, m := range plan.Moves {
		a.told["move "+m.Action]++
	}
	for _, r := range plan.Risks {
		a.told["risk "+r.Kind]++
	}
	if len(plan.Errors) > 0 {
		a.told["errors"]++
	}
}

// everythingWasTold checks that the edits made plans tell of all that a plan can tell of. Of files alone tell
// report.RiskProperties and report.RiskBaseInvalid: they come with --offline only.
func (a *agreement) everythingWasTold() {
	a.t.Helper()
	a.t.Logf("told: %v", a.told)
	want := []string{"action create", "action update", "action delete", "hand-over", "move " + report.Gain, "move " + report.Lose, "errors"}
	for _, kind := range []string{report.RiskDeleteNamespace, report.RiskDeleteCRD, report.RiskConfirm, report.RiskDeleteStorage, report.RiskNoCluster,
		report.RiskUnfilled, report.RiskNotice, report.RiskMemberRemoved, report.RiskUnseen, report.RiskBlocked, report.RiskRefused, report.RiskImmutable,
		report.RiskRecreate, report.RiskAdopt, report.RiskSuspended, report.RiskExportConflict} {
		want = append(want, "risk "+kind)
	}
	for _, what := range want {
		if a.told[what] == 0 {
			a.t.Errorf("no edit made a plan tell of: %s", what)
		}
	}
}
