package hub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
)

// accessibleShop is shop with its status shown in a namespace.
func accessibleShop(namespace string) (*render.Desired, report.Report) {
	desired, r := shop()
	desired.Members = nil
	desired.Placements[0].Spec.StatusReportingScope = placementv1beta1.NamespaceAccessible
	desired.Placements[0].Spec.ResourceSelectors[0].Name = namespace
	return desired, r
}

func TestCopyOf(t *testing.T) {
	name := func(kind, name string) placementv1beta1.ResourceSelector {
		return placementv1beta1.ResourceSelector{Version: "v1", Kind: kind, Name: name}
	}
	chosen := func(names ...string) (list []render.Object) {
		for _, n := range names {
			u := &unstructured.Unstructured{}
			u.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
			u.SetName(n)
			list = append(list, render.Object{Unstructured: u})
		}
		return list
	}
	enclosed := chosen("a", "b")
	enclosed[1].Envelope = &placementv1beta1.EnvelopeIdentifier{Name: "e"}
	for _, tt := range []struct {
		reason    string
		scope     placementv1beta1.StatusReportingScope
		namespace string
		selectors []placementv1beta1.ResourceSelector
		selected  []render.Object
		want      *Copy
	}{
		{reason: "nobody asked for a copy", selectors: []placementv1beta1.ResourceSelector{name("Namespace", "a")}},
		{reason: "nor is the default spelt out such a wish", scope: placementv1beta1.ClusterScopeOnly,
			selectors: []placementv1beta1.ResourceSelector{name("Namespace", "a")}},
		{reason: "the namespace that a selector names, whether or not it is in the repository", scope: placementv1beta1.NamespaceAccessible,
			selectors: []placementv1beta1.ResourceSelector{name("ClusterRole", "x"), name("Namespace", "a")}, want: &Copy{Namespace: "a"}},
		{reason: "a ResourcePlacement's status is in a namespace anyway", scope: placementv1beta1.NamespaceAccessible, namespace: "a",
			selectors: []placementv1beta1.ResourceSelector{name("Namespace", "a")}},
		{reason: "the one that labels select", scope: placementv1beta1.NamespaceAccessible,
			selectors: []placementv1beta1.ResourceSelector{name("Namespace", "")}, selected: enclosed, want: &Copy{Namespace: "a"}},
		{reason: "none of two", scope: placementv1beta1.NamespaceAccessible, selectors: []placementv1beta1.ResourceSelector{name("Namespace", "")},
			selected: chosen("a", "b"), want: &Copy{Problem: "the placement selects 2 Namespaces, and its status shows in one; name the Namespace in its selector"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			crp := &placementv1beta1.ClusterResourcePlacement{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: tt.namespace},
				Spec: placementv1beta1.PlacementSpec{ResourceSelectors: tt.selectors, StatusReportingScope: tt.scope}}
			got := copyOf(render.Placement{ClusterResourcePlacement: crp, Selected: tt.selected})
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("copyOf (-want +got):\n%s", diff)
			}
		})
	}
}

// statusCopy reads the copy of shop's status.
func (c cluster) statusCopy(t *testing.T, namespace string) (*unstructured.Unstructured, placementv1beta1.ClusterResourcePlacementStatus) {
	t.Helper()
	u, err := c.Resource(copies).Namespace(namespace).Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var crps placementv1beta1.ClusterResourcePlacementStatus
	decode(u.Object, &crps)
	return u, crps
}

// status reads shop's own status.
func (c cluster) status(t *testing.T) placementv1beta1.PlacementStatus {
	t.Helper()
	status, _ := c.placement(t, "shop").Object["status"].(map[string]any)
	var s placementv1beta1.PlacementStatus
	decode(status, &s)
	return s
}

// wantSynced checks that shop's status says of its copy what it should, and at the hub's generation.
func (c cluster) wantSynced(t *testing.T, status metav1.ConditionStatus, reason, message string) {
	t.Helper()
	synced := meta.FindStatusCondition(c.status(t).Conditions, "ClusterResourcePlacementStatusSynced")
	if synced == nil || synced.Status != status || synced.Reason != reason || !strings.Contains(synced.Message, message) ||
		synced.ObservedGeneration != c.placement(t, "shop").GetGeneration() {
		t.Errorf("the condition StatusSynced is %+v, want %s %s %q at the hub's generation", synced, status, reason, message)
	}
}

// wantCopied checks that the copy in a namespace says what the placement does, and belongs to it.
func (c cluster) wantCopied(t *testing.T, namespace string) placementv1beta1.ClusterResourcePlacementStatus {
	t.Helper()
	_, crps := c.statusCopy(t, namespace)
	want := c.status(t)
	want.Conditions = withoutSynced(want.Conditions)
	if diff := cmp.Diff(want, crps.SourceStatus); diff != "" {
		t.Errorf("the copy in %s (-placement +copy):\n%s", namespace, diff)
	}
	if owner := metav1.GetControllerOf(&crps); owner == nil || owner.UID != c.placement(t, "shop").GetUID() {
		t.Errorf("the copy in %s belongs to %v, want the placement", namespace, owner)
	}
	c.wantSynced(t, metav1.ConditionTrue, "StatusSyncSucceeded", namespace+"/shop")
	return crps
}

func copiesStatuses(t *testing.T, c cluster) {
	const copyPath = "/apis/placement.kubernetes-fleet.io/v1beta1/namespaces/copied/clusterresourceplacementstatuses/shop"
	desired, r := accessibleShop("copied")
	p := c.start(t, nil)
	p.publish(t, desired, r)
	if crps := c.wantCopied(t, "copied"); !crps.LastUpdatedTime.Time.Equal(start) {
		t.Errorf("the copy was updated at %v, want %v", crps.LastUpdatedTime, start)
	}
	quiet := func(name string, p *process) {
		t.Helper()
		p.sent()
		r.Time = r.Time.Add(time.Minute)
		for range 2 { // also while the watches may lag behind
			p.publish(t, desired, r)
		}
		for _, request := range p.sent() {
			if !strings.HasPrefix(request, "GET ") {
				t.Errorf("%s: %s", name, request)
			}
		}
	}
	quiet("the same report", p)
	quiet("after a restart", c.start(t, nil))

	r = again(r, start.Add(time.Hour), func(p *report.Placement) { p.Clusters[0].Applied = "False" })
	p.publish(t, desired, r)
	if diff := cmp.Diff([]string{"PATCH " + shopPath + "/status", "PUT " + copyPath}, p.sent()); diff != "" {
		t.Errorf("one changed status: requests (-want +got):\n%s", diff)
	}
	if crps := c.wantCopied(t, "copied"); !crps.LastUpdatedTime.Time.Equal(start.Add(time.Hour)) {
		t.Errorf("the changed copy was updated at %v, want an hour after %v", crps.LastUpdatedTime, start)
	}

	for name, change := range map[string]func(*unstructured.Unstructured){
		"selectedResources": func(u *unstructured.Unstructured) {
			unstructured.RemoveNestedField(u.Object, "sourceStatus", "selectedResources")
		},
		"its owner": func(u *unstructured.Unstructured) { u.SetOwnerReferences(nil) },
	} {
		u, _ := c.statusCopy(t, "copied")
		change(u)
		if _, err := c.Resource(copies).Namespace("copied").Update(t.Context(), u, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a copy whose "+name+" somebody took away is put back", func() bool {
			if err := p.Publish(t.Context(), desired, r); err != nil {
				return false // the watch does not show yet what would be overwritten
			}
			u, crps := c.statusCopy(t, "copied")
			return len(crps.SourceStatus.SelectedResources) == 1 && metav1.GetControllerOf(u) != nil
		})
	}

	before := c.placement(t, "shop").GetUID()
	c.delete(t, "shop")
	eventually(t, "a placement that somebody deleted is back, and its copy belongs to it", func() bool {
		if err := p.Publish(t.Context(), desired, r); err != nil {
			return false // written to one that is not there any more, as the watch did not show yet
		}
		crp, err := c.Resource(placements).Get(t.Context(), "shop", metav1.GetOptions{})
		if err != nil || crp.GetUID() == before {
			return false
		}
		u, err := c.Resource(copies).Namespace("copied").Get(t.Context(), "shop", metav1.GetOptions{})
		if err != nil { // garbage
			return false
		}
		owner := metav1.GetControllerOf(u)
		return owner != nil && owner.UID == crp.GetUID()
	})

	desired.Placements[0].Spec.ResourceSelectors[0].Name = "elsewhere"
	p.publish(t, desired, r)
	c.wantCopied(t, "elsewhere")
	if got := strings.Join(c.names(t), " "); strings.Contains(got, "copied/shop") {
		t.Errorf("another namespace is selected, and the hub has %s", got)
	}
	desired.Placements[0].Spec.StatusReportingScope = ""
	p.publish(t, desired, r)
	if diff := cmp.Diff([]string{"clusterresourceplacements/shop"}, c.names(t)); diff != "" {
		t.Errorf("nobody asks for a copy any more, and the hub has (-want +got):\n%s", diff)
	}
	if synced := meta.FindStatusCondition(c.status(t).Conditions, placementv1beta1.ConditionStatusSynced); synced != nil {
		t.Errorf("nobody asks for a copy any more, and yet there is %+v", synced)
	}
}

// copiesKilledBeforeEveryWrite needs a namespace that is not there yet.
func copiesKilledBeforeEveryWrite(t *testing.T, c cluster) {
	for k := 1; ; k++ {
		namespace := fmt.Sprint("copied-", k)
		desired, r := accessibleShop(namespace)
		err := c.start(t, refuseFrom(k)).Publish(t.Context(), desired, r)
		next := c.start(t, nil)
		next.publish(t, desired, r)
		c.wantCopied(t, namespace)
		next.sent()
		next.publish(t, desired, r)
		if sent := next.sent(); len(sent) > 0 {
			t.Errorf("killed before write %d: converged, and yet sent %v", k, sent)
		}
		next.publish(t, &render.Desired{}, report.Report{})
		if got := c.names(t); len(got) > 0 {
			t.Fatalf("killed before write %d: without placements the hub has %v", k, got)
		}
		if err == nil {
			if k != 6 { // the body, the copy, which misses the namespace, that, the copy again, and the status
				t.Errorf("%d writes were refused, want 5", k-1)
			}
			return
		}
	}
}

func leavesForeignCopiesAlone(t *testing.T, c cluster) {
	desired, r := accessibleShop("taken")
	p := c.start(t, nil)
	p.publish(t, desired, r)
	p.publish(t, &render.Desired{}, report.Report{})
	theirs := &unstructured.Unstructured{Object: map[string]any{"sourceStatus": map[string]any{"observedResourceIndex": "7"}}}
	theirs.SetGroupVersionKind(placementv1beta1.ClusterResourcePlacementStatusGVK)
	theirs.SetName("shop")
	client := c.Resource(copies).Namespace("taken")
	created, err := client.Create(t.Context(), theirs, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var publishErr error
	eventually(t, "the watch shows the foreign object", func() bool {
		if publishErr = p.Publish(t.Context(), desired, r); publishErr == nil {
			t.Fatal("Publish takes over an object of somebody else")
		}
		return strings.Contains(publishErr.Error(), errForeign.Error())
	})
	if !strings.Contains(publishErr.Error(), "ClusterResourcePlacementStatus taken/shop") {
		t.Errorf("Publish: %v, want the foreign object named", publishErr)
	}
	c.wantSynced(t, metav1.ConditionFalse, "StatusSyncFailed", "taken/shop: an object of this name is there")
	p.publish(t, &render.Desired{}, report.Report{})
	now, err := client.Get(t.Context(), "shop", metav1.GetOptions{})
	if err != nil || now.GetResourceVersion() != created.GetResourceVersion() {
		t.Errorf("the foreign object is now %v (%v), want it as it was created: %v", now, err, created)
	}
	if err := client.Delete(t.Context(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the name is free and taken", func() bool { return p.Publish(t.Context(), desired, r) == nil })
	c.wantCopied(t, "taken")

	denied := c.start(t, memfleet.When(func(q memfleet.Request) bool { return q.Writes() && q.Resource == copies.Resource }, memfleet.Forbidden()))
	r = again(r, start.Add(time.Hour), func(p *report.Placement) { p.Clusters[0].Applied = "False" })
	if err := denied.Publish(t.Context(), desired, r); err == nil || !strings.Contains(err.Error(), "ClusterResourcePlacementStatus taken/shop") {
		t.Errorf("Publish without permission to copy: %v, want an error that names the copy", err)
	}
	c.wantSynced(t, metav1.ConditionFalse, "StatusSyncFailed", "taken/shop")
	if applied := meta.FindStatusCondition(c.status(t).Conditions, placementv1beta1.ConditionApplied); applied == nil || applied.Status != metav1.ConditionFalse {
		t.Errorf("the copy fails, and the placement itself is not told of: Applied is %+v", applied)
	}
}

// TestCopyNowhere: a placement that selects several namespaces by their labels has no place for a copy, which is no failure of the hub's.
func TestCopyNowhere(t *testing.T) {
	desired, r := accessibleShop("")
	o := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop")
	var s placementv1beta1.PlacementStatus
	decode(o.withSynced(o.StatusOn(nil, 1), nil, 1, nil), &s)
	synced := meta.FindStatusCondition(s.Conditions, placementv1beta1.ConditionStatusSynced)
	if synced == nil || synced.Status != metav1.ConditionFalse || !strings.Contains(synced.Message, "selects 0 Namespaces") {
		t.Errorf("StatusSynced is %+v, want False because no Namespace is selected", synced)
	}
	later := o
	later.Time = start.Add(time.Hour)
	status := encode(s)
	if diff := cmp.Diff(status, later.withSynced(later.StatusOn(status, 1), status, 1, nil)); diff != "" {
		t.Errorf("an hour later the same is told anew (-before +after):\n%s", diff)
	}
}

// TestCopyOfWhatIsNotDecided: what stays of an earlier status is not that it was copied, which is told anew.
func TestCopyOfWhatIsNotDecided(t *testing.T) {
	desired, r := accessibleShop("copied")
	o := find(t, Objects(desired, r), "ClusterResourcePlacement", "shop")
	before := o.withSynced(o.StatusOn(nil, 1), nil, 1, nil)
	r = again(r, start.Add(time.Minute), func(p *report.Placement) { p.Err = "no such kind" })
	o = find(t, Objects(desired, r), "ClusterResourcePlacement", "shop")
	for _, tt := range []struct {
		name   string
		status map[string]any
		want   int
	}{{"what is copied", o.StatusOn(before, 2), 0}, {"what is published", o.withSynced(o.StatusOn(before, 2), before, 2, nil), 1}} {
		var s placementv1beta1.PlacementStatus
		decode(tt.status, &s)
		if n := len(s.Conditions) - len(withoutSynced(s.Conditions)); n != tt.want || len(s.Conditions) < 6 {
			t.Errorf("%s has %d conditions StatusSynced of %d, want %d: %v", tt.name, n, len(s.Conditions), tt.want, s.Conditions)
		}
	}
}
