package api

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Directives is what an author says about one object in annotations of gitfleet's own.
type Directives struct {
	// Wave orders the objects of one placement on one cluster: those of a wave are touched when all of lower waves are in
	// place and healthy. 0 unless said otherwise; negative waves come first.
	Wave int
	// DependsOn are objects on the same cluster, or placements, that must be in place and healthy first. Sorted.
	DependsOn []Dependency
	// IgnoreFields are fields that somebody else decides about once the object exists, such as the replicas that a
	// HorizontalPodAutoscaler sets. Sorted.
	IgnoreFields []fieldpath.Path
	// Recreate allows the object to be deleted and created again when a field of it that cannot be changed was changed.
	Recreate bool
}

// Dependency names an object, or a placement; the other is zero.
type Dependency struct {
	Placement string
	Object    Ref
}

// PlacementDirectives is what an author says about one placement in annotations of gitfleet's own.
type PlacementDirectives struct {
	Suspend        bool          // nothing of the placement is changed on any cluster
	DependsOn      []string      // placements that must be in place and healthy on all their clusters first. Sorted
	IgnoreFields   []IgnoreRule  // as Directives.IgnoreFields, for all objects of a kind. Sorted
	ServiceAccount string        // "namespace/name" of the account to act as on the members; empty for gitfleet's own
	HealthChecks   []HealthCheck // for kinds whose health no rule of gitfleet tells. Sorted by kind
	// UnplaceAfter is how long a cluster may fail the required terms until it loses the placement; 0 for ever, as upstream.
	UnplaceAfter time.Duration
}

// IgnoreRule gives a field of all objects of a kind away.
type IgnoreRule struct {
	Kind schema.GroupKind
	Path fieldpath.Path
}

// HealthCheck tells the health of the objects of one kind by CEL expressions over the variable self, the whole object. The
// first that is true decides, in the order Failed, InProgress, Current; when none is the object is in progress.
type HealthCheck struct {
	Kind       schema.GroupKind
	Current    string // required
	InProgress string
	Failed     string
}

// MemberDirectives is what an author says about one member in annotations of gitfleet's own.
type MemberDirectives struct {
	Suspend bool // nothing is changed on the member
}
