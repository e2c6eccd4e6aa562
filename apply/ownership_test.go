package apply

import (
	"errors"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// entry reads "manager operation[/subresource] apiVersion fields".
func entry(line string) metav1.ManagedFieldsEntry {
	parts := strings.SplitN(line, " ", 4)
	operation, subresource, _ := strings.Cut(parts[1], "/")
	return metav1.ManagedFieldsEntry{Manager: parts[0], Operation: metav1.ManagedFieldsOperationType(operation), Subresource: subresource,
		APIVersion: parts[2], FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(parts[3])}
}

func entriesOf(lines []string) []metav1.ManagedFieldsEntry {
	var out []metav1.ManagedFieldsEntry
	for _, l := range lines {
		out = append(out, entry(l))
	}
	return out
}

func linesOf(entries []metav1.ManagedFieldsEntry) []string {
	var out []string
	for _, e := range entries {
		operation := string(e.Operation)
		if e.Subresource != "" {
			operation += "/" + e.Subresource
		}
		out = append(out, strings.Join([]string{e.Manager, operation, e.APIVersion, e.FieldsV1.GetRawString()}, " "))
	}
	return out
}

var ownershipRows = []struct {
	reason  string
	paths   []string
	adopted bool
	before  []string
	after   []string // nil when nothing changes
}{
	{"nothing to do", nil, false, []string{`gitfleet Apply v1 {"f:spec":{"f:replicas":{}}}`}, nil},
	{"nothing is ours yet", []string{"spec.replicas"}, true, []string{`kubectl-create Update v1 {"f:spec":{"f:replicas":{}}}`}, nil},
	{"a field", []string{"spec.replicas"}, false,
		[]string{`gitfleet Apply v1 {"f:spec":{"f:replicas":{},"f:paused":{}}}`, `hpa Update/scale v1 {"f:spec":{"f:replicas":{}}}`},
		[]string{`gitfleet Apply v1 {"f:spec":{"f:paused":{}}}`, `hpa Update/scale v1 {"f:spec":{"f:replicas":{}}}`}},
	{"it was given up before", []string{"spec.replicas"}, false, []string{`gitfleet Apply v1 {"f:spec":{"f:paused":{}}}`}, nil},
	{"all below a field of a list's item", []string{"spec.containers[name=app].resources"}, false,
		[]string{`gitfleet Apply v1 {"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:name":{},"f:resources":{"f:limits":{"f:cpu":{},"f:memory":{}}}}}}}`},
		[]string{`gitfleet Apply v1 {"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:name":{}}}}}`}},
	{"a key that is not whole", []string{"spec.ports[port=80].nodePort"}, false,
		[]string{`gitfleet Apply v1 {"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{},"f:port":{}},"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{}}}}}`},
		[]string{`gitfleet Apply v1 {"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"k:{\"port\":81,\"protocol\":\"TCP\"}":{".":{},"f:nodePort":{}}}}}`}},
	{"an item named by its value", []string{`metadata.finalizers[="a/b"]`}, false,
		[]string{`gitfleet Apply v1 {"f:metadata":{"f:finalizers":{"v:\"a/b\"":{},"v:\"c/d\"":{}}}}`},
		[]string{`gitfleet Apply v1 {"f:metadata":{"f:finalizers":{"v:\"c/d\"":{}}}}`}},
	{"our updates are not our apply", []string{"spec.replicas"}, true, []string{`gitfleet Update v1 {"f:spec":{"f:replicas":{}}}`}, nil},
	{"shares of what was there before us", nil, true,
		[]string{`before-first-apply Update v1 {"f:data":{"f:a":{},"f:c":{}}}`, `gitfleet Apply v1 {"f:data":{"f:a":{},"f:b":{}}}`, `kubectl-create Update v1 {"f:data":{"f:b":{}}}`},
		[]string{`before-first-apply Update v1 {"f:data":{"f:c":{}}}`, `gitfleet Apply v1 {"f:data":{"f:a":{},"f:b":{}}}`}},
	{"not adopted: kubectl owns with us what it applied since", nil, false,
		[]string{`kubectl Apply v1 {"f:data":{"f:a":{}}}`, `gitfleet Apply v1 {"f:data":{"f:a":{}}}`}, nil},
	{"a controller's share is its own", nil, true,
		[]string{`controller Update v1 {"f:data":{"f:a":{}}}`, `gitfleet Apply v1 {"f:data":{"f:a":{}}}`, `kubectlish Update v1 {"f:data":{"f:a":{}}}`}, nil},
	{"a subresource is nobody's past", nil, true,
		[]string{`kubectl Update/scale v1 {"f:spec":{"f:replicas":{}}}`, `gitfleet Apply v1 {"f:spec":{"f:replicas":{}}}`}, nil},
	{"another version may name other fields", nil, true,
		[]string{`kubectl-create Update v1beta1 {"f:data":{"f:a":{}}}`, `gitfleet Apply v1 {"f:data":{"f:a":{}}}`}, nil},
	{"what we give away stays with who has it", []string{"data.a"}, true,
		[]string{`kubectl-create Update v1 {"f:data":{"f:a":{},"f:b":{}}}`, `gitfleet Apply v1 {"f:data":{"f:a":{},"f:b":{}}}`},
		[]string{`kubectl-create Update v1 {"f:data":{"f:a":{}}}`, `gitfleet Apply v1 {"f:data":{"f:b":{}}}`}},
}

func TestOwnership(t *testing.T) {
	for _, row := range ownershipRows {
		before := entriesOf(row.before)
		got, changed, err := Ownership(before, fieldPaths(t, row.paths...), row.adopted)
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		want := row.after
		if want == nil {
			want = row.before
		}
		if changed != (row.after != nil) || !slices.Equal(linesOf(got), want) {
			t.Errorf("%s: changed %v\n got %s\nwant %s", row.reason, changed, strings.Join(linesOf(got), "\n     "), strings.Join(want, "\n     "))
		}
		if !slices.Equal(linesOf(before), row.before) {
			t.Errorf("%s: the entries were modified", row.reason)
		}
		if _, again, _ := Ownership(got, fieldPaths(t, row.paths...), row.adopted); again {
			t.Errorf("%s: a second time changes something again", row.reason)
		}
	}
	for broken, lines := range map[string][]string{
		"gitfleet": {`gitfleet Apply v1 {"what":1}`},
		"kubectl":  {`kubectl Update v1 {"what":1}`, `gitfleet Apply v1 {"f:spec":{"f:replicas":{},"f:paused":{}}}`},
	} {
		after, changed, err := Ownership(entriesOf(lines), fieldPaths(t, "spec.replicas"), true)
		if err == nil || !strings.Contains(err.Error(), "entry of manager "+broken) || after != nil || changed {
			t.Errorf("what is no field set was taken for one: %v, %t, %v; want an error that names %s", after, changed, err, broken)
		}
	}
}

// TestOwnershipOfNothing: who gives all away has no entry left, and one without fields has nothing to give.
func TestOwnershipOfNothing(t *testing.T) {
	all := entriesOf([]string{`gitfleet Apply v1 {"f:spec":{"f:replicas":{}}}`, `hpa Update/scale v1 {"f:spec":{"f:replicas":{}}}`})
	after, changed, err := Ownership(all, fieldPaths(t, "spec.replicas"), false)
	if err != nil || !changed || len(after) != 1 || after[0].Manager != "hpa" {
		t.Errorf("our only field is given away: %v, %t, %v", after, changed, err)
	}
	empty := []metav1.ManagedFieldsEntry{{Manager: "gitfleet", Operation: "Apply", APIVersion: "v1"}}
	if _, changed, err := Ownership(empty, fieldPaths(t, "spec.replicas"), false); err != nil || changed {
		t.Errorf("an entry without fields: changed %t, %v", changed, err)
	}
}

func TestCheckHandOut(t *testing.T) {
	service := `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"selector":{"app":"a"},"limits":{}}}`
	entries := []metav1.ManagedFieldsEntry{entry(`gitfleet Apply v1 {"f:spec":{"f:selector":{},"f:limits":{},"f:type":{}}}`)}
	for path, inside := range map[string]bool{
		"spec.selector.app": true,
		"spec.selector":     false, // the whole of it
		"spec.selector.no":  false, // the object says nothing about it
		"spec.limits.cpu":   false, // an empty map is ours as a whole, and hides nothing
		"spec.type":         false,
	} {
		err := CheckHandOut(object(t, service), entries, fieldPaths(t, path))
		if _, ok := errors.AsType[*IndivisibleError](err); ok != inside {
			t.Errorf("%s: %v, want it refused: %v", path, err, inside)
		}
		if inside && !strings.HasPrefix(err.Error(), "."+path+" cannot be given away") {
			t.Errorf("the error does not name the field: %v", err)
		}
	}
}

func TestCheckHandOutWithoutOurFields(t *testing.T) {
	service := object(t, `{"apiVersion":"v1","kind":"Service","metadata":{"name":"s"},"spec":{"selector":{"app":"a"}}}`)
	paths := fieldPaths(t, "spec.selector.app")
	if err := CheckHandOut(service, entriesOf([]string{`kubectl Apply v1 {"f:spec":{"f:selector":{}}}`}), paths); err != nil {
		t.Errorf("what another owns as a whole: %v", err)
	}
	err := CheckHandOut(service, entriesOf([]string{`gitfleet Apply v1 {"what":1}`}), paths)
	if _, indivisible := errors.AsType[*IndivisibleError](err); err == nil || indivisible {
		t.Errorf("what is no field set: %v, want an error that says so", err)
	}
}

func FuzzOwnership(f *testing.F) {
	for _, row := range ownershipRows {
		for _, line := range row.before {
			f.Add(entry(line).FieldsV1.GetRawString(), `{"f:data":{"f:a":{}}}`, "spec.replicas")
		}
	}
	f.Fuzz(func(t *testing.T, ours, theirs, path string) {
		entries := []metav1.ManagedFieldsEntry{
			{Manager: "gitfleet", Operation: "Apply", FieldsV1: metav1.NewFieldsV1(ours)},
			{Manager: "kubectl", Operation: "Update", FieldsV1: metav1.NewFieldsV1(theirs)},
			{Manager: "hpa", Operation: "Update", Subresource: "scale", FieldsV1: metav1.NewFieldsV1(theirs)},
		}
		after, changed, err := Ownership(entries, nil, true)
		if err != nil {
			return
		}
		if EntryHash(after) != EntryHash(entries) && ours != "" {
			t.Errorf("our own entry changed although nothing is given away:\n%v\n%v", ours, linesOf(after))
		}
		if changed {
			if _, again, err := Ownership(after, nil, true); again || err != nil {
				t.Errorf("a second time changes something again, or fails: %v", err)
			}
		}
	})
}
