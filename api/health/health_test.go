package health

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/api"
)

var widget = schema.GroupKind{Group: "example.com", Kind: "Widget"}

const ready = `self.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`

func TestJudge(t *testing.T) {
	rows := []struct {
		name, current, inProgress, failed, object string
		want                                      string // a verdict, or the beginning of the error
	}{
		{"true", ready, "", "", "{status: {conditions: [{type: Ready, status: 'True'}]}}", "Current"},
		{"false", ready, "", "", "{status: {conditions: [{type: Ready, status: 'False'}]}}", "InProgress"},
		{"no status yet", ready, "", "", "{}", "InProgress"},
		{"an item that is not there", `self.status.nodes[0].ok`, "", "", "{status: {nodes: []}}", "InProgress"},
		{"an item by a computed index", `self.status.nodes[size(self.status.nodes) - 1 + 1].ok`, "", "", "{status: {nodes: [{ok: true}]}}", "InProgress"},
		{"a key by a computed name", `self.status[self.kind] == 1`, "", "", "{kind: a, status: {b: 1}}", "InProgress"},
		{"failed comes first", "true", "true", "self.status.phase == 'Broken'", "{status: {phase: Broken}}", "Failed"},
		{"in progress before current", "true", "self.status.phase == 'Busy'", "false", "{status: {phase: Busy}}", "InProgress"},
		{"failed reads what is missing", "true", "", "self.status.phase == 'Broken'", "{}", "Current"},
		{"optional fields", `self.?status.?phase.orValue("Fine") == "Fine"`, "", "", "{}", "Current"},
		{"has", `has(self.status) && has(self.status.phase)`, "", "", "{status: {phase: ''}}", "Current"},
		{"whole numbers and fractions", `self.status.share >= 0.5 && self.status.count > 1.5`, "", "", "{status: {share: 1, count: 2}}", "Current"},
		{"no text for a number", `self.status.count > 1`, "", "", "{status: {count: many}}", "the expression current of its health check: no such overload"},
		{"division by nothing", `1 / self.status.count == 1`, "", "", "{status: {count: 0}}", "the expression current of its health check: division by zero"},
		{"neither true nor false", `self.status.phase`, "", "", "{status: {phase: Fine}}", "the expression current of its health check: is neither true nor false"},
		{"without end", `self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a + b + c + d >= 0))))`, "", "",
			"{l: [" + strings.Repeat("1, ", 50) + "1]}", "the expression current of its health check: operation cancelled: actual cost limit exceeded"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			checks, errs := Compile([]api.HealthCheck{{Kind: widget, Current: row.current, InProgress: row.inProgress, Failed: row.failed}})
			if len(errs) > 0 {
				t.Fatal(errs)
			}
			got := ""
			if v, err := checks.Judge(widget, parse(t, row.object)); err != nil {
				got = err.Error()
			} else {
				got = string(v)
			}
			if !strings.HasPrefix(got, row.want) || row.want == "" {
				t.Errorf("%q, want %q", got, row.want)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	rows := []struct{ name, text, want string }{
		{"a name that means nothing", `status.phase == "x"`, `Widget.example.com: current: "status.phase == \"x\"" does not compile: line 1, column 1: undeclared reference to 'status'`},
		{"half an expression", "self.a &&\n  (", `line 2, column 4: Syntax error`},
		{"no truth", `"fine"`, `Widget.example.com: current: "\"fine\"" is string; it must be true or false`},
		{"the clock", `now() > timestamp("2026-01-01T00:00:00Z")`, "undeclared reference to 'now'"},
		{"too long", strings.Repeat("true && ", 1000) + "true", "size"},
		{"too deep", strings.Repeat("[", 100) + strings.Repeat("]", 100) + " == []", "recursion limit"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, errs := Compile([]api.HealthCheck{{Kind: widget, Current: row.text}})
			if !strings.Contains(errs.Error(), row.want) {
				t.Errorf("%q, want %q in it", errs.Error(), row.want)
			}
		})
	}
	_, errs := Compile([]api.HealthCheck{{Kind: widget, Current: "tru", Failed: "fals"}, {Kind: widget, Current: "true"}})
	if len(errs) != 3 {
		t.Errorf("of three mistakes %d are reported: %v", len(errs), errs)
	}
}

// TestConcurrent: one program serves many objects at once (the race detector watches).
func TestConcurrent(t *testing.T) {
	checks, errs := Compile([]api.HealthCheck{{Kind: widget, Current: ready}})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		object := parse(t, fmt.Sprintf("{status: {conditions: [{type: Ready, status: '%v'}]}}", map[bool]string{true: "True", false: "False"}[i%2 == 0]))
		want := map[bool]Verdict{true: Current, false: InProgress}[i%2 == 0]
		wg.Go(func() {
			for range 200 {
				if got, err := checks.Judge(widget, object); got != want || err != nil {
					t.Errorf("worker %d: %s, %v, want %s", i, got, err, want)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkJudge(b *testing.B) {
	checks, errs := Compile([]api.HealthCheck{{Kind: widget, Current: ready}})
	if len(errs) > 0 {
		b.Fatal(errs)
	}
	object := parse(b, "{status: {conditions: [{type: A, status: 'True'}, {type: B, status: 'True'}, {type: Ready, status: 'True'}]}}")
	for b.Loop() {
		if _, err := checks.Judge(widget, object); err != nil {
			b.Fatal(err)
		}
	}
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
