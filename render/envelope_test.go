package render

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/gitfleet/gitfleet/api"
	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/source"
)

// envelopeOf returns a placement, and an envelope with n manifests that it selects.
func envelopeOf(t testing.TB, n int) []Object {
	t.Helper()
	var b strings.Builder
	b.WriteString(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: p}
spec: {resourceSelectors: [{group: placement.kubernetes-fleet.io, version: v1beta1, kind: ClusterResourceEnvelope}]}
---
apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourceEnvelope
metadata: {name: e}
data:
`)
	for i := range n {
		fmt.Fprintf(&b, "  k%02d: {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: r%02d, uid: x}}\n", i, i)
	}
	return documents(t, []txtar.File{{Name: "e.yaml", Data: []byte(b.String())}})
}

func TestEnvelopeSize(t *testing.T) {
	for _, tt := range []struct {
		n    int
		want string
	}{
		{1, ""},
		{50, ""},
		{51, "e.yaml: document 2: data: must carry 1 to 50 manifests, not 51"},
	} {
		d, err := Compose(source.Revision{}, envelopeOf(t, tt.n))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%d manifests: got %q, want %q", tt.n, got, tt.want)
		}
		if err == nil && len(d.Placements[0].Selected) != tt.n {
			t.Errorf("%d manifests: %d are selected", tt.n, len(d.Placements[0].Selected))
		}
	}
}

// TestEnvelopeContents: what an envelope carries is told apart from it, stripped like a document, and knows where it stands.
func TestEnvelopeContents(t *testing.T) {
	d, err := Compose(source.Revision{}, envelopeOf(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Objects) != 1 || len(d.Unplaced) != 0 || d.Objects[0].GetKind() != "ClusterResourceEnvelope" {
		t.Fatalf("objects %v, unplaced %v; want the envelope, which is placed", d.Objects, d.Unplaced)
	}
	got := d.Placements[0].Selected[0]
	want := Object{Unstructured: got.Unstructured, Origin: Origin{File: "e.yaml", Document: 2, Field: "data.k00"},
		Envelope: &v1beta1.EnvelopeIdentifier{Name: "e", Type: "ClusterResourceEnvelope"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want - got +:\n%s", diff)
	}
	if ref := api.RefOf(got.Unstructured).Path(); ref != "ClusterRole.rbac.authorization.k8s.io/r00" || got.GetUID() != "" {
		t.Errorf("selected is %s with uid %q, want the ClusterRole without", ref, got.GetUID())
	}
}

// TestCheckEnvelopes: an incomplete set of objects shows the mistakes inside of envelopes too.
func TestCheckEnvelopes(t *testing.T) {
	objects := envelopeOf(t, 1)
	data := objects[1].Object["data"].(map[string]any)
	data["k00"].(map[string]any)["rule"] = []any{}
	const want = "e.yaml: document 2: data.k00.rule: unknown field; did you mean rules?"
	for name, got := range map[string]ManifestErrors{"Check": Check(objects), "CheckFields": CheckFields(objects)} {
		if got.Error() != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	_, err := Compose(source.Revision{}, objects)
	var mistakes ManifestErrors
	if !errors.As(err, &mistakes) || mistakes.Error() != want {
		t.Errorf("Compose: got %v, want %q", err, want)
	}
}
