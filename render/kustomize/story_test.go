package kustomize

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/gitfleet/gitfleet/render"
)

var update = flag.Bool("update", false, "write what comes out into the stories of testdata")

// TestStories renders each repository in testdata with its own process tree, twice, and compares what comes out with the
// file "want". A line "paths: a b" in the comment limits what is rendered.
func TestStories(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(stories) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(story)
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for line := range strings.Lines(string(archive.Comment)) {
				if list, ok := strings.CutPrefix(line, "paths:"); ok {
					paths = strings.Fields(list)
				}
			}
			last := len(archive.Files) - 1
			if archive.Files[last].Name != "want" {
				t.Fatal("the last file must be want")
			}
			first := tell(t, archive.Files[:last], paths)
			if second := tell(t, archive.Files[:last], paths); first != second {
				t.Errorf("two renders differ:\n%s", cmp.Diff(first, second))
			}
			if *update {
				archive.Files[last].Data = []byte(first)
				if err := os.WriteFile(story, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(archive.Files[last].Data), first); diff != "" {
				t.Errorf("want - got +:\n%s", diff)
			}
		})
	}
}

// tell renders a repository into text: its objects with their origins, or its author errors.
func tell(t *testing.T, files []txtar.File, paths []string) string {
	t.Helper()
	snap := repository(files)
	objects, err := testBuilder(t).Build(t.Context(), snap, paths)
	var mistakes render.ManifestErrors
	if err == nil {
		_, err = render.Compose(snap.Revision, objects)
	}
	switch {
	case errors.As(err, &mistakes):
		return mistakes.Error() + "\n"
	case err != nil:
		t.Fatalf("Build: %v", err)
	}
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&b, "# %s\n", o.Origin)
	}
	if err := render.Print(&b, objects); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
