package render

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

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
