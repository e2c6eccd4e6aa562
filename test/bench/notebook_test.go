package main

import (
	"io"
	"strings"
	"testing"
)

func TestNotebook(t *testing.T) {
	n := newNotebook(io.Discard)
	for _, v := range []float64{9, 1, 4} {
		n.add("push", v, "ms", "bare client", 2)
	}
	var out strings.Builder
	if err := n.print(&out, "push"); err != nil {
		t.Fatal(err)
	}
	if want := "push\t4\tms\tbare client\t2.00\n"; out.String() != want {
		t.Errorf("printed %q, want %q: the medians of values and ratios", out.String(), want)
	}
	n.add("seldom", 1, "ms", "bare client", 2)
	if err := n.print(&out, "seldom"); err == nil {
		t.Error("a figure that was measured once was printed")
	}
	if err := n.print(&out, "never"); err == nil {
		t.Error("a figure that was never measured was printed")
	}
}

func TestQuantile(t *testing.T) {
	var values []float64
	for i := range 100 {
		values = append(values, float64(100-i))
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 51, 0.99: 100} {
		if got := quantile(values, q); got != want {
			t.Errorf("the %v quantile of 1 to 100 is %v, want %v", q, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 3: "3", 0.123: "0.12", 12.34: "12.3", 123.4: "123", 1e7: "10000000"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

// TestPeerBytes holds the bare client to the bytes that gitfleet sends: the manifest with its namespace, a label and an
// annotation.
func TestPeerBytes(t *testing.T) {
	for _, k := range thousand() {
		o, err := k.applied("ours", "edition-1", 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"name":"front-0007"`, `"namespace":"ours"`, "applyset.kubernetes.io/part-of", "gitfleet.dev/applied-hash", "edition-1"} {
			if !strings.Contains(string(o.body), want) {
				t.Errorf("%s sent by the peer lacks %s: %s", k.name, want, o.body)
			}
		}
		if !strings.HasSuffix(o.path, "/namespaces/ours/"+k.plural+"/front-0007") {
			t.Errorf("path of a %s is %s", k.name, o.path)
		}
	}
}
