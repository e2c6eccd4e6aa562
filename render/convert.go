package render

import (
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// alpha is the version that the first fleets had, of 2022.
var alpha = schema.GroupVersion{Group: "fleet.azure.com", Version: "v1alpha1"}

// convertFleet returns o in the v1beta1 form of its fleet API kind, or why it has none. Objects of other kinds, and of
// v1beta1, come back as they are; o itself is not modified.
func convertFleet(o Object) (Object, ManifestErrors) {
	switch o.GroupVersionKind() {
	case placementV1("ClusterResourcePlacement"), placementV1("ResourcePlacement"):
		if errs := missingInV1(o); len(errs) > 0 {
			return o, errs
		}
		return o.as(placementv1beta1.GroupVersion), nil
	case schema.GroupVersionKind{Group: clusterv1beta1.Group, Version: "v1", Kind: clusterv1beta1.MemberClusterGVK.Kind}:
		return o.as(clusterv1beta1.GroupVersion), nil
	case alpha.WithKind("ClusterResourcePlacement"):
		return convertAlpha(o)
	case alpha.WithKind("MemberCluster"):
		return o, ManifestErrors{o.mistake("apiVersion", "MemberCluster of %s is not supported; write %s", alpha, flow(memberForm(o)))}
	}
	return o, nil
}

func placementV1(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: placementv1beta1.Group, Version: "v1", Kind: kind}
}

// as returns a copy of o of another version.
func (o Object) as(gv schema.GroupVersion) Object {
	o.Unstructured = o.DeepCopy()
	o.SetAPIVersion(gv.String())
	return o
}

// missingInV1 reports the fields that v1beta1 has and v1 has not.
func missingInV1(o Object) ManifestErrors {
	var errs ManifestErrors
	for _, name := range []string{"deleteStrategy", "reportBackStrategy"} {
		if _, found, _ := unstructured.NestedFieldNoCopy(o.Object, "spec", "strategy", name); found {
			errs = append(errs, o.mistake("spec.strategy."+name, "is no field of %s; remove it, or write apiVersion: %s",
				o.GetAPIVersion(), placementv1beta1.GroupVersion))
		}
	}
	return errs
}

// alphaPlacement are the fields of alpha's ClusterResourcePlacement.
type alphaPlacement struct {
	metav1.TypeMeta
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		ResourceSelectors []struct {
			Group         string                `json:"group"`
			Version       string                `json:"version"`
			Kind          string                `json:"kind"`
			Name          string                `json:"name"`
			LabelSelector *metav1.LabelSelector `json:"labelSelector"`
		} `json:"resourceSelectors"`
		Policy struct {
			ClusterNames []string `json:"clusterNames"`
			Affinity     struct {
				ClusterAffinity struct {
					ClusterSelectorTerms []struct {
						LabelSelector *metav1.LabelSelector `json:"labelSelector"`
					} `json:"clusterSelectorTerms"`
				} `json:"clusterAffinity"`
			} `json:"affinity"`
		} `json:"policy"`
	} `json:"spec"`
	Status any `json:"status"`
}

// convertAlpha gives alpha's policy, which has no types, that of PickFixed or PickAll. Its status says something else than that of
// v1beta1 and is left out.
func convertAlpha(o Object) (Object, ManifestErrors) {
	next := o.as(placementv1beta1.GroupVersion)
	delete(next.Object, "status")
	policy, both := modernize(next.Object)
	if found := api.CheckFields(o.Object, alphaPlacement{}); len(found) > 0 {
		if len(api.CheckFields(next.Object, placementv1beta1.ClusterResourcePlacement{})) > 0 {
			return o, mistakes(o, found)
		}
		return o, ManifestErrors{o.mistake(found[0].Field, "is no field of %s; write %s", alpha, beta(policy))}
	}
	if both {
		fixed := map[string]any{"placementType": policy["placementType"], "clusterNames": policy["clusterNames"]}
		return o, ManifestErrors{o.mistake("spec.policy", "names clusters and has an affinity, which v1beta1 does not allow together; "+
			"write %s or policy: %s", beta(fixed), flow(map[string]any{"affinity": policy["affinity"]}))}
	}
	return next, nil
}

// modernize moves what alpha's policy says of clusters, by name or by affinity, to where v1beta1 has it. It returns the policy and
// whether it says both.
func modernize(content map[string]any) (policy map[string]any, both bool) {
	const required, terms = "requiredDuringSchedulingIgnoredDuringExecution", "clusterSelectorTerms"
	spec, _ := content["spec"].(map[string]any)
	policy, _ = spec["policy"].(map[string]any)
	affinity, _ := policy["affinity"].(map[string]any)
	cluster, _ := affinity["clusterAffinity"].(map[string]any)
	chosen, _ := cluster[terms].([]any)
	if chosen != nil && cluster[required] == nil {
		delete(cluster, terms)
		cluster[required] = map[string]any{terms: chosen}
	}
	names, _ := policy["clusterNames"].([]any)
	if len(names) == 0 || policy["placementType"] != nil {
		return policy, false
	}
	policy["placementType"] = string(placementv1beta1.PickFixed)
	if len(chosen) == 0 {
		delete(policy, "affinity")
	}
	return policy, len(chosen) > 0
}

// beta is how a message tells what to write in a placement instead.
func beta(policy map[string]any) string {
	text := "apiVersion: " + placementv1beta1.GroupVersion.String()
	if len(policy) > 0 {
		text += " with policy: " + flow(policy)
	}
	return text
}

// memberForm is the document of v1beta1 that registers the same cluster.
func memberForm(o Object) map[string]any {
	metadata := map[string]any{"name": o.GetName()}
	if labels := o.GetLabels(); len(labels) > 0 {
		metadata["labels"] = maps.Clone(labels)
	}
	gvk := clusterv1beta1.MemberClusterGVK
	return map[string]any{"apiVersion": gvk.GroupVersion().String(), "kind": gvk.Kind, "metadata": metadata}
}

// flow prints v as YAML on one line, for a message.
func flow(v map[string]any) string {
	var node yaml.Node
	if err := node.Encode(v); err != nil {
		return err.Error()
	}
	node.Style = yaml.FlowStyle
	data, err := yaml.Marshal(&node)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}
