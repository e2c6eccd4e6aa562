package apply

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gitfleet/gitfleet/api"
)

// Actor is who must act before an error goes away.
type Actor string

// The actors. Retry stands for nobody: the next attempt may succeed by itself.
const (
	Author   Actor = "author"   // the manifest is wrong
	Operator Actor = "operator" // a permission is missing, or the cluster cannot do it
	Retry    Actor = "retry"
)

// RefusedError is an API server's refusal of one request about one object. It never holds a value of a Secret.
type RefusedError struct {
	Ref     api.Ref
	Verb    string // get, patch, delete: as in an RBAC rule
	Actor   Actor
	Message string // what is wrong, and the remedy
	// Immutable are the fields whose change was refused, sorted, when that alone is wrong: ".spec.selector".
	Immutable []string
	Err       error // what the API server said; nil when that may hold a secret
}

// Error prints "patch Deployment.apps web/shop: message".
func (e *RefusedError) Error() string { return fmt.Sprintf("%s %s: %s", e.Verb, e.Ref, e.Message) }

// Unwrap returns what the API server said, if that may be told.
func (e *RefusedError) Unwrap() error { return e.Err }

// ErrStale tells that a plan was made before our own last write to an inventory in it. Nothing was applied under that
// inventory; plan again.
var ErrStale = errors.New("the plan is older than our own last write to its inventory: plan again")

// ForeignError tells that an inventory belongs to a Set of the same name from another source. Applying ours would remove
// what only theirs holds.
type ForeignError struct {
	Set    string
	Source string // the owner
}

// Error names the owner and what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("inventory ConfigMap %s/%s belongs to %q, another repository, branch or path; if that has moved here, run once with --take-over; "+
		"otherwise another gitfleet manages this cluster, and a placement needs another name", api.SystemNamespace, ParentName(e.Set), e.Source)
}

// FencedError tells that an inventory was written by somebody else since it was observed. Nothing was applied under it;
// the next plan is made from what is there now. When it keeps coming back, two processes manage the same cluster.
type FencedError struct {
	Set string
	Err error
}

// Error names the inventory.
func (e *FencedError) Error() string {
	return fmt.Sprintf("inventory ConfigMap %s/%s was changed by another writer since it was observed: %v",
		api.SystemNamespace, ParentName(e.Set), e.Err)
}

// Unwrap returns the API server's answer.
func (e *FencedError) Unwrap() error { return e.Err }

// HeldError tells that a delete was not sent, because it would take with it what gitfleet did not create, or because
// nobody can say that it would not. The object stays in its inventory and is tried again.
type HeldError struct {
	Ref     api.Ref
	Foreign []api.Ref // what the delete would take with it, sorted; empty when Err tells the reason
	// Digest is of the plan that a person may confirm, for whom it is reported to; empty while nobody has filled it in.
	Digest string
	Err    error // why that is not known, or why the object itself is not only gitfleet's
}

// Error names the first of the foreign objects, and the remedy.
func (e *HeldError) Error() string {
	if len(e.Foreign) == 0 {
		return fmt.Sprintf("delete %s: held, because it may destroy what gitfleet did not create: %v; mend that, or delete the %s with kubectl; gitfleet notices; %s",
			e.Ref, e.Err, e.Ref.Kind, e.confirm())
	}
	const most = 3
	names := make([]string, 0, most)
	for _, f := range e.Foreign[:min(len(e.Foreign), most)] {
		names = append(names, f.String())
	}
	list := strings.Join(names, ", ")
	if more := len(e.Foreign) - len(names); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("delete %s: held, because it would destroy what gitfleet did not create: %s; delete them, or delete the %s with kubectl; gitfleet notices; %s",
		e.Ref, list, e.Ref.Kind, e.confirm())
}

func (e *HeldError) confirm() string {
	digest := e.Digest
	if digest == "" {
		digest = "DIGEST, the plan's"
	}
	return fmt.Sprintf("or confirm it with the commit trailer %s: %s", api.TrailerConfirm, digest)
}

// Unwrap returns the reason, if there is one beside Foreign.
func (e *HeldError) Unwrap() error { return e.Err }
