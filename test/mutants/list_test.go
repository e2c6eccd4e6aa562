package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseList(t *testing.T) {
	const text = "# comment\na.go: the order\n-\tx < y\n+\tx > y\n\nb.go: two lines: gone\n-one\n-two\n"
	want := []mutation{
		{at: "list:2", file: "a.go", breaks: "the order", original: "\tx < y", replacement: "\tx > y"},
		{at: "list:6", file: "b.go", breaks: "two lines: gone", original: "one\ntwo"},
	}
	got, err := parseList("list", text)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mutation{})); diff != "" || err != nil {
		t.Errorf("list (-want +got), error %v:\n%s", err, diff)
	}
	for text, message := range map[string]string{
		"nonsense\n":                  "list:1: \"nonsense\" is no line of a list",
		"a.go: nothing\n":             "list:1: the mutation changes nothing",
		"a.go: same\n-x\n+x\nb.go: y": "list:1: the mutation changes nothing",
	} {
		if _, err := parseList("list", text); err == nil || !strings.HasPrefix(err.Error(), message) {
			t.Errorf("%q: error is %v, want it to begin with %q", text, err, message)
		}
	}
}

func TestApply(t *testing.T) {
	m := mutation{at: "list:1", file: "a.go", original: "x < y", replacement: "x > y"}
	if got, err := m.apply("if x < y {"); err != nil || got != "if x > y {" {
		t.Errorf("applied: %q, %v", got, err)
	}
	for _, text := range []string{"", "x < y; x < y"} {
		if _, err := m.apply(text); err == nil {
			t.Errorf("applied to %q, which does not hold the original once", text)
		}
	}
}

func TestFirstFailure(t *testing.T) {
	for output, want := range map[string]string{
		"--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\n": "TestA",
		"panic: test timed out after 60s\n":                        "panic: test timed out after 60s",
		"exit status 2\n":                                          "without the name of a test",
	} {
		if got := firstFailure(output); got != want {
			t.Errorf("%q: named %q, want %q", output, got, want)
		}
	}
}
