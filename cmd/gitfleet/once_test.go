package main

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// once runs `gitfleet run --once` in this process, so that the race detector and the coverage see it.
func (w *world) once(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	all := append([]string{"run", "--once", "--repo", "file://" + w.remote(), "--kubeconfig", filepath.Join(w.dir, "members"),
		"--state-dir", w.state}, args...)
	code = execute(context.Background(), all, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func testOnce(t *testing.T, w *world) {
	const ns = "once"
	w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, ""), "namespace.yaml": namespace(ns), "a.yaml": configMap(ns, "a", "1"),
	})
	if code, out, errs := w.once(); code != exitOK || !strings.HasPrefix(out, "converged") {
		t.Errorf("run --once: exit %d, stdout %q, stderr %s; want 0 and a summary that begins with converged", code, out, errs)
	}
	w.expect(w.fleet.Members[0], ns, map[string]bool{"a": true})

	w.push("an image that does not exist", map[string]string{
		"web.yaml": strings.ReplaceAll(deployment(ns, "web", 1), "registry.example/web:1", "registry.example/does-not-exist:1"),
	})
	if code, out, _ := w.once("--timeout", "10s"); code != exitError || !strings.Contains(out, "not converged") {
		t.Errorf("run --once with a pod that cannot start: exit %d, stdout %q; want 1 and not converged", code, out)
	}

	w.push("a mistake", map[string]string{"web.yaml": "kind: Nothing\n"})
	if code, out, _ := w.once(); code != exitError || !strings.Contains(out, "web.yaml") {
		t.Errorf("run --once of a broken commit: exit %d, stdout %q; want 1 and the file named", code, out)
	}
	w.push("mend", map[string]string{"web.yaml": ""})
	if code, _, errs := w.once("--load-balancer", "local"); code != exitError || !strings.Contains(errs, "--once") {
		t.Errorf("run --once with the local load balancer: exit %d, stderr %q; want 1 and a refusal", code, errs)
	}
}
