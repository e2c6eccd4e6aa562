package arch

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// checks are all rules, by the name under which they report.
var checks = map[string]func(tree) []violation{
	"technology": checkTechnology,
	"direction":  checkDirection,
	"leaves":     checkLeaves,
	"pure":       checkPure,
	"state":      checkState,
	"logging":    checkLogging,
	"top":        checkTop,
	"drawers":    checkDrawers,
	"words":      checkWords,
}

func checkAll(tr tree) []violation {
	var found []violation
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		found = append(found, checks[name](tr)...)
	}
	slices.SortFunc(found, compareViolations)
	return found
}

// TestRepository checks this repository.
func TestRepository(t *testing.T) {
	tr := load(t, os.DirFS("../.."))
	if len(tr.product()) == 0 {
		t.Fatal("found no product code: the rules were checked against nothing")
	}
	for _, v := range checkAll(tr) {
		t.Error(v)
	}
}

// TestRules proves that each rule reports what breaks it, and only that. Each archive in testdata is a small repository;
// its file "want" lists the violations, one on a line, each as the beginning of what is printed.
func TestRules(t *testing.T) {
	stories, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	proved := map[string]bool{}
	for _, story := range stories {
		t.Run(strings.TrimSuffix(filepath.Base(story), ".txtar"), func(t *testing.T) {
			want, fsys := readStory(t, story)
			var got []string
			for i, v := range checkAll(load(t, fsys)) {
				proved[v.rule] = true
				line := v.String()
				if i < len(want) && strings.HasPrefix(line, want[i]) {
					line = want[i]
				}
				got = append(got, line)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
	for name := range checks {
		if !proved[name] {
			t.Errorf("no story in testdata breaks the rule %q: nothing shows that it can fail", name)
		}
	}
}

func readStory(t *testing.T, name string) (want []string, fsys fs.FS) {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
	if i < 0 {
		t.Fatalf("%s has no file named want", name)
	}
	for line := range strings.Lines(string(archive.Files[i].Data)) {
		want = append(want, strings.TrimSuffix(line, "\n"))
	}
	archive.Files = slices.Delete(archive.Files, i, i+1)
	fsys, err = txtar.FS(archive)
	if err != nil {
		t.Fatal(err)
	}
	return want, fsys
}
