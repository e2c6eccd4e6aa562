package reconcile

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/report"
)

// reportServices tells of exports, imports and load balancers.
func (l *Loop) reportServices(r *report.Report) {
	resolution := l.services.resolution
	for _, e := range resolution.Exports {
		r.Exports = append(r.Exports, report.Export{
			Cluster: e.Cluster, Namespace: e.Namespace, Name: e.Name, Created: e.Created,
			Valid: string(e.Valid.Status), Conflicted: string(e.Conflict.Status),
			Message: exportMessage(e), Endpoints: len(e.Endpoints), API: apiOf(e.Dialect), Weight: e.Weight, Ports: portNumbers(e.Ports),
		})
	}
	for _, i := range resolution.Imports {
		r.Imports = append(r.Imports, reportImport(resolution, i))
	}
	for _, s := range resolution.Services {
		reported := report.Service{
			Cluster: s.Cluster, Namespace: s.Namespace, Name: s.Name, Import: s.ImportName, Created: s.Created,
			Valid: string(s.Valid.Status), Message: s.Valid.Message,
		}
		if len(s.Ingress) > 0 {
			reported.ExternalIP = s.Ingress[0]
		}
		if lb, ok := resolution.LoadBalancer(s.Service); ok {
			reported.Internal = lb.Internal
			said := append([]string{s.Valid.Message}, l.services.state[lb.Key()].Frontend.Problems...)
			if l.services.err != nil {
				said = append(said, "load balancers are not looked after now: "+l.services.err.Error())
			}
			reported.Message = strings.Join(said, "; ")
		}
		r.Services = append(r.Services, reported)
	}
	for _, lease := range resolution.Leases {
		r.Leases = append(r.Leases, report.Lease(lease))
	}
}

func reportImport(r mcs.Resolution, i mcs.Import) report.Import {
	out := report.Import{Namespace: i.Namespace, Name: i.Name, Clusters: i.Clusters, Held: i.Held, Endpoints: len(i.Endpoints),
		Ports: portNumbers(i.Ports), Type: "ClusterSetIP"}
	if i.Headless {
		out.Type = "Headless"
	}
	for _, e := range r.Endpoints(i.Key()) {
		switch {
		case e.Out == "":
			out.In++
		case len(out.Out) < report.MostOut:
			out.Out = append(out.Out, report.ServiceEndpoint{Cluster: e.Cluster, Address: e.Address.String(), Reason: e.Out})
		}
	}
	ips := r.ClusterSetIPs(i.Key())
	for _, cluster := range slices.Sorted(maps.Keys(ips)) {
		out.On = append(out.On, report.ImportOn{Cluster: cluster, IPs: ips[cluster]})
	}
	return out
}

func apiOf(d mcs.Dialect) string {
	if d == mcs.Standard {
		return upstreamMCS
	}
	return fleetNetworking
}

func portNumbers(ports []mcs.Port) []string {
	var out []string
	for _, p := range ports {
		out = append(out, fmt.Sprintf("%d/%s", p.Port, p.Protocol))
	}
	return out
}

// exportMessage says why an export does not count, or else about its conflict.
func exportMessage(e mcs.ExportVerdict) string {
	if e.Valid.Status == metav1.ConditionTrue && e.Conflict.Status != metav1.ConditionFalse {
		return e.Conflict.Message
	}
	return e.Valid.Message
}

// rivalOn tells of another controller of services on a member; nothing when there is none.
func (l *Loop) rivalOn(member string) string {
	if rival, found := l.services.resolution.Rival(member); found {
		return rival.String()
	}
	return ""
}
