package kube

import (
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
)

// rights lets a subject do verbs on resources, in one namespace.
func rights(namespace, name, subject, verbs, resources string) []wanted {
	return []wanted{
		{manifest: fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {namespace: %s, name: %s}, rules: [{apiGroups: ['', apps], resources: [%s], verbs: [%s]}]}", namespace, name, resources, verbs)},
		{manifest: fmt.Sprintf("{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {namespace: %s, name: %s}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: %[2]s}, subjects: [%s]}", namespace, name, subject)},
	}
}

// aPlacementActsAsItsAccount: an account with rights in one namespace writes there and nowhere else, takes over nothing, and
// deletes only what it may. gitfleet's own bookkeeping goes on beside it.
func aPlacementActsAsItsAccount(t *testing.T, r *rig) {
	const account = "{kind: ServiceAccount, namespace: team, name: deployer}"
	grants := []wanted{namespaceOf("team"), namespaceOf("others"), {manifest: "{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: team, name: deployer}}"}}
	r.start(t).converge(t, wish(t, "team-rights", "1", append(grants, rights("team", "deployer", account, "get, create, patch, delete", "configmaps, deployments")...)...))
	cm := func(namespace, name, value string) wanted {
		return wanted{manifest: fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {namespace: %s, name: %s}, data: {k: %s}}", namespace, name, value)}
	}
	owner := r.start(t)
	owner.converge(t, wish(t, "owner", "1", cm("others", "theirs", "right")))

	p := r.start(t)
	set := wish(t, "team", "1", cm("team", "a", "v"), wanted{deployment("team", "web", 1, plainContainer), []string{"spec.replicas"}, false},
		cm("others", "b", "v"), cm("others", "theirs", "wrong"), namespaceOf("more"),
		wanted{manifest: "{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: team, name: root}}"})
	set.Account = "team/deployer"
	out := p.once(t, p.plan(t, set))
	for key, want := range map[string]string{
		"ConfigMap a":         "",
		"Deployment web":      "",
		"ConfigMap b":         "service account team/deployer may not patch configmaps in namespace others: grant it",
		"ConfigMap theirs":    "service account team/deployer may not patch configmaps in namespace others: grant it",
		"Namespace more":      "service account team/deployer may not patch namespaces cluster-wide: grant it",
		"ServiceAccount root": "service account team/deployer may not patch serviceaccounts in namespace team: grant it",
	} {
		err := out[key].Err
		switch refused := refusedAs(err); {
		case want == "" && err != nil:
			t.Errorf("%s: %v", key, err)
		case want != "" && (refused == nil || refused.Actor != apply.Operator || !strings.HasPrefix(refused.Message, want)):
			t.Errorf("%s: %v, want a refusal for the operator: %s", key, err, want)
		}
	}
	if data := r.get(t, configMaps, "others", "theirs").Object["data"]; fmt.Sprint(data) != "map[k:right]" {
		t.Errorf("the account took over what is not its own: %v", data)
	}
	t.Run("delete", func(t *testing.T) {
		empty := wish(t, "team", "2", cm("others", "b", "v"))
		empty.Account = set.Account
		for key, o := range p.once(t, p.plan(t, empty)) {
			if gone := key == "ConfigMap a" || key == "Deployment web"; gone != (o.Err == nil) && !strings.Contains(o.Note, "gone already") {
				t.Errorf("%s: %v %s", key, o.Err, o.Note)
			}
		}
		if _, err := r.client.Resource(configMaps).Namespace("team").Get(t.Context(), "a", metav1.GetOptions{}); err == nil {
			t.Error("what left the wish is still there")
		}
	})
	t.Run("not-granted", func(t *testing.T) {
		// A gitfleet that may do all it needs, but act as nobody else.
		r.start(t).converge(t, wish(t, "plain-rbac", "1",
			wanted{manifest: "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: plain}, rules: [{apiGroups: ['*'], resources: ['*'], verbs: [get, list, watch, create, update, patch, delete]}]}"},
			wanted{manifest: "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: plain}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: plain}, subjects: [{kind: ServiceAccount, namespace: team, name: gitfleet}]}"},
			wanted{manifest: "{apiVersion: v1, kind: ServiceAccount, metadata: {namespace: team, name: gitfleet}}"}))
		set := wish(t, "plain", "1", cm("team", "c", "v"))
		set.Account = "team/deployer"
		p := r.withTokenOf(t, "team", "gitfleet").start(t)
		o := outcomeOf(p.once(t, p.plan(t, set)), "ConfigMap")
		if refused := refusedAs(o.Err); refused == nil || !strings.HasPrefix(refused.Message,
			"gitfleet may not impersonate service account team/deployer: grant gitfleet's user impersonate on serviceaccounts, resource name deployer, in namespace team") {
			t.Errorf("%v, want to hear that impersonation is not granted", o.Err)
		}
	})
}

// withTokenOf returns the same API server for processes that are a service account, not just taken for one.
func (r *rig) withTokenOf(t *testing.T, namespace, account string) *rig {
	t.Helper()
	accounts := schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	request := clustertest.Object(t, "{apiVersion: authentication.k8s.io/v1, kind: TokenRequest, metadata: {name: "+account+"}, spec: {}}")
	answer := clustertest.Must(r.client.Resource(accounts).Namespace(namespace).Create(t.Context(), request, metav1.CreateOptions{}, "token"))(t)
	config := rest.AnonymousClientConfig(r.config)
	config.BearerToken, _, _ = unstructured.NestedString(answer.Object, "status", "token")
	return newRig(t, config)
}
