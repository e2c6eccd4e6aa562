package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

var events = schema.GroupVersionResource{Version: "v1", Resource: "events"}

// testGuard deletes too much at once, and then a Namespace with what gitfleet did not create: both wait for a person.
func testGuard(t *testing.T, w *world) {
	const ns, count = "guard", 60 // on each of two members
	east := w.fleet.Members[:2]
	p := w.start()
	p.awaitConverged(w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": place(ns, "eastus"), "namespace.yaml": namespace(ns),
		"many.yaml": manyConfigMaps(ns, count), "kept.yaml": configMap(ns, "kept", "1"),
	}))
	base := w.git(w.tree(), "rev-parse", "HEAD")
	commit := w.push("delete nearly all", map[string]string{"many.yaml": "", "kept.yaml": configMap(ns, "kept", "2"), "new.yaml": configMap(ns, "new", "1")})
	r := p.await("deleting held", func(r report.Report) error {
		if r.Confirm == nil || r.Confirm.Removals < 2*count || r.Applied.Commit != commit {
			return fmt.Errorf("confirm: %+v, in force: %s", r.Confirm, r.Applied.Commit)
		}
		return nil
	})
	if c := r.Confirm; c.Removals != 2*count || c.Digest != r.Digest || !strings.Contains(c.Message, "Gitfleet-Confirm: "+c.Digest) {
		t.Errorf("what is to be confirmed is reported as %+v; want %d removals and the digest %s in the words", c, 2*count, r.Digest)
	}
	if planned := w.planDigest(base, commit); planned != r.Digest {
		t.Errorf("plan names the digest %s, the running gitfleet %s", planned, r.Digest)
	}
	for _, member := range east {
		realfleet.Eventually(t, patience, func() error {
			if w.get(member, configMaps, ns, "new") == nil {
				return errors.New("what the commit adds is not there while its deletions wait")
			}
			return nil
		})
	}
	p.awaitExplained("placement/guard", "Gitfleet-Confirm: "+r.Digest)
	realfleet.Eventually(t, patience, func() error { return w.holds(east, ns, count+2) })
	w.wantValue(east[0], ns, "kept", "2")
	if log := p.output(); !strings.Contains(log, "deleting waits for a person's word") || !strings.Contains(log, "Gitfleet-Confirm: "+r.Digest) {
		t.Error("the log does not say that deleting waits, and for what")
	}
	w.reset()
	p.kill() // who starts again knows of no word that was not given
	if code, out, errs := w.once(); code != exitError || !strings.Contains(out, "Gitfleet-Confirm: "+r.Digest) {
		t.Errorf("run --once with deletions that wait: exit %d, stdout %q, stderr %s; want 1 and the trailer", code, out, errs)
	}
	p = w.start()
	p.await("deleting held after a restart", func(r report.Report) error {
		if r.Confirm == nil || r.Applied.Commit != commit {
			return fmt.Errorf("confirm: %+v, in force: %s", r.Confirm, r.Applied.Commit)
		}
		return nil
	})
	wrong := w.push("a word for something else\n\nGitfleet-Confirm: sha256:"+strings.Repeat("0", 64), nil)
	p.await("another's word in force", func(r report.Report) error {
		if r.Applied.Commit != wrong || r.Confirm == nil {
			return fmt.Errorf("confirm: %+v, in force: %s", r.Confirm, r.Applied.Commit)
		}
		return nil
	})
	if deletes := w.requests(isDelete); len(deletes) > 0 {
		t.Errorf("deleted without a person's word:\n%s", strings.Join(deletes, "\n"))
	}
	p.awaitConverged(w.push("a word for it\n\nGitfleet-Confirm: "+r.Digest, nil))
	if err := w.holds(east, ns, 2); err != nil {
		t.Errorf("after it was confirmed: %v", err)
	}
	testForeignContent(t, w, p)
	p.stop()
}

// testForeignContent takes the Namespace out of the repository, which holds what somebody else made.
func testForeignContent(t *testing.T, w *world, p *process) {
	const ns = "guard"
	east := w.fleet.Members[0]
	w.fleet.Kubectl(t, east, "create", "configmap", "theirs", "-n", ns)
	w.git(w.tree(), "rm", "-r", "--quiet", ".")
	w.push("leave", map[string]string{"registry.yaml": registry(w.fleet.Members)})
	var digest string
	r := p.await("a Namespace held", func(r report.Report) error {
		for _, m := range r.Members {
			asked := regexp.MustCompile(`Gitfleet-Confirm: (sha256:[0-9a-f]{64})`).FindStringSubmatch(m.Message)
			if m.Name == east && strings.Contains(m.Message, "ConfigMap guard/theirs") && asked != nil {
				digest = asked[1]
				return nil
			}
		}
		return fmt.Errorf("members: %+v", r.Members)
	})
	p.awaitExplained("ns/guard", "ConfigMap guard/theirs")
	later := w.push("a word for many deletions is not one for what others made\n\nGitfleet-Confirm: "+r.Digest, nil)
	p.await("the wrong word in force", func(r report.Report) error {
		if r.Applied.Commit != later || r.Converged {
			return fmt.Errorf("in force: %s, converged %t", r.Applied.Commit, r.Converged)
		}
		return nil
	})
	if w.get(east, configMaps, ns, "theirs") == nil {
		t.Error("what somebody else made is gone with a word that was given for many deletions")
	}
	p.awaitConverged(w.push("a word for it\n\nGitfleet-Confirm: "+digest, nil))
	if out, err := w.fleet.KubectlErr(t, east, "get", "namespace", ns); err == nil {
		t.Errorf("the Namespace is there after its deletion was confirmed: %s", out)
	}
}

func manyConfigMaps(ns string, count int) string {
	var b strings.Builder
	for i := range count {
		b.WriteString("---\n" + configMap(ns, fmt.Sprintf("many-%d", i), "1"))
	}
	return b.String()
}

// holds returns an error unless each of members has as many ConfigMaps of ours in ns.
func (w *world) holds(members []string, ns string, want int) error {
	w.t.Helper()
	for _, member := range members {
		if got := len(w.placed(member, ns)); got != want {
			return fmt.Errorf("%s holds %d ConfigMaps of ours, want %d", member, got, want)
		}
	}
	return nil
}

// planDigest returns the digest that `gitfleet plan --offline` prints before a merge.
func (w *world) planDigest(base, head string) string {
	w.t.Helper()
	var out, errs bytes.Buffer
	args := []string{"plan", "--offline", "--repo", w.tree(), "--base", base, "--head", head, "-o", "json"}
	if code := execute(context.Background(), args, strings.NewReader(""), &out, &errs); code != exitChanges {
		w.t.Fatalf("gitfleet plan: exit %d: %s", code, errs.String())
	}
	var plan struct{ Digest string }
	if err := json.Unmarshal(out.Bytes(), &plan); err != nil {
		w.t.Fatal(err)
	}
	return plan.Digest
}

// testDrift changes an object as kubectl edit does, and deletes one.
func testDrift(t *testing.T, w *world) {
	const ns = "drift"
	east := w.fleet.Members[0]
	p := w.start()
	commit := w.push("begin", map[string]string{
		"registry.yaml": registry(w.fleet.Members), "place.yaml": placeOn(ns, east), "namespace.yaml": namespace(ns),
		"a.yaml": configMap(ns, "a", "1"), "b.yaml": configMap(ns, "b", "1"),
	})
	p.awaitConverged(commit)
	w.fleet.Kubectl(t, east, "patch", "configmap", "a", "-n", ns, "--type=merge", "-p", `{"data":{"value":"theirs"}}`, "--field-manager=kubectl-edit")
	r := p.await("drift reported", func(r report.Report) error {
		if len(r.Drift) != 1 {
			return fmt.Errorf("drift: %v", r.Drift)
		}
		return nil
	})
	w.wantValue(east, ns, "a", "1")
	d := r.Drift[0]
	if d.Cluster != east || d.Placement != ns || d.Count != 1 || d.Ref.Name != "a" || len(d.Fields) != 1 {
		t.Fatalf("drift is reported as %+v", d)
	}
	if f := d.Fields[0]; f.Path != ".data.value" || f.Manager != "kubectl-edit" || f.Operation != "Update" || f.Time.IsZero() {
		t.Errorf("the drifted field is reported as %+v", f)
	}
	p.awaitExplained("cm/drift/a", "PUT-BACK", "kubectl-edit (Update) changed .data.value")
	w.awaitEvent(east, ns, "a", "DriftCorrected", "kubectl-edit (Update) changed .data.value; put back to what Git says")

	uid := w.get(east, configMaps, ns, "b").GetUID()
	w.fleet.Kubectl(t, east, "delete", "configmap", "b", "-n", ns)
	p.awaitExplained("member/"+east, "PUT-BACK", "somebody deleted it")
	if now := w.get(east, configMaps, ns, "b"); now == nil || now.GetUID() == uid {
		t.Errorf("what somebody deleted is not back: %v", now)
	}
	w.awaitEvent(east, ns, "b", "DriftCorrected", "somebody deleted it")
	p.awaitConverged(commit)
	p.stop()
}

// awaitEvent waits for an Event on a ConfigMap that is there.
func (w *world) awaitEvent(member, ns, name, reason, message string) {
	w.t.Helper()
	uid := w.get(member, configMaps, ns, name).GetUID()
	realfleet.Eventually(w.t, patience, func() error {
		list, err := w.client(member).Resource(events).Namespace(ns).List(context.Background(), metav1.ListOptions{FieldSelector: "involvedObject.uid=" + string(uid)})
		if err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Object["reason"] == reason && strings.Contains(fmt.Sprint(e.Object["message"]), message) {
				return nil
			}
		}
		return fmt.Errorf("of %d Events on %s/%s none is a %s with %q", len(list.Items), ns, name, reason, message)
	})
}
