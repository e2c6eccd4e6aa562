package reconcile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// configMap is an object that stands in NAME.yaml.
func configMap(name string) render.Object {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	u.SetNamespace("web")
	u.SetName(name)
	return render.Object{Unstructured: u, Origin: render.Origin{File: name + ".yaml", Document: 1}}
}

// placementOf is a placement that stands in placements/NAME.yaml and selects the named objects.
func placementOf(name string, objects ...string) render.Placement {
	p := render.Placement{ClusterResourcePlacement: &placementv1beta1.ClusterResourcePlacement{},
		Origin: render.Origin{File: "placements/" + name + ".yaml", Document: 2}}
	p.Name = name
	for _, o := range objects {
		p.Selected = append(p.Selected, configMap(o))
	}
	return p
}

func decided(name string, clusters ...string) placement.Decision {
	return placement.Decision{Name: name, Scheduled: placement.Scheduled{Status: yes},
		Assignment: placement.Assignment{Clusters: clusters, PolicyDigest: "digest of " + name}}
}

// describeTargets prints one line a set: "cluster set@revision (digest): objects".
func describeTargets(targets map[string][]apply.Set) []string {
	var lines []string
	for cluster, sets := range targets {
		for i, s := range sets {
			var names []string
			for _, o := range s.Objects {
				names = append(names, o.GetName())
			}
			lines = append(lines, fmt.Sprintf("%s %d %s@%s (%s): %s", cluster, i, s.Name, s.Revision, s.PolicyDigest, strings.Join(names, " ")))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestTargets(t *testing.T) {
	tests := map[string]struct {
		reason     string
		placements []render.Placement
		decisions  []placement.Decision
		want       []string
	}{
		"Nothing": {reason: "no placement, no target"},
		"Several": {
			reason:     "each cluster has the sets of its placements by name, their objects by ref",
			placements: []render.Placement{placementOf("b", "y", "x"), placementOf("a", "z")},
			decisions:  []placement.Decision{decided("a", "c2", "c1"), decided("b", "c1")},
			want:       []string{"c1 0 a@abc (digest of a): z", "c1 1 b@abc (digest of b): x y", "c2 0 a@abc (digest of a): z"},
		},
		"SelectsNothing": {
			reason:     "an empty set is a wish too: whatever the placement held there goes",
			placements: []render.Placement{placementOf("a")},
			decisions:  []placement.Decision{decided("a", "c1")},
			want:       []string{"c1 0 a@abc (digest of a): "},
		},
		"RunsNowhere": {
			reason:     "a placement without clusters has no target",
			placements: []render.Placement{placementOf("a", "x")},
			decisions:  []placement.Decision{decided("a")},
		},
		"Undecided": {
			reason:     "nor has one without a decision, and a decision without a placement brings nothing",
			placements: []render.Placement{placementOf("a", "x")},
			decisions:  []placement.Decision{decided("other", "c1")},
		},
		"SharedApart": {
			reason:     "two placements may own one object on different clusters",
			placements: []render.Placement{placementOf("a", "x"), placementOf("b", "x")},
			decisions:  []placement.Decision{decided("a", "c1"), decided("b", "c2")},
			want:       []string{"c1 0 a@abc (digest of a): x", "c2 0 b@abc (digest of b): x"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			d := &render.Desired{Revision: source.Revision{Commit: "abc"}, Placements: tc.placements}
			random := rand.New(rand.NewPCG(1, 2))
			for range 5 {
				targets, errs := Targets(d, tc.decisions)
				if diff := cmp.Diff(tc.want, describeTargets(targets)); diff != "" || len(errs) > 0 {
					t.Errorf("%s: errors %v (-want +got):\n%s", tc.reason, errs, diff)
				}
				random.Shuffle(len(tc.decisions), func(i, j int) { tc.decisions[i], tc.decisions[j] = tc.decisions[j], tc.decisions[i] })
				random.Shuffle(len(d.Placements), func(i, j int) { d.Placements[i], d.Placements[j] = d.Placements[j], d.Placements[i] })
			}
		})
	}
}

func TestTargetsDoNotReorderWhatTheyAreGiven(t *testing.T) {
	p := placementOf("a", "y", "x")
	if _, errs := Targets(&render.Desired{Placements: []render.Placement{p}}, []placement.Decision{decided("a", "c1")}); len(errs) > 0 {
		t.Fatal(errs)
	}
	if got := api.RefOf(p.Selected[0].Unstructured).Name; got != "y" {
		t.Errorf("Selected was sorted in place: it begins with %s, want y", got)
	}
}

func TestTargetsRefuseDoubleOwners(t *testing.T) {
	d := &render.Desired{Placements: []render.Placement{
		placementOf("a", "x", "w", "v", "u"),
		placementOf("b", "u", "v", "w", "x", "own"),
		placementOf("c", "x"),
		placementOf("d", "own"),
	}}
	targets, errs := Targets(d, []placement.Decision{decided("a", "c1", "c2", "c3"), decided("b", "c2", "c3"), decided("c", "c1"), decided("d", "c4")})
	if targets != nil {
		t.Errorf("targets are %v, want none: an incomplete wish must not be applied", describeTargets(targets))
	}
	want := []string{
		`placements/b.yaml: document 2: spec.resourceSelectors: placement "b" selects ConfigMap web/u (u.yaml, document 1), ` +
			`ConfigMap web/v (v.yaml, document 1), ConfigMap web/w (w.yaml, document 1), 1 more, which placement "a" ` +
			`(placements/a.yaml, document 2) selects too, and both run on c2, c3; let only one of them select it, or keep them on different clusters`,
		`placements/c.yaml: document 2: spec.resourceSelectors: placement "c" selects ConfigMap web/x (x.yaml, document 1), which placement "a" ` +
			`(placements/a.yaml, document 2) selects too, and both run on c1; let only one of them select it, or keep them on different clusters`,
	}
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("each pair of placements is one error, pairs that share no cluster are none (-want +got):\n%s", diff)
	}
}

// TestDoubleOwnersAreNotSquared: thousands of placements that bring one object to one cluster are told of the first, each, and not in
// every pair.
func TestDoubleOwnersAreNotSquared(t *testing.T) {
	const many = 2000
	d, decisions := &render.Desired{}, []placement.Decision{}
	for n := range many {
		name := fmt.Sprintf("p%04d", n)
		d.Placements, decisions = append(d.Placements, placementOf(name, "x")), append(decisions, decided(name, "c1"))
	}
	if _, errs := Targets(d, decisions); len(errs) != many-1 {
		t.Errorf("%d placements came to %d errors, want one for each but the first", many, len(errs))
	}
}
