// Package mcs resolves multi-cluster services: from what the members export to what every member imports and where the
// load balancers point. It is pure; mcs/kube observes and writes statuses, the providers drive load balancers.
//
// Where Azure's own controllers differ from KEP-1645
// (https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/1645-multi-cluster-services-api),
// the KEP decides the behaviour (the oldest export wins, compatible ports are united, target ports do not matter). Words
// (condition types and reasons) and what may be exported at all are those of the dialect an export was written in.
package mcs

import (
	"cmp"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
)

// Key is the namespace and name that a multi-cluster service has in every cluster (namespace sameness, KEP-1645).
type Key = types.NamespacedName

// Observed is what one member shows of multi-cluster services, as one immutable value.
//
// It holds the last known content, never less: a member that was cut off keeps what it showed before, and a namespace
// that is being listed for the first time contributes nothing until its list is complete. The value can be marshalled
// as JSON, so that last-known content may outlive the process.
type Observed struct {
	Cluster string
	// Synced is true when every watch behind this value has synced and is being served. Until then the absence of
	// anything means nothing, and nothing is written on the member.
	Synced  bool
	Problem string // why it has not synced, for a person; empty when it has
	// Seen is when the member was last in sight; zero while it is, and when nobody knows.
	Seen       time.Time
	Standard   bool     // the member serves the standard's API, so that imports can stand there
	Namespaces []string // that exist and are not being deleted, sorted
	Exports    []Export
	Imports    []MemberImport
	Services   []Service
	Derived    []DerivedService
	Slices     []ImportedSlice // only while some member was not seen since the start
	Nodes      []Node          // sorted by name; none while they are not known

	// Labels and Annotations are those of the MemberCluster: what the repository says of the member, not the member itself.
	Labels, Annotations map[string]string
}

// Node is what a load balancer that reaches nodes needs of one.
type Node struct {
	Name      string
	Addresses []netip.Addr // internal ones, in the node's order
	// Excluded tells that load balancers are to pass it over: the label node.kubernetes.io/exclude-from-external-load-balancers, or
	// that an autoscaler is about to take it away. A node that is not ready is for health probes to find out (KEP-3458).
	Excluded bool
}

// ImportedSlice is an EndpointSlice that gitfleet wrote on a member, as it stands there: the memory of what another member
// exported before it went out of sight.
type ImportedSlice struct {
	Namespace string
	Import    string // name of the service
	Source    string // the exporting cluster
	Endpoints []Endpoint
}

// Dialect is the API that an export was written in.
type Dialect string

// The kinds of the standard's API.
var (
	ServiceExportGVK = mcsv1beta1.SchemeGroupVersion.WithKind(mcsv1beta1.ServiceExportKindName)
	ServiceImportGVK = mcsv1beta1.SchemeGroupVersion.WithKind(mcsv1beta1.ServiceImportKindName)
)

// The dialects.
const (
	Azure    Dialect = ""         // networking.fleet.azure.com: cannot export headless Services, has one reason for all conflicts
	Standard Dialect = "KEP-1645" // the API that KEP-1645 describes
)

// Export is one ServiceExport with the Service and endpoints it names.
type Export struct {
	Cluster   string
	Namespace string
	Name      string
	Dialect   Dialect

	// Created is the ServiceExport's creation time and decides who wins a conflict. It is the only memory of seniority:
	// applying the export again, changing it, or deleting and recreating its Service does not move it.
	Created    time.Time
	Generation int64
	Deleting   bool

	// ExportedLabels and ExportedAnnotations are for the imports. The Service's own metadata is never exported.
	ExportedLabels      map[string]string
	ExportedAnnotations map[string]string

	Service    *ExportedService // nil when there is no Service of that name, or it is being deleted
	Endpoints  []Endpoint
	Conditions []metav1.Condition // as they are on the member, to write only what differs

	// Rival tells that another controller is at work on the export, and by what it shows: a finalizer of its own, or a status
	// that it wrote after us. Empty when none is.
	Rival string

	// Weight is the text of the annotation networking.fleet.azure.com/weight; empty when there is none.
	Weight string
}

// Key returns the service that e exports.
func (e Export) Key() Key { return Key{Namespace: e.Namespace, Name: e.Name} }

// ExportedService is what resolution needs of a Service.
type ExportedService struct {
	Type     corev1.ServiceType
	Headless bool
	Ports    []Port
	Traits
}

// Traits are the fields of a Service that its imports take over as they are.
type Traits struct {
	IPFamilies            []corev1.IPFamily // in order of preference; empty when not known
	SessionAffinity       corev1.ServiceAffinity
	SessionAffinityConfig *corev1.SessionAffinityConfig
	InternalTrafficPolicy *corev1.ServiceInternalTrafficPolicy
	// ExternalTrafficPolicy is set on Services with node ports only. KEP-1645 leaves node ports to each cluster, so that
	// exports may differ in it.
	ExternalTrafficPolicy corev1.ServiceExternalTrafficPolicy
	TrafficDistribution   *string
}

// Port is one port of a multi-cluster service. Two ports are the same when all four fields are: which port the pods
// listen on is each cluster's own business.
type Port struct {
	Name        string
	Protocol    corev1.Protocol
	AppProtocol string // empty when unset
	Port        int32
}

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol),
		cmp.Compare(a.Port, b.Port), cmp.Compare(a.AppProtocol, b.AppProtocol))
}

// Endpoint is one address of a Service's EndpointSlices, with target ports keyed by service port name.
type Endpoint struct {
	Address     netip.Addr
	Ports       map[string]int32 // by port name; "" for an unnamed port
	Ready       bool             // nil in the slice means ready
	Serving     bool
	Terminating bool
	Hostname    string // of pods that have a name of their own in DNS, as those of a StatefulSet
	NodeName    string
	Zone        string
	Slice       string // name of the EndpointSlice it is in
}

// MemberImport is one ServiceImport as it stands on a member.
type MemberImport struct {
	Cluster    string
	Namespace  string
	Name       string
	Dialect    Dialect
	UID        types.UID
	Generation int64
	Deleting   bool
	// Status is what the import says of the service, in whatever part of the object its dialect keeps it.
	Status     networkingv1alpha1.ServiceImportStatus
	Conditions []metav1.Condition // of the Standard dialect, as its EndpointSlices is
	// EndpointSlices is status.endpointSliceObjects: "Present", "Absent", or empty when it was not told yet.
	EndpointSlices string
}

// DerivedService is a Service that gitfleet wrote on a member, as it stands there: one that gives an import its clusterset
// IP, or one that stands for a load balancer.
type DerivedService struct {
	Cluster    string
	Namespace  string
	Name       string
	UID        types.UID
	Deleting   bool
	ClusterIPs []netip.Addr // in the order of the cluster's families; empty until it has them
	Ingress    []string     // status.loadBalancer.ingress: addresses or host names

	// Balancer tells that it stands for a load balancer. Only then the following are of use.
	Balancer            bool
	Ports               []Port
	NodePorts           []int32 // by the index of Ports; 0 where a port has none
	HealthCheckNodePort int32   // 0 for none
}

// Service is one MultiClusterService as it stands on a member.
type Service struct {
	Cluster     string
	Namespace   string
	Name        string
	Created     time.Time
	Generation  int64
	Deleting    bool
	ImportName  string // spec.serviceImport.name
	Annotations map[string]string
	Ingress     []string // status.loadBalancer.ingress: addresses or host names
	Conditions  []metav1.Condition
	Rival       string // as an Export's
}

// Key returns the load balancer that s asks for: the same namespace and name on several members is one.
func (s Service) Key() Key { return Key{Namespace: s.Namespace, Name: s.Name} }

// Import returns the service that s puts behind an address.
func (s Service) Import() Key { return Key{Namespace: s.Namespace, Name: s.ImportName} }

// LoadBalancerKey identifies a load balancer. Member is empty for those that the fleet shares.
type LoadBalancerKey struct {
	Member string
	Key
}

// LoadBalancer is what a provider must bring about for one namespace/name: the same name on several members is one, unless
// the provider gives each member its own.
type LoadBalancer struct {
	Member    string // whose it is; empty when the fleet shares it
	Namespace string
	Name      string
	Import    Key      // the service behind it
	Clusters  []string // members holding a MultiClusterService of this name, sorted
	Internal  bool     // no public address: see Service annotations
	Ports     []Port   // sorted
	Backends  []Backend
	Previous  []netip.Addr // addresses in the statuses now; kept where possible
	// Annotations are those of the MultiClusterService that decides, for a provider that passes them on.
	Annotations map[string]string

	// Given is where Member's own load balancer for it is reached, as addresses or names; only for providers that ask members for one.
	Given []string

	// Sites are the clusters behind it, sorted, for providers whose load balancers reach nodes instead of pods, who fill it in.
	Sites []Site

	// LocalTraffic tells that all exporters want clients to reach pods on the node that they came to only, which leaves the
	// client's address as it is (externalTrafficPolicy: Local).
	LocalTraffic bool

	// ClientAffinity is how long a client address that has connected goes to the same endpoint, counted from its last new
	// connection (sessionAffinity: ClientIP). 0 is none.
	ClientAffinity time.Duration

	// Weights are the clusters' shares of new connections, as their exports say; 0 takes none. While it is empty nobody asked
	// for clusters to be weighed, and every endpoint counts the same. Else each cluster's endpoints divide its weight, and a
	// cluster that is not named has 1.
	Weights map[string]int
}

// Key returns what identifies lb.
func (lb LoadBalancer) Key() LoadBalancerKey {
	return LoadBalancerKey{Member: lb.Member, Key: Key{Namespace: lb.Namespace, Name: lb.Name}}
}

// Site is one cluster behind a load balancer that reaches nodes.
type Site struct {
	Member
	Endpoints int             // how many of the load balancer's endpoints, each counted once, are there
	Service   *DerivedService // that takes in the traffic there; nil while it does not stand
	// Unseen tells that the member cannot be seen, or not all of it yet: what of it is behind the load balancer stays. It may be one
	// that exports nothing.
	Unseen bool
}

// Backend is one endpoint behind one port of a load balancer.
type Backend struct {
	Cluster string
	Port    string // name of the LoadBalancer's port
	Target  netip.AddrPort
}

func compareBackends(a, b Backend) int {
	return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Cluster, b.Cluster), a.Target.Compare(b.Target))
}

func compareLoadBalancers(a, b LoadBalancerKey) int {
	return cmp.Or(compareKeys(a.Key, b.Key), cmp.Compare(a.Member, b.Member))
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
