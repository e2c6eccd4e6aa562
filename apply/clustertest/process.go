package clustertest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// process is one process of ours behind a proxy that records and breaks requests.
type process struct {
	Member
	proxy  *memfleet.Proxy
	ctx    context.Context // ends when the process is killed
	kill   context.CancelCauseFunc
	killed atomic.Bool // by killAt
}

var errKilled = errors.New("the process was killed")

// start starts a process before whose API server rule decides; nil passes everything on.
func (s server) start(t *testing.T, rule memfleet.Rule) *process {
	t.Helper()
	p := &process{}
	p.ctx, p.kill = context.WithCancelCause(t.Context())
	var err error
	if p.proxy, err = memfleet.NewProxy(s.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.proxy.Close)
	p.proxy.SetRule(rule)
	if p.Member, err = s.open(p.proxy.Config()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

// close ends the process as it is. It may be called again.
func (p *process) close() {
	p.kill(errKilled)
	p.Close()
	p.proxy.Close()
}

// killAt makes the k-th write the process' last: the API server gets it, nobody gets the answer, nothing follows.
func (p *process) killAt(k int) {
	var writes atomic.Int64
	p.proxy.SetRule(func(r memfleet.Request) memfleet.Fault {
		if !r.Writes() {
			return memfleet.Pass()
		}
		switch n := writes.Add(1); {
		case n < int64(k):
			return memfleet.Pass()
		case n == int64(k):
			p.killed.Store(true)
			return memfleet.LoseAnswer()
		}
		return memfleet.Refuse()
	})
}

// sent returns the writes and dry runs since the last call, in order: "PATCH /api/v1/namespaces/web".
func (p *process) sent() []string {
	var out []string
	for _, r := range p.proxy.Requests() {
		switch {
		case r.Writes():
			out = append(out, r.Method+" "+r.Path)
		case r.Class == memfleet.DryRun:
			out = append(out, r.Method+" "+r.Path+" (dry run)")
		}
	}
	p.proxy.Reset()
	return out
}

// sees returns an object as the process knows it, or a zero one.
func (p *process) sees(ref api.Ref) apply.LiveObject {
	lo, _ := p.Live().Objects.Get(ref)
	return lo
}

func (p *process) plan(targets ...apply.Set) apply.Plan {
	return apply.Diff("aks-1", targets, p.Live(), time.Now())
}

// observed waits until the view is complete, of the kinds of targets too.
func (p *process) observed(t *testing.T, targets []apply.Set) { AwaitView(t, p.Member, targets) }

// AwaitView waits until m's view is complete, of the kinds of targets too.
func AwaitView(t *testing.T, m Member, targets []apply.Set) {
	t.Helper()
	var kinds []schema.GroupVersionKind
	for _, s := range targets {
		for _, o := range s.Objects {
			kinds = append(kinds, o.GroupVersionKind())
		}
	}
	m.Track(kinds)
	Eventually(t, "the view is complete", func(context.Context) error {
		live := m.Live()
		if !live.Complete || len(live.Unknown) > 0 {
			return fmt.Errorf("parents synced: %v, unknown kinds: %v, %w", live.ParentsSynced, live.Unknown, m.State().Err)
		}
		return nil
	})
}

// seen waits until the inventories are known; kinds need not be.
func (p *process) seen(t *testing.T) {
	t.Helper()
	Eventually(t, "the inventories are known", func(context.Context) error {
		if !p.Live().ParentsSynced {
			return errors.New("they are not")
		}
		return nil
	})
}

// converge plans and executes until nothing is left to do or the process is killed, and returns what was sent.
func (p *process) converge(t *testing.T, targets ...apply.Set) []string {
	t.Helper()
	p.sent()
	var errs map[string]error
	for range 8 {
		p.observed(t, targets)
		plan := p.plan(targets...)
		if plan.Empty() {
			return p.sent()
		}
		errs = p.Apply(p.ctx, plan).Errs
		if p.killed.Load() {
			return p.sent()
		}
	}
	t.Fatalf("does not converge (%v): still\n%s", errs, p.plan(targets...))
	return nil
}

// outcomes executes one plan for one Set and returns what became of each object.
func (p *process) outcomes(t *testing.T, target apply.Set) map[string]apply.Outcome {
	t.Helper()
	p.observed(t, []apply.Set{target})
	result := p.Apply(p.ctx, p.plan(target))
	if err := result.Errs[target.Name]; err != nil {
		t.Fatal(err)
	}
	out := map[string]apply.Outcome{}
	for _, o := range result.Outcomes[target.Name] {
		out[o.Ref.Kind+" "+o.Ref.Name] = o
	}
	return out
}

func (p *process) executeAll(t *testing.T, plan apply.Plan) map[string]apply.Outcome {
	t.Helper()
	result := p.Apply(p.ctx, plan)
	out := map[string]apply.Outcome{}
	for set, outcomes := range result.Outcomes {
		if err := result.Errs[set]; err != nil {
			t.Errorf("set %s: %v", set, err)
		}
		for _, o := range outcomes {
			out[o.Ref.String()] = o
		}
	}
	return out
}

func withMethod(sent []string, method string) []string {
	return slices.DeleteFunc(slices.Clone(sent), func(s string) bool { return !strings.HasPrefix(s, method+" ") })
}

func deletes(p *process) []string { return withMethod(p.sent(), http.MethodDelete) }
