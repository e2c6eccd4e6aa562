package kube

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/mcs"
)

func exported(o mcs.Observed) bool {
	return o.Synced && len(o.Exports) == 1 && o.Exports[0].Service != nil && len(o.Exports[0].Endpoints) == 1
}

func TestObserveFollowsExports(t *testing.T) {
	onEveryServer(t, func(t *testing.T, m *member) {
		before := m.await(t, "the kinds are not served", func(mcs.Observed) bool { return strings.Contains(m.observer.Err().Error(), "not served") })
		if before.Synced || len(before.Exports) > 0 {
			t.Errorf("before the kinds are served: %+v", before)
		}
		m.install(t)
		m.createAll(t, shop, service, ownSlice, importedSlice)
		if got := m.watched("services") + m.watched("endpointslices"); got != "" {
			t.Errorf("watched without any export: %s", got)
		}

		m.createAll(t, export)
		seen := m.await(t, "the export with its service", exported)
		want := mcs.Export{Cluster: "m1", Namespace: "shop", Name: "web", Generation: 1,
			Service:   &mcs.ExportedService{Type: "ClusterIP", Ports: []mcs.Port{{Name: "http", Protocol: "TCP", Port: 80}}},
			Endpoints: []mcs.Endpoint{{Address: netip.MustParseAddr("10.1.0.2"), Slice: "web-1", Ports: map[string]int32{"http": 8000}, Ready: true, Serving: true}}}
		if diff := cmp.Diff(want, seen.Exports[0], cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(mcs.Export{}, "Created"),
			cmpopts.IgnoreFields(mcs.ExportedService{}, "Traits")); diff != "" {
			t.Errorf("export (-want +got):\n%s", diff)
		}
		for _, r := range []string{"services", "endpointslices"} {
			if got := m.watched(r); got != "shop " {
				t.Errorf("%s are watched in namespaces %q, want only shop", r, got)
			}
		}

		m.patch(t, ownSlice, `{"endpoints":[{"addresses":["10.1.0.2"]},{"addresses":["10.1.0.3"]}]}`)
		m.await(t, "a new endpoint", func(o mcs.Observed) bool { return len(o.Exports[0].Endpoints) == 2 })
		m.delete(t, service)
		m.await(t, "the service is gone", func(o mcs.Observed) bool { return o.Synced && o.Exports[0].Service == nil })
		m.delete(t, export)
		m.await(t, "the export is gone", func(o mcs.Observed) bool { return o.Synced && len(o.Exports) == 0 })
		if len(m.observer.namespaces) > 0 {
			t.Errorf("namespaces are still watched: %v", m.observer.namespaces)
		}
	})
}

// A conflict is decided by the age of the ServiceExport. It must not become younger when a delivery applies it again or its
// Service comes back as another object.
func TestSeniorityOutlivesApplyAndRecreation(t *testing.T) {
	onEveryServer(t, func(t *testing.T, m *member) {
		m.install(t)
		m.createAll(t, shop, service, ownSlice)
		m.apply(t, export, nil)
		before, uid := m.await(t, "the export", exported).Exports[0], m.get(t, export).GetUID()

		m.apply(t, export, map[string]string{"example.org/revision": "2"})
		m.delete(t, service)
		m.await(t, "the service is gone", func(o mcs.Observed) bool { return o.Exports[0].Service == nil })
		m.createAll(t, service)
		after := m.await(t, "the service is back", exported).Exports[0]
		if !after.Created.Equal(before.Created) || after.Created.IsZero() {
			t.Errorf("the export was created at %s, and after it was applied again at %s", before.Created, after.Created)
		}
		if got := m.get(t, export); got.GetUID() != uid || got.GetAnnotations()["example.org/revision"] != "2" {
			t.Errorf("the export is another object (%s, before %s) or was not applied: annotations %v", got.GetUID(), uid, got.GetAnnotations())
		}
	})
}

// apply is a server-side apply, as deliveries do it.
func (m *member) apply(t *testing.T, text string, annotations map[string]string) {
	t.Helper()
	u := object(t, text)
	u.SetAnnotations(annotations)
	if _, err := m.client(u).Apply(t.Context(), u.GetName(), u, metav1.ApplyOptions{FieldManager: "delivery"}); err != nil {
		t.Fatal(err)
	}
}

// What an API server fills in on a Service reaches the import.
func TestObserveTraits(t *testing.T) {
	m := newMember(t, startServer(t))
	m.install(t)
	m.createAll(t, shop, strings.Replace(service, "type: ClusterIP", "type: ClusterIP, sessionAffinity: ClientIP", 1), ownSlice, export)
	i := mcs.Resolve([]mcs.Observed{m.await(t, "the export", exported)}, mcs.Terms{}, time.Now()).Imports[0]
	seconds, policy := corev1.DefaultClientIPServiceAffinitySeconds, corev1.ServiceInternalTrafficPolicyCluster
	want := mcs.Traits{IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, SessionAffinity: corev1.ServiceAffinityClientIP,
		SessionAffinityConfig: &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}, InternalTrafficPolicy: &policy}
	if diff := cmp.Diff(want, i.Traits); diff != "" {
		t.Errorf("traits of the import (-want +got):\n%s", diff)
	}
}

// watched lists the namespaces in which a resource was listed. What was derived is watched in all at once.
func (m *member) watched(resource string) string {
	out := ""
	for _, r := range m.proxy.Requests() {
		if r.Resource == resource && r.Class == memfleet.List && r.Namespace != "" {
			out += r.Namespace + " "
		}
	}
	return out
}

// A failed, empty or cut list of endpoints must not look like a service without endpoints.
func TestExportIsUnknownUntilItsEndpointsAreListed(t *testing.T) {
	slices := func(r memfleet.Request) bool { return r.Resource == "endpointslices" && r.Class == memfleet.List }
	for name, fault := range map[string]memfleet.Fault{"forbidden": memfleet.Forbidden(), "cut": memfleet.Cut(), "refused": memfleet.Refuse()} {
		t.Run(name, func(t *testing.T) {
			s := memfleet.NewServer()
			t.Cleanup(s.Close)
			m := newMember(t, s.Config())
			m.install(t)
			m.createAll(t, shop, service, ownSlice)
			m.proxy.SetRule(memfleet.When(slices, fault))
			m.createAll(t, export)
			m.await(t, "the list of endpoints has failed", func(o mcs.Observed) bool {
				if len(o.Exports) > 0 {
					t.Fatalf("an export whose endpoints are unknown is shown: %+v", o.Exports)
				}
				for _, r := range m.proxy.Requests() {
					if slices(r) {
						return !o.Synced && m.observer.Err() != nil
					}
				}
				return false
			})
			m.proxy.SetRule(nil)
			m.await(t, "the export, when the list succeeds", exported)
		})
	}
}

func TestUnreachableMemberKeepsItsContent(t *testing.T) {
	onEveryServer(t, func(t *testing.T, m *member) {
		m.install(t)
		m.createAll(t, shop, service, ownSlice, export, multiClusterService)
		before := m.await(t, "everything", func(o mcs.Observed) bool { return exported(o) && len(o.Services) == 1 })
		m.proxy.SetDown(true)
		during := m.await(t, "the member is out of sight", func(o mcs.Observed) bool { return !o.Synced })
		during.Synced = true
		if diff := cmp.Diff(before, during, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("what was known changed while the member was out of sight (-before +during):\n%s", diff)
		}
		m.delete(t, multiClusterService)
		m.proxy.SetDown(false)
		m.await(t, "what happened meanwhile", func(o mcs.Observed) bool { return exported(o) && len(o.Services) == 0 })
	})
}
