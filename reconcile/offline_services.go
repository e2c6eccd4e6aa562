package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/report"
)

// The API groups of multi-cluster services: Azure Kubernetes Fleet Manager's and KEP-1645's.
const (
	fleetNetworking = "networking.fleet.azure.com"
	upstreamMCS     = "multicluster.x-k8s.io"
)

// serviceName identifies a multi-cluster service: the same namespace and name on every cluster.
type serviceName struct{ namespace, name string }

// fact is one thing that holds for a multi-cluster service on one cluster.
type fact struct{ what, cluster string }

// exported is the fact that a ServiceExport stands on a cluster.
const exported = "export"

// serviceFacts returns what holds for each multi-cluster service, with the content that makes a fact another one when it
// changes: the Service of an export, and what a MultiClusterService asks for.
func serviceFacts(s outlook) map[serviceName]map[fact]string {
	facts := map[serviceName]map[fact]string{}
	add := func(name serviceName, f fact, content string) {
		if facts[name] == nil {
			facts[name] = map[fact]string{}
		}
		facts[name][f] = content
	}
	for cluster := range s.targets {
		held := s.holdings(cluster)
		for ref, o := range held {
			name := serviceName{ref.Namespace, ref.Name}
			switch {
			case ref.Kind == "ServiceExport" && (ref.Group == fleetNetworking || ref.Group == upstreamMCS):
				add(name, fact{exported, cluster}, "")
				if service, ok := held[api.Ref{Kind: "Service", Namespace: ref.Namespace, Name: ref.Name}]; ok {
					add(name, fact{"Service", cluster}, contentOf(service.Unstructured))
				}
			case ref.Kind == "MultiClusterService" && ref.Group == fleetNetworking:
				if imported, _, _ := unstructured.NestedString(o.Unstructured.Object, "spec", "serviceImport", "name"); imported != "" {
					name.name = imported
				}
				add(name, fact{"MultiClusterService " + ref.Name, cluster}, contentOf(o.Unstructured))
			}
		}
	}
	return facts
}

// contentOf identifies the parts of u that services depend on.
func contentOf(u *unstructured.Unstructured) string {
	return jsonDigest([]any{u.Object["spec"], u.GetAnnotations()})
}

// serviceChanges returns the multi-cluster services that are touched, by namespace and name.
func serviceChanges(before, after outlook) []report.ServiceChange {
	old, now := serviceFacts(before), serviceFacts(after)
	names := maps.Clone(old)
	maps.Copy(names, now)
	var list []report.ServiceChange
	for name := range names {
		reason := compareFacts(old[name], now[name])
		if reason == "" {
			continue
		}
		action := apply.Update
		switch {
		case len(old[name]) == 0:
			action = apply.Create
		case len(now[name]) == 0:
			action = apply.Delete
		}
		list = append(list, report.ServiceChange{Namespace: name.namespace, Name: name.name, Action: string(action), Reason: reason})
	}
	slices.SortFunc(list, func(a, b report.ServiceChange) int {
		return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
	})
	return list
}

// compareFacts says what was gained, lost and changed, and where: "export gained on a, b; Service changed on c".
func compareFacts(old, now map[fact]string) string {
	all := maps.Clone(now)
	if all == nil {
		all = map[fact]string{}
	}
	maps.Copy(all, old)
	clusters := map[string][]string{}
	for f := range all {
		was, had := old[f]
		is, has := now[f]
		verb := ""
		switch {
		case !had:
			verb = "gained"
		case !has:
			verb = "lost"
		case was != is:
			verb = "changed"
		}
		// A Service that comes or goes together with its export is no news besides it.
		_, hadExport := old[fact{exported, f.cluster}]
		_, hasExport := now[fact{exported, f.cluster}]
		if verb == "" || f.what == "Service" && !(hadExport && hasExport) {
			continue
		}
		clusters[f.what+" "+verb] = append(clusters[f.what+" "+verb], f.cluster)
	}
	var parts []string
	for _, event := range slices.Sorted(maps.Keys(clusters)) {
		parts = append(parts, event+" on "+report.NameClusters(slices.Sorted(slices.Values(clusters[event]))))
	}
	return strings.Join(parts, "; ")
}

// exportConflicts tells of services whose exports do not agree about their ports, so that some ports get no traffic from some members
// (KEP-1645, conflict resolution). What a member exports that no placement brought is not known here.
func exportConflicts(s outlook) []report.Risk {
	exports := map[serviceName]map[string][]string{} // clusters, by what they export
	for _, cluster := range slices.Sorted(maps.Keys(s.targets)) {
		held := s.holdings(cluster)
		for ref := range held {
			if ref.Kind != "ServiceExport" || ref.Group != fleetNetworking && ref.Group != upstreamMCS {
				continue
			}
			service, ok := held[api.Ref{Kind: "Service", Namespace: ref.Namespace, Name: ref.Name}]
			if !ok {
				continue
			}
			name, ports := serviceName{ref.Namespace, ref.Name}, portsOf(service.Unstructured)
			if exports[name] == nil {
				exports[name] = map[string][]string{}
			}
			exports[name][ports] = append(exports[name][ports], cluster)
		}
	}
	var list []report.Risk
	for name, by := range exports {
		if len(by) < 2 {
			continue
		}
		var sides []string
		for ports, clusters := range by {
			sides = append(sides, fmt.Sprintf("%s on %s", ports, report.NameClusters(clusters)))
		}
		slices.Sort(sides)
		list = append(list, report.Risk{Kind: report.RiskExportConflict, Message: fmt.Sprintf(
			"the exports of service %s/%s do not agree: %s; they are united, and where they contradict each other the oldest decides", name.namespace, name.name, strings.Join(sides, "; "))})
	}
	return list
}

// portsOf prints the ports of a Service, as far as exports must agree about them (mcs compares no target ports), with the API's defaults.
func portsOf(u *unstructured.Unstructured) string {
	list, _, _ := unstructured.NestedSlice(u.Object, "spec", "ports")
	var out []string
	for _, p := range list {
		port, ok := p.(map[string]any)
		if !ok {
			continue
		}
		text := fmt.Sprint(port["port"], "/", cmp.Or(field(port, "protocol"), "TCP"))
		if name := field(port, "name"); name != "" {
			text = fmt.Sprint(name, " ", text)
		}
		if app := field(port, "appProtocol"); app != "" {
			text += fmt.Sprint(" ", app)
		}
		out = append(out, text)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// field prints a field of m, nothing when it is not there.
func field(m map[string]any, name string) string {
	if v, ok := m[name]; ok && v != nil {
		return fmt.Sprint(v)
	}
	return ""
}
