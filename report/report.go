// Package report is what gitfleet tells people: one value holding everything it knows and did, and the words for it as
// tables, text, Markdown and JSON. It is pure.
package report

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// Report is the state of the fleet as gitfleet knows it at one moment. It is served as /status.json: a contract, so
// fields are added, never renamed.
type Report struct {
	Time       time.Time              `json:"time"`
	Head       source.Revision        `json:"head"`                  // newest commit seen
	Applied    source.Revision        `json:"applied"`               // commit whose manifests are in force
	SourceErr  string                 `json:"sourceError,omitempty"` // why Head may be behind the repository
	Errors     []render.ManifestError `json:"errors,omitempty"`      // author errors of Head; then Applied is older
	Held       string                 `json:"held,omitempty"`        // why Head, in which nothing is wrong, waits for a person; then Applied is older
	Notices    []render.ManifestError `json:"notices,omitempty"`     // of Applied: probably mistakes, though no errors
	HubErr     string                 `json:"hubError,omitempty"`    // why the hub does not show this
	ForgeErr   string                 `json:"forgeError,omitempty"`  // why commits and pull requests do not show this
	Converged  bool                   `json:"converged"`             // everything of Applied is in place and healthy
	Digest     string                 `json:"digest,omitempty"`      // of what every cluster shall hold; as `gitfleet plan` prints it
	Confirm    *Confirmation          `json:"confirm,omitempty"`     // what a person must confirm; nil when nothing waits for that
	Removals   []Removal              `json:"removals,omitempty"`    // what Git no longer wants and is still there, by cluster and ref; some, when there are many
	Removing   int                    `json:"removing,omitempty"`    // how many there are
	Drift      []Drift                `json:"drift,omitempty"`       // what was lately put back, newest first
	Unplaced   []Unplaced             `json:"unplaced,omitempty"`    // objects of Applied that no placement selects, by ref
	Members    []Member               `json:"members"`
	Placements []Placement            `json:"placements"`
	Commits    []Commit               `json:"commits,omitempty"` // the newest ones of the branch that were seen, newest first
	Exports    []Export               `json:"serviceExports"`
	Imports    []Import               `json:"serviceImports"`
	Services   []Service              `json:"multiClusterServices"`
	Leases     []Lease                `json:"leases,omitempty"` // of members with a part in services that are out of sight
}

// Commit is a commit that was the newest of the branch when gitfleet looked, and what became of it.
type Commit struct {
	source.Revision
	Seen     time.Time      `json:"seen"`
	Statuses []CommitStatus `json:"statuses"` // as a forge shows them, if there is one
}

// Confirmation asks for a person's word in Git.
type Confirmation struct {
	Digest   string `json:"digest"`   // what the trailer must name
	Removals int    `json:"removals"` // objects that would be deleted, as far as is known
	Message  string `json:"message"`  // why, and how to confirm
}

// Removal is an object that Git no longer wants somewhere, and that is not gone yet.
type Removal struct {
	api.Ref
	Cluster   string `json:"cluster"`
	Placement string `json:"placement"` // that brought it; empty when nobody can tell any more
	Reason    string `json:"reason"`    // what it waits for
	// Operator tells that what keeps it is for those who run gitfleet or the member, who alone should read Reason: it may name
	// addresses.
	Operator bool `json:"operator,omitempty"`
}

// Drift is one foreign change that was put back, with the times it came back since gitfleet started.
type Drift struct {
	apply.Drift
	Cluster   string    `json:"cluster"`
	Placement string    `json:"placement"`
	Count     int       `json:"count"`
	First     time.Time `json:"first,omitzero"` // when it was put back for the first time of Count
}

// Unplaced is an object that no placement selects.
type Unplaced struct {
	api.Ref
	Source render.Origin `json:"source"`
}

// Member is one cluster of the fleet.
type Member struct {
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Joined      string            `json:"joined"`            // True once reached, False without credentials, Unknown while unreachable
	Since       time.Time         `json:"since,omitzero"`    // when Joined became that; zero while unknown
	Message     string            `json:"message,omitempty"` // why it is not reachable
	LastSeen    time.Time         `json:"lastSeen,omitzero"`
	Created     time.Time         `json:"created,omitzero"` // when gitfleet first registered it
	Nodes       *int              `json:"nodes,omitempty"`  // nil while unknown
	// Suspended tells that Git asks for nothing to be changed there.
	Suspended bool       `json:"suspended,omitempty"`
	Version   string     `json:"version,omitempty"`   // of its API server
	Resources *Resources `json:"resources,omitempty"` // nil while unknown
	Source    string     `json:"source,omitempty"`    // file and document that register it: "members.yaml#1"
	// Spec is that of the MemberCluster in Git; nil while unknown.
	Spec *clusterv1beta1.MemberClusterSpec `json:"spec,omitempty"`
}

// Resources is what the nodes of a member offer together, as quantities: "16", "3920m", "64Gi".
type Resources struct {
	Capacity    map[string]string `json:"capacity"`
	Allocatable map[string]string `json:"allocatable"`
	Available   map[string]string `json:"available,omitempty"` // allocatable less what pods requested; nil while unknown
}

// Placement is one placement and what it came to on each cluster.
type Placement struct {
	Name        string             `json:"name"`
	Namespace   string             `json:"namespace,omitempty"` // of a ResourcePlacement
	Labels      map[string]string  `json:"labels,omitempty"`
	Annotations map[string]string  `json:"annotations,omitempty"`
	Generation  int64              `json:"generation"`
	Created     time.Time          `json:"created,omitzero"`
	Decision    placement.Decision `json:"decision"`
	Conditions  []metav1.Condition `json:"conditions"` // upstream's types and reasons
	// Resources are the selected objects in upstream's fixed order; what came out of an envelope names that.
	Resources []placementv1beta1.ResourceIdentifier `json:"selectedResources"`
	Clusters  []PlacementOnCluster                  `json:"clusters"`            // one for each selected cluster, by name
	Source    string                                `json:"source,omitempty"`    // file and document of the manifest: "web/placement.yaml#1"
	Suspended bool                                  `json:"suspended,omitempty"` // Git asks for nothing of it to be changed
	DependsOn []string                              `json:"dependsOn,omitempty"`
	Account   string                                `json:"serviceAccount,omitempty"` // "namespace/name" that it acts as on members
	Err       string                                `json:"error,omitempty"`
	// Spec is that in Git; nil while unknown.
	Spec *placementv1beta1.PlacementSpec `json:"spec,omitempty"`
}

// Key names the placement among all: "name", or "namespace/name" of a ResourcePlacement.
func (p Placement) Key() string { return placement.Key(p.Namespace, p.Name) }

// PlacementOnCluster is one placement on one cluster.
type PlacementOnCluster struct {
	Cluster string `json:"cluster"`
	Applied string `json:"applied"` // True, False or Unknown
	Healthy string `json:"healthy"` // True, False or Unknown
	// Applying tells that gitfleet is at work on it: what is not applied yet has not failed. It does not when the work waits
	// for something, nor when the member cannot be reached.
	Applying bool `json:"applying,omitempty"`
	// Operator tells that it is not for the author to mend that Applied is not True: a permission is missing, a member fails.
	// Message may name addresses and files then, and is for those who run gitfleet alone.
	Operator bool           `json:"operator,omitempty"`
	Message  string         `json:"message,omitempty"`
	Objects  []PlacedObject `json:"objects,omitempty"`
	// Revision is the commit that caused the last change of the inventory; empty while unknown.
	Revision string `json:"revision,omitempty"`
	// Conditions are those of ClusterConditions: the types carry no prefix.
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PlacedObject is one object of a placement on one cluster.
type PlacedObject struct {
	api.Ref
	Applied string       `json:"applied"` // True, False or Unknown
	Health  apply.Health `json:"health"`
	// Checked tells that a health check of the commit judges its kind, so that its availability is known.
	Checked bool          `json:"checked,omitempty"`
	Error   string        `json:"error,omitempty"`
	Reason  string        `json:"reason,omitempty"` // upstream's word for Error: see AppliedReason
	Wait    string        `json:"wait,omitempty"`   // why a change of it is kept back
	Source  render.Origin `json:"source"`
}

// Export is one ServiceExport on one member.
type Export struct {
	Cluster    string    `json:"cluster"`
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	Valid      string    `json:"valid"`    // True, False or Unknown
	Conflicted string    `json:"conflict"` // True, False or Unknown
	Message    string    `json:"message,omitempty"`
	Endpoints  int       `json:"endpoints"`
	API        string    `json:"api,omitempty"`    // group that the ServiceExport is of
	Weight     string    `json:"weight,omitempty"` // as its annotation says
	Ports      []string  `json:"ports,omitempty"`  // "80/TCP": those that take part
}

// Import is one service that some member exports.
type Import struct {
	Namespace string   `json:"namespace"`
	Name      string   `json:"name"`
	Clusters  []string `json:"clusters"` // the exporters that count
	Ports     []string `json:"ports"`    // "80/TCP"
	Endpoints int      `json:"endpoints"`
	Type      string   `json:"type,omitempty"` // ClusterSetIP or Headless
	Held      []string `json:"held,omitempty"` // those of Clusters that are out of sight
	// In is how many of Endpoints get connections. Out are those that do not, MostOut at most.
	In  int               `json:"in"`
	Out []ServiceEndpoint `json:"out,omitempty"`
	// On are the members where the import stands, with its clusterset IPs there.
	On []ImportOn `json:"on,omitempty"`
}

// MostOut bounds how many endpoints of a service are listed with why they are out.
const MostOut = 100

// ServiceEndpoint is an endpoint that gets no connections.
type ServiceEndpoint struct {
	Cluster string `json:"cluster"`
	Address string `json:"address"`
	Reason  string `json:"reason"`
}

// ImportOn is one member where an import stands.
type ImportOn struct {
	Cluster string   `json:"cluster"`
	IPs     []string `json:"ips,omitempty"`
}

// Lease is for how long a member that is out of sight keeps its part in services.
type Lease struct {
	Cluster string    `json:"cluster"`
	Seen    time.Time `json:"seen,omitzero"`
	Until   time.Time `json:"until,omitzero"` // zero for ever
	Over    bool      `json:"over"`
}

// Service is one MultiClusterService on one member.
type Service struct {
	Cluster    string    `json:"cluster"`
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	Import     string    `json:"serviceImport"`
	ExternalIP string    `json:"externalIP,omitempty"`
	Internal   bool      `json:"internal"` // the address is not a public one
	Valid      string    `json:"valid"`    // True, False or Unknown
	Message    string    `json:"message,omitempty"`
	Created    time.Time `json:"created"`
}
