package report

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func explainableServices() Report {
	at := explainedAt
	return Report{
		Exports: []Export{
			{Cluster: "east", Namespace: "shop", Name: "web", Valid: "True", Conflicted: "True", Created: at.Add(-time.Hour), API: "multicluster.x-k8s.io",
				Ports: []string{"80/TCP"}, Endpoints: 2, Message: "in 1 of 2 exports the Service's ports differ"},
			{Cluster: "west", Namespace: "shop", Name: "web", Valid: "True", Conflicted: "True", Created: at.Add(-time.Minute), API: "networking.fleet.azure.com",
				Weight: "0", Endpoints: 1, Message: "port 81 loses"},
			{Cluster: "west", Namespace: "shop", Name: "cart", Valid: "False", Conflicted: "Unknown", Created: at, Message: "there is no Service shop/cart"},
		},
		Imports: []Import{{Namespace: "shop", Name: "web", Clusters: []string{"east", "west"}, Ports: []string{"80/TCP"}, Type: "ClusterSetIP", Endpoints: 3, In: 1,
			Out: []ServiceEndpoint{{Cluster: "east", Address: "10.1.0.3", Reason: "it is not ready"}, {Cluster: "west", Address: "10.2.0.2", Reason: "the weight of west is 0"}},
			On:  []ImportOn{{Cluster: "east", IPs: []string{"10.96.0.7"}}, {Cluster: "west", IPs: []string{"10.97.0.9"}}}}},
		Services: []Service{{Cluster: "east", Namespace: "shop", Name: "front", Import: "web", ExternalIP: "192.0.2.7", Valid: "True", Created: at}},
		Leases:   []Lease{{Cluster: "west", Seen: at.Add(-3 * time.Minute), Until: at.Add(12 * time.Minute)}},
	}
}

const explainedWeb = `
Service shop/web
  type           ClusterSetIP
  ports          80/TCP
  exported by    east, west
  out of sight   west, last seen 3m ago; its endpoints are handed on for another 12m
  endpoints      3, of which 1 get connections
  imported on    east 10.96.0.7
  imported on    west 10.97.0.9

EXPORTED-BY   API                          AGE   VALID   CONFLICT   PORTS    WEIGHT   ENDPOINTS   MESSAGE
east          multicluster.x-k8s.io        60m   True    True       80/TCP   <none>   2           in 1 of 2 exports the Service's ports differ
west          networking.fleet.azure.com   60s   True    True       <none>   0        1           port 81 loses

MULTI-CLUSTER-SERVICE   ON     ADDRESS     INTERNAL   VALID   MESSAGE
shop/front              east   192.0.2.7   false      True    

ENDPOINT-OUT   OF     WHY
10.1.0.3       east   it is not ready
10.2.0.2       west   the weight of west is 0
`

func TestExplainService(t *testing.T) {
	for what, want := range map[string]string{
		"serviceimport/shop/web":         explainedWeb,
		"svcexport/shop/web":             explainedWeb,
		"multiclusterservice/shop/front": explainedWeb,
		"ServiceExport/shop/cart": `
Service shop/cart
  imported   nowhere: there is no valid export

EXPORTED-BY   API      AGE   VALID   CONFLICT   PORTS    WEIGHT   ENDPOINTS   MESSAGE
west          <none>   0s    False   Unknown    <none>   <none>   0           there is no Service shop/cart
`,
	} {
		var b strings.Builder
		if err := Explain(&b, explainableServices(), what, explainedAt); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	var b strings.Builder
	if err := Explain(&b, explainableServices(), "serviceimport/shop/nobody", explainedAt); !errors.Is(err, ErrNothingToExplain) {
		t.Errorf("a service that is not there: %v, and %q", err, b.String())
	}
}
