package mcs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

type clusterStatus = networkingv1alpha1.ClusterStatus

// contest decides one namespace/name among all its exports.
type contest struct {
	key     Key
	exports []Export
	unseen  []string // members that may export it too, but cannot be seen
	held    []string // those of unseen that are known to have taken part
	agreed  []Port   // the ports they agreed on
}

// agree takes over what ServiceImports on members say about clusters that cannot be seen. All of them were written from
// one resolution, so any of them will do; the first that names an unseen cluster does.
func (c *contest) agree(imports []MemberImport) {
	for _, i := range imports {
		var held []string
		for _, s := range i.Status.Clusters {
			if slices.Contains(c.unseen, s.Cluster) {
				held = append(held, s.Cluster)
			}
		}
		if len(held) == 0 || len(i.Status.Ports) == 0 {
			continue
		}
		slices.Sort(held)
		c.held, c.agreed = held, importedPorts(i.Status.Ports)
		return
	}
}

// winner is whose ports are the import's.
type winner struct {
	cluster string
	why     string
	ports   []Port
}

// decide returns a verdict for every export, by cluster, and the import they make. The oldest valid export wins (KEP-1645);
// timestamps have a grain of one second, so the cluster name settles ties.
func (c *contest) decide() ([]ExportVerdict, Import) {
	slices.SortFunc(c.exports, func(a, b Export) int { return strings.Compare(a.Cluster, b.Cluster) })
	byAge := slices.Clone(c.exports)
	slices.SortStableFunc(byAge, func(a, b Export) int { return a.Created.Compare(b.Created) })
	w := c.winner(byAge)

	imported := Import{Namespace: c.key.Namespace, Name: c.key.Name, Clusters: slices.Clone(c.held), Held: c.held}
	if w != nil {
		imported.Ports = w.ports
	}
	verdicts := make([]ExportVerdict, 0, len(c.exports))
	for _, e := range c.exports {
		v := c.judge(e, w)
		if len(v.Ports) > 0 {
			imported.Clusters = append(imported.Clusters, e.Cluster)
			imported.Endpoints = append(imported.Endpoints, importEndpoints(e, v.Ports)...)
		}
		verdicts = append(verdicts, v)
	}
	slices.Sort(imported.Clusters)
	return verdicts, imported
}

func (c *contest) winner(byAge []Export) *winner {
	if len(c.held) > 0 {
		return &winner{c.held[0], "which took part before it went out of sight", c.agreed}
	}
	for _, e := range byAge {
		if validity(e).Status != metav1.ConditionTrue {
			continue
		}
		if _, lost := beaten(e.Conditions, networkingv1alpha1.ConditionConflict, c.unseen); lost {
			continue
		}
		why := "whose export is the oldest (" + e.Created.UTC().Format(time.RFC3339) + ")"
		return &winner{e.Cluster, why, sortedPorts(e.Service.Ports)}
	}
	return nil
}

// judge gives the verdict on e. Only the loser of a conflict shows it: of an export that differs, the ports that agree
// with the winner's keep their traffic, so that a change which reaches one cluster before another disturbs nobody.
func (c *contest) judge(e Export, w *winner) ExportVerdict {
	v := ExportVerdict{Export: e, Valid: validity(e)}
	if v.Valid.Status != metav1.ConditionTrue {
		v.Conflict = Verdict{metav1.ConditionUnknown, networkingv1alpha1.ReasonPendingConflictResolution,
			"conflicts are looked for once the export is valid"}
		return v
	}
	if w != nil {
		v.Ports = common(sortedPorts(e.Service.Ports), w.ports)
	}
	if old, lost := beaten(e.Conditions, networkingv1alpha1.ConditionConflict, c.unseen); lost {
		v.Conflict = old
		return v
	}
	if diff := describeDifference(sortedPorts(e.Service.Ports), w.ports); diff != "" {
		v.Conflict = Verdict{metav1.ConditionTrue, networkingv1alpha1.ReasonConflictFound, fmt.Sprintf(
			"the Service's ports differ from those in %s, %s and decides: %s; ports that differ get no traffic from the fleet",
			quoted(w.cluster), w.why, diff)}
		return v
	}
	v.Conflict = Verdict{metav1.ConditionFalse, networkingv1alpha1.ReasonNoConflictFound, "no older export differs"}
	return v
}

// validity judges e by itself. KEP-1645 can export headless Services; Azure's dialect cannot, and it is Azure's words
// that are spoken here.
func validity(e Export) Verdict {
	invalid := func(reason, format string, args ...any) Verdict {
		return Verdict{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
	}
	switch {
	case e.Service == nil:
		return invalid(networkingv1alpha1.ReasonServiceNotFound,
			"there is no Service %s in this cluster; create it or delete the ServiceExport", e.Key())
	case e.Service.Type == corev1.ServiceTypeExternalName:
		return invalid(networkingv1alpha1.ReasonServiceIneligible,
			"Service %s is of type ExternalName, which has no endpoints to export; export a Service with a selector", e.Key())
	case e.Service.Headless:
		return invalid(networkingv1alpha1.ReasonServiceIneligible,
			"Service %s is headless (clusterIP: None), which cannot be load-balanced; export a Service with a cluster IP", e.Key())
	}
	return Verdict{metav1.ConditionTrue, networkingv1alpha1.ReasonServiceIsValid, fmt.Sprintf("Service %s is exported", e.Key())}
}

// importEndpoints returns e's endpoints with only the target ports of ports, sorted by address. An EndpointSlice
// controller may show one address in two slices while it moves it; the last word on readiness is then "ready in one".
func importEndpoints(e Export, ports []Port) []ImportedEndpoint {
	var out []ImportedEndpoint
	for _, ep := range e.Endpoints {
		targets := map[string]int32{}
		for _, p := range ports {
			if t, ok := ep.Ports[p.Name]; ok {
				targets[p.Name] = t
			}
		}
		if len(targets) > 0 {
			ep.Ports = targets
			out = append(out, ImportedEndpoint{Cluster: e.Cluster, Endpoint: ep})
		}
	}
	slices.SortStableFunc(out, compareEndpoints)
	return slices.CompactFunc(out, func(a, b ImportedEndpoint) bool {
		return a.Address == b.Address && maps.Equal(a.Ports, b.Ports)
	})
}

// compareEndpoints puts the more useful of two equal addresses first.
func compareEndpoints(a, b ImportedEndpoint) int {
	rank := func(e ImportedEndpoint) int {
		switch {
		case e.Terminating:
			return 2
		case !e.Ready:
			return 1
		}
		return 0
	}
	if c := a.Address.Compare(b.Address); c != 0 {
		return c
	}
	if c := strings.Compare(fmt.Sprint(a.Ports), fmt.Sprint(b.Ports)); c != 0 {
		return c
	}
	return rank(a) - rank(b)
}
