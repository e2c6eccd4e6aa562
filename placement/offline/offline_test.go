package offline

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/render/kustomize"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// parse returns the documents in text, whose YAML is sound.
func parse(t testing.TB, text string) []render.Object {
	t.Helper()
	documents, errs := kustomize.Documents("fleet.yaml", []byte(text))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return documents
}

// What the documents of most tests begin with.
const (
	memberHead    = "apiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberCluster\n"
	placementHead = "apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ClusterResourcePlacement\n"
	everything    = "spec: {resourceSelectors: [{group: \"\", version: v1, kind: Namespace, name: web}]}\n"
)

// TestRead shows what is taken for what. Of input that is right it compares what describe makes of it, of other input the mistakes.
func TestRead(t *testing.T) {
	tests := map[string]struct {
		reason string
		text   string
		want   []string
	}{
		"Nothing": {
			reason: "no member is probably a file that was forgotten",
			want:   []string{"notice: no MemberCluster was found, so there is nothing to choose from"},
		},
		"Sorted": {
			reason: "decisions come in the order of namespace and name, whatever the order of documents",
			text: placementHead + "metadata: {name: web}\n" + everything + "---\n" +
				"apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ResourcePlacement\nmetadata: {name: app, namespace: shop}\n" +
				"spec: {resourceSelectors: [{group: \"\", version: v1, kind: ConfigMap, name: web}]}\n---\n" +
				placementHead + "metadata: {name: base, annotations: {gitfleet.dev/unplace-after: 10m}}\n" + everything + "---\n" +
				memberHead + "metadata: {name: b}\n---\n" + memberHead + "metadata: {name: a}\n",
			want: []string{"member a", "member b", "placement /base, unplaced after 10m0s", "placement /web", "placement shop/app"},
		},
		"Observed": {
			reason: "a member's status and deletion are what counts offline, although a commit carries neither",
			text: memberHead + "metadata: {name: a, deletionTimestamp: \"2026-03-01T11:00:00Z\"}\n" +
				"status: {properties: {example.com/zones: {value: \"3\"}}}\n",
			want: []string{"member a, leaving, with example.com/zones=3"},
		},
		"List": {
			reason: "kubectl prints lists, also of one kind and inside of each other",
			text: "apiVersion: v1\nkind: List\nitems:\n- apiVersion: cluster.kubernetes-fleet.io/v1beta1\n  kind: MemberClusterList\n" +
				"  items:\n  - metadata: {name: b}\n  - metadata: {name: a}\n    status: {properties: {example.com/zones: {value: \"2\"}}}\n",
			want: []string{"member a, with example.com/zones=2", "member b"},
		},
		"Others": {
			reason: "documents of other kinds are ignored and counted, those of a hub's own records among them",
			text: memberHead + "metadata: {name: a}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n" +
				"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n---\nmetadata: {name: c}\n---\n" +
				"apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ClusterResourceBinding\nmetadata: {name: web-1}\n---\n" +
				"apiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: InternalMemberCluster\nmetadata: {name: a, namespace: fleet-member-a}\n---\n" +
				"apiVersion: example.com/v1\nkind: ClusterResourcePlacement\nmetadata: {name: theirs}\n",
			want: []string{"member a", "notice: ignored, as neither a placement nor a MemberCluster: ClusterResourceBinding (1), " +
				"ClusterResourcePlacement (1), ConfigMap (2), InternalMemberCluster (1), without a kind (1)"},
		},
		"Misspelled": {
			reason: "a placement or a member that is misspelled would be missed silently",
			text: "apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ClusterResourcePlacment\nmetadata: {name: web}\n---\n" +
				"apiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberClusters\nmetadata: {name: a}\n---\n" +
				"apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ResourcePlacmentList\nitems: [{metadata: {name: web, namespace: shop}}]\n",
			want: []string{
				"fleet.yaml: document 1: kind: placement.kubernetes-fleet.io has no kind ClusterResourcePlacment; did you mean ClusterResourcePlacement?",
				"fleet.yaml: document 2: kind: cluster.kubernetes-fleet.io has no kind MemberClusters; did you mean MemberCluster?",
				"fleet.yaml: document 3: items[0].kind: placement.kubernetes-fleet.io has no kind ResourcePlacment; did you mean ResourcePlacement?",
			},
		},
		"Headless": {
			reason: "a placement that lacks its apiVersion is told so, and not ignored",
			text:   "kind: ResourcePlacement\nmetadata: {name: web}\n",
			want: []string{"fleet.yaml: document 1: apiVersion: is missing, so this is no Kubernetes object; add it, or keep the file out " +
				"of the rendered paths"},
		},
		"AllAtOnce": {
			reason: "mistakes in lists, specs and statuses are told together, each where it is",
			text: "apiVersion: v1\nkind: List\nitems:\n- 3\n- apiVersion: cluster.kubernetes-fleet.io/v1beta1\n  kind: MemberCluster\n" +
				"  metadata: {name: a}\n  spec: {heartbeat: 60}\n  status: {property: {}}\n---\n" +
				placementHead + "metadata: {name: web, generation: two}\n" + everything + "status: {placementStatuses: [{cluster: a}]}\n---\n" +
				"apiVersion: fleet.azure.com/v1alpha1\nkind: ClusterResourcePlacement\nmetadata: {name: alpha}\n" + everything +
				"status: {targetCluster: [a]}\n",
			want: []string{
				"fleet.yaml: document 1: items[0]: is no Kubernetes object, which is a mapping with apiVersion and kind; mend or remove it",
				"fleet.yaml: document 1: items[1].spec.heartbeat: unknown field; remove it or mend its name",
				"fleet.yaml: document 1: items[1].status.property: unknown field; did you mean properties?",
				"fleet.yaml: document 2: metadata.generation: must be a whole number, not \"two\"",
				"fleet.yaml: document 2: status.placementStatuses[0].cluster: unknown field; remove it or mend its name",
				"fleet.yaml: document 3: status.targetCluster: unknown field; did you mean targetClusters?",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			in, err := Read(parse(t, tc.text), nil)
			got := describe(in)
			var mistakes render.ManifestErrors
			switch {
			case errors.As(err, &mistakes):
				got = strings.Split(mistakes.Error(), "\n")
			case err != nil:
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func describe(in Input) []string {
	var lines []string
	for _, m := range in.Members {
		line := "member " + m.Name
		if m.DeletionTimestamp != nil {
			line += ", leaving"
		}
		for name, p := range m.Status.Properties {
			line += fmt.Sprintf(", with %s=%s", name, p.Value)
		}
		lines = append(lines, line)
	}
	for _, p := range in.Placements {
		line := fmt.Sprintf("placement %s/%s", p.Namespace, p.Name)
		if p.UnplaceAfter > 0 {
			line += fmt.Sprintf(", unplaced after %s", p.UnplaceAfter)
		}
		lines = append(lines, line)
	}
	for _, n := range in.Notices() {
		lines = append(lines, "notice: "+n)
	}
	return lines
}

// TestReadUnread: what could not be read is told with the other mistakes, and nothing is scheduled without it.
func TestReadUnread(t *testing.T) {
	unread := render.ManifestErrors{{File: "a.yaml", Message: "cannot be read"}}
	in, err := Read(parse(t, placementHead+"metadata: {name: web}\n"+everything), unread)
	if want := "a.yaml: cannot be read"; err == nil || err.Error() != want || len(in.Placements) > 0 {
		t.Errorf("got %d placements and error %v, want none and %q", len(in.Placements), err, want)
	}
	_, err = Read(parse(t, placementHead+"metadata: {name: Web}\n"+everything), unread)
	var mistakes render.ManifestErrors
	if !errors.As(err, &mistakes) || len(mistakes) != 2 || mistakes[0].File != "a.yaml" || mistakes[1].Field != "metadata.name" {
		t.Errorf("got %v, want both what was not read and the name", err)
	}
}

// TestDecide: every placement gets a decision of its own, from where it is now. An hour later the member has not been heard of for
// long, so it is not chosen anew, and kept.
func TestDecide(t *testing.T) {
	in, err := Read(parse(t, memberHead+`metadata: {name: quiet}
status:
  agentStatus:
  - type: MemberAgent
    lastReceivedHeartbeat: "2026-03-01T11:59:00Z"
    conditions:
    - {type: Joined, status: "True", reason: R, message: "", lastTransitionTime: "2026-02-01T08:00:00Z"}
    - {type: Healthy, status: "True", reason: R, message: "", lastTransitionTime: "2026-02-01T08:00:00Z"}
---
`+memberHead+`metadata: {name: young}
---
`+placementHead+`metadata: {name: web, generation: 1}
`+everything+`status:
  placementStatuses: [{clusterName: quiet}]
  conditions: [{type: ClusterResourcePlacementScheduled, status: "True", observedGeneration: 1, reason: R, message: "", lastTransitionTime: null}]
---
`+placementHead+`metadata: {name: late}
`+everything), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		now  time.Time
		want map[string][]string
	}{
		{noon, map[string][]string{"web": {"quiet", "young"}, "late": {"quiet", "young"}}},
		{noon.Add(time.Hour), map[string][]string{"web": {"quiet", "young"}, "late": {"young"}}},
	} {
		got := map[string][]string{}
		for _, d := range in.Decide(tc.now) {
			got[d.Name] = selected(d)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("at %s (-want +got):\n%s", tc.now, diff)
		}
	}
}

func selected(d placement.Decision) []string {
	var names []string
	for _, v := range d.Verdicts {
		if v.Selected {
			names = append(names, v.Cluster)
		}
	}
	slices.Sort(names)
	return names
}
