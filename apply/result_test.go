package apply

import (
	"errors"
	"testing"

	"github.com/gitfleet/gitfleet/api"
)

func TestResultTellsOfWhom(t *testing.T) {
	a, b := api.Ref{Kind: "ConfigMap", Namespace: "x", Name: "a"}, api.Ref{Kind: "ConfigMap", Namespace: "x", Name: "b"}
	stopped, refused := errors.New("stopped"), errors.New("refused")
	r := Result{
		Errs:     map[string]error{"halted": stopped},
		Outcomes: map[string][]Outcome{"web": {{Ref: a}, {Ref: b, Err: refused}}, "halted": {{Ref: a, Err: refused}}, "fine": {{Ref: a}}},
	}
	if got, want := r.Err().Error(), "halted: stopped\nweb: refused"; got != want {
		t.Errorf("all errors are\n%s\nwant, by name of the set and why a set stopped before its objects:\n%s", got, want)
	}
	for set, want := range map[string]error{"halted": stopped, "web": refused, "fine": nil, "unknown": nil} {
		if got := r.SetErr(set); !errors.Is(got, want) || (got == nil) != (want == nil) {
			t.Errorf("error of set %s is %v, want %v", set, got, want)
		}
	}
	if got := r.ObjectErr("web", b); got != refused {
		t.Errorf("error of an object that was refused is %v", got)
	}
	if got := r.ObjectErr("web", a); got != nil {
		t.Errorf("error of an object beside it is %v", got)
	}
	if err := (Result{}).Err(); err != nil {
		t.Errorf("error of nothing is %v", err)
	}
}

func TestOutcomesAreSorted(t *testing.T) {
	outcomes := []Outcome{{Ref: api.Ref{Kind: "Service", Name: "a"}}, {Ref: api.Ref{Kind: "ConfigMap", Name: "b"}}, {Ref: api.Ref{Kind: "ConfigMap", Name: "a"}}}
	SortOutcomes(outcomes)
	if got := outcomes[0].Ref.String() + ", " + outcomes[1].Ref.String() + ", " + outcomes[2].Ref.String(); got != "ConfigMap a, ConfigMap b, Service a" {
		t.Errorf("sorted by ref they are %s", got)
	}
}

func TestPlanIsAskedBySet(t *testing.T) {
	wait := Wait{Ref: api.Ref{Kind: "ConfigMap", Name: "later"}}
	p := Plan{Sets: []SetPlan{
		{Set: Set{Name: "web"}, Stages: [][]Change{make([]Change, 2), make([]Change, 1)}, Prune: make([]Change, 3), Waits: []Wait{wait}},
		{Set: Set{Name: "api"}, Prune: make([]Change, 1)},
	}}
	if got := p.Size(); got != 7 {
		t.Errorf("the plan writes or deletes %d objects, want 3 + 3 + 1", got)
	}
	if !p.Touches("api") || p.Touches("db") {
		t.Errorf("touches api %t and db %t, want only api", p.Touches("api"), p.Touches("db"))
	}
	if got := p.Waits("web"); len(got) != 1 || got[0].Ref != wait.Ref {
		t.Errorf("what waits in web is %v", got)
	}
	if got := p.Waits("db"); got != nil {
		t.Errorf("what waits in a set that is not there is %v", got)
	}
}
