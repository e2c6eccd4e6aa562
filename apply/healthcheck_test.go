package apply

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
)

func TestHealthRules(t *testing.T) {
	rules, err := NewHealthRules([]api.HealthCheck{
		{Kind: schema.GroupKind{Group: "example.com", Kind: "Widget"}, Current: "self.status.size >= self.spec.size",
			Failed: "self.status.phase == 'Broken'"},
		{Kind: schema.GroupKind{Kind: "ConfigMap"}, Current: "self.data.ready == 'yes'"},
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := []struct{ name, object, want string }{
		{"holds", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}, status: {size: 3}}", "Current"},
		{"another version of the kind", "{apiVersion: example.com/v2, kind: Widget, spec: {size: 3}, status: {size: 3}}", "Current"},
		{"does not hold", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}, status: {size: 2}}", "InProgress: says the health check of its kind"},
		{"no status yet", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}}", "InProgress: says the health check of its kind"},
		{"told by a condition", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}, status: {size: 2, conditions: [{type: Ready, status: 'False', reason: Growing, message: 2 of 3}]}}", "InProgress: Growing: 2 of 3"},
		{"failed", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}, status: {size: 3, phase: Broken}}", "Failed: says the health check of its kind"},
		{"the check instead of the conditions", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}, status: {size: 3, conditions: [{type: Stalled, status: 'True'}]}}", "Current"},
		{"cannot be told", "{apiVersion: example.com/v1, kind: Widget, spec: {size: 3}, status: {size: big}}", "Unknown: the expression current of its health check: no such overload"},
		{"an old status", "{apiVersion: example.com/v1, kind: Widget, metadata: {generation: 2}, spec: {size: 3}, status: {size: 3, observedGeneration: 1}}", "InProgress: generation 2 is not observed yet"},
		{"on its way out", "{apiVersion: example.com/v1, kind: Widget, metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}, spec: {size: 3}, status: {size: 3}}", "Terminating: is being deleted"},
		{"a built-in kind", "{apiVersion: v1, kind: ConfigMap, data: {ready: 'no'}}", "InProgress: says the health check of its kind"},
		{"a kind without a check", "{apiVersion: v1, kind: PersistentVolumeClaim, status: {phase: Pending}}", "InProgress: not bound: Pending"},
		{"the same kind of another group", "{apiVersion: example.org/v1, kind: Widget}", "Current"},
	}
	for _, row := range rows {
		if got := rules.HealthOf(object(t, row.object), storyTime).String(); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
	for kind, want := range map[string]bool{"ConfigMap": true, "Secret": false, "Pod": true, "Widget.example.com": true} {
		if got := rules.NeedsStatus(schema.ParseGroupKind(kind)); got != want {
			t.Errorf("%s is watched whole: %v, want %v", kind, got, want)
		}
	}
}

func TestHealthRulesOfNothing(t *testing.T) {
	none, err := NewHealthRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	widget := object(t, "{apiVersion: example.com/v1, kind: Widget, status: {conditions: [{type: Ready, status: 'False', reason: Waiting}]}}")
	for name, rules := range map[string]*HealthRules{"nil": nil, "empty": none} {
		if got := rules.HealthOf(widget, storyTime).String(); got != "InProgress: Waiting" {
			t.Errorf("%s rules: %q", name, got)
		}
		if gk := (schema.GroupKind{Kind: "ConfigMap"}); rules.DigestOf(gk) != "" || rules.NeedsStatus(gk) {
			t.Errorf("%s rules have digest %q or a check", name, rules.DigestOf(gk))
		}
	}
}

func TestHealthRulesDigest(t *testing.T) {
	kind := schema.GroupKind{Group: "example.com", Kind: "B"}
	seen := map[string]api.HealthCheck{}
	for _, check := range []api.HealthCheck{
		{Kind: kind, Current: "true"},
		{Kind: kind, Current: "true", Failed: "false"},
		{Kind: kind, Current: "true", InProgress: "false"},
	} {
		r, err := NewHealthRules([]api.HealthCheck{check})
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := seen[r.DigestOf(kind)]; taken || r.DigestOf(kind) == "" {
			t.Errorf("%+v has the digest of %+v: %q", check, other, r.DigestOf(kind))
		}
		seen[r.DigestOf(kind)] = check
	}
}

func TestHealthRulesNameEveryMistake(t *testing.T) {
	a := schema.GroupKind{Group: "example.com", Kind: "A"}
	_, err := NewHealthRules([]api.HealthCheck{{Kind: a, Current: "true &&", Failed: "nothing"}, {Kind: a, Current: "false"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"A.example.com: current: ", "A.example.com: failed: \"nothing\" does not compile: line 1, column 1: ", "has two health checks"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}
