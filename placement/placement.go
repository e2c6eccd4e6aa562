// Package placement decides which clusters a placement runs on, and why. It is pure: a placement, the assignment of
// before and the candidates in; a decision with a reason for every cluster out.
package placement

import (
	"time"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// Placement is what is to be decided about.
type Placement struct {
	Name      string
	Namespace string // of a ResourcePlacement; empty for a ClusterResourcePlacement
	Policy    *v1beta1.PlacementPolicy
	// UnplaceAfter is how long a cluster may fail the required terms until it loses the placement; 0 for ever, as upstream.
	UnplaceAfter time.Duration
}

// Candidate is one registered member as scheduling sees it.
type Candidate struct {
	Name   string
	Labels map[string]string
	Taints []clusterv1beta1.Taint
	// Properties are what the cluster reports of itself, by name: also those that upstream serves from its resource usage,
	// such as resources.kubernetes-fleet.io/available-cpu.
	Properties map[string]string
	// Namespaces are those that are there, for placements that live in one; nil while nobody knows.
	Namespaces map[string]bool
	// Ineligible tells why nothing new may be scheduled onto the cluster; empty when it may.
	Ineligible string
	// Leaving is set while the cluster is being removed from the fleet: it is ineligible, and holds nothing any more as far
	// as scheduling goes, but is still one of the clusters that bounds and domains are taken over.
	Leaving bool
}

// Assignment is what was decided before: the clusters that hold the placement now, by name, and the PolicyDigest of the
// policy that put it there. The zero value means never placed.
type Assignment struct {
	Clusters     []string `json:"clusters,omitempty"`
	PolicyDigest string   `json:"policyDigest,omitempty"`
	// Obsolete are clusters that hold the placement by a policy of before PolicyDigest. They only break ties.
	Obsolete []string `json:"obsolete,omitempty"`
	// Waiting are those of Clusters that nothing has been applied to yet: they go first when fewer are asked for.
	Waiting []string `json:"waiting,omitempty"`
	// Scores are those of Clusters when PickN chose them, as far as they are known.
	Scores map[string]Score `json:"scores,omitempty"`
	// Unmatched says since when clusters of a placement with UnplaceAfter fail the required terms.
	Unmatched map[string]time.Time `json:"unmatched,omitempty"`
}

// Score ranks a cluster for PickN: by TopologySpread, then by Affinity.
type Score struct {
	Affinity       int `json:"affinityScore"`
	TopologySpread int `json:"topologySpreadScore"`
}

// Verdict tells for one cluster whether it was selected and why.
type Verdict struct {
	Cluster  string `json:"name"`
	Selected bool   `json:"selected"`
	Score
	Reason string `json:"reason"`
}

// Scheduled is the placement's Scheduled condition, in upstream's words.
type Scheduled struct {
	Status  string `json:"status"` // True or False
	Reason  string `json:"reason"` // Fulfilled or Unfulfilled
	Message string `json:"message"`
}

// The reasons of Scheduled, from KubeFleet's placement conditions.
const (
	Fulfilled   = "SchedulingPolicyFulfilled"
	Unfulfilled = "SchedulingPolicyUnfulfilled"
)

// Decision is the outcome for one placement.
type Decision struct {
	Name      string    `json:"name"`
	Namespace string    `json:"namespace,omitempty"`
	Scheduled Scheduled `json:"scheduled"`
	Unfilled  int       `json:"unfilled"` // slots that no cluster fills
	// Verdicts are those selected first, PickN's by rank and others by name; then what was scored and not picked, by rank;
	// then what was filtered out, by name.
	Verdicts   []Verdict  `json:"clusters"`
	Assignment Assignment `json:"-"` // what to remember
	At         time.Time  `json:"-"`
	// Wake is when the decision may change although nothing else does; zero when it will not.
	Wake time.Time `json:"-"`
}

// Key names the placement among all: "name", or "namespace/name" of a ResourcePlacement.
func (d Decision) Key() string { return Key(d.Namespace, d.Name) }

// Key names a placement among all: "name", or "namespace/name" of a ResourcePlacement.
func Key(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}
