package clustertest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func existingObjectsAreAdopted(t *testing.T, s server) {
	m := s.start(t, nil)
	m.converge(t, wish(t, "adopt-ns", "1", namespace("adopt")))
	theirs := Object(t, configMap("adopt", "a", "theirs"))
	set(t, theirs, "kept", "data", "more")
	before := Must(s.configMaps("adopt").Create(t.Context(), theirs, metav1.CreateOptions{FieldManager: "foreigner"}))(t)
	other := Must(s.configMaps("adopt").Create(t.Context(), Object(t, configMap("adopt", "other", "1")), metav1.CreateOptions{}))(t)
	out := m.outcomes(t, wish(t, "adopt", "1", configMap("adopt", "a", "ours"), configMap("adopt", "new", "1")))
	if note := out["ConfigMap a"].Note; !strings.Contains(note, "adopted") {
		t.Errorf("the outcome of an object that was there says %q, want adopted", note)
	}
	if note := out["ConfigMap new"].Note; note != "" {
		t.Errorf("the outcome of a new object says %q", note)
	}
	after := Must(s.configMaps("adopt").Get(t.Context(), "a", metav1.GetOptions{}))(t)
	if diff := cmp.Diff(map[string]any{"key": "ours", "more": "kept"}, after.Object["data"]); diff != "" || after.GetUID() != before.GetUID() {
		t.Errorf("adopted object: uid %s, was %s, data (-want +got):\n%s", after.GetUID(), before.GetUID(), diff)
	}
	m.converge(t, wish(t, "adopt", "2"))
	now := Must(s.configMaps("adopt").Get(t.Context(), "other", metav1.GetOptions{}))(t)
	if now.GetResourceVersion() != other.GetResourceVersion() {
		t.Error("an object that no commit names was touched")
	}
}

// anAdoptedVolumeStays: its data is older than the commit that named it.
func anAdoptedVolumeStays(t *testing.T, s server) {
	m := s.start(t, nil)
	claim := func(name string) string {
		return "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {namespace: volumes, name: " + name + "}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}"
	}
	m.converge(t, wish(t, "volumes-ns", "1", namespace("volumes")))
	client := s.client.Resource(claims).Namespace("volumes")
	Must(client.Create(t.Context(), Object(t, claim("theirs")), metav1.CreateOptions{FieldManager: "kubectl-create"}))(t)
	m.converge(t, wish(t, "volumes", "1", claim("theirs"), claim("ours")))
	out := m.outcomes(t, wish(t, "volumes", "2"))
	if h := held(t, out["PersistentVolumeClaim theirs"]); !strings.Contains(h.Error(), "kubectl-create created it before gitfleet applied it") {
		t.Errorf("the error does not say why: %v", h)
	}
	if err := out["PersistentVolumeClaim ours"].Err; err != nil {
		t.Errorf("the one that gitfleet created: %v", err)
	}
	m.observed(t, nil)
	out = m.executeAll(t, m.plan(wish(t, "volumes", "2"), wish(t, "volumes-ns", "2")))
	if h := held(t, out["Namespace volumes"]); len(h.Foreign) != 1 || h.Foreign[0].Name != "theirs" {
		t.Errorf("the namespace around it: %v", h)
	}
	if !s.exists(t, claims, "volumes", "theirs") {
		t.Error("the adopted claim is gone")
	}
}
