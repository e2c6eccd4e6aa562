package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// chaosTiming is how long a process waits for one whose state was lost: shorter than in earnest, and longer than anything that is
// alive takes to answer here.
var chaosTiming = apply.ClaimTiming{Answer: 2 * time.Second, Recheck: 4 * time.Second}

// chaosFleet is what outlives every process of gitfleet: members in memory, a repository, a state directory.
type chaosFleet struct {
	t       *testing.T
	names   []string
	servers map[string]*memfleet.Server
	branch  *branch
	state   string
	started []*program
}

func newChaosFleet(t *testing.T, members int) *chaosFleet {
	t.Helper()
	f := &chaosFleet{t: t, servers: map[string]*memfleet.Server{}, branch: &branch{commits: map[string]map[string]string{}}}
	for i := range members {
		name := fmt.Sprintf("m%d", i+1)
		f.names = append(f.names, name)
		f.servers[name] = memfleet.NewServer()
	}
	f.state = f.directory("state")
	return f
}

// directory makes a directory that close removes; t.TempDir would keep those of hundreds of fleets until the test ends.
func (f *chaosFleet) directory(name string) string {
	f.t.Helper()
	dir, err := os.MkdirTemp("", "gitfleet-chaos-"+name+"-")
	if err != nil {
		f.t.Fatal(err)
	}
	return dir
}

// close ends what was started and takes everything away.
func (f *chaosFleet) close() {
	for _, p := range f.started {
		p.stop(f.t)
	}
	for _, s := range f.servers {
		s.Close()
	}
	removeAll(f.t, f.state)
}

// loseState is a new machine: no state file, no cache of the repository.
func (f *chaosFleet) loseState() {
	f.t.Helper()
	removeAll(f.t, f.state)
	f.state = f.directory("state")
	f.branch.forget()
}

// program is one process of gitfleet, wired as `gitfleet run` wires it, in the process of the test.
type program struct {
	loop    *reconcile.Loop
	store   *reconcile.Store
	proxies map[string]*memfleet.Proxy
	dir     string // of its kubeconfigs
	cancel  context.CancelFunc
	done    chan struct{} // closed when it has ended
	ending  sync.Once
	log     journal
	members *members
}

// start starts gitfleet behind proxies that rule decides for; nil passes everything on.
func (f *chaosFleet) start(rule memfleet.Rule) *program {
	f.t.Helper()
	return f.startIn(f.state, rule)
}

func (f *chaosFleet) startIn(state string, rule memfleet.Rule) *program {
	f.t.Helper()
	p := &program{proxies: map[string]*memfleet.Proxy{}, dir: f.directory("kubeconfigs"), done: make(chan struct{})}
	for _, name := range f.names {
		proxy, err := memfleet.NewProxy(f.servers[name].Config())
		if err == nil {
			_, err = proxy.WriteKubeconfig(p.dir, name)
		}
		if err != nil {
			f.t.Fatal(err)
		}
		proxy.SetRule(rule)
		p.proxies[name] = proxy
	}
	var err error
	if p.store, err = reconcile.OpenStore(state, "chaos"); err != nil {
		f.t.Fatal(err)
	}
	self := instance(p.store)
	if p.members, err = openMembers([]string{p.dir}, &self, chaosTiming); err != nil {
		f.t.Fatal(err)
	}
	p.loop = reconcile.New(reconcile.Options{
		Repository: f.branch, Builder: f.branch, Store: p.store,
		Fleet:    p.members,
		Interval: 20 * time.Millisecond, Threshold: (&runOptions{}).threshold(), Log: slog.New(slog.NewTextHandler(&p.log, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	f.started = append(f.started, p)
	go func() {
		defer close(p.done)
		p.loop.Run(ctx)
	}()
	return p
}

// kill ends the process as far as the members can tell: from now on nothing of it reaches them.
func (p *program) kill(t *testing.T) {
	t.Helper()
	for _, proxy := range p.proxies {
		proxy.SetDown(true)
	}
	p.stop(t)
}

// stop ends the process as SIGTERM does. It may be called again.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	p.ending.Do(func() {
		select {
		case <-p.done:
		case <-time.After(patience):
			t.Errorf("gitfleet does not end\n%s", p.log.tail())
		}
		p.members.close()
		for _, proxy := range p.proxies {
			proxy.Close()
		}
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
		removeAll(t, p.dir)
	})
}

// converged tells what keeps commit from being in force everywhere.
func (p *program) converged(commit string) error {
	r := p.loop.Report()
	if r.Converged && r.Applied.Commit == commit {
		return nil
	}
	problems := []string{fmt.Sprintf("converged %t on %q, head %q, want %q, source %q, errors %v", r.Converged, r.Applied.Commit, r.Head.Commit, commit, r.SourceErr, r.Errors)}
	for _, m := range r.Members {
		problems = append(problems, fmt.Sprintf("%s: joined %s: %s", m.Name, m.Joined, m.Message))
	}
	for _, placed := range r.Placements {
		for _, c := range placed.Clusters {
			problems = append(problems, fmt.Sprintf("%s on %s: applied %s, healthy %s: %s", placed.Name, c.Cluster, c.Applied, c.Healthy, c.Message))
		}
	}
	return errors.New(strings.Join(problems, "\n"))
}

// await waits until cond returns nil, or until over is closed; which tells which.
func (p *program) await(t *testing.T, over <-chan struct{}, cond func() error) (done bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := cond()
		if err == nil {
			return true
		}
		select {
		case <-over:
			return false
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within %s: %v\n%s", patience, err, p.log.tail())
		}
	}
}

// journal is a log of which the end is kept.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (j *journal) Write(b []byte) (int, error) {
	const most = 1 << 16
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.text.Len() > most {
		j.text.Next(most / 2)
	}
	return j.text.Write(b)
}

func (j *journal) tail() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// branch is a repository with one branch in memory, and its renderer: every document of every file is an object.
type branch struct {
	mu      sync.Mutex
	commits map[string]map[string]string // files by commit
	head    string
	fetched string // what the cache on disk would hold
	err     error  // what Fetch answers; nil when it works
}

var (
	_ reconcile.Repository = (*branch)(nil)
	_ reconcile.Builder    = (*branch)(nil)
)

// push replaces the whole tree and returns the commit.
func (b *branch) push(files map[string]string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.head = fmt.Sprintf("%040x", len(b.commits)+1)
	b.commits[b.head] = maps.Clone(files)
	return b.head
}

// fail makes the repository unreachable; nil ends that.
func (b *branch) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *branch) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetched = ""
}

func (b *branch) revision(commit string) source.Revision {
	return source.Revision{Repo: "https://git.example.com/chaos.git", Ref: "main", Commit: commit}
}

// Fetch implements reconcile.Repository.
func (b *branch) Fetch(context.Context) (source.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return source.Revision{}, b.err
	}
	b.fetched = b.head
	return b.revision(b.head), nil
}

// Last implements reconcile.Repository.
func (b *branch) Last() (source.Revision, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.revision(b.fetched), b.fetched != ""
}

// Snapshot implements reconcile.Repository.
func (b *branch) Snapshot(rev source.Revision) (source.Snapshot, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	files, ok := b.commits[rev.Commit]
	if !ok {
		return source.Snapshot{}, fmt.Errorf("commit %q: %w", rev.Commit, fs.ErrNotExist)
	}
	tree := fstest.MapFS{}
	for name, content := range files {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return source.Snapshot{Revision: rev, FS: tree}, nil
}

// Confirmations implements reconcile.Repository.
func (b *branch) Confirmations(context.Context, string, string) ([]string, error) { return nil, nil }

// MistypedConfirmations implements reconcile.Repository.
func (b *branch) MistypedConfirmations(context.Context, string, string) ([]string, error) {
	return nil, nil
}

// Build implements reconcile.Builder.
func (b *branch) Build(_ context.Context, snap source.Snapshot, _ []string) ([]render.Object, error) {
	tree := snap.FS.(fstest.MapFS)
	var objects []render.Object
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		for i, document := range strings.Split(string(tree[name].Data), "---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			u, err := parse(document)
			if err != nil {
				return nil, fmt.Errorf("%s, document %d: %w", name, i+1, err)
			}
			objects = append(objects, render.Object{Unstructured: u, Origin: render.Origin{File: filepath.ToSlash(name), Document: i + 1}})
		}
	}
	return objects, nil
}

func parse(document string) (*unstructured.Unstructured, error) {
	text, err := yaml.YAMLToJSON([]byte(document))
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{}
	return u, u.UnmarshalJSON(text)
}
