package render

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/source"
)

// TestSchedulable compares what Schedulable makes of the placements and members in the stories with what Compose makes of the
// same documents: the same wishes, and no other mistakes.
func TestSchedulable(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	valid, invalid := 0, 0
	for _, story := range stories {
		archive, err := txtar.ParseFile(story)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range documents(t, archive.Files[:len(archive.Files)-1]) {
			if !strings.HasSuffix(o.GetKind(), "ResourcePlacement") && o.GetKind() != "MemberCluster" {
				continue
			}
			placements, members, mistakes := Schedulable([]Object{o})
			d, err := Compose(source.Revision{}, []Object{o})
			var composed ManifestErrors
			errors.As(err, &composed)
			for _, m := range mistakes {
				if !slices.Contains(composed, m) {
					t.Errorf("%s: only Schedulable says %q", story, m)
				}
			}
			if len(mistakes) > 0 {
				invalid++
				continue
			}
			if len(placements)+len(members) != 1 {
				t.Errorf("%s: %s is neither accepted nor refused", story, o.Origin)
			}
			if err == nil && len(d.Placements) == len(placements) && len(d.Members) == len(members) {
				valid++
			}
		}
	}
	if valid == 0 || invalid == 0 {
		t.Errorf("%d documents are valid and %d are not: the stories show too little", valid, invalid)
	}
}

// TestSchedulableAlone: what a placement selects and waits for is another's business.
func TestSchedulableAlone(t *testing.T) {
	objects := documents(t, []txtar.File{{Name: "a.yaml", Data: []byte(`apiVersion: placement.kubernetes-fleet.io/v1beta1
kind: ClusterResourcePlacement
metadata: {name: web, annotations: {gitfleet.dev/depends-on: placement/database, gitfleet.dev/unplace-after: 10m}}
spec:
  resourceSelectors:
  - {group: "", version: v1, kind: Namespace, name: web, selectionScope: NamespaceWithResourceSelectors}
`)}})
	placements, _, mistakes := Schedulable(objects)
	if len(mistakes) > 0 || len(placements) != 1 || placements[0].Directives.UnplaceAfter == 0 {
		t.Errorf("got %+v and %v, want the placement with its directives", placements, mistakes)
	}
	if _, err := Compose(source.Revision{}, objects); err == nil {
		t.Error("Compose accepts the same, so this shows nothing")
	}
}

// TestMisspelled: of the fleet's own groups a kind is known, or a mistake.
func TestMisspelled(t *testing.T) {
	const placements, members = "placement.kubernetes-fleet.io", "cluster.kubernetes-fleet.io"
	for _, tc := range []struct {
		reason, apiVersion, kind string
		want                     string // the message; empty when there is no mistake
	}{
		{"it is what it says", placements + "/v1beta1", "ClusterResourcePlacement", ""},
		{"whether the version exists is told elsewhere", placements + "/v9", "ResourcePlacement", ""},
		{"an object of a hub's own", placements + "/v1beta1", "ClusterResourceBinding", ""},
		{"an object of a hub's own", placements + "/v1beta1", "AppliedWork", ""},
		{"an object of a hub's own", members + "/v1", "InternalMemberCluster", ""},
		{"a list without items", members + "/v1", "MemberClusterList", ""},
		{"kinds of others are not known", "example.com/v1", "ClusterResourcePlacment", ""},
		{"the lack of a kind is told elsewhere", placements + "/v1beta1", "", ""},
		{"a letter is missing", placements + "/v1beta1", "ClusterResourcePlacment",
			placements + " has no kind ClusterResourcePlacment; did you mean ClusterResourcePlacement?"},
		{"kinds have capital letters", placements + "/v1", "clusterresourceplacement",
			placements + " has no kind clusterresourceplacement; did you mean ClusterResourcePlacement?"},
		{"the nearest kind may be one that is ignored", placements + "/v1beta1", "ClusterResourceBinding2",
			placements + " has no kind ClusterResourceBinding2; did you mean ClusterResourceBinding?"},
		{"the plural names the resource", members + "/v1beta1", "MemberClusters", members + " has no kind MemberClusters; did you mean MemberCluster?"},
		{"the version of 2022", "fleet.azure.com/v1alpha1", "Membercluster2", "fleet.azure.com has no kind Membercluster2; did you mean MemberCluster?"},
		{"a kind of the other group", members + "/v1beta1", "ClusterResourcePlacement",
			members + " has no kind ClusterResourcePlacement; mend the kind, or remove the document"},
		{"nothing is near", placements + "/v1beta1", "Pick", placements + " has no kind Pick; mend the kind, or remove the document"},
	} {
		content := map[string]any{"apiVersion": tc.apiVersion, "kind": tc.kind}
		o := Object{Unstructured: &unstructured.Unstructured{Object: content}, Origin: Origin{File: "a.yaml", Document: 2}}
		var got ManifestError
		if m := Misspelled(o); m != nil {
			got = *m
		}
		want := ManifestError{}
		if tc.want != "" {
			want = ManifestError{File: "a.yaml", Document: 2, Field: "kind", Message: tc.want}
		}
		if got != want {
			t.Errorf("%s %s (%s): got %q, want %q", tc.apiVersion, tc.kind, tc.reason, got, want)
		}
	}
}

// TestFleetKindsExist: what is acted on is no misspelling.
func TestFleetKindsExist(t *testing.T) {
	for _, gvk := range fleetKinds {
		o := Object{Unstructured: &unstructured.Unstructured{}}
		o.SetGroupVersionKind(gvk)
		if m := Misspelled(o); m != nil {
			t.Error(m)
		}
	}
}
