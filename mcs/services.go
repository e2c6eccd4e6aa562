package mcs

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// ServiceVerdict tells for one MultiClusterService whether there is anything behind it and who decides about it.
type ServiceVerdict struct {
	Service
	Valid   Verdict
	Decider string // the cluster whose MultiClusterService of this name is the oldest; may be its own
	held    bool   // the decider cannot be seen, or is not ours: Valid is not for the status
}

func (r *Resolution) resolveServices(observed []Observed) {
	services := map[Key][]Service{}
	for _, o := range observed {
		for _, s := range o.Services {
			if rival, left := r.Rival(o.Cluster); left {
				r.Services = append(r.Services, ServiceVerdict{Service: s, Valid: Verdict{Status: metav1.ConditionUnknown, Message: rival.String()}, held: true})
			} else if !s.Deleting {
				services[s.Key()] = append(services[s.Key()], s)
			}
		}
	}
	imports := map[Key]Import{}
	for _, i := range r.Imports {
		imports[i.Key()] = i
	}
	for _, key := range sortedKeys(services) {
		for _, same := range r.sharing(services[key]) {
			verdicts, decider := r.judgeServices(same, imports)
			r.Services = append(r.Services, verdicts...)
			if i, ok := imports[decider.Import()]; ok && !i.Headless && decider.Cluster != "" {
				r.LoadBalancers = append(r.LoadBalancers, r.balance(decider, verdicts, i))
			}
		}
	}
	slices.SortFunc(r.Services, func(a, b ServiceVerdict) int {
		return cmp.Or(compareKeys(a.Key(), b.Key()), cmp.Compare(a.Cluster, b.Cluster))
	})
}

// sharing groups the MultiClusterServices of one namespace/name by the load balancer they have in common, sorted by cluster.
func (r *Resolution) sharing(same []Service) [][]Service {
	slices.SortFunc(same, func(a, b Service) int { return strings.Compare(a.Cluster, b.Cluster) })
	if !r.terms.PerMember {
		return [][]Service{same}
	}
	return slices.Collect(slices.Chunk(same, 1))
}

// judgeServices gives a verdict for every MultiClusterService of one namespace/name, by cluster. The oldest decides about
// the one load balancer they share. When all that can be seen were beaten by one that cannot, none decides now.
func (r *Resolution) judgeServices(same []Service, imports map[Key]Import) (verdicts []ServiceVerdict, decider Service) {
	var unseen []string
	if !r.terms.PerMember {
		var seen []string
		for _, s := range same {
			seen = append(seen, s.Cluster)
		}
		unseen = r.unseen(seen)
	}
	for _, s := range same {
		old, held := beaten(s.Conditions, networkingv1alpha1.ConditionValid, unseen)
		verdicts = append(verdicts, ServiceVerdict{Service: s, Valid: old, held: held})
		if !held && (decider.Cluster == "" || s.Created.Before(decider.Created)) {
			decider = s
		}
	}
	for i, v := range verdicts {
		if !v.held {
			verdicts[i].Decider = decider.Cluster
			verdicts[i].Valid = judgeService(v.Service, decider, imports)
		}
	}
	return verdicts, decider
}

func judgeService(s, decider Service, imports map[Key]Import) Verdict {
	v := Verdict{Status: metav1.ConditionUnknown, Reason: networkingv1alpha1.ReasonUnknownServiceImport,
		Message: fmt.Sprintf("no member of the fleet has a valid export of %s", s.Import())}
	if i, ok := imports[s.Import()]; ok && i.Headless {
		v.Message = fmt.Sprintf("%s is headless (clusterIP: None), which cannot be load-balanced; it is exported by %s",
			s.Import(), strings.Join(i.Clusters, ", "))
	} else if ok {
		v = Verdict{Status: metav1.ConditionTrue, Reason: networkingv1alpha1.ReasonFoundServiceImport,
			Message: fmt.Sprintf("%s is exported by %s", s.Import(), strings.Join(i.Clusters, ", "))}
	}
	mine, problem := internal(s.Annotations)
	if problem != "" {
		v.Message += "; " + problem
	}
	theirs, _ := internal(decider.Annotations)
	older := fmt.Sprintf("the older MultiClusterService in %s decides", quoted(decider.Cluster))
	if s.ImportName != decider.ImportName {
		v.Message += fmt.Sprintf("; spec.serviceImport.name is %s here and %s there: %s", s.ImportName, decider.ImportName, older)
	}
	if mine != theirs {
		v.Message += fmt.Sprintf("; internal is %t here and %t there: %s", mine, theirs, older)
	}
	return v
}

// balance returns the load balancer of decider, in front of i. Backends are of one family, as a pod of a dual-stack cluster
// shows up once in each and would get twice its share: IPv4, unless i has no such family, when there is any of it.
func (r *Resolution) balance(decider Service, same []ServiceVerdict, i Import) LoadBalancer {
	lb := LoadBalancer{Member: r.loadBalancerKey(decider).Member, Namespace: decider.Namespace, Name: decider.Name, Import: i.Key(), Ports: i.Ports,
		Annotations: decider.Annotations, Weights: i.Weights}
	lb.Internal, _ = internal(decider.Annotations)
	lb.ClientAffinity = i.clientAffinity()
	lb.LocalTraffic = r.localTraffic(i)
	for _, s := range same {
		lb.Clusters = append(lb.Clusters, s.Cluster)
	}
	lb.Previous = previousAddresses(decider, same)
	lb.Backends = backends(i, r.terms.Probes)
	prefer4 := len(i.IPFamilies) == 0 || slices.Contains(i.IPFamilies, corev1.IPv4Protocol)
	if slices.ContainsFunc(lb.Backends, func(b Backend) bool { return b.is4() == prefer4 }) {
		lb.Backends = slices.DeleteFunc(lb.Backends, func(b Backend) bool { return b.is4() != prefer4 })
	}
	return lb
}

// localTraffic tells whether every exporter of i wants its clients to stay on the node that they came to.
func (r *Resolution) localTraffic(i Import) bool {
	local := false
	for _, v := range r.Exports {
		if v.TakesPart && v.Key() == i.Key() {
			if v.Service.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal {
				return false
			}
			local = true
		}
	}
	return local
}

// clientAffinity is how long clients stay with an endpoint; 0 when the exporters do not ask for it.
func (i Import) clientAffinity() time.Duration {
	if i.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	return time.Duration(affinitySeconds(i.SessionAffinityConfig)) * time.Second
}

func (b Backend) is4() bool { return b.Target.Addr().Is4() }

// backends lists what may receive new connections: endpoints that are ready and not on their way out. Who probes them finds out for
// itself about those whose member is out of sight.
func backends(i Import, probed bool) []Backend {
	var out []Backend
	for _, ep := range i.Endpoints {
		if !ep.Ready || ep.Terminating || ep.Lapsed && !probed {
			continue
		}
		for _, p := range i.Ports {
			target, ok := ep.Ports[p.Name]
			if ok && target > 0 && target <= 65535 {
				at := netip.AddrPortFrom(ep.Address.Unmap(), uint16(target))
				out = append(out, Backend{Cluster: ep.Cluster, Port: p.Name, Target: at})
			}
		}
	}
	slices.SortFunc(out, compareBackends)
	return slices.Compact(out)
}

// previousAddresses reads the addresses in the statuses, the decider's first.
func previousAddresses(decider Service, same []ServiceVerdict) []netip.Addr {
	texts := slices.Clone(decider.Ingress)
	for _, s := range same {
		texts = append(texts, s.Ingress...)
	}
	var out []netip.Addr
	for _, text := range texts {
		if a, err := netip.ParseAddr(text); err == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// internal reads the two annotations that ask for an internal address; either is enough. A value that is no boolean
// counts as true: an address that too few can reach is mended in a minute, one that everybody could reach is not.
func internal(annotations map[string]string) (yes bool, problem string) {
	for _, key := range []string{networkingv1alpha1.AnnotationFleetInternal, networkingv1alpha1.AnnotationAzureInternal} {
		text, ok := annotations[key]
		if !ok {
			continue
		}
		b, err := strconv.ParseBool(text)
		if err != nil {
			b, problem = true, fmt.Sprintf("annotation %s: %s is neither true nor false and counts as true",
				key, strconv.Quote(text))
		}
		yes = yes || b
	}
	return yes, problem
}
