package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/api"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

var explainedAt = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func explainable() Report {
	web := api.Ref{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "web"}
	job := api.Ref{Group: "batch", Kind: "Job", Namespace: "shop", Name: "migrate"}
	rev := source.Revision{Commit: "0123456789abcdef0123456789abcdef01234567", Subject: "Scale the shop"}
	nodes := 3
	return Report{
		Head: rev, Applied: rev,
		Members: []Member{{Name: "east", Joined: "True", Labels: map[string]string{"location": "e"}, LastSeen: explainedAt.Add(-2 * time.Second), Nodes: &nodes,
			Version: "v1.37.2", Source: "members.yaml#1", Resources: &Resources{Capacity: map[string]string{"cpu": "12", "memory": "48Gi"},
				Allocatable: map[string]string{"cpu": "11", "memory": "44Gi"}}},
			{Name: "west", Joined: "Unknown", Message: "no answer", Suspended: true}},
		Placements: []Placement{{Name: "shop", Source: "shop/placement.yaml#1", DependsOn: []string{"base"}, Account: "shop/deployer",
			Resources: []placementv1beta1.ResourceIdentifier{{Group: "apps", Version: "v1", Kind: "Deployment", Namespace: "shop", Name: "web"},
				{Group: "batch", Version: "v1", Kind: "Job", Namespace: "shop", Name: "migrate"}},
			Decision: placement.Decision{Name: "shop", Scheduled: placement.Scheduled{Status: "True", Message: "found all cluster needed"},
				Verdicts: []placement.Verdict{{Cluster: "east", Selected: true, Reason: "labels match"}, {Cluster: "west", Reason: "label location is w"}}},
			Clusters: []PlacementOnCluster{{Cluster: "east", Applied: "False", Healthy: "Unknown", Revision: rev.Commit, Message: "create Job.batch shop/migrate waits: ...",
				Objects: []PlacedObject{
					{Ref: web, Applied: "False", Health: apply.Health{Status: apply.InProgress, Message: "1 of 2 replicas are available"}, Source: render.Origin{File: "shop/web.yaml", Document: 2}},
					{Ref: job, Applied: "False", Health: apply.Health{Status: apply.NotFound}, Wait: "Deployment.apps shop/web is InProgress", Source: render.Origin{File: "shop/job.yaml", Document: 1}},
				}}}}},
		Drift: []Drift{{Cluster: "east", Placement: "shop", Count: 2, Drift: apply.Drift{Ref: web, Time: explainedAt.Add(-3 * time.Minute), What: "fields were changed",
			Fields: []apply.DriftedField{{Path: ".spec.replicas", Manager: "kubectl-edit", Operation: "Update"}}}}},
		Unplaced: []Unplaced{{Ref: api.Ref{Kind: "ConfigMap", Namespace: "lost", Name: "found"}, Source: render.Origin{File: "lost.yaml", Document: 1}}},
	}
}

func TestExplain(t *testing.T) {
	drift := `
PUT-BACK   CLUSTER   OBJECT                     TIMES   WHAT
3m ago     east      Deployment.apps shop/web   2       DRIFT
`
	for _, test := range []struct{ what, want string }{
		{"deploy/shop/web", `
Deployment.apps shop/web
  written in   shop/web.yaml document 2
  in force     commit 0123456789ab "Scale the shop"

CLUSTER   PLACEMENT   APPLIED   HEALTH       PLACEMENT-CHANGED-IN   MESSAGE
east      shop        False     InProgress   0123456789ab           1 of 2 replicas are available
` + drift},
		{"Job.batch/shop/migrate", `
Job.batch shop/migrate
  written in   shop/job.yaml document 1
  in force     commit 0123456789ab "Scale the shop"

CLUSTER   PLACEMENT   APPLIED   HEALTH     PLACEMENT-CHANGED-IN   MESSAGE
east      shop        False     NotFound   0123456789ab           waits: Deployment.apps shop/web is InProgress
`},
		{"configmaps/lost/found", `
ConfigMap lost/found
  written in      lost.yaml document 1
  on no cluster   no placement selects it, nor its namespace
`},
		{"placement/shop", `
Placement shop
  written in   shop/placement.yaml#1
  in force     commit 0123456789ab "Scale the shop"
  scheduled    True: found all cluster needed
  objects      2
  depends on   base
  acts as      shop/deployer

CLUSTER   SELECTED   APPLIED   HEALTHY   CHANGED-IN     REASON
east      yes        False     Unknown   0123456789ab   labels match; create Job.batch shop/migrate waits: ...
west      no                                            label location is w
` + drift},
		{"member/east", `
Member east
  registered in   members.yaml#1
  labels          location=e
  joined          True
  API server      v1.37.2
  last seen       2s ago
  nodes           3
  capacity        cpu 12, memory 48Gi
  allocatable     cpu 11, memory 44Gi

PLACEMENT   APPLIED   HEALTHY   CHANGED-IN     MESSAGE
shop        False     Unknown   0123456789ab   create Job.batch shop/migrate waits: ...
` + drift},
	} {
		var b strings.Builder
		if err := Explain(&b, explainable(), test.what, explainedAt); err != nil {
			t.Errorf("%s: %v", test.what, err)
			continue
		}
		want := strings.ReplaceAll(test.want, "DRIFT", "kubectl-edit (Update) changed .spec.replicas")
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), trimLines(b.String())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.what, diff)
		}
	}
}

// trimLines takes the padding off the ends of lines.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestExplainWhatIsNotThere(t *testing.T) {
	for what, want := range map[string]string{
		"deployment/shop/wbe":    "did you mean shop/web?",
		"deployment.foo/shop/we": ErrNothingToExplain.Error(),
		"placement/shpo":         "did you mean shop?",
		"member/eats":            "did you mean east?",
	} {
		err := Explain(&strings.Builder{}, explainable(), what, explainedAt)
		if !errors.Is(err, ErrNothingToExplain) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	for _, what := range []string{"", "web", "/x", "deployment/"} {
		if err := Explain(&strings.Builder{}, explainable(), what, explainedAt); err == nil || !strings.Contains(err.Error(), "KIND/NAMESPACE/NAME") {
			t.Errorf("%q: %v, want the forms it may have", what, err)
		}
	}
}

// TestExplainResourcePlacement finds a placement of a namespace beside one of the same name without.
func TestExplainResourcePlacement(t *testing.T) {
	r := explainable()
	local := r.Placements[0]
	local.Namespace, local.Source = "shop", "shop/local.yaml#1"
	r.Placements = append(r.Placements, local)
	for what, want := range map[string]string{
		"placement/shop":      "Placement shop\n  written in   shop/placement.yaml#1\n",
		"placement/shop/shop": "Placement shop/shop\n  written in   shop/local.yaml#1\n",
	} {
		var b strings.Builder
		if err := Explain(&b, r, what, explainedAt); err != nil || !strings.HasPrefix(b.String(), want) {
			t.Errorf("explain %s: %v, and\n%swant it to begin with\n%s", what, err, b.String(), want)
		}
	}
}
