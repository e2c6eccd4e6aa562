package clustertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func onlyWhatChangedIsWritten(t *testing.T, s server) {
	m := s.start(t, nil)
	first := wish(t, "few", "aaa", namespace("few"), configMap("few", "a", "1"), configMap("few", "b", "1"))
	m.converge(t, first)
	again := first
	again.Revision = "bbb"
	if sent := m.converge(t, again); len(sent) > 0 {
		t.Errorf("a commit that renders the same sent %v", sent)
	}
	changed := wish(t, "few", "ccc", namespace("few"), configMap("few", "a", "2"), configMap("few", "b", "1"))
	want := []string{"PATCH /api/v1/namespaces/few/configmaps/a", "PUT /api/v1/namespaces/gitfleet-system/configmaps/applyset-few"}
	if diff := cmp.Diff(want, m.converge(t, changed)); diff != "" {
		t.Errorf("one changed object (-want +sent):\n%s", diff)
	}
	if sent := s.start(t, nil).converge(t, changed); len(sent) > 0 {
		t.Errorf("a restart sent %v", sent)
	}
	for range 20 {
		m.plan(changed)
	}
	if requests := m.proxy.Requests(); len(requests) > 0 {
		t.Errorf("looking at a converged member made requests: %v", requests)
	}
	s.patch(t, "few", "a", `{"data":{"key":"theirs"}}`)
	Eventually(t, "drift is seen", func(context.Context) error {
		if m.plan(changed).Empty() {
			return errors.New("the plan is empty")
		}
		return nil
	})
	want = []string{"PATCH /api/v1/namespaces/few/configmaps/a (dry run)", "PATCH /api/v1/namespaces/few/configmaps/a", "POST /api/v1/namespaces/few/events"}
	if diff := cmp.Diff(want, m.converge(t, changed)); diff != "" {
		t.Errorf("one drifted object (-want +sent):\n%s", diff)
	}
}

func repairsAreDamped(t *testing.T, s server) {
	m := s.start(t, nil)
	set := wish(t, "damped", "1", namespace("damped"), configMap("damped", "a", "1"))
	m.converge(t, set)
	for i := range 2 {
		s.patch(t, "damped", "a", fmt.Sprintf(`{"data":{"key":"theirs %d"}}`, i))
		Eventually(t, "drift is seen", func(context.Context) error {
			if len(m.plan(set).Sets) == 0 {
				return errors.New("the plan has no set")
			}
			return nil
		})
		if i == 0 {
			m.converge(t, set)
		}
	}
	plan := m.plan(set)
	if at, ok := plan.Wake(); !ok || !plan.Empty() {
		t.Errorf("the second repair within a second is not held (wake %v): %s", at, plan)
	}
}

// aSecretsStringDataShowsDrift: applied as it is, nobody would see somebody change the stored data.
func aSecretsStringDataShowsDrift(t *testing.T, s server) {
	m := s.start(t, nil)
	target := wish(t, "string-data", "1", namespace("string-data"),
		"{apiVersion: v1, kind: Secret, metadata: {namespace: string-data, name: s}, stringData: {password: one}}")
	m.converge(t, target)
	secrets := s.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace("string-data")
	Must(secrets.Patch(t.Context(), "s", "application/merge-patch+json", []byte(`{"data":{"password":"dHdv"}}`), metav1.PatchOptions{}))(t)
	Eventually(t, "drift is seen", func(context.Context) error {
		if m.plan(target).Empty() {
			return errors.New("the plan is empty")
		}
		return nil
	})
	m.converge(t, target)
	u := Must(secrets.Get(t.Context(), "s", metav1.GetOptions{}))(t)
	if data := fmt.Sprint(u.Object["data"]); data != "map[password:b25l]" {
		t.Errorf("data: %s, want the password of the wish", data)
	}
}
