package render

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"
)

// TestConvertFleet: what becomes of documents of other versions. want is the part after metadata, or begins with "error ".
func TestConvertFleet(t *testing.T) {
	const (
		alphaPlacement = "apiVersion: fleet.azure.com/v1alpha1\nkind: ClusterResourcePlacement\nmetadata: {name: p}\n"
		v1Placement    = "apiVersion: placement.kubernetes-fleet.io/v1\nkind: ClusterResourcePlacement\nmetadata: {name: p}\n"
		placement      = "apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ClusterResourcePlacement\nmetadata: {name: p}\n"
		selectors      = `resourceSelectors: [{group: "", version: v1, kind: Namespace, name: kuard}]`
		terms          = "clusterSelectorTerms: [{labelSelector: {matchLabels: {region: east}}}]"
	)
	tests := []struct{ reason, in, want string }{
		{"v1beta1 stays", placement + "spec: {}", placement + "spec: {}"},
		{"other kinds stay", "apiVersion: v1\nkind: Namespace", "apiVersion: v1\nkind: Namespace"},
		{"other kinds of the groups stay, and are refused", "apiVersion: placement.kubernetes-fleet.io/v1\nkind: Work", "apiVersion: placement.kubernetes-fleet.io/v1\nkind: Work"},

		{"v1 is the same", v1Placement + "spec: {" + selectors + ", policy: {placementType: PickN, numberOfClusters: 2}, strategy: {type: RollingUpdate}}",
			placement + "spec: {" + selectors + ", policy: {placementType: PickN, numberOfClusters: 2}, strategy: {type: RollingUpdate}}"},
		{"but for two fields", v1Placement + "spec: {strategy: {deleteStrategy: {propagationPolicy: Delete}, reportBackStrategy: {}}}",
			"error f.yaml: document 1: spec.strategy.deleteStrategy: is no field of placement.kubernetes-fleet.io/v1; remove it, or write apiVersion: placement.kubernetes-fleet.io/v1beta1\n" +
				"f.yaml: document 1: spec.strategy.reportBackStrategy: is no field of placement.kubernetes-fleet.io/v1; remove it, or write apiVersion: placement.kubernetes-fleet.io/v1beta1"},
		{"v1 with a strategy of a wrong type is left to the decoder", v1Placement + "spec: {strategy: [1]}", placement + "spec: {strategy: [1]}"},
		{"a ResourcePlacement of v1", "apiVersion: placement.kubernetes-fleet.io/v1\nkind: ResourcePlacement\nmetadata: {name: p, namespace: shop}",
			"apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: ResourcePlacement\nmetadata: {name: p, namespace: shop}"},
		{"a member of v1", "apiVersion: cluster.kubernetes-fleet.io/v1\nkind: MemberCluster\nmetadata: {name: m}\nspec: {taints: []}",
			"apiVersion: cluster.kubernetes-fleet.io/v1beta1\nkind: MemberCluster\nmetadata: {name: m}\nspec: {taints: []}"},

		{"v1alpha1 without a policy", alphaPlacement + "spec: {" + selectors + "}", placement + "spec: {" + selectors + "}"},
		{"v1alpha1 with an empty policy", alphaPlacement + "spec: {" + selectors + ", policy: {clusterNames: []}}", placement + "spec: {" + selectors + ", policy: {clusterNames: []}}"},
		{"names mean PickFixed", alphaPlacement + "spec: {" + selectors + ", policy: {clusterNames: [a, b]}}",
			placement + "spec: {" + selectors + ", policy: {placementType: PickFixed, clusterNames: [a, b]}}"},
		{"an affinity without terms beside names says nothing", alphaPlacement + "spec: {policy: {clusterNames: [a], affinity: {clusterAffinity: {}}}}",
			placement + "spec: {policy: {placementType: PickFixed, clusterNames: [a]}}"},
		{"terms are required ones", alphaPlacement + "spec: {" + selectors + ", policy: {affinity: {clusterAffinity: {" + terms + "}}}}",
			placement + "spec: {" + selectors + ", policy: {affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {" + terms + "}}}}}"},
		{"no terms mean every cluster", alphaPlacement + "spec: {policy: {affinity: {clusterAffinity: {clusterSelectorTerms: []}}}}",
			placement + "spec: {policy: {affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: []}}}}}"},
		{"its status says something else", alphaPlacement + "spec: {}\nstatus: {targetClusters: [a]}", placement + "spec: {}"},
		{"names and terms do not map", alphaPlacement + "spec: {policy: {clusterNames: [a, b], affinity: {clusterAffinity: {" + terms + "}}}}",
			"error f.yaml: document 1: spec.policy: names clusters and has an affinity, which v1beta1 does not allow together; write apiVersion: placement.kubernetes-fleet.io/v1beta1 " +
				"with policy: {clusterNames: [a, b], placementType: PickFixed} or policy: {affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: " +
				"{clusterSelectorTerms: [{labelSelector: {matchLabels: {region: east}}}]}}}}"},
		{"fields of v1beta1 show what was meant", alphaPlacement + "spec: {" + selectors + ", strategy: {type: RollingUpdate}}",
			"error f.yaml: document 1: spec.strategy: is no field of fleet.azure.com/v1alpha1; write apiVersion: placement.kubernetes-fleet.io/v1beta1"},
		{"so do both together", alphaPlacement + "spec: {" + selectors + ", policy: {placementType: PickN, numberOfClusters: 1, affinity: {clusterAffinity: {" + terms + "}}}}",
			"error f.yaml: document 1: spec.policy.numberOfClusters: is no field of fleet.azure.com/v1alpha1; write apiVersion: placement.kubernetes-fleet.io/v1beta1 " +
				"with policy: {affinity: {clusterAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {region: east}}}]}}}, " +
				"numberOfClusters: 1, placementType: PickN}"},
		{"mistakes of v1alpha1 are told in its own fields", alphaPlacement + "spec: {policy: {clusterName: [a], affinity: {clusterAffinity: {clusterSelectorTerms: {}}}}}",
			"error f.yaml: document 1: spec.policy.affinity.clusterAffinity.clusterSelectorTerms: must be a list, not a mapping\n" +
				"f.yaml: document 1: spec.policy.clusterName: unknown field; did you mean clusterNames?"},
		{"a member of v1alpha1", "apiVersion: fleet.azure.com/v1alpha1\nkind: MemberCluster\nmetadata: {name: m, labels: {region: east}}\nspec: {state: Join}",
			"error f.yaml: document 1: apiVersion: MemberCluster of fleet.azure.com/v1alpha1 is not supported; write " +
				"{apiVersion: cluster.kubernetes-fleet.io/v1beta1, kind: MemberCluster, metadata: {labels: {region: east}, name: m}}"},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			o := documents(t, []txtar.File{{Name: "f.yaml", Data: []byte(tt.in)}})[0]
			before := o.DeepCopy()
			got, errs := convertFleet(o)
			if diff := cmp.Diff(before, o.Unstructured); diff != "" {
				t.Errorf("convertFleet changed its argument:\n%s", diff)
			}
			if message, isError := strings.CutPrefix(tt.want, "error "); isError {
				if diff := cmp.Diff(message, errs.Error()); diff != "" {
					t.Errorf("want - got +:\n%s", diff)
				}
				return
			}
			var want map[string]any
			if err := yaml.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			data, err := got.MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			var converted map[string]any
			if err := yaml.Unmarshal(data, &converted); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, converted); diff != "" || len(errs) > 0 {
				t.Errorf("mistakes %v; want - got +:\n%s", errs, diff)
			}
			if got.Origin != o.Origin {
				t.Errorf("it stands in %v, want %v", got.Origin, o.Origin)
			}
		})
	}
}

// TestConvertedIsPlaced proves that documents of other versions go all the way.
func TestConvertedIsPlaced(t *testing.T) {
	placements, members, errs := Schedulable(documents(t, []txtar.File{{Name: "f.yaml", Data: []byte(`apiVersion: fleet.azure.com/v1alpha1
kind: ClusterResourcePlacement
metadata: {name: kuard}
spec:
  resourceSelectors: [{group: "", version: v1, kind: Namespace, name: kuard-demo}]
  policy: {affinity: {clusterAffinity: {clusterSelectorTerms: [{labelSelector: {matchLabels: {"fleet.azure.com/location": eastus}}}]}}}
---
apiVersion: placement.kubernetes-fleet.io/v1
kind: ResourcePlacement
metadata: {name: web, namespace: shop}
spec: {resourceSelectors: [{group: apps, version: v1, kind: Deployment}]}
---
apiVersion: cluster.kubernetes-fleet.io/v1
kind: MemberCluster
metadata: {name: m1}
`)}}))
	if len(errs) > 0 || len(placements) != 2 || len(members) != 1 {
		t.Fatalf("%d placements, %d members, mistakes %v; want 2 and 1 and none", len(placements), len(members), errs)
	}
	if got := placements[0].Spec.Policy.Affinity.ClusterAffinity.Required.ClusterSelectorTerms[0].LabelSelector.MatchLabels["fleet.azure.com/location"]; got != "eastus" {
		t.Errorf("the term of v1alpha1 wants %q, want eastus", got)
	}
	if got := placements[1].Key(); got != "shop/web" {
		t.Errorf("the second placement is %s, want shop/web", got)
	}
}
