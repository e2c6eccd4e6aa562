package render

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

// faultsOf returns what is wrong with one document, as "field: message".
func faultsOf(t *testing.T, document string) []string {
	t.Helper()
	_, _, errs := Schedulable(documents(t, []txtar.File{{Name: "f.yaml", Data: []byte(document)}}))
	var out []string
	for _, e := range errs {
		if e.File != "f.yaml" || e.Document != 1 {
			t.Errorf("%q is said of %s document %d, want f.yaml document 1", e.Message, e.File, e.Document)
		}
		out = append(out, e.Field+": "+e.Message)
	}
	return out
}

// placementWith is a ClusterResourcePlacement with more fields in its spec, and a selector where those do not say.
func placementWith(spec string) string {
	if !strings.Contains(spec, "resourceSelectors") {
		spec = `resourceSelectors: [{group: "", version: v1, kind: Namespace, name: shop}], ` + spec
	}
	return "apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ClusterResourcePlacement\nmetadata: {name: p}\nspec: {" + strings.TrimSuffix(spec, ", ") + "}"
}

// wantFaults compares what is wrong with what was to be found: as many mistakes, each beginning as wanted.
func wantFaults(t *testing.T, got, want []string) {
	t.Helper()
	short := make([]string, len(got))
	for i, g := range got {
		short[i] = g
		for _, w := range want {
			if strings.HasPrefix(g, w) {
				short[i] = w
			}
		}
	}
	if diff := cmp.Diff(want, short); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("want - got +:\n%s", diff)
	}
}

func many(n int, format string) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return "[" + strings.Join(all, ", ") + "]"
}

const (
	required  = "spec.policy.affinity.clusterAffinity.requiredDuringSchedulingIgnoredDuringExecution.clusterSelectorTerms"
	preferred = "spec.policy.affinity.clusterAffinity.preferredDuringSchedulingIgnoredDuringExecution"
)

// TestCheckPolicy has the rules of which clusters may be asked for.
func TestCheckPolicy(t *testing.T) {
	tests := []struct {
		reason, policy string
		want           []string
	}{
		{"everything has a default", `{}`, nil},
		{"the type is one of three", `{placementType: PickSome}`, []string{`spec.policy.placementType: must be PickAll, PickN or PickFixed, not "PickSome"`}},

		{"PickAll takes affinity and tolerations", `{placementType: PickAll, affinity: {clusterAffinity: {}}, tolerations: [{key: a}]}`, nil},
		{"PickAll takes nothing of the others", `{clusterNames: [a], numberOfClusters: 0, topologySpreadConstraints: [{topologyKey: z}],
			affinity: {clusterAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {}}]}}}`,
			[]string{preferred + ": is for placements of type PickN only", "spec.policy.clusterNames: is for placements of type PickFixed only",
				"spec.policy.numberOfClusters: is for placements of type PickN only", "spec.policy.topologySpreadConstraints: is for placements of type PickN only"}},

		{"PickFixed names clusters", `{placementType: PickFixed, clusterNames: [a, b.c]}`, nil},
		{"PickFixed names at least one", `{placementType: PickFixed, clusterNames: []}`, []string{"spec.policy.clusterNames: must name 1 to 100 clusters for PickFixed, not 0"}},
		{"PickFixed names at most 100", `{placementType: PickFixed, clusterNames: ` + many(101, "m%d") + `}`, []string{"spec.policy.clusterNames: must name 1 to 100 clusters for PickFixed, not 101"}},
		{"100 are not too many", `{placementType: PickFixed, clusterNames: ` + many(100, "m%d") + `}`, nil},
		{"names are unique", `{placementType: PickFixed, clusterNames: [a, b, a]}`, []string{"spec.policy.clusterNames[2]: a is named by entry 0 already"}},
		{"names are those of members", `{placementType: PickFixed, clusterNames: [A, ` + strings.Repeat("x", 64) + `]}`, []string{
			`spec.policy.clusterNames[0]: "A" is no name of a cluster`, "spec.policy.clusterNames[1]: must be no more than 63 characters"}},
		{"a name of 63 is not too long", `{placementType: PickFixed, clusterNames: [` + strings.Repeat("x", 63) + `]}`, nil},
		{"PickFixed takes nothing of the others", `{placementType: PickFixed, clusterNames: [a], numberOfClusters: 1, affinity: {}, tolerations: [{key: a}],
			topologySpreadConstraints: [{topologyKey: z}]}`, []string{"spec.policy.affinity: is for placements of type PickAll or PickN only",
			"spec.policy.numberOfClusters: is for placements of type PickN only", "spec.policy.tolerations: is for placements of type PickAll or PickN only",
			"spec.policy.topologySpreadConstraints: is for placements of type PickN only"}},

		{"PickN may pick none", `{placementType: PickN, numberOfClusters: 0}`, nil},
		{"PickN says how many", `{placementType: PickN}`, []string{"spec.policy.numberOfClusters: is missing; say how many"}},
		{"PickN picks no negative number", `{placementType: PickN, numberOfClusters: -1}`, []string{"spec.policy.numberOfClusters: must be 0 or more, not -1"}},
		{"PickN names no clusters", `{placementType: PickN, numberOfClusters: 1, clusterNames: [a]}`, []string{"spec.policy.clusterNames: is for placements of type PickFixed only"}},
		{"PickN takes everything else", `{placementType: PickN, numberOfClusters: 2, tolerations: [{key: a, value: b, effect: NoSchedule}],
			affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {a: b}}}]},
			preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {propertySorter: {name: a/b, sortOrder: Descending}}}]}},
			topologySpreadConstraints: [{topologyKey: z, maxSkew: 1, whenUnsatisfiable: ScheduleAnyway}, {topologyKey: yy, whenUnsatisfiable: DoNotSchedule}]}`, nil},

		{"a skew is at least 1", `{placementType: PickN, numberOfClusters: 1, topologySpreadConstraints: [{topologyKey: z, maxSkew: 0}]}`,
			[]string{"spec.policy.topologySpreadConstraints[0].maxSkew: must be 1 or more, not 0"}},
		{"a constraint has a key", `{placementType: PickN, numberOfClusters: 1, topologySpreadConstraints: [{topologyKey: ""}, {}]}`,
			[]string{"spec.policy.topologySpreadConstraints[0].topologyKey: is missing", "spec.policy.topologySpreadConstraints[1].topologyKey: is missing"}},
		{"a constraint is hard or soft", `{placementType: PickN, numberOfClusters: 1, topologySpreadConstraints: [{topologyKey: z, whenUnsatisfiable: Never}]}`,
			[]string{`spec.policy.topologySpreadConstraints[0].whenUnsatisfiable: must be DoNotSchedule or ScheduleAnyway, not "Never"`}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) { wantFaults(t, faultsOf(t, placementWith("policy: "+tt.policy)), tt.want) })
	}
}

// TestCheckAffinity has the rules of terms, of PickN.
func TestCheckAffinity(t *testing.T) {
	tests := []struct {
		reason, affinity string
		want             []string
	}{
		{"no terms mean every cluster", `{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: []}}`, nil},
		{"terms are asked for", `{requiredDuringSchedulingIgnoredDuringExecution: {}}`, []string{required + ": is missing"}},
		{"ten terms", `{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: ` + many(10, "{labelSelector: {matchLabels: {a: x%d}}}") + `}}`, nil},
		{"eleven terms", `{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: ` + many(11, "{labelSelector: {matchLabels: {a: x%d}}}") + `}}`,
			[]string{required + ": must have at most 10 entries, not 11"}},
		{"labels have a syntax", `{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {"a b": c, d: "e f"}}}]}}`,
			[]string{required + "[0].labelSelector.matchLabels: a b: name part must", required + "[0].labelSelector.matchLabels: d: a valid label must"}},
		{"expressions have a syntax", `{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchExpressions: [
			{key: a, operator: In}, {key: a, operator: Exists, values: [b]}, {key: a, operator: Gt, values: ["1"]}, {key: "a b", operator: Exists}, {key: a, operator: NotIn, values: [b, c]}]}}]}}`,
			[]string{required + "[0].labelSelector.matchExpressions[0]: values", required + "[0].labelSelector.matchExpressions[1]: values",
				required + "[0].labelSelector.matchExpressions[2]: ", required + "[0].labelSelector.matchExpressions[3]: "}},
		{"required terms do not rank", `{requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{propertySorter: {name: a, sortOrder: Ascending}}]}}`,
			[]string{required + "[0].propertySorter: is for preferred terms only"}},

		{"weights go from -100 to 100", `{preferredDuringSchedulingIgnoredDuringExecution: [{weight: -100, preference: {}}, {weight: 100, preference: {}}]}`, nil},
		{"weights go no further", `{preferredDuringSchedulingIgnoredDuringExecution: [{weight: -101, preference: {}}, {weight: 101, preference: {}}]}`,
			[]string{preferred + "[0].weight: must be -100 to 100, not -101", preferred + "[1].weight: must be -100 to 100, not 101"}},
		{"a preferred term has a weight and a preference", `{preferredDuringSchedulingIgnoredDuringExecution: [{}]}`,
			[]string{preferred + "[0].preference: is missing", preferred + "[0].weight: is missing"}},
		{"preferred terms do not select by properties", `{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {propertySelector: {matchExpressions: []}}}]}`,
			[]string{preferred + "[0].preference.propertySelector: is for required terms only"}},
		{"labels of preferred terms have a syntax", `{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {labelSelector: {matchExpressions: [{key: a, operator: Like}]}}}]}`,
			[]string{preferred + "[0].preference.labelSelector.matchExpressions[0]: "}},
		{"a sorter has an order", `{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {propertySorter: {name: a, sortOrder: Up}}}, {weight: 1, preference: {propertySorter: {name: a}}}]}`,
			[]string{preferred + `[0].preference.propertySorter.sortOrder: must be Ascending or Descending, not "Up"`, preferred + "[1].preference.propertySorter.sortOrder: is missing"}},
		{"a sorter has a property", `{preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {propertySorter: {name: "a b", sortOrder: Ascending}}}, {weight: 1, preference: {propertySorter: {sortOrder: Ascending}}}]}`,
			[]string{preferred + `[0].preference.propertySorter.name: "a b" is no name of a property`, preferred + "[1].preference.propertySorter.name: is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantFaults(t, faultsOf(t, placementWith("policy: {placementType: PickN, numberOfClusters: 1, affinity: {clusterAffinity: "+tt.affinity+"}}")), tt.want)
		})
	}
}

// TestCheckProperties has the rules of comparisons in one required term.
func TestCheckProperties(t *testing.T) {
	const at = required + "[0].propertySelector.matchExpressions"
	tests := []struct {
		reason, expressions string
		want                []string
	}{
		{"every operator", `[{name: a, operator: Gt, values: ["1"]}, {name: a, operator: Ge, values: ["2"]}, {name: a, operator: Lt, values: [9]}, {name: a, operator: Le, values: ["8"]},
			{name: a, operator: Ne, values: ["5"]}, {name: b, operator: Eq, values: [16Gi]}]`, []string{at + "[2].values[0]: must be a string, not 9; quote it"}},
		{"no other operator", `[{name: a, operator: In, values: ["1"]}]`, []string{at + `[0].operator: must be Gt, Ge, Eq, Ne, Lt or Le, not "In"`}},
		{"all parts are there", `[{}]`, []string{at + "[0].name: is missing", at + "[0].operator: is missing", at + "[0].values: is missing"}},
		{"exactly one value", `[{name: a, operator: Gt, values: []}, {name: a, operator: Gt, values: ["1", "2"]}]`,
			[]string{at + "[0].values: must have exactly one entry, not 0", at + "[1].values: must have exactly one entry, not 2"}},
		{"a value is a quantity", `[{name: a, operator: Gt, values: ["1.5"]}, {name: a, operator: Gt, values: [500m]}, {name: a, operator: Gt, values: ["-3"]}, {name: a, operator: Gt, values: [v1.37]}]`,
			[]string{at + `[3].values[0]: "v1.37" is no quantity; write it as`}},
		{"a quantity that would take minutes to read", `[{name: a, operator: Gt, values: ["1e-2000000000"]}]`, []string{at + `[0].values[0]: "1e-2000000000" is no quantity`}},
		{"expressions are asked for", `null`, []string{at + ": is missing"}},

		{"names of properties", `[{name: a, operator: Gt, values: ["1"]}, {name: kubernetes-fleet.io/node-count, operator: Gt, values: ["1"]},
			{name: kubernetes.azure.com/vm-sizes/Standard_D2s_v3/count, operator: Gt, values: ["1"]}, {name: Some_Prefix/x, operator: Gt, values: ["1"]},
			{name: resources.kubernetes-fleet.io/available-cpu, operator: Gt, values: ["1"]}, {name: resources.kubernetes-fleet.io/total-nvidia.com/gpu, operator: Gt, values: ["1"]}]`, nil},
		{"names that are none", `[{name: a/, operator: Gt, values: ["1"]}, {name: "a b/c", operator: Gt, values: ["1"]}, {name: ` + strings.Repeat("x", 64) + `, operator: Gt, values: ["1"]}]`,
			[]string{at + `[0].name: "a/" is no name of a property`, at + `[1].name: "a b/c" is no name of a property`, at + `[2].name: "xxx`}},
		{"figures of resources", `[{name: resources.kubernetes-fleet.io/cpu, operator: Gt, values: ["1"]}, {name: resources.kubernetes-fleet.io/free-cpu, operator: Gt, values: ["1"]},
			{name: resources.kubernetes-fleet.io/total-, operator: Gt, values: ["1"]}, {name: resources.kubernetes-fleet.io/total, operator: Gt, values: ["1"]}]`,
			[]string{at + `[0].name: "resources.kubernetes-fleet.io/cpu" names no figure of the clusters' resources; write resources.kubernetes-fleet.io/total-NAME`,
				at + `[1].name: "resources.kubernetes-fleet.io/free-cpu" names no figure`, at + `[2].name: "resources.kubernetes-fleet.io/total-" is no name of a property`,
				at + `[3].name: "resources.kubernetes-fleet.io/total" names no figure`}},
		{"resources with a dash, at which schedulers split", `[{name: resources.kubernetes-fleet.io/available-ephemeral-storage, operator: Gt, values: ["1"]}, {name: resources.kubernetes-fleet.io/total-a-b, operator: Gt, values: ["1"]}]`,
			[]string{at + `[0].name: "resources.kubernetes-fleet.io/available-ephemeral-storage" asks for resource ephemeral-storage, and no resource whose name has a dash can be asked for; ` +
				"ask for another one, such as resources.kubernetes-fleet.io/available-cpu, or select the clusters by a label",
				at + `[1].name: "resources.kubernetes-fleet.io/total-a-b" asks for resource a-b`}},

		{"Eq of two values", `[{name: a, operator: Eq, values: ["1"]}, {name: a, operator: Eq, values: ["2"]}]`,
			[]string{at + "[1]: contradicts entry 0: nothing is both Eq 1 and Eq 2, so no cluster qualifies; remove one of them"}},
		{"Eq of one value, written in two ways", `[{name: a, operator: Eq, values: ["1"]}, {name: a, operator: Eq, values: [1000m]}]`, nil},
		{"Eq and Ne of one value", `[{name: a, operator: Ne, values: [1Ki]}, {name: a, operator: Eq, values: ["1024"]}]`, []string{at + "[1]: contradicts entry 0: nothing is both Ne 1Ki and Eq 1024"}},
		{"Eq and Ne of two values", `[{name: a, operator: Ne, values: ["1"]}, {name: a, operator: Eq, values: ["2"]}]`, nil},
		{"an interval", `[{name: a, operator: Gt, values: ["1"]}, {name: a, operator: Lt, values: ["2"]}]`, nil},
		{"an interval of one value", `[{name: a, operator: Ge, values: ["1"]}, {name: a, operator: Le, values: ["1"]}]`, nil},
		{"an empty interval", `[{name: a, operator: Gt, values: ["2"]}, {name: a, operator: Lt, values: ["1"]}]`, []string{at + "[1]: contradicts entry 0: nothing is both Gt 2 and Lt 1"}},
		{"open at both ends of one value", `[{name: a, operator: Gt, values: ["1"]}, {name: a, operator: Lt, values: ["1"]}]`, []string{at + "[1]: contradicts entry 0"}},
		{"open below", `[{name: a, operator: Le, values: ["1"]}, {name: a, operator: Gt, values: ["1"]}]`, []string{at + "[1]: contradicts entry 0: nothing is both Le 1 and Gt 1"}},
		{"open above", `[{name: a, operator: Ge, values: ["1"]}, {name: a, operator: Lt, values: ["1"]}]`, []string{at + "[1]: contradicts entry 0"}},
		{"the narrowest bounds decide", `[{name: a, operator: Ge, values: ["1"]}, {name: a, operator: Gt, values: ["5"]}, {name: a, operator: Ge, values: ["5"]}, {name: a, operator: Le, values: ["9"]}, {name: a, operator: Le, values: ["5"]}]`,
			[]string{at + "[4]: contradicts entry 1: nothing is both Gt 5 and Le 5"}},
		{"Eq below the bound", `[{name: a, operator: Eq, values: ["1"]}, {name: a, operator: Gt, values: ["1"]}]`, []string{at + "[1]: contradicts entry 0: nothing is both Eq 1 and Gt 1"}},
		{"Eq above the bound", `[{name: a, operator: Lt, values: ["3"]}, {name: a, operator: Eq, values: ["4"]}]`, []string{at + "[1]: contradicts entry 0: nothing is both Lt 3 and Eq 4"}},
		{"Eq on the bound", `[{name: a, operator: Eq, values: ["1"]}, {name: a, operator: Ge, values: ["1"]}]`, nil},
		{"properties are apart", `[{name: a, operator: Eq, values: ["1"]}, {name: b, operator: Eq, values: ["2"]}]`, nil},
		{"what cannot be read contradicts nothing", `[{name: a, operator: Eq, values: ["1"]}, {name: a, operator: Eq, values: [x]}, {name: a, operator: Is, values: ["2"]}]`,
			[]string{at + `[1].values[0]: "x" is no quantity`, at + "[2].operator: must be"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantFaults(t, faultsOf(t, placementWith("policy: {affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{propertySelector: {matchExpressions: "+
				tt.expressions+"}}]}}}}")), tt.want)
		})
	}
}

func TestCheckTolerations(t *testing.T) {
	const at = "spec.policy.tolerations"
	tests := []struct {
		reason, tolerations string
		want                []string
	}{
		{"all that mean something", `[{key: a}, {key: a, value: b}, {key: a, operator: Equal, value: c}, {key: a, operator: Exists, effect: NoSchedule}, {operator: Exists}]`, nil},
		{"a hundred", many(100, "{key: a%d}"), nil},
		{"one more", many(101, "{key: a%d}"), []string{at + ": must have at most 100 entries, not 101"}},
		{"Exists takes no value", `[{key: a, operator: Exists, value: b}]`, []string{at + "[0].value: is for operator Equal only"}},
		{"no key takes Exists", `[{operator: Equal}, {value: b}]`, []string{at + "[0].key: is missing; name the key", at + "[1].key: is missing"}},
		{"two operators", `[{key: a, operator: Like}]`, []string{at + `[0].operator: must be Equal or Exists, not "Like"`}},
		{"one effect", `[{key: a, effect: NoExecute}]`, []string{at + `[0].effect: must be NoSchedule, not "NoExecute"`}},
		{"keys and values are those of labels", `[{key: "a b", value: "c d"}]`, []string{at + `[0].key: "a b" is no key of a taint`, at + `[0].value: "c d" is no value of a taint`}},
		{"unique, defaults filled in", `[{key: a}, {key: b}, {key: a, operator: Equal}]`, []string{at + "[2]: is the same as entry 0"}},
		{"the effect tells them apart", `[{key: a}, {key: a, effect: NoSchedule}]`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantFaults(t, faultsOf(t, placementWith("policy: {tolerations: "+tt.tolerations+"}")), tt.want)
		})
	}
}

// TestCheckSelectors has the rules of a ClusterResourcePlacement's selectors; kinds that are not known are in selector-errors.txtar.
func TestCheckSelectors(t *testing.T) {
	const at = "spec.resourceSelectors"
	ns := func(rest string) string { return `{group: "", version: v1, kind: Namespace` + rest + `}` }
	tests := []struct {
		reason, selectors string
		want              []string
	}{
		{"by name, by labels, or all", "[" + ns(", name: a") + ", " + ns(", labelSelector: {matchLabels: {a: b}}") + ", " + ns("") + "]", nil},
		{"a hundred", many(100, ns(", name: x%d")), nil},
		{"one more", many(101, ns(", name: x%d")), []string{at + ": must have 1 to 100 entries, not 101"}},
		{"none", "[]", []string{at + ": must have 1 to 100 entries, not 0"}},
		{"all parts of a kind", "[{name: a}]", []string{at + "[0].group: is missing", at + "[0].kind: is missing", at + "[0].version: is missing"}},
		{"a name excludes labels", "[" + ns(", name: a, labelSelector: {}") + "]", []string{at + "[0].labelSelector: excludes name"}},
		{"all scopes", "[" + ns(", name: a, selectionScope: NamespaceOnly") + ", " + ns(", name: b, selectionScope: NamespaceWithResources") + "]", nil},
		{"no other scope", "[" + ns(", selectionScope: All") + "]",
			[]string{at + `[0].selectionScope: must be NamespaceWithResources, NamespaceOnly or NamespaceWithResourceSelectors, not "All"`}},
		{"the scope is read for Namespaces only", `[{group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole, selectionScope: NamespaceWithResourceSelectors}, ` + ns("") + "]", nil},
		{"what lives in a namespace", `[{group: apps, version: v1, kind: Deployment}]`, []string{at + "[0].kind: Deployment lives in namespaces"}},
		{"what lives in a namespace, with resource selectors", "[" + ns(", name: a, selectionScope: NamespaceWithResourceSelectors") +
			`, {group: apps, version: v1, kind: Deployment}, {group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole}]`, nil},
		{"resource selectors need the name of a Namespace", "[" + ns(", selectionScope: NamespaceWithResourceSelectors") + "]", []string{at + "[0].name: is missing"}},
		{"and labels are none", "[" + ns(", labelSelector: {}, selectionScope: NamespaceWithResourceSelectors") + "]", []string{at + "[0].name: is missing"}},
		{"resource selectors of one Namespace only", "[" + ns(", name: a, selectionScope: NamespaceWithResourceSelectors") + ", " + ns(", name: b, selectionScope: NamespaceWithResourceSelectors") + "]",
			[]string{at + "[1]: selects Namespaces beside resourceSelectors[0]"}},
		{"and no other Namespace", "[" + ns(", name: b, selectionScope: NamespaceOnly") + ", " + ns(", name: a, selectionScope: NamespaceWithResourceSelectors") + "]",
			[]string{at + "[0]: selects Namespaces beside resourceSelectors[1]"}},
		{"a reserved namespace", "[" + ns(", name: kube-system") + ", " + ns(", name: fleet-x") + ", " + ns(", name: default, selectionScope: NamespaceWithResourceSelectors") + "]",
			[]string{at + "[0]: selects Namespaces beside", at + "[0].name: namespace kube-system is reserved", at + "[1]: selects Namespaces beside", at + "[1].name: namespace fleet-x is reserved",
				at + "[2].name: namespace default is reserved"}},
		{"an envelope", `[{group: placement.kubernetes-fleet.io, version: v1beta1, kind: ClusterResourceEnvelope, name: e}]`, nil},
		{"an envelope of no known version", `[{group: placement.kubernetes-fleet.io, version: v1, kind: ClusterResourceEnvelope, name: e}]`, []string{at + `[0].version: group "placement.kubernetes-fleet.io" has no version v1`}},
		{"an envelope in a namespace", `[{group: placement.kubernetes-fleet.io, version: v1beta1, kind: ResourceEnvelope, name: e}]`, []string{at + "[0].kind: ResourceEnvelope lives in namespaces"}},
		{"the fleet's own kinds", `[{group: placement.kubernetes-fleet.io, version: v1beta1, kind: ClusterResourcePlacement}]`, []string{at + "[0].kind: ClusterResourcePlacement is about the fleet itself"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantFaults(t, faultsOf(t, placementWith("resourceSelectors: "+tt.selectors)), tt.want)
		})
	}
}

// TestCheckSpec has the rules of the rest of a placement.
func TestCheckSpec(t *testing.T) {
	const unsupported = " is not supported by this version of gitfleet; remove this field"
	tests := []struct {
		reason, spec string
		want         []string
	}{
		{"every default, spelt out", `revisionHistoryLimit: 10, statusReportingScope: ClusterScopeOnly, strategy: {type: RollingUpdate,
			rollingUpdate: {maxUnavailable: 25%, maxSurge: 25%, unavailablePeriodSeconds: 60},
			applyStrategy: {type: ClientSideApply, comparisonOption: PartialComparison, whenToApply: Always, whenToTakeOver: Always, allowCoOwnership: false},
			deleteStrategy: {propagationPolicy: Delete}, reportBackStrategy: {type: Disabled}}`, nil},
		{"server-side apply is how gitfleet applies", `strategy: {applyStrategy: {type: ServerSideApply, serverSideApplyConfig: {force: true}}}`, nil},
		{"without force is not", `strategy: {applyStrategy: {type: ServerSideApply, serverSideApplyConfig: {}}}`, []string{"spec.strategy.applyStrategy.serverSideApplyConfig: applying without force" + unsupported}},
		{"its configuration is for it only", `strategy: {applyStrategy: {serverSideApplyConfig: {force: true}}}`, []string{"spec.strategy.applyStrategy.serverSideApplyConfig: is for apply strategy type ServerSideApply only"}},
		{"1 to 1000 revisions", `revisionHistoryLimit: 1001`, []string{"spec.revisionHistoryLimit: must be 1 to 1000, not 1001"}},
		{"at least one revision", `revisionHistoryLimit: 0`, []string{"spec.revisionHistoryLimit: must be 1 to 1000, not 0"}},
		{"as many as allowed", `revisionHistoryLimit: 1000`, nil},
		{"the status in a namespace too", `statusReportingScope: NamespaceAccessible`, nil},
		{"whatever else is selected", `statusReportingScope: NamespaceAccessible, resourceSelectors: [{group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole},
			{group: "", version: v1, kind: Namespace, labelSelector: {matchLabels: {app: shop}}}]`, nil},
		{"in no namespace", `statusReportingScope: NamespaceAccessible, resourceSelectors: [{group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole}]`,
			[]string{"spec.statusReportingScope: NamespaceAccessible shows the status in the Namespace that is selected, and needs exactly one selector of kind Namespace, not 0"}},
		{"in two namespaces", `statusReportingScope: NamespaceAccessible, resourceSelectors: [{group: "", version: v1, kind: Namespace, name: shop},
			{group: "", version: v1, kind: Namespace, name: cart}]`, []string{"spec.statusReportingScope: NamespaceAccessible shows the status in the Namespace that is selected, and needs exactly one selector of kind Namespace, not 2"}},
		{"no place at all", `statusReportingScope: Nowhere`, []string{`spec.statusReportingScope: must be ClusterScopeOnly or NamespaceAccessible, not "Nowhere"`}},
		{"staged update runs", `strategy: {type: External}`, []string{"spec.strategy.type: leaving a rollout to staged update runs (External)" + unsupported}},
		{"and rolling updates", `strategy: {type: External, rollingUpdate: {}}`, []string{"spec.strategy.rollingUpdate: is for strategy type RollingUpdate only", "spec.strategy.type: "}},
		{"values that upstream would take", `strategy: {rollingUpdate: {maxUnavailable: 1, maxSurge: 100%, unavailablePeriodSeconds: 0},
			applyStrategy: {type: ReportDiff, comparisonOption: FullComparison, whenToApply: IfNotDrifted, whenToTakeOver: IfNoDiff, allowCoOwnership: true},
			deleteStrategy: {propagationPolicy: Abandon}, reportBackStrategy: {type: Mirror, destination: WorkAPI}}`, []string{
			"spec.strategy.applyStrategy.allowCoOwnership: co-ownership" + unsupported, "spec.strategy.applyStrategy.comparisonOption: FullComparison" + unsupported,
			"spec.strategy.applyStrategy.type: ReportDiff" + unsupported, "spec.strategy.applyStrategy.whenToApply: IfNotDrifted" + unsupported,
			"spec.strategy.applyStrategy.whenToTakeOver: IfNoDiff" + unsupported, "spec.strategy.deleteStrategy.propagationPolicy: keeping objects of a deleted placement" + unsupported,
			"spec.strategy.reportBackStrategy.destination: copying statuses back" + unsupported, "spec.strategy.reportBackStrategy.type: copying statuses back" + unsupported,
			"spec.strategy.rollingUpdate.maxSurge: pacing a rollout" + unsupported, "spec.strategy.rollingUpdate.maxUnavailable: pacing a rollout" + unsupported,
			"spec.strategy.rollingUpdate.unavailablePeriodSeconds: pacing a rollout" + unsupported}},
		{"values that upstream would not take", `strategy: {type: Slow, rollingUpdate: {maxUnavailable: -1, maxSurge: 101%, unavailablePeriodSeconds: -1},
			applyStrategy: {type: Apply, comparisonOption: None, whenToApply: Never, whenToTakeOver: Maybe},
			deleteStrategy: {propagationPolicy: Keep}, reportBackStrategy: {type: Copy, destination: Here}}`, []string{
			`spec.strategy.applyStrategy.comparisonOption: must be PartialComparison or FullComparison, not "None"`,
			`spec.strategy.applyStrategy.type: must be ClientSideApply, ServerSideApply or ReportDiff, not "Apply"`,
			`spec.strategy.applyStrategy.whenToApply: must be Always or IfNotDrifted, not "Never"`,
			`spec.strategy.applyStrategy.whenToTakeOver: must be Always, IfNoDiff or Never, not "Maybe"`,
			`spec.strategy.deleteStrategy.propagationPolicy: must be Delete or Abandon, not "Keep"`,
			`spec.strategy.reportBackStrategy.destination: must be OriginalResource or WorkAPI, not "Here"`,
			`spec.strategy.reportBackStrategy.type: must be Disabled or Mirror, not "Copy"`,
			`spec.strategy.rollingUpdate.maxSurge: must be a number of clusters or 0% to 100%, not "101%"`,
			`spec.strategy.rollingUpdate.maxUnavailable: must be a number of clusters or 0% to 100%, not "-1"`,
			"spec.strategy.rollingUpdate.unavailablePeriodSeconds: must be 0 or more, not -1",
			`spec.strategy.type: must be RollingUpdate or External, not "Slow"`}},
		{"a number in quotes is no percentage", `strategy: {rollingUpdate: {maxSurge: "25"}}`, []string{`spec.strategy.rollingUpdate.maxSurge: must be a number of clusters or 0% to 100%, not "25"`}},
		{"a destination without mirroring", `strategy: {reportBackStrategy: {destination: WorkAPI}}`, []string{"spec.strategy.reportBackStrategy.destination: is for report-back type Mirror only"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) { wantFaults(t, faultsOf(t, placementWith(tt.spec)), tt.want) })
	}
}

// TestCheckResourcePlacement has what is different from a ClusterResourcePlacement.
func TestCheckResourcePlacement(t *testing.T) {
	tests := []struct {
		reason, metadata, spec string
		want                   []string
	}{
		{"what lives in its namespace", "{name: p, namespace: shop}", `{resourceSelectors: [{group: apps, version: v1, kind: Deployment, labelSelector: {}}, {group: "", version: v1, kind: Service, name: web},
			{group: placement.kubernetes-fleet.io, version: v1beta1, kind: ResourceEnvelope, name: e}], statusReportingScope: ClusterScopeOnly}`, nil},
		{"what lives outside namespaces", "{name: p, namespace: shop}", `{resourceSelectors: [{group: "", version: v1, kind: Namespace, name: shop, selectionScope: NamespaceWithResourceSelectors},
			{group: placement.kubernetes-fleet.io, version: v1beta1, kind: ClusterResourceEnvelope, name: e}]}`, []string{
			"spec.resourceSelectors[0].kind: Namespace lives outside namespaces, and a ResourcePlacement selects what lives in its own; use a ClusterResourcePlacement",
			"spec.resourceSelectors[1].kind: ClusterResourceEnvelope lives outside namespaces"}},
		{"its status is in its namespace anyway", "{name: p, namespace: shop}", `{resourceSelectors: [{group: apps, version: v1, kind: Deployment}], statusReportingScope: NamespaceAccessible}`,
			[]string{"spec.statusReportingScope: NamespaceAccessible is for a ClusterResourcePlacement only"}},
		{"a namespace is needed, and said once", "{name: p}", `{resourceSelectors: [{group: apps, version: v1, kind: Deployment}]}`, []string{"metadata.namespace: is missing"}},
		{"a reserved one", "{name: p, namespace: kube-system}", `{resourceSelectors: [{group: apps, version: v1, kind: Deployment}]}`, []string{"metadata.namespace: namespace kube-system is reserved"}},
		{"a name too long", "{name: " + strings.Repeat("x", 64) + ", namespace: shop}", `{resourceSelectors: [{group: apps, version: v1, kind: Deployment}]}`, []string{"metadata.name: "}},
		{"the policy has the same rules", "{name: p, namespace: shop}", `{resourceSelectors: [{group: apps, version: v1, kind: Deployment}], policy: {placementType: PickN}}`, []string{"spec.policy.numberOfClusters: is missing"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantFaults(t, faultsOf(t, "apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ResourcePlacement\nmetadata: "+tt.metadata+"\nspec: "+tt.spec), tt.want)
		})
	}
}

func TestCheckMember(t *testing.T) {
	const at = "spec.taints"
	tests := []struct {
		reason, member string
		want           []string
	}{
		{"nothing but a name", "metadata: {name: m}", nil},
		{"all of it", `metadata: {name: m}
spec: {identity: {kind: User, name: x, apiGroup: rbac.authorization.k8s.io}, heartbeatPeriodSeconds: 600, deleteOptions: {validationMode: Skip},
  taints: [{key: a, effect: NoSchedule}, {key: a, value: b, effect: NoSchedule}, {key: example.com/a, value: c, effect: NoSchedule}]}`, nil},
		{"a heartbeat of a second", "metadata: {name: m}\nspec: {heartbeatPeriodSeconds: 1}", nil},
		{"no shorter", "metadata: {name: m}\nspec: {heartbeatPeriodSeconds: 0}", []string{"spec.heartbeatPeriodSeconds: must be 1 to 600, not 0"}},
		{"no longer than ten minutes", "metadata: {name: m}\nspec: {heartbeatPeriodSeconds: 601}", []string{"spec.heartbeatPeriodSeconds: must be 1 to 600, not 601"}},
		{"two modes of leaving", "metadata: {name: m}\nspec: {deleteOptions: {validationMode: Lax}}", []string{`spec.deleteOptions.validationMode: must be Strict or Skip, not "Lax"`}},
		{"an identity is somebody", "metadata: {name: m}\nspec: {identity: {}}", []string{"spec.identity.kind: is missing", "spec.identity.name: is missing"}},
		{"a name of 63", "metadata: {name: " + strings.Repeat("x", 63) + "}", nil},
		{"a name too long", "metadata: {name: " + strings.Repeat("x", 64) + "}", []string{"metadata.name: "}},
		{"a hundred taints", "metadata: {name: m}\nspec: {taints: " + many(100, "{key: a%d, effect: NoSchedule}") + "}", nil},
		{"one more", "metadata: {name: m}\nspec: {taints: " + many(101, "{key: a%d, effect: NoSchedule}") + "}", []string{at + ": must have at most 100 entries, not 101"}},
		{"a taint is unique", "metadata: {name: m}\nspec: {taints: [{key: a, effect: NoSchedule}, {key: b, effect: NoSchedule}, {key: a, value: '', effect: NoSchedule}]}", []string{at + "[2]: is the same as entry 0"}},
		{"a taint has a key and an effect", "metadata: {name: m}\nspec: {taints: [{value: a}, {key: '', effect: ''}]}", []string{at + "[0].effect: is missing", at + "[0].key: is missing",
			at + "[1].effect: is missing", at + "[1].key: is missing"}},
		{"one effect", "metadata: {name: m}\nspec: {taints: [{key: a, effect: PreferNoSchedule}]}", []string{at + `[0].effect: must be NoSchedule, not "PreferNoSchedule"`}},
		{"keys and values are those of labels", "metadata: {name: m}\nspec: {taints: [{key: a/b/c, value: '-', effect: NoSchedule}]}", []string{at + `[0].key: "a/b/c" is no key of a taint`, at + `[0].value: "-" is no value of a taint`}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			wantFaults(t, faultsOf(t, "apiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberCluster\n"+tt.member), tt.want)
		})
	}
}
