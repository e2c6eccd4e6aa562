package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// testWorktree follows a directory that somebody edits, with an interval that would take hours to notice anything.
func testWorktree(t *testing.T, w *world) {
	const ns = "worktree"
	east := w.fleet.Members[0]
	w.push("what nobody looks at here", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	for file, content := range map[string]string{
		"app/place.yaml": placeOn(ns, east), "app/namespace.yaml": namespace(ns), "app/a.yaml": configMap(ns, "a", "1"),
	} {
		w.save(file, content)
	}
	if code, _, errs := w.once("--repo", w.remote()); code != exitError || !strings.Contains(errs, "bare Git repository") || !strings.Contains(errs, "file://") {
		t.Errorf("a bare repository as a directory: exit %d, %s; want a refusal and the URL to use", code, errs)
	}
	p := w.start("--repo", w.tree(), "--interval", "6h")
	p.await("the files as they are", converged)
	w.wantValue(east, ns, "a", "1")

	w.save("app/a.yaml", configMap(ns, "a", "2"))
	w.awaitValue(east, ns, "a", "2")
	w.save("app/b.yaml", configMap(ns, "b", "1")) // a file that is new, and not even added to Git
	w.awaitValue(east, ns, "b", "1")
	good := p.await("everything saved in force", converged).Applied.Commit

	w.save("app/a.yaml", strings.Replace(configMap(ns, "a", "3"), "\ndata:", "\ndada:", 1))
	r := p.await("refusal of a mistake", func(r report.Report) error {
		if len(r.Errors) == 0 {
			return errors.New("no errors are reported")
		}
		return nil
	})
	if e := r.Errors[0]; e.File != "app/a.yaml" || e.Document != 1 || e.Field != "dada" || e.Message == "" {
		t.Errorf("a mistake is reported as %q (file %q, document %d, field %q), want app/a.yaml, document 1, field dada", e, e.File, e.Document, e.Field)
	}
	if r.Applied.Commit != good {
		t.Errorf("with a mistake in a file %s is in force, want the last good state, %s", r.Applied.Commit, good)
	}
	w.wantValue(east, ns, "a", "2")

	w.save("app/a.yaml", configMap(ns, "a", "4"))
	w.awaitValue(east, ns, "a", "4")
	rename(t, filepath.Join(w.tree(), "app"), filepath.Join(w.tree(), "moved"))
	w.save("moved/b.yaml", configMap(ns, "b", "2")) // in a directory that is watched under another name
	w.awaitValue(east, ns, "b", "2")

	p = w.tooMuch(p, east)
	removeAll(t, filepath.Join(w.tree(), "moved"))
	p.await("everything gone", func(r report.Report) error {
		if len(r.Placements) > 0 {
			return fmt.Errorf("placements: %+v", r.Placements)
		}
		return converged(r)
	})
	if out, err := w.fleet.KubectlErr(t, east, "get", "namespace", ns); err == nil {
		t.Errorf("what the directory no longer holds is there: %s", out)
	}
	p.stop()
}

// tooMuch removes everything at once, which nobody can confirm in a directory without commits: who means it starts gitfleet
// without that limit. It returns that one.
func (w *world) tooMuch(p *process, member string) *process {
	w.t.Helper()
	const ns = "worktree"
	w.save("moved/many.yaml", manyConfigMaps(ns, 30))
	w.awaitValue(member, ns, "many-29", "1")
	p.await("much more in force", converged)
	aside := filepath.Join(w.t.TempDir(), "aside")
	rename(w.t, filepath.Join(w.tree(), "moved"), aside)
	r := p.await("deleting held", func(r report.Report) error {
		if r.Confirm == nil || r.Confirm.Removals != 33 {
			return fmt.Errorf("to be confirmed: %+v", r.Confirm)
		}
		return nil
	})
	if r.Converged {
		w.t.Error("converged, while what the directory no longer holds waits for a person")
	}
	if !strings.Contains(r.Confirm.Message, "--confirm-above") {
		w.t.Errorf("nobody can confirm in a directory, and this does not say what to do: %s", r.Confirm.Message)
	}
	rename(w.t, aside, filepath.Join(w.tree(), "moved"))
	p.await("nothing held any more", func(r report.Report) error {
		if r.Confirm != nil || len(r.Placements) == 0 {
			return fmt.Errorf("to be confirmed: %+v, %d placements", r.Confirm, len(r.Placements))
		}
		return converged(r)
	})
	w.awaitValue(member, ns, "many-29", "1")
	p.stop()
	return w.start("--repo", w.tree(), "--interval", "6h", "--confirm-above", "0")
}

// save writes a file of the tree as an editor does: a new file that takes the place of the old one.
func (w *world) save(name, content string) {
	w.t.Helper()
	path := filepath.Join(w.tree(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path+"~", []byte(content), 0o644); err != nil {
		w.t.Fatal(err)
	}
	rename(w.t, path+"~", path)
}

func (w *world) awaitValue(member, ns, name, want string) {
	w.t.Helper()
	realfleet.Eventually(w.t, patience, func() error {
		u := w.get(member, configMaps, ns, name)
		if u == nil {
			return fmt.Errorf("no ConfigMap %s/%s on %s", ns, name, member)
		}
		if got, _, _ := unstructured.NestedString(u.Object, "data", "value"); got != want {
			return fmt.Errorf("ConfigMap %s/%s on %s holds %q, want %q", ns, name, member, got, want)
		}
		return nil
	})
}

func converged(r report.Report) error {
	if !r.Converged {
		return fmt.Errorf("not converged:\n%s", report.Summary(r))
	}
	return nil
}
