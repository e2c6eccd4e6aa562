// Package apply decides what one cluster needs: the difference between the targets and what lives there, its order, the
// inventory that makes pruning safe, and health. It is pure; apply/kube observes and executes.
package apply

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/gitfleet/gitfleet/api"
)

// Set is what one owner (a placement, or the service resolution) wants on one cluster. It becomes one KEP-3659 ApplySet.
// A cluster that a placement left still gets its Set, with no objects: deleting is applying nothing.
type Set struct {
	Name         string // the owner's name; the parent's name is derived from it
	Source       string // where the wish comes from: repository, branch, directories
	TakeOver     bool   // the Set is taken over when its inventory is another source's
	Revision     string // commit of the wish
	PolicyDigest string // placement policy that chose this cluster; recorded in the parent for stickiness
	// Objects hold no two with the same ref, here or in another Set of the same cluster. Sorted by ref they save Diff sorting
	// them each time.
	Objects   []*Target
	Suspended bool   // nothing of the Set is changed: what its inventory lists stays as it is
	Account   string // "namespace/name" of the ServiceAccount to act as; empty for gitfleet's own rights
	// DependsOn are the Sets that must be in place and healthy, wherever they are, before anything new of this one is applied.
	DependsOn []string
	// Unready tells for Sets that DependsOn or an object's directives name why they are not ready. A Set that it does not
	// name is ready.
	Unready map[string]string
	// HoldRemovals tells why nothing of the Set may be deleted before a person confirms it; empty when it may.
	HoldRemovals string
	// Digest is what a person names to confirm the removals of this wish.
	Digest string
	// Confirmed tells that a person has confirmed the removals of this wish: also of what takes with it what gitfleet did not
	// create.
	Confirmed bool
}

// Live is what is known of one cluster, as one immutable value.
type Live struct {
	// Complete is true when every watch behind Parents and Objects has synced. Nothing may be pruned, and no parent
	// narrowed, on an incomplete view: unknown is never empty.
	Complete bool
	// ParentsSynced is true when Parents is complete; Complete implies it. Until then nothing at all can be decided.
	ParentsSynced bool
	// Unknown holds the kinds that are watched but not known yet, each with the reason. Their absence from Objects means
	// nothing. It is empty when Complete is true.
	Unknown map[schema.GroupKind]string
	Parents map[string]Parent  // by Set name
	Damaged map[string]string  // parents that somebody made unreadable, by name of the ConfigMap, with the reason
	Objects Objects            // that carry our part-of label
	Repairs map[api.Ref]Repair // what was lately repaired, to damp a quarrel with another writer
	// Doubts names objects whose metadata cannot be trusted to show drift, each with the reason: they are verified by a
	// dry run although nothing shows.
	Doubts map[api.Ref]string
}

// Repair remembers that drift of one object was repaired, how often and when last.
type Repair struct {
	Count int
	Last  time.Time
}

// LiveObject is an object on the cluster, reduced to what deciding needs.
type LiveObject struct {
	Ref             api.Ref
	UID             types.UID
	ResourceVersion string
	SetID           string // value of applyset.kubernetes.io/part-of
	AppliedHash     string // our annotation: digest of what we last applied
	EntryHash       string // digest of our managedFields Apply entry; empty when there is none
	Wave            int    // what the object's annotation says; deleting follows it when Git no longer names the object
	Controlled      bool   // has a controller owner, so it is a copy somebody else made: never ours
	Deleting        bool
	DeletingSince   time.Time // when Deleting began
	Finalizers      string    // what a delete waits for, separated by commas; only while Deleting
	Health          Health    // for kinds whose health needs status; otherwise Current
}

// Parent is one ApplySet parent: the inventory of a Set on one cluster.
type Parent struct {
	Name            string // Set name
	ResourceVersion string // the fence: a second writer fails on it
	Source          string // where the wish comes from; another source's inventory is not ours
	Revision        string // commit that caused the last change
	PolicyDigest    string
	Account         string // "namespace/name" that the Set acts as, also when nothing is left of it but what must be deleted
	Items           []Item // sorted by Ref
}

// Equal compares what is recorded; the resourceVersion is not.
func (p Parent) Equal(o Parent) bool {
	return p.Name == o.Name && p.Source == o.Source && p.Revision == o.Revision && p.PolicyDigest == o.PolicyDigest && p.Account == o.Account && sameItems(p.Items, o.Items)
}

// sameItems compares two inventories, of which one is most often the other itself.
func sameItems(a, b []Item) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// find returns what p lists of ref.
func (p *Parent) find(ref api.Ref) (item Item, listed bool) {
	if p == nil {
		return Item{}, false
	}
	i, ok := slices.BinarySearchFunc(p.Items, ref, func(it Item, r api.Ref) int { return it.Compare(r) })
	if !ok {
		return Item{}, false
	}
	return p.Items[i], true
}

// Item is one object of an inventory.
type Item struct {
	api.Ref
	Version   string    `json:"version"`             // API version it was applied with
	UID       types.UID `json:"uid,omitempty"`       // empty until the object is known to exist
	EntryHash string    `json:"entryHash,omitempty"` // of our managedFields entry right after our last write
}

// Action is what happens to one object, as a word that is printed.
type Action string

// The actions, in the words users of kubectl and Flux know.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is one step of a plan.
type Change struct {
	Action Action
	Ref    api.Ref
	Target *Target // what to apply, once it is stamped; nil for Delete
	Reason string  // for a person: "new in 3f2a1b", "drifted: our fields were changed", "no longer rendered"
	Repair bool    // undoes somebody else's change, and is damped when it comes back
	Verify bool    // a dry-run apply must show a difference before anything is written
	// HandOut are fields of Target that the object is created with, and that are no longer ours from then on.
	HandOut  []fieldpath.Path
	Recreate bool       // may be deleted and created again when a field that cannot be changed differs
	Live     LiveObject // what was seen; zero for Create. Its UID and ResourceVersion are a Delete's preconditions
}

// Held is a repair that waits, because another writer undid the one before.
type Held struct {
	Ref    api.Ref
	Reason string
	Until  time.Time
}

// Wait is something that is left as it is for now.
type Wait struct {
	Ref    api.Ref
	Action Action // what will be done in the end
	Reason string // for a person: what it waits for, and what can be done about it
	// Confirm tells that it waits for a person's word, the trailer api.TrailerConfirm; otherwise for something to become
	// ready or to be resumed.
	Confirm bool
}

// SetPlan brings one Set to its target. Steps run in order: widen the parent, Stages one after the other (the objects
// of a stage concurrently), Prune in its order (what was applied last goes first), narrow the parent.
type SetPlan struct {
	Set    Set
	Before *Parent // nil when the parent does not exist yet
	Widen  bool    // objects will be created that Before does not list
	Stages [][]Change
	Prune  []Change
	Held   []Held
	Waits  []Wait // by Ref
	// After is what the parent shall be when all succeeded; uids and entry hashes of written objects are filled in by the
	// executor.
	After  Parent
	Remove bool // After lists nothing and nothing is wanted: the parent itself goes
	// Err tells why nothing can be done for this Set; then there is nothing else in the plan of it.
	Err error
}

// Plan is everything that is about to happen on one cluster. An empty plan makes no request.
type Plan struct {
	Cluster string
	Sets    []SetPlan // by Set name; none for a Set that needs nothing
}

// Empty tells whether there is nothing to execute now. A plan of held repairs and waits only is empty: see Wake.
func (p Plan) Empty() bool {
	for _, s := range p.Sets {
		if s.Err != nil || s.writes() {
			return false
		}
	}
	return true
}

func (s SetPlan) writes() bool {
	return s.Widen || len(s.Stages) > 0 || len(s.Prune) > 0 || s.Remove || s.Before != nil && !s.Before.Equal(s.After)
}

// Wake returns when a held repair is due: the moment to call Diff again if nothing else happens before.
func (p Plan) Wake() (at time.Time, ok bool) {
	for _, s := range p.Sets {
		for _, h := range s.Held {
			if !ok || h.Until.Before(at) {
				at, ok = h.Until, true
			}
		}
	}
	return at, ok
}

// String prints the plan for a person, one line a step, in the order of execution, and at the end of each Set what is held
// or waits.
func (p Plan) String() string {
	return p.print(func(s SetPlan, line printer) {
		s.describe(line)
		s.describeRest(line)
	})
}

// Steps prints what String prints without what is held or waits: two plans with the same steps do the same.
func (p Plan) Steps() string { return p.print(SetPlan.describe) }

// printer prints one line about a Set.
type printer func(format string, args ...any)

func (p Plan) print(describe func(SetPlan, printer)) string {
	var b strings.Builder
	for _, s := range p.Sets {
		describe(s, func(format string, args ...any) {
			fmt.Fprintf(&b, "%s %s: ", p.Cluster, s.Set.Name)
			fmt.Fprintf(&b, format+"\n", args...)
		})
	}
	return b.String()
}

func (s SetPlan) describe(line printer) {
	if s.Err != nil {
		line("blocked: %v", s.Err)
		return
	}
	if s.Widen {
		line("widen inventory")
	}
	for _, stage := range s.Stages {
		for _, c := range stage {
			verify := ""
			if c.Verify {
				verify = " (verify first)"
			}
			line("%s %s: %s%s", c.Action, c.Ref, c.Reason, verify)
		}
	}
	for _, c := range s.Prune {
		line("%s %s: %s", c.Action, c.Ref, c.Reason)
	}
	switch {
	case s.Remove:
		line("remove inventory")
	case s.Before != nil && len(s.After.Items) < len(s.Before.Items):
		line("narrow inventory to %d", len(s.After.Items))
	case len(s.Stages)+len(s.Prune) == 0 && s.Before != nil && !s.Before.Equal(s.After):
		line("rewrite inventory")
	}
}

func (s SetPlan) describeRest(line printer) {
	for _, h := range s.Held {
		line("hold %s until %s: %s", h.Ref, h.Until.UTC().Format(time.RFC3339), h.Reason)
	}
	for _, w := range s.Waits {
		line("wait to %s %s: %s", w.Action, w.Ref, w.Reason)
	}
}

// Outcome is what became of one change, or of an object that needed none.
type Outcome struct {
	Ref    api.Ref
	Action Action
	Note   string // what a person may want to know about a success: "adopted: it existed before"
	Drift  *Drift // what was put back; nil when the cluster had not drifted
	Err    error  // nil on success
}

// Result is what an executor reports when it is done with a plan.
type Result struct {
	Cluster  string
	Outcomes map[string][]Outcome // by Set name
	Errs     map[string]error     // by Set name: why the set as a whole stopped (parent fenced, unreachable …)
}

// SortOutcomes sorts by ref, which is unique.
func SortOutcomes(outcomes []Outcome) {
	slices.SortFunc(outcomes, func(a, b Outcome) int { return a.Ref.Compare(b.Ref) })
}
