package apply

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/render"
)

var update = flag.Bool("update", false, "rewrite the plans in testdata")

// A story in testdata is what was applied (before/SET.yaml), what happened to it since (events, one a line), what is wanted
// now (after/SET.yaml; an empty file is a placement that left the cluster), and the plan.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := readStory(t, a)
			if *update {
				s.plan = Diff("aks-1", s.targets, s.live, storyTime).String()
				a.Files[len(a.Files)-1].Data = []byte(s.plan) // the plan is the last file
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for seed := range uint64(5) {
				got := Diff("aks-1", s.shuffled(seed), s.live, storyTime)
				if diff := cmp.Diff(s.plan, got.String()); diff != "" {
					t.Fatalf("seed %d, plan (-want +got):\n%s", seed, diff)
				}
				if want := got.Steps() == ""; got.Empty() != want {
					t.Errorf("Empty() = %v of a plan with the steps\n%s", got.Empty(), got)
				}
			}
			s.converges(t)
		})
	}
}

var storyTime = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

type story struct {
	live    Live
	targets []Set
	plan    string
	stuck   bool // never comes to an end as it is
}

func newStory() story {
	return story{live: Live{Complete: true, ParentsSynced: true, Unknown: map[schema.GroupKind]string{}, Parents: map[string]Parent{},
		Damaged: map[string]string{}, Repairs: map[api.Ref]Repair{}, Doubts: map[api.Ref]string{}}}
}

func readStory(t *testing.T, a *txtar.Archive) story {
	t.Helper()
	s := newStory()
	var events string
	for _, f := range a.Files {
		dir, name := filepath.Split(f.Name)
		set := strings.TrimSuffix(name, ".yaml")
		switch {
		case dir == "before/":
			s.applied(Set{Name: set, Revision: "aaaaaaa1", PolicyDigest: "policy", Objects: parseObjects(t, f)})
		case dir == "after/":
			s.targets = append(s.targets, Set{Name: set, Revision: "bbbbbbb2", PolicyDigest: "policy", Objects: parseObjects(t, f)})
		case f.Name == "events":
			events = string(f.Data)
		case f.Name == "plan":
			s.plan = string(f.Data)
		default:
			t.Fatalf("unknown file %s", f.Name)
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(events), "\n") {
		if line != "" {
			s.event(t, strings.Fields(line))
		}
	}
	return s
}

func parseObjects(t *testing.T, f txtar.File) []*Target {
	t.Helper()
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(f.Data), 4096)
	var out []*Target
	for n := 1; ; n++ {
		u := &unstructured.Unstructured{}
		if err := dec.Decode(u); err != nil {
			if err.Error() == "EOF" {
				return out
			}
			t.Fatalf("%s: %v", f.Name, err)
		}
		if len(u.Object) > 0 {
			out = append(out, NewTarget(render.Object{Unstructured: u, Origin: render.Origin{File: f.Name, Document: n}, Directives: parseDirectives(t, u)}, nil))
		}
	}
}

// parseDirectives reads what stories use: depends-on is a list of "KIND.GROUP NAMESPACE/NAME" and "placement NAME".
func parseDirectives(t *testing.T, u *unstructured.Unstructured) (d api.Directives) {
	t.Helper()
	var err error
	annotations := u.GetAnnotations()
	if text, ok := annotations[api.AnnotationWave]; ok {
		if d.Wave, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for text := range strings.SplitSeq(annotations[api.AnnotationDependsOn], ", ") {
		switch kind, name, _ := strings.Cut(text, " "); kind {
		case "":
		case "placement":
			d.DependsOn = append(d.DependsOn, api.Dependency{Placement: name})
		default:
			d.DependsOn = append(d.DependsOn, api.Dependency{Object: parseRef(kind, name)})
		}
	}
	d.Recreate = annotations[api.AnnotationRecreate] == "true"
	return d
}

// applied makes live what it is after a Set was applied.
func (s *story) applied(set Set) {
	p := Parent{Name: set.Name, ResourceVersion: "1", Revision: set.Revision, PolicyDigest: set.PolicyDigest}
	for _, o := range set.Objects {
		it, lo := appliedObject(set.Name, o)
		p.Items = append(p.Items, it)
		s.live.Objects = s.live.Objects.With(&lo)
	}
	slices.SortFunc(p.Items, func(a, b Item) int { return a.Compare(b.Ref) })
	s.live.Parents[set.Name] = p
}

func appliedObject(set string, o *Target) (Item, LiveObject) {
	uid, entry := types.UID("uid of "+o.Ref.String()), "fields of "+o.Hash
	return Item{Ref: o.Ref, Version: o.Version, UID: uid, EntryHash: entry},
		LiveObject{Ref: o.Ref, UID: uid, ResourceVersion: "1", SetID: SetID(set), AppliedHash: o.Hash, EntryHash: entry,
			Wave: o.Directives.Wave, Health: Health{Status: Current}}
}

// event changes live by one line: a verb, the object as "KIND.GROUP NAMESPACE/NAME", and what the verb needs.
func (s *story) event(t *testing.T, words []string) {
	t.Helper()
	switch words[0] {
	case "incomplete":
		s.live.Complete = false
		return
	case "unsynced":
		s.live.Complete, s.live.ParentsSynced = false, false
		return
	case "unknown":
		s.live.Complete = false
		s.live.Unknown[schema.ParseGroupKind(words[1])] = "not listed yet"
		return
	case "damage":
		delete(s.live.Parents, words[1])
		s.live.Damaged[ParentName(words[1])] = "data.items: unexpected EOF"
		return
	case "stuck":
		s.stuck = true
		return
	case "suspend", "hold-removals", "depends", "unready":
		s.direct(t, words)
		return
	}
	ref := parseRef(words[1], words[2])
	lo, _ := s.live.Objects.Get(ref)
	switch words[0] {
	case "drift":
		lo.EntryHash = "fewer fields"
	case "clear":
		lo.EntryHash = ""
	case "annotate":
		lo.AppliedHash = "an older one"
	case "remake":
		lo.UID, lo.EntryHash = "another uid", ""
	case "deleting":
		lo.Deleting, lo.DeletingSince, lo.Finalizers = true, storyTime, strings.Join(words[3:], ",")
	case "health":
		lo.Health = Health{HealthStatus(words[3]), strings.Join(words[4:], " ")}
	case "doubt":
		s.live.Doubts[ref] = strings.Join(words[3:], " ")
		return
	case "control":
		lo.Controlled = true
	case "relabel":
		lo.SetID = SetID(words[3])
	case "vanish":
		s.live.Objects = s.live.Objects.Without(ref)
		return
	case "unconfirm":
		s.item(t, ref, words[3], func(it *Item) { it.UID, it.EntryHash = "", "" })
		return
	case "unlist":
		p := s.live.Parents[words[3]]
		p.Items = slices.DeleteFunc(slices.Clone(p.Items), func(it Item) bool { return it.Ref == ref })
		s.live.Parents[words[3]] = p
		return
	case "repaired":
		var n int
		if _, err := fmt.Sscan(words[3], &n); err != nil {
			t.Fatal(err)
		}
		s.live.Repairs[ref] = Repair{Count: n, Last: storyTime.Add(-5 * time.Second)}
		return
	default:
		t.Fatalf("unknown event %q", words)
	}
	s.live.Objects = s.live.Objects.With(&lo)
}

// direct changes a Set of the wish: its name, and what the verb needs.
func (s *story) direct(t *testing.T, words []string) {
	t.Helper()
	i := slices.IndexFunc(s.targets, func(set Set) bool { return set.Name == words[1] })
	if i < 0 {
		t.Fatalf("%s is not wanted", words[1])
	}
	set, rest := &s.targets[i], strings.Join(words[2:], " ")
	switch words[0] {
	case "suspend":
		set.Suspended = true
	case "hold-removals":
		set.HoldRemovals = rest
	case "depends":
		set.DependsOn = words[2:]
	case "unready":
		set.Unready = map[string]string{words[2]: strings.Join(words[3:], " ")}
	}
}

func (s *story) item(t *testing.T, ref api.Ref, set string, change func(*Item)) {
	t.Helper()
	items := slices.Clone(s.live.Parents[set].Items)
	for i := range items {
		if items[i].Ref == ref {
			change(&items[i])
			p := s.live.Parents[set]
			p.Items = items
			s.live.Parents[set] = p
			return
		}
	}
	t.Fatalf("%s is not in the inventory of %s", ref, set)
}

func parseRef(kind, name string) api.Ref {
	gk := schema.ParseGroupKind(kind)
	ns, n, namespaced := strings.Cut(name, "/")
	if !namespaced {
		ns, n = "", name
	}
	return api.Ref{Group: gk.Group, Kind: gk.Kind, Namespace: ns, Name: n}
}

// shuffled returns the targets in another order.
func (s story) shuffled(seed uint64) []Set {
	r := rand.New(rand.NewPCG(seed, 1))
	out := slices.Clone(s.targets)
	r.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	for i := range out {
		out[i].Objects = slices.Clone(out[i].Objects)
		r.Shuffle(len(out[i].Objects), func(a, b int) {
			out[i].Objects[a], out[i].Objects[b] = out[i].Objects[b], out[i].Objects[a]
		})
	}
	return out
}

// converges carries plans out in memory until nothing is left to do; then all gets healthy, what was held back is let go,
// and the rest is carried out. Everything wanted is then there, listed, and labelled for its Set, and nothing waits.
func (s story) converges(t *testing.T) {
	t.Helper()
	if !s.live.Complete || len(s.live.Damaged) > 0 {
		return
	}
	w := world{t, s.live}
	w.live.Repairs = nil
	w.settle(s.targets)
	if s.stuck {
		return
	}
	released := slices.Clone(s.targets)
	for i := range released {
		released[i].Suspended, released[i].Unready, released[i].HoldRemovals = false, nil, ""
	}
	for range pool + 3 {
		w.recover()
		w.settle(released)
	}
	if plan := Diff("aks-1", released, w.live, storyTime); len(plan.Sets) > 0 {
		t.Fatalf("does not converge: still\n%s", plan)
	}
	w.holds(released)
}
