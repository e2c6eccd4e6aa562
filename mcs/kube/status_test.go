package kube

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	networkingv1alpha1 "github.com/gitfleet/gitfleet/api/networking/v1alpha1"
	"github.com/gitfleet/gitfleet/mcs"
)

// settle observes, resolves and writes statuses until there is nothing to write and ok.
func (m *member) settle(t *testing.T, what string, state mcs.State, ok func(mcs.Resolution) bool) {
	t.Helper()
	m.await(t, what, func(o mcs.Observed) bool {
		r := mcs.Resolve([]mcs.Observed{o}, mcs.Terms{}, time.Now())
		writes := r.Statuses(state, time.Now())
		if err := WriteStatuses(t.Context(), m.session, writes); err != nil {
			t.Fatal(err)
		}
		return o.Synced && len(writes) == 0 && ok(r)
	})
}

// columns are what kubectl prints of an object: the cells of the tutorial's tables.
func columns(u *unstructured.Unstructured) map[string]string {
	out := map[string]string{}
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		c := c.(map[string]any)
		out[c["type"].(string)] = c["status"].(string) + " " + c["reason"].(string)
	}
	ingress, _, _ := unstructured.NestedSlice(u.Object, "status", "loadBalancer", "ingress")
	for _, i := range ingress {
		out["External-IP"] += i.(map[string]any)["ip"].(string)
	}
	ports, _, _ := unstructured.NestedSlice(u.Object, "status", "ports")
	for _, p := range ports {
		out["Ports"] += p.(map[string]any)["name"].(string)
	}
	return out
}

func TestStatusesSettleAndClear(t *testing.T) {
	onEveryServer(t, func(t *testing.T, m *member) {
		m.install(t)
		m.createAll(t, shop, service, ownSlice, export, serviceImport, multiClusterService)
		state := mcs.State{{Key: mcs.Key{Namespace: "shop", Name: "web"}}: {Frontend: mcs.Frontend{Addresses: []netip.Addr{netip.MustParseAddr("127.255.1.2")}}}}
		m.settle(t, "statuses with an address", state, func(r mcs.Resolution) bool { return len(r.LoadBalancers) == 1 })
		check := func(text string, want map[string]string) {
			t.Helper()
			u := m.get(t, text)
			if diff := cmp.Diff(want, columns(u)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", u.GetKind(), diff)
			}
		}
		check(export, map[string]string{"Valid": "True ServiceIsValid", "Conflict": "False NoConflictFound"})
		check(serviceImport, map[string]string{"Ports": "http"})
		check(multiClusterService, map[string]string{"Valid": "True FoundServiceImport", "External-IP": "127.255.1.2"})

		version := m.get(t, multiClusterService).GetResourceVersion()
		m.settle(t, "nothing to write", state, func(mcs.Resolution) bool { return true })
		if again := m.get(t, multiClusterService).GetResourceVersion(); again != version {
			t.Error("a settled status was written again")
		}

		m.delete(t, service)
		m.settle(t, "the service's end", nil, func(r mcs.Resolution) bool { return len(r.LoadBalancers) == 0 })
		check(export, map[string]string{"Valid": "False ServiceNotFound", "Conflict": "Unknown ServicePendingConflictResolution"})
		check(serviceImport, map[string]string{})
		check(multiClusterService, map[string]string{"Valid": "Unknown UnknownServiceImport"})
	})
}

// What was judged may be gone when the verdict arrives.
func TestStatusOfWhatIsGone(t *testing.T) {
	onEveryServer(t, func(t *testing.T, m *member) {
		write := mcs.StatusWrite{Cluster: "m1", GVK: networkingv1alpha1.ServiceExportGVK, Namespace: "shop", Name: "web",
			Status: networkingv1alpha1.ServiceExportStatus{}}
		m.await(t, "a connection", func(mcs.Observed) bool { return m.observer.Err() != nil && m.session.State().Phase == "Ready" })
		if err := WriteStatuses(t.Context(), m.session, []mcs.StatusWrite{write}); err != nil {
			t.Errorf("the kind is not served: %v", err)
		}
		m.install(t)
		m.createAll(t, shop)
		if err := WriteStatuses(t.Context(), m.session, []mcs.StatusWrite{write}); err != nil {
			t.Errorf("the object is gone: %v", err)
		}
		m.proxy.SetDown(true)
		if err := WriteStatuses(t.Context(), m.session, []mcs.StatusWrite{write}); err == nil {
			t.Error("the member is unreachable, and writing succeeded")
		}
	})
}
