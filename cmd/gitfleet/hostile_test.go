package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// What must never be told to anybody: it is in a file beside the repository, on the member, and in Secrets of the repository.
const (
	fileCanary   = "canary-of-a-file"
	liveCanary   = "canary-of-the-member"
	secretCanary = "canary-of-a-secret"
)

// hostileHead is a branch of somebody who means no good, or knows no better.
type hostileHead struct {
	name  string
	files map[string]string // beside those of main; "-> target" is a symbolic link
	tree  func(*hostile) string
	want  []string // parts of the status of the plan after its state
	ours  bool     // it is planned: nothing is wrong with the manifests
	says  []string // parts of the comment
}

// hostile is a gitfleet with one member in memory, and what the heads try to reach.
type hostile struct {
	*world
	member *memfleet.Server
	hits   *atomic.Int32 // requests to a server on this machine
	url    string        // of that server
	ran    string        // a file that programs of the heads would leave
	canary string        // a file beside the repository
}

// TestHostileHeads has heads of all kinds planned by a gitfleet that runs. Each is told what is wrong with it, nothing comes of
// it on the machine, and gitfleet goes on with what others push.
func TestHostileHeads(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	h := newHostile(t)
	const ns = "web"
	main := map[string]string{
		"registry.yaml": chaosRegistry("m1"), "place.yaml": placeAs(ns, ns, ""), "namespace.yaml": namespace(ns), "a.yaml": configMap(ns, "a", "1"),
		"secret.yaml": secret(ns, "password", secretCanary),
	}
	first := h.push("begin", main)
	p := h.startNoting("--hub-kubeconfig", "", "--pull-request-interval", "200ms", "--load-balancer", "none", "--local-dial-map", "")
	p.awaitConverged(first)
	h.keepTheirs(ns)

	heads := h.heads(ns)
	commits := map[string]string{}
	for i, head := range heads {
		commits[head.name] = h.pushHead(fmt.Sprintf("head-%02d", i), head)
	}
	for _, head := range heads {
		t.Run(head.name, func(t *testing.T) { h.in(t).expectTold(commits[head.name], head) })
	}
	if n := h.hits.Load(); n != 1 {
		t.Errorf("the server on this machine was asked %d times, the first one by this test", n)
	}
	if out, err := os.ReadFile(h.ran); err == nil {
		t.Errorf("a program was run: %s", out)
	}
	h.expectSecrets("the log", p.output())

	good := h.pushHead("welcome", hostileHead{files: map[string]string{"a.yaml": configMap(ns, "a", "2")}})
	h.awaitStatus(good, "gitfleet/plan: success: 1 changed on 1 cluster")
	h.followed(p, ns)
	p.stop()
}

// followed pushes to the branch that is followed: what is good is applied, also after what takes more than it may.
func (h *hostile) followed(p *process, ns string) {
	h.t.Helper()
	commit := h.push("good", map[string]string{"a.yaml": configMap(ns, "a", "3")})
	p.awaitConverged(commit)
	bad := h.git(h.tree(), "commit-tree", "-p", "main", "-m", "too much", manyFiles(h))
	h.git(h.tree(), "push", "--quiet", "origin", bad+":refs/heads/main")
	h.awaitStatus(bad, "gitfleet/apply: failure: .: the repository holds more than 50000 files and directories")
	if r, err := p.status(); err != nil || r.Applied.Commit != commit {
		h.t.Errorf("%q is in force after a commit that takes more than it may, want %q: %v", r.Applied.Commit, commit, err)
	}
	h.git(h.tree(), "push", "--quiet", "--force", "origin", "main")
	commit = h.push("mended", map[string]string{"a.yaml": configMap(ns, "a", "4")})
	p.awaitConverged(commit)
	if got := h.value(ns, "a"); got != "4" {
		h.t.Errorf("the member has the value %q, want that of the last commit", got)
	}
	if got := h.value(ns, "theirs"); got != liveCanary {
		h.t.Errorf("what is not gitfleet's has the value %q now", got)
	}
}

// in returns h for a part of the test.
func (h *hostile) in(t *testing.T) *hostile {
	part, w := *h, *h.world
	w.t, part.world = t, &w
	return &part
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.access, w.state = w.dir, filepath.Join(w.dir, "state")
	h := &hostile{world: w, member: memfleet.NewServer(), hits: &atomic.Int32{}, ran: filepath.Join(w.dir, "ran"), canary: filepath.Join(w.dir, "passwd")}
	t.Cleanup(h.member.Close)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { h.hits.Add(1) }))
	t.Cleanup(server.Close)
	h.url = server.URL
	if resp, err := http.Get(h.url); err != nil || resp.Body.Close() != nil || h.hits.Load() != 1 {
		t.Fatalf("the server does not count what it is asked: %v", err)
	}
	if err := os.WriteFile(h.canary, []byte("x: "+fileCanary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.access, "members"), 0o700); err != nil {
		t.Fatal(err)
	}
	proxy, err := memfleet.NewProxy(h.member.Config())
	if err == nil {
		t.Cleanup(proxy.Close)
		_, err = proxy.WriteKubeconfig(filepath.Join(w.access, "members"), "m1")
	}
	if err != nil {
		t.Fatal(err)
	}
	w.git(w.dir, "init", "--quiet", "--bare", "--initial-branch=main", w.remote())
	w.git(w.dir, "clone", "--quiet", w.remote(), w.tree())
	w.git(w.tree(), "switch", "--quiet", "--orphan", "main")
	return h
}

func (h *hostile) maps(ns string) dynamic.ResourceInterface {
	h.t.Helper()
	c, err := dynamic.NewForConfig(h.member.Config())
	if err != nil {
		h.t.Fatal(err)
	}
	return c.Resource(configMaps).Namespace(ns)
}

// keepTheirs puts objects on the member that gitfleet has no part in: one of somebody, and one of a controller, which copies
// the labels of what it is made for.
func (h *hostile) keepTheirs(ns string) {
	h.t.Helper()
	theirs, err := parse(configMap(ns, "theirs", liveCanary))
	if err != nil {
		h.t.Fatal(err)
	}
	made := theirs.DeepCopy()
	made.SetName("made")
	made.SetLabels(map[string]string{api.ApplySetPartOfLabel: apply.SetID(ns)})
	yes := true
	made.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Maker", Name: "x", UID: "1", Controller: &yes}})
	for _, u := range []*unstructured.Unstructured{theirs, made} {
		if _, err := h.maps(ns).Create(context.Background(), u, metav1.CreateOptions{}); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *hostile) value(ns, name string) string {
	h.t.Helper()
	u, err := h.maps(ns).Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	value, _, _ := unstructured.NestedString(u.Object, "data", "value")
	return value
}

// heads are the branches.
func (h *hostile) heads(ns string) []hostileHead {
	kust := func(text string) map[string]string { return map[string]string{"k/kustomization.yaml": text} }
	with := func(files map[string]string, name, content string) map[string]string {
		files[name] = content
		return files
	}
	script := "#!/bin/sh\necho $0 >>" + h.ran + "\nwhile :; do :; done\n"
	plugin := func(function string) string {
		return "apiVersion: example.com/v1\nkind: Plugin\nmetadata:\n  name: x\n  annotations:\n    config.kubernetes.io/function: |\n      " + function + "\n"
	}
	outside := strings.Repeat("../", 20) + strings.TrimPrefix(h.canary, "/")
	return []hostileHead{
		{name: "YAML bomb", files: map[string]string{"bomb.yaml": bomb()}, want: []string{"bomb.yaml: document 1: its aliases (*name) expand to too much"}},
		{name: "YAML bomb in a kustomization", files: kust(bomb()), want: []string{"k/kustomization.yaml: document 1: its aliases (*name) expand to too much"}},
		{name: "a long value a thousand times", files: map[string]string{"long.yaml": longBomb()}, want: []string{"long.yaml: rendering it takes more than 1024 MiB of memory; split it"}},
		{name: "endless generator", files: with(with(kust("generators: [gen.yaml]\n"), "k/gen.yaml", plugin("exec: {path: ./gen.sh}")), "k/gen.sh", script),
			want: []string{"k/kustomization.yaml", "external plugins disabled"}},
		{name: "exec plugin", files: with(with(kust("transformers: [t.yaml]\nresources: [../a.yaml]\n"), "k/t.yaml", plugin("exec: {path: /bin/touch, args: ["+h.ran+"]}")), "k/gen.sh", script),
			want: []string{"k/kustomization.yaml", "external plugins disabled"}},
		{name: "container plugin", files: with(kust("validators: [v.yaml]\nresources: [../a.yaml]\n"), "k/v.yaml", plugin("container: {image: 127.0.0.1/x, network: true}")),
			want: []string{"k/kustomization.yaml", "external plugins disabled"}},
		{name: "chart", files: kust("helmCharts: [{name: x, repo: " + h.url + "}]\n"), want: []string{"k/kustomization.yaml: document 1: helmCharts: charts are not rendered"}},
		{name: "symlink loop", files: map[string]string{"loop.yaml": "-> loop.yaml", "one": "-> two/x", "two": "-> one/x"}, want: []string{"loop.yaml: too many symbolic links"}},
		{name: "symlink loop of directories", files: with(kust("resources: [sub/kustomization.yaml/../sub]\n"), "k/sub", "-> ../k/sub"), want: []string{"resources[0]: sub/kustomization.yaml/../sub:", "too many symbolic links"}},
		{name: "path escape", files: kust("resources: [" + outside + "]\n"), want: []string{"resources[0]"}, says: []string{"leads out of the repository"}},
		{name: "absolute path", files: kust("configMapGenerator: [{name: x, files: [" + h.canary + "]}]\n"), want: []string{"configMapGenerator[0].files[0]", "must be relative"}},
		{name: "link out", files: map[string]string{"passwd.yaml": "-> " + h.canary}, want: []string{"passwd.yaml: leads out of the repository"}},
		{name: "link to the cache", files: with(kust("secretGenerator: [{name: x, envs: [e]}]\n"), "k/e", "-> ../../../../"+filepath.Base(h.state)), want: []string{"secretGenerator[0].envs[0]", "leads out of the repository"}},
		{name: "remote base", files: kust("resources: [" + h.url + "/base, 'git::" + h.url + "/org/repo?ref=main']\ncomponents: [" + h.url + "/c.git]\n"),
			want: []string{"3 errors: k/kustomization.yaml: document 1: components[0]: ", "is not in the repository"}, says: []string{"nothing is fetched while rendering"}},
		{name: "100,000 files", tree: manyFiles, want: []string{".: the repository holds more than 50000 files and directories"}},
		{name: "10,000,000,000 files", tree: func(h *hostile) string { return nested(h, h.blob(configMap(ns, "many", "1"))) }, want: []string{".: the repository holds more than 50000 files and directories"}},
		{name: "10,000,000,000 directories", tree: func(h *hostile) string { return nested(h, "") }, want: []string{".: the repository holds more than 50000 files and directories"}},
		{name: "deep", files: map[string]string{strings.Repeat("d/", 300) + "a.yaml": configMap(ns, "deep", "1")}, want: []string{"d: has directories that are more than 100 deep"}},
		{name: "invalid UTF-8", files: map[string]string{"utf8.yaml": strings.Replace(configMap(ns, "utf8", "x"), `"x"`, "\"\xff\xfe\"", 1)}, want: []string{"utf8.yaml: document 1: is not valid YAML: "}},
		{name: "invalid UTF-8 in a name", files: map[string]string{"\xff\xfe.yaml": "kind: [\n"}, want: []string{`.: the name "`, "xff", "is not UTF-8"}},
		{name: "NUL in a link", tree: func(h *hostile) string { return h.with("120000 blob " + h.blob("a\x00b") + "\tlink.yaml") }, want: []string{"link.yaml: the symbolic link names what no file can be called"}},
		{name: "a Secret with a mistake", files: map[string]string{"typo.yaml": strings.Replace(secret(ns, "typo", secretCanary), "stringData", "stringdata", 1)}, want: []string{"typo.yaml: document 1: stringdata"}},
		{name: "a Secret that is no YAML", files: map[string]string{"broken.yaml": secret(ns, "broken", secretCanary) + " x: [" + secretCanary + "\n"}, want: []string{"broken.yaml: document 1: is not valid YAML"}},
		{name: "what is not ours", ours: true, files: map[string]string{"theirs.yaml": configMap(ns, "theirs", "mine")},
			want: []string{"1 changed on 1 cluster; 1 risk"}, says: []string{"web/theirs", "exists there, and gitfleet did not create it"}},
		{name: "what a controller made", ours: true, files: map[string]string{"made.yaml": configMap(ns, "made", "mine")}, says: []string{"web/made"}},
		{name: "a selection of what is not ours", files: map[string]string{"spy.yaml": placeAs("spy", "kube-system", "")},
			want: []string{"spy.yaml: document 1: spec.resourceSelectors[0].name: namespace kube-system is reserved"}},
	}
}

// bomb expands to 10^9 values.
func bomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb, namespace: web}\na0: &a0 x\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i), 10), ", "))
	}
	return b.String()
}

// longBomb has few enough aliases, of a value that is long.
func longBomb() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb, namespace: web}\ndata:\n  a: &a " + strings.Repeat("x", 4<<20) + "\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  a%d: *a\n", i)
	}
	return b.String()
}

func secret(namespace, name, value string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s}\nstringData: {value: %q}\n", name, namespace, value)
}

// pushHead pushes a branch that starts at main and returns its head.
func (h *hostile) pushHead(branch string, head hostileHead) string {
	h.t.Helper()
	var commit string
	if head.tree != nil {
		commit = h.git(h.tree(), "commit-tree", "-p", "main", "-m", branch, head.tree(h))
	} else {
		h.git(h.tree(), "checkout", "--quiet", "-b", branch)
		for name, content := range head.files {
			h.writeFile(filepath.Join(h.tree(), name), content)
		}
		h.git(h.tree(), "add", "--all")
		h.git(h.tree(), "commit", "--quiet", "--message", branch)
		h.git(h.tree(), "checkout", "--quiet", "main")
		commit = h.git(h.tree(), "rev-parse", branch)
	}
	h.git(h.tree(), "push", "--quiet", "origin", commit+":refs/heads/"+branch)
	return commit
}

func (h *hostile) writeFile(path, content string) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if target, link := strings.CutPrefix(content, "-> "); link {
		err = os.Symlink(target, path)
	} else {
		err = os.WriteFile(path, []byte(content), 0o755)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// plumb runs git with an input and returns the object that it makes.
func (h *hostile) plumb(input string, args ...string) string {
	h.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Stdin = h.tree(), strings.NewReader(input)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		h.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, &errs)
	}
	return strings.TrimSpace(string(out))
}

func (h *hostile) blob(content string) string {
	h.t.Helper()
	return h.plumb(content, "hash-object", "-w", "--stdin")
}

// with returns the tree of main with more entries.
func (h *hostile) with(entries ...string) string {
	h.t.Helper()
	return h.plumb(h.git(h.tree(), "ls-tree", "main")+"\n"+strings.Join(entries, "\n")+"\n", "mktree")
}

func manyFiles(h *hostile) string {
	blob := h.blob(configMap("web", "many", "1"))
	entries := make([]string, 100_000)
	for i := range entries {
		entries[i] = fmt.Sprintf("100644 blob %s\tf%d.yaml", blob, i)
	}
	return h.with(entries...)
}

// nested returns a tree of ten directories ten times over, in which each directory is the same one. At the bottom is a file, or
// nothing.
func nested(h *hostile, blob string) string {
	tree := h.plumb("", "mktree")
	if blob != "" {
		tree = h.plumb("100644 blob "+blob+"\tx.yaml\n", "mktree")
	}
	for range 10 {
		var entries strings.Builder
		for i := range 10 {
			fmt.Fprintf(&entries, "040000 tree %s\td%d\n", tree, i)
		}
		tree = h.plumb(entries.String(), "mktree")
	}
	return h.with("040000 tree " + tree + "\tnested")
}

// expectTold waits until a head is planned, and checks what its status and its comment say.
func (h *hostile) expectTold(commit string, head hostileHead) {
	h.t.Helper()
	status := h.verdict(commit)
	comment := h.comment(commit)
	h.t.Log(status)
	if head.ours {
		h.t.Log(comment)
	}
	state := report.StateFailure
	if head.ours {
		state = report.StateSuccess
	}
	if !strings.HasPrefix(status, string(state)+": ") {
		h.t.Errorf("the status is %q, want the state %s", status, state)
	}
	for _, part := range head.want {
		if !strings.Contains(status, part) {
			h.t.Errorf("the status is %q, want one with %q", status, part)
		}
	}
	for _, part := range head.says {
		if !strings.Contains(comment, part) {
			h.t.Errorf("the comment has no %q:\n%s", part, comment)
		}
	}
	h.expectSecrets("the status", status)
	h.expectSecrets("the comment", comment)
	shown := strings.ReplaceAll(status+"\n"+comment, h.canary, "") // which the author wrote
	for _, path := range []string{h.dir, filepath.Dir(os.Args[0])} {
		if strings.Contains(shown, path) {
			h.t.Errorf("the status or the comment tell a path of the machine, %s:\n%s", path, shown)
		}
	}
}

// verdict waits until a head is planned, and returns its status from the state on.
func (h *hostile) verdict(commit string) (status string) {
	h.t.Helper()
	realfleet.Eventually(h.t, patience, func() error {
		note := h.note("gitfleet", commit)
		for line := range strings.Lines(note) {
			if text, ok := strings.CutPrefix(line, "gitfleet/plan: "); ok && !strings.HasPrefix(text, string(report.StatePending)) {
				status = strings.TrimSpace(text)
				return nil
			}
		}
		return fmt.Errorf("the head is not planned: %q", note)
	})
	return status
}

func (h *hostile) comment(commit string) (text string) {
	h.t.Helper()
	realfleet.Eventually(h.t, patience, func() error {
		if text = h.note("gitfleet-plan", commit); text == "" {
			return errors.New("there is no comment")
		}
		return nil
	})
	return text
}

func (h *hostile) expectSecrets(where, text string) {
	h.t.Helper()
	for _, canary := range []string{fileCanary, liveCanary, secretCanary} {
		if strings.Contains(text, canary) {
			h.t.Errorf("%s tells %s:\n%s", where, canary, text)
		}
	}
}
