package apply

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/api/health"
)

// HealthRules are the rules of HealthOf and, before them, the health checks of a repository. It is immutable and may be
// used concurrently. Nil is valid and holds no checks.
type HealthRules struct {
	checks  health.Checks
	digests map[schema.GroupKind]string
}

// NewHealthRules compiles checks, at most one a kind. The error names every expression that does not compile, with its
// position.
func NewHealthRules(checks []api.HealthCheck) (*HealthRules, error) {
	compiled, errs := health.Compile(checks)
	if len(errs) > 0 {
		return nil, fmt.Errorf("health checks: %w", errs)
	}
	r := &HealthRules{checks: compiled, digests: map[schema.GroupKind]string{}}
	for _, c := range checks {
		r.digests[c.Kind] = digest([]byte(c.Current), []byte(c.InProgress), []byte(c.Failed))
	}
	return r, nil
}

// DigestOf tells one check of a kind from another; it is "" when the kind has none.
func (r *HealthRules) DigestOf(gk schema.GroupKind) string {
	if r == nil {
		return ""
	}
	return r.digests[gk]
}

// NeedsStatus tells whether objects of gk must be watched whole: their kind has a check, or NeedsStatus says so.
func (r *HealthRules) NeedsStatus(gk schema.GroupKind) bool {
	return r.has(gk) || NeedsStatus(gk)
}

// HealthOf is HealthOf, with the check for the object's kind in the place of other rules. An object that is being deleted, or
// whose controller has not seen its latest generation, is judged before any check. A check that cannot be evaluated
// leaves the health Unknown.
func (r *HealthRules) HealthOf(u *unstructured.Unstructured, now time.Time) Health {
	if h, decided := underWay(u); decided {
		return h
	}
	conditions := conditionsOf(u)
	gk := u.GroupVersionKind().GroupKind()
	if !r.has(gk) {
		return ruledHealth(u, conditions, now)
	}
	verdict, err := r.checks.Judge(gk, u.Object)
	if err != nil {
		return Health{Unknown, err.Error()}
	}
	ready := conditions["Ready"]
	why := joinReason(ready.Reason, ready.Message)
	switch {
	case verdict == health.Current:
		return current()
	case why == "" || ready.Status == "True":
		why = "says the health check of its kind"
	}
	return Health{HealthStatus(verdict), why}
}

func (r *HealthRules) has(gk schema.GroupKind) bool {
	if r == nil {
		return false
	}
	_, ok := r.checks[gk]
	return ok
}
