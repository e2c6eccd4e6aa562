package placement

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// TestNamespaceAffinity: a placement that lives in a namespace goes where that is, as far as anybody knows.
func TestNamespaceAffinity(t *testing.T) {
	candidates := []Candidate{
		{Name: "has", Namespaces: map[string]bool{"web": true}},
		{Name: "lacks", Namespaces: map[string]bool{"other": true}},
		{Name: "unknown"},
	}
	for _, row := range []struct {
		reason    string
		namespace string
		policy    *v1beta1.PlacementPolicy
		before    []string
		want      []string
	}{
		{"only where it is, or nobody knows", "web", nil, nil, []string{"has", "unknown"}},
		{"a cluster-wide placement does not ask", "", nil, nil, []string{"has", "lacks", "unknown"}},
		{"who holds it keeps it", "web", nil, []string{"lacks"}, []string{"has", "lacks", "unknown"}},
		{"PickFixed asks for names only", "web", fixed("lacks"), nil, []string{"lacks"}},
	} {
		before := Assignment{Clusters: row.before, PolicyDigest: PolicyDigest(row.policy)}
		d := Decide(Placement{Name: "p", Namespace: row.namespace, Policy: row.policy}, before, candidates, noon)
		if got := d.Assignment.Clusters; !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.reason, got, row.want)
		}
		for _, v := range d.Verdicts {
			if !v.Selected && row.policy == nil && !strings.Contains(v.Reason, "namespace web is not there") {
				t.Errorf("%s: %s is out because %q", row.reason, v.Cluster, v.Reason)
			}
		}
	}
}

// TestCandidateNamespaces: the list in a status is complete only when the condition says so.
func TestCandidateNamespaces(t *testing.T) {
	m := &clusterv1beta1.MemberCluster{}
	m.Status.Namespaces = map[string]string{"web": "work"}
	if got := CandidateOf(m, noon).Namespaces; got != nil {
		t.Errorf("without the condition the namespaces are %v, want unknown", got)
	}
	m.Status.Conditions = []metav1.Condition{{Type: "NamespaceCollectionSucceeded", Status: metav1.ConditionTrue}}
	if got := CandidateOf(m, noon).Namespaces; len(got) != 1 || !got["web"] {
		t.Errorf("with the condition the namespaces are %v, want web", got)
	}
}
