package report

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/source"
)

// sample is a fleet in which one member is out of reach.
func sample() Report {
	nodes := 2
	web := placed(on("aks-1", "True", "True", ""), on("aks-2", "True", "True", ""))
	web.Name, web.Generation, web.Created = "web-demos", 1, noon.Add(-20*time.Second)
	api := placed(on("aks-1", "True", "True", ""), on("aks-3", "Unknown", "Unknown", "connection refused"))
	api.Name, api.Created = "api", noon.Add(-50*time.Hour)
	for _, p := range []*Placement{&web, &api} {
		p.Conditions = Conditions(*p, nil, noon)
	}
	api.Spec = &placementv1beta1.PlacementSpec{}
	picks := &placementv1beta1.PlacementSpec{Policy: &placementv1beta1.PlacementPolicy{PlacementType: placementv1beta1.PickN}}
	offers := Resources{Allocatable: map[string]string{"cpu": "8", "memory": "16Gi"}}
	full := offers
	full.Available = map[string]string{"cpu": "3920m", "memory": "12Gi"}
	return Report{
		Time:       noon,
		Head:       source.Revision{Commit: "3f2a1b0000000000000000000000000000000000", Subject: "scale web"},
		Applied:    source.Revision{Commit: "3f2a1b0000000000000000000000000000000000", Subject: "scale web"},
		Placements: []Placement{web, api, {Name: "new", Generation: 1, Spec: picks}},
		Members: []Member{
			{Name: "aks-3", Joined: "Unknown", Message: "connection refused\nsince 11:58", Created: noon.Add(-3 * time.Hour), LastSeen: noon.Add(-2 * time.Minute), Resources: &offers},
			{Name: "aks-1", Joined: "True", Labels: map[string]string{"region": "east", "env": "prod"}, Created: noon.Add(-3 * time.Hour), LastSeen: noon, Nodes: &nodes, Resources: &full},
			{Name: "aks-2", Joined: "False", Message: "no kubeconfig context is named aks-2"},
		},
		Exports: []Export{
			{Cluster: "aks-2", Namespace: "web", Name: "shop", Valid: "True", Conflicted: "False", Created: noon.Add(-25 * time.Second), Endpoints: 2, Weight: "3", API: "multicluster.x-k8s.io"},
			{Cluster: "aks-1", Namespace: "web", Name: "shop", Valid: "False", Conflicted: "True", Created: noon.Add(-26 * time.Second), Message: "port 80 differs"},
		},
		Imports: []Import{
			{Namespace: "web", Name: "shop", Clusters: []string{"aks-1", "aks-2"}, Ports: []string{"80/TCP", "53/UDP"}, Endpoints: 4, Type: "ClusterSetIP", In: 3,
				On: []ImportOn{{Cluster: "aks-1", IPs: []string{"10.0.0.7", "fd00::7"}}, {Cluster: "aks-2"}}},
			{Namespace: "web", Name: "cart"},
		},
		Services: []Service{
			{Cluster: "aks-1", Namespace: "web", Name: "shop", Import: "shop", ExternalIP: "127.9.0.4", Valid: "True", Created: noon.Add(-40 * time.Second)},
			{Cluster: "aks-1", Namespace: "web", Name: "cart", Import: "cart", Valid: "Unknown", Message: "nobody exports cart", Created: noon.Add(-40 * time.Second)},
		},
	}
}

func TestTable(t *testing.T) {
	tests := map[string]struct {
		reason string
		kind   string
		wide   bool
		want   string
	}{
		"Placements": {
			reason: "the columns of the how-to, three spaces apart, a missing condition empty",
			kind:   "placements",
			want: `
NAME        GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE
api         3     True        3              Unknown   3            2d2h
new         1                                                       <unknown>
web-demos   1     True        1              True      1            20s
`,
		},
		"PlacementsWide": {
			reason: "wide adds upstream's wide columns, where, and why not",
			kind:   "crp",
			wide:   true,
			want: `
NAME        GEN   TYPE      SCHEDULED   SCHEDULEDGEN   WORKSYNCHRONIZED   WORKSYNCHRONIZEDGEN   APPLIED   APPLIEDGEN   AVAILABLE   AVAILABLEGEN   AGE         CLUSTERS      MESSAGE
api         3     PickAll   True        3              True               3                     Unknown   3                                       2d2h        aks-1,aks-3   on 1 of 2 clusters; aks-3: Unknown, connection refused
new         1     PickN                                                                                                                           <unknown>   <none>        
web-demos   1               True        1              True               1                     True      1            True        1              20s         aks-1,aks-2   
`,
		},
		"Members": {
			reason: "a stopped member shows as not joined, with when it was last seen and what it last offered",
			kind:   "Member",
			want: `
NAME    JOINED    AGE         MEMBER-AGENT-LAST-SEEN   NODE-COUNT   AVAILABLE-CPU   AVAILABLE-MEMORY
aks-1   True      3h          0s                       2            3920m           12Gi
aks-2   False     <unknown>   <unknown>                <unknown>    <unknown>       <unknown>
aks-3   Unknown   3h          2m                       <unknown>    <unknown>       <unknown>
`,
		},
		"MembersWide": {
			reason: "wide tells why, in one line",
			kind:   "cluster",
			wide:   true,
			want: `
NAME    JOINED    AGE         MEMBER-AGENT-LAST-SEEN   NODE-COUNT   AVAILABLE-CPU   AVAILABLE-MEMORY   ALLOCATABLE-CPU   ALLOCATABLE-MEMORY   LABELS                 MESSAGE
aks-1   True      3h          0s                       2            3920m           12Gi               8                 16Gi                 env=prod,region=east   
aks-2   False     <unknown>   <unknown>                <unknown>    <unknown>       <unknown>          <unknown>         <unknown>            <none>                 no kubeconfig context is named aks-2
aks-3   Unknown   3h          2m                       <unknown>    <unknown>       <unknown>          8                 16Gi                 <none>                 connection refused since 11:58
`,
		},
		"Exports": {
			reason: "one row a member",
			kind:   "svcexport",
			want: `
NAMESPACE   NAME   CLUSTER   IS-VALID   IS-CONFLICTED   AGE
web         shop   aks-1     False      True            26s
web         shop   aks-2     True       False           25s
`,
		},
		"ExportsWide": {
			reason: "wide counts endpoints",
			kind:   "serviceexports",
			wide:   true,
			want: `
NAMESPACE   NAME   CLUSTER   IS-VALID   IS-CONFLICTED   AGE   ENDPOINTS   WEIGHT   API                     MESSAGE
web         shop   aks-1     False      True            26s   0           <none>   <none>                  port 80 differs
web         shop   aks-2     True       False           25s   2           3        multicluster.x-k8s.io   
`,
		},
		"Imports": {
			reason: "one row a service",
			kind:   "serviceimports",
			want: `
NAMESPACE   NAME   CLUSTERS      PORTS           ENDPOINTS
web         cart   <none>        <none>          0
web         shop   aks-1,aks-2   80/TCP,53/UDP   4
`,
		},
		"ImportsWide": {
			reason: "wide tells where, and how many endpoints are in",
			kind:   "svcimport",
			wide:   true,
			want: `
NAMESPACE   NAME   CLUSTERS      PORTS           ENDPOINTS   TYPE           IN    CLUSTERSET-IPS
web         cart   <none>        <none>          0           <none>         0     <none>
web         shop   aks-1,aks-2   80/TCP,53/UDP   4           ClusterSetIP   3     aks-1=10.0.0.7+fd00::7,aks-2=
`,
		},
		"Services": {
			reason: "a service without an address has an empty cell",
			kind:   "mcs",
			want: `
NAMESPACE   NAME   CLUSTER   SERVICE-IMPORT   EXTERNAL-IP   IS-VALID   AGE
web         cart   aks-1     cart                           Unknown    40s
web         shop   aks-1     shop             127.9.0.4     True       40s
`,
		},
		"ServicesWide": {
			reason: "wide tells why",
			kind:   "multiclusterservice",
			wide:   true,
			want: `
NAMESPACE   NAME   CLUSTER   SERVICE-IMPORT   EXTERNAL-IP   IS-VALID   AGE   MESSAGE
web         cart   aks-1     cart                           Unknown    40s   nobody exports cart
web         shop   aks-1     shop             127.9.0.4     True       40s   
`,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Table(&b, sample(), tc.kind, tc.wide, noon); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), b.String()); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTableOfNothing(t *testing.T) {
	var b strings.Builder
	if err := Table(&b, Report{}, "mcs", true, noon); err != nil || b.String() != "No multiclusterservices found\n" {
		t.Errorf("got %q, %v; want a sentence that says there are none", b.String(), err)
	}
}

func TestUnknownKindListsTheKnown(t *testing.T) {
	const want = `unknown kind "pods": use one of placements, clusterresourceplacements, resourceplacements, members, serviceexports, serviceimports, multiclusterservices, commits`
	if err := Table(&strings.Builder{}, Report{}, "pods", false, noon); err == nil || err.Error() != want {
		t.Errorf("Table says %v, want %s", err, want)
	}
	if err := List(&strings.Builder{}, Report{}, "pods", "json"); err == nil || err.Error() != want {
		t.Errorf("List says %v, want %s", err, want)
	}
}

func TestEveryNameOfAKindIsAccepted(t *testing.T) {
	seen := map[string]string{}
	for _, tab := range tables() {
		for _, name := range tab.names {
			if other, taken := seen[name]; taken {
				t.Errorf("%q stands for %s and %s", name, other, tab.names[0])
			}
			seen[name] = tab.names[0]
		}
	}
	for _, name := range []string{"placement", "crp", "rp", "member", "cluster", "svcexport", "svcimport", "mcs", "SERVICEEXPORTS"} {
		if err := Table(&strings.Builder{}, sample(), name, false, noon); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNamespaceColumn checks that a ResourcePlacement is told apart from a ClusterResourcePlacement of its name, and only then.
func TestNamespaceColumn(t *testing.T) {
	r := sample()
	local := placed(on("aks-1", "True", "True", ""))
	local.Name, local.Namespace, local.Created = "api", "web", noon.Add(-time.Minute)
	local.Conditions = Conditions(local, nil, noon)
	r.Placements = append(r.Placements, local)
	for kind, want := range map[string]string{
		"placements": `
NAMESPACE   NAME        GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE
            api         3     True        3              Unknown   3            2d2h
            new         1                                                       <unknown>
            web-demos   1     True        1              True      1            20s
web         api         3     True        3              True      3            60s
`,
		"crp": `
NAME        GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE
api         3     True        3              Unknown   3            2d2h
new         1                                                       <unknown>
web-demos   1     True        1              True      1            20s
`,
		"rp": `
NAMESPACE   NAME   GEN   SCHEDULED   SCHEDULEDGEN   APPLIED   APPLIEDGEN   AGE
web         api    3     True        3              True      3            60s
`,
	} {
		var b strings.Builder
		if err := Table(&b, r, kind, false, noon); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimPrefix(want, "\n"), b.String()); diff != "" {
			t.Errorf("get %s (-want +got):\n%s", kind, diff)
		}
	}
}

func TestList(t *testing.T) {
	for _, format := range []string{"json", "yaml"} {
		var b strings.Builder
		if err := List(&b, sample(), "serviceexports", format); err != nil {
			t.Fatal(err)
		}
		data, err := yaml.YAMLToJSON([]byte(b.String()))
		if err != nil {
			t.Fatalf("%s does not parse: %v\n%s", format, err, b.String())
		}
		var got []Export
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sample().Exports, got); diff != "" {
			t.Errorf("%s does not hold the exports (-want +got):\n%s", format, diff)
		}
	}
	const noObjects = `{
  "apiVersion": "v1",
  "items": [],
  "kind": "List",
  "metadata": {
    "resourceVersion": ""
  }
}
`
	for _, tab := range tables() {
		want := "[]\n"
		if strings.Contains(tab.names[0], "placements") || tab.names[0] == "members" {
			want = noObjects
		}
		var b strings.Builder
		if err := List(&b, Report{}, tab.names[0], "json"); err != nil || b.String() != want {
			t.Errorf("an empty list of %s is %q, %v; want %q", tab.names[0], b.String(), err, want)
		}
	}
	if err := List(&strings.Builder{}, sample(), "members", "toml"); err == nil || !strings.Contains(err.Error(), "use json or yaml") {
		t.Errorf("an unknown format says %v, want the known ones", err)
	}
}

// full fails every write.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteErrorsAreReturned(t *testing.T) {
	for name, err := range map[string]error{
		"Table": Table(full{}, sample(), "members", false, noon),
		"Empty": Table(full{}, Report{}, "members", false, noon),
		"List":  List(full{}, sample(), "members", "json"),
		"Text":  Plan{}.Text(full{}, false),
		"JSON":  Plan{}.JSON(full{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("%s returned %v, want the writer's error", name, err)
		}
	}
}
