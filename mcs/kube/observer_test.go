package kube

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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
			Endpoints: []mcs.Endpoint{{Address: netip.MustParseAddr("10.1.0.2"), Ports: map[string]int32{"http": 8000}, Ready: true, Serving: true}}}
		if diff := cmp.Diff(want, seen.Exports[0], cmpopts.EquateComparable(netip.Addr{}), cmpopts.IgnoreFields(mcs.Export{}, "Created")); diff != "" {
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

// watched lists the namespaces in which a resource was listed.
func (m *member) watched(resource string) string {
	out := ""
	for _, r := range m.proxy.Requests() {
		if r.Resource == resource && r.Class == memfleet.List {
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
