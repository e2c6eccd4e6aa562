package kube

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/retry"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// The experiment behind docs/design.md, "Drift without reading bodies". Every row is something that happens to an object
// which we applied; it states what the object's metadata shows of it, and whether our next apply would write.

// shown is what became of one thing that metadata shows.
type shown string

const (
	same    shown = "same"
	changed shown = "changed"
	gone    shown = "gone"
)

const (
	testNamespace = "drift"
	partOf        = api.ApplySetPartOfLabel
	hashKey       = api.AnnotationAppliedHash
)

type driftRow struct {
	name   string
	reason string // why the metadata shows what it shows
	object string // key of driftObjects; Deployment when empty
	do     func(t *testing.T, d *drifter)
	entry  shown // our managedFields entry
	hash   shown // our annotation
	label  shown // our label; without it a label-selected watch reports DELETED
	writes bool  // a dry run of our apply differs from the live object
	after  shown // our entry after we applied again, compared with the first one
}

var driftRows = []driftRow{
	{name: "nothing", reason: "rest",
		do: func(*testing.T, *drifter) {}, entry: same, hash: same, label: same, after: same},
	{name: "our own apply again", object: "Secret", reason: "an apply that changes nothing is not written, not even a time",
		do: func(t *testing.T, d *drifter) {
			before := d.live(t).GetResourceVersion()
			d.apply(t)
			if after := d.live(t).GetResourceVersion(); before != after {
				t.Errorf("an identical apply moved the resourceVersion from %s to %s", before, after)
			}
		}, entry: same, hash: same, label: same, after: same},
	{name: "status update", object: "Widget", reason: "status is a subresource with entries of its own",
		do: func(t *testing.T, d *drifter) {
			u := d.live(t)
			set(t, u, "yes", "status", "done")
			clustertest.Must(d.their.UpdateStatus(t.Context(), u, metav1.UpdateOptions{}))(t)
		}, entry: same, hash: same, label: same, after: same},
	{name: "update of a field that is not ours", reason: "others may own what we did not apply",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) {
				set(t, u, int64(5), "spec", "revisionHistoryLimit")
				set(t, u, "1", "metadata", "annotations", "deployment.kubernetes.io/revision")
			})
		}, entry: same, hash: same, label: same, after: same},
	{name: "update, changed value", reason: "the field leaves our entry for theirs",
		do:    func(t *testing.T, d *drifter) { d.update(t, scaleTo(t, 9)) },
		entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update, same value", reason: "an update that changes nothing takes nothing",
		do:    func(t *testing.T, d *drifter) { d.update(t, scaleTo(t, 2)) },
		entry: same, hash: same, label: same, after: same},
	{name: "update, old value restored", reason: "what left our entry does not come back by itself: the value is right, the owner is not",
		do: func(t *testing.T, d *drifter) {
			d.update(t, scaleTo(t, 9))
			d.update(t, scaleTo(t, 2))
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update, our field removed", reason: "removing is changing",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) {
				unstructured.RemoveNestedField(u.Object, "spec", "template", "metadata", "annotations")
			})
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update, our field removed and defaulted to our value", reason: "a removed field that the default refills with our value was not changed",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) { unstructured.RemoveNestedField(u.Object, "spec", "strategy") })
		}, entry: same, hash: same, label: same, after: same},
	{name: "update, our list item removed", reason: "items of a keyed list are owned one by one",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) { setEnv(t, u) })
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update, foreign list item added", reason: "items of a keyed list are owned one by one",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) {
				setEnv(t, u, map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "THEIRS", "value": "1"})
			})
		}, entry: same, hash: same, label: same, after: same},
	{name: "update under our manager's name", reason: "operation Update is another entry than Apply",
		do: func(t *testing.T, d *drifter) {
			d.updateAs(t, api.FieldManager, scaleTo(t, 9))
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update through another API version", object: "HorizontalPodAutoscaler", reason: "field sets are converted before they are compared",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"spec":{"maxReplicas":9}}`, schema.GroupVersionResource{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"})
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update of a foreign field through another API version", object: "HorizontalPodAutoscaler", reason: "our entry keeps the version we applied with",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"metadata":{"labels":{"theirs":"1"}}}`, schema.GroupVersionResource{Group: "autoscaling", Version: "v1", Resource: "horizontalpodautoscalers"})
		}, entry: same, hash: same, label: same, after: same},
	{name: "update, custom resource", object: "Widget", reason: "custom resources have the same bookkeeping",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) { set(t, u, "red", "spec", "free", "colour") })
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "update, atomic field", object: "Secret", reason: "data is a map: owned key by key",
		do: func(t *testing.T, d *drifter) {
			d.update(t, func(u *unstructured.Unstructured) { set(t, u, "eA==", "data", "password") })
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "merge patch", reason: "a patch is an update",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"spec":{"replicas":9}}`, deployments)
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "merge patch, same value", reason: "a patch is an update",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"spec":{"replicas":2}}`, deployments)
		}, entry: same, hash: same, label: same, after: same},
	{name: "strategic merge patch", reason: "a patch is an update",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"theirs"}]}}}}`, deployments)
		}, entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "scale subresource", reason: "the scale subresource moves the ownership of spec.replicas",
		do:    func(t *testing.T, d *drifter) { d.scale(t, 9) },
		entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "scale subresource, same value", reason: "nothing changed",
		do:    func(t *testing.T, d *drifter) { d.scale(t, 2) },
		entry: same, hash: same, label: same, after: same},
	{name: "apply without force, changed value", reason: "a conflict is refused",
		do: func(t *testing.T, d *drifter) {
			if err := d.theyApply(t.Context(), 9, false); !apierrors.IsConflict(err) {
				t.Fatalf("an apply of our field without force answered %v, want a conflict", err)
			}
		}, entry: same, hash: same, label: same, after: same},
	{name: "apply with force, changed value", reason: "the field leaves our entry for theirs",
		do:    func(t *testing.T, d *drifter) { clustertest.Must(0, d.theyApply(t.Context(), 9, true))(t) },
		entry: changed, hash: same, label: same, writes: true, after: same},
	{name: "apply without force, same value", reason: "two appliers share a field when they agree",
		do:    func(t *testing.T, d *drifter) { clustertest.Must(0, d.theyApply(t.Context(), 2, false))(t) },
		entry: same, hash: same, label: same, after: same},
	{name: "apply with force, same value", reason: "force takes nothing from those who agree",
		do:    func(t *testing.T, d *drifter) { clustertest.Must(0, d.theyApply(t.Context(), 2, true))(t) },
		entry: same, hash: same, label: same, after: same},
	{name: "apply under our manager's name", reason: "the entry is replaced, and with it what we owned",
		do: func(t *testing.T, d *drifter) {
			b := fmt.Sprintf(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":%q},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"a"}},"template":{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`, d.name)
			clustertest.Must(d.their.Patch(t.Context(), d.name, types.ApplyPatchType, []byte(b), metav1.PatchOptions{FieldManager: api.FieldManager}))(t)
		}, entry: changed, hash: gone, label: gone, writes: true, after: same},
	{name: "managedFields cleared", reason: "no entry is a difference too",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"metadata":{"managedFields":[{}]}}`, deployments)
		}, entry: gone, hash: same, label: same, writes: true, after: same},
	{name: "our annotation removed", reason: "it is a field of ours like any other",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"metadata":{"annotations":{"`+hashKey+`":null}}}`, deployments)
		}, entry: changed, hash: gone, label: same, writes: true, after: same},
	{name: "our label removed", reason: "the object leaves the watch: a GET must confirm that it is gone",
		do: func(t *testing.T, d *drifter) {
			d.patch(t, types.MergePatchType, `{"metadata":{"labels":{"`+partOf+`":null}}}`, deployments)
		}, entry: changed, hash: same, label: gone, writes: true, after: same},
	{name: "deleted and made again by another", reason: "a new object has no entry of ours",
		do: func(t *testing.T, d *drifter) {
			u := d.live(t)
			clustertest.Must(0, d.their.Delete(t.Context(), d.name, metav1.DeleteOptions{}))(t)
			for _, k := range []string{"resourceVersion", "uid", "managedFields"} {
				unstructured.RemoveNestedField(u.Object, "metadata", k)
			}
			clustertest.Must(d.their.Create(t.Context(), u, metav1.CreateOptions{}))(t)
		}, entry: gone, hash: same, label: same, writes: true, after: same},
	{name: "API server restarted", reason: "entries are stored, not computed",
		do:    func(t *testing.T, d *drifter) { d.restart(t) },
		entry: same, hash: same, label: same, after: same},
	{name: "webhook alters what we apply", reason: "INVISIBLE: admission runs after ownership is settled; our entry names the field, not the value",
		do: func(t *testing.T, d *drifter) {
			d.webhook(t, `[{"op":"replace","path":"/spec/replicas","value":9}]`)
			set(t, d.target, "2", "metadata", "annotations", "version")
			d.apply(t)
			d.recorded = apply.EntryHash(d.meta(t).ManagedFields)
			if n := replicas(t, d.live(t)); n != 9 {
				t.Fatalf("the webhook set %d replicas, want 9", n)
			}
		}, entry: same, hash: same, label: same, writes: false, after: same},
	{name: "webhook altered what we applied and is gone", reason: "INVISIBLE: the altered value stays until a dry run compares values",
		do: func(t *testing.T, d *drifter) {
			d.webhook(t, `[{"op":"replace","path":"/spec/replicas","value":9}]`)
			set(t, d.target, "2", "metadata", "annotations", "version")
			d.apply(t)
			d.recorded = apply.EntryHash(d.meta(t).ManagedFields)
			d.removeWebhook(t)
		}, entry: same, hash: same, label: same, writes: true, after: same},
	{name: "webhook alters another's write", reason: "INVISIBLE: ownership is settled before admission, so our field changes under us",
		do: func(t *testing.T, d *drifter) {
			d.webhook(t, `[{"op":"replace","path":"/spec/replicas","value":9}]`)
			d.patch(t, types.MergePatchType, `{"metadata":{"labels":{"theirs":"1"}}}`, deployments)
			d.removeWebhook(t)
			if n := replicas(t, d.live(t)); n != 9 {
				t.Fatalf("the webhook set %d replicas, want 9", n)
			}
		}, entry: same, hash: same, label: same, writes: true, after: same},
}

func driftShowsInMetadata(t *testing.T, f *realfleet.Fleet) {
	w := newDriftWorld(t, f)
	for i, row := range driftRows {
		t.Run(strings.ReplaceAll(row.name, " ", "-"), func(t *testing.T) { row.check(t, w.drifter(t, row.object, i)) })
	}
	t.Run("cleared-and-removed", func(t *testing.T) { whatWeRemoveGoesAfterClearedManagedFields(t, w) })
}

func (row driftRow) check(t *testing.T, d *drifter) {
	d.apply(t)
	d.recorded = apply.EntryHash(d.meta(t).ManagedFields)
	if d.recorded == "" {
		t.Fatal("our own apply left no entry")
	}
	row.do(t, d)
	meta := d.meta(t)
	for what, got := range map[string][2]shown{
		"entry":      {compare(apply.EntryHash(meta.ManagedFields), d.recorded), row.entry},
		"annotation": {compare(meta.Annotations[hashKey], "hash"), row.hash},
		"label":      {compare(meta.Labels[partOf], "set"), row.label},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %s, want %s (%s)\n%s", what, got[0], got[1], row.reason, meta.ManagedFields)
		}
	}
	if got := d.differs(t); got != row.writes {
		t.Errorf("a dry run of our apply differs: %v, want %v (%s)", got, row.writes, row.reason)
	}
	d.apply(t)
	if got := compare(apply.EntryHash(d.meta(t).ManagedFields), d.recorded); got != row.after {
		t.Errorf("entry after our next apply: %s, want %s\n%s", got, row.after, d.meta(t).ManagedFields)
	}
	if d.differs(t) {
		t.Error("our next apply did not settle it")
	}
}

func compare(got, want string) shown {
	switch got {
	case want:
		return same
	case "":
		return gone
	}
	return changed
}

// driftObjects are what we apply, by kind.
var driftObjects = map[string]struct {
	resource schema.GroupVersionResource
	body     string
}{
	"Deployment": {deployments, `
apiVersion: apps/v1
kind: Deployment
spec:
  replicas: 2
  selector: {matchLabels: {app: a}}
  strategy: {type: RollingUpdate}
  template:
    metadata: {labels: {app: a}, annotations: {ours: "1"}}
    spec:
      containers:
      - {name: c, image: i, env: [{name: A, value: "1"}]}
`},
	"HorizontalPodAutoscaler": {schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}, `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
spec:
  maxReplicas: 3
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: a}
  metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]
`},
	"Secret": {schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, `
apiVersion: v1
kind: Secret
data: {password: b2xk, user: bWU=}
`},
	"Widget": {schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}, `
apiVersion: example.com/v1
kind: Widget
spec: {size: 1, free: {colour: blue}}
`},
}

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// driftWorld is one API server with a namespace and a custom resource.
type driftWorld struct {
	fleet       *realfleet.Fleet
	ours, their dynamic.Interface
	metadata    metadata.Interface
}

// restart ends the control plane and starts it again with its data.
func (w *driftWorld) restart(t *testing.T) {
	t.Helper()
	w.fleet.StopMember(t, w.fleet.Members[0])
	w.fleet.StartMember(t, w.fleet.Members[0])
}

// drifter is one object of one row.
type drifter struct {
	*driftWorld
	name        string
	resource    schema.GroupVersionResource
	ours, their dynamic.ResourceInterface
	target      *unstructured.Unstructured
	recorded    string // hash of our entry right after our apply
}

func newDriftWorld(t *testing.T, f *realfleet.Fleet) *driftWorld {
	t.Helper()
	config := f.Config(t, f.Members[0])
	w := &driftWorld{fleet: f, ours: dynamic.NewForConfigOrDie(config), their: dynamic.NewForConfigOrDie(config), metadata: metadata.NewForConfigOrDie(config)}
	namespaces := w.ours.Resource(corev1.SchemeGroupVersion.WithResource("namespaces"))
	clustertest.Must(namespaces.Create(t.Context(), clustertest.Object(t, "{apiVersion: v1, kind: Namespace, metadata: {name: "+testNamespace+"}}"), metav1.CreateOptions{}))(t)
	createCRD(t, w.ours, clustertest.Widgets)
	return w
}

func (w *driftWorld) drifter(t *testing.T, kind string, i int) *drifter {
	t.Helper()
	if kind == "" {
		kind = "Deployment"
	}
	o := driftObjects[kind]
	d := &drifter{driftWorld: w, name: fmt.Sprintf("row-%d", i), resource: o.resource, target: clustertest.Object(t, o.body),
		ours: w.ours.Resource(o.resource).Namespace(testNamespace), their: w.their.Resource(o.resource).Namespace(testNamespace)}
	d.target.SetName(d.name)
	d.target.SetLabels(map[string]string{partOf: "set"})
	d.target.SetAnnotations(map[string]string{hashKey: "hash"})
	return d
}

func (d *drifter) apply(t *testing.T, dryRun ...string) *unstructured.Unstructured {
	t.Helper()
	return clustertest.Must(d.ours.Apply(t.Context(), d.name, d.target, metav1.ApplyOptions{FieldManager: api.FieldManager, Force: true, DryRun: dryRun}))(t)
}

// differs asks whether a dry run of our apply differs from the live object; controllers may write meanwhile.
func (d *drifter) differs(t *testing.T) (differs bool) {
	t.Helper()
	clustertest.Eventually(t, "nobody writes between two reads", func(context.Context) error {
		before, answer, after := d.live(t), d.apply(t, metav1.DryRunAll), d.live(t)
		differs = apply.Differs(before, answer)
		if before.GetResourceVersion() != after.GetResourceVersion() {
			return errors.New("somebody did")
		}
		return nil
	})
	return differs
}

func (d *drifter) theyApply(ctx context.Context, replicas int64, force bool) error {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": d.name}, "spec": map[string]any{"replicas": replicas}}}
	_, err := d.their.Apply(ctx, d.name, u, metav1.ApplyOptions{FieldManager: "foreigner", Force: force})
	return err
}

func (d *drifter) live(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	return clustertest.Must(d.ours.Get(t.Context(), d.name, metav1.GetOptions{}))(t)
}

// meta reads what a metadata watch would deliver.
func (d *drifter) meta(t *testing.T) *metav1.PartialObjectMetadata {
	t.Helper()
	return clustertest.Must(d.metadata.Resource(d.resource).Namespace(testNamespace).Get(t.Context(), d.name, metav1.GetOptions{}))(t)
}

func (d *drifter) update(t *testing.T, change func(*unstructured.Unstructured)) {
	t.Helper()
	d.updateAs(t, "foreigner", change)
}

func (d *drifter) updateAs(t *testing.T, manager string, change func(*unstructured.Unstructured)) {
	t.Helper()
	clustertest.Must(0, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		u := d.live(t)
		change(u)
		_, err := d.their.Update(t.Context(), u, metav1.UpdateOptions{FieldManager: manager})
		return err
	}))(t)
}

func (d *drifter) patch(t *testing.T, kind types.PatchType, body string, as schema.GroupVersionResource) {
	t.Helper()
	c := d.driftWorld.their.Resource(as).Namespace(testNamespace)
	clustertest.Must(c.Patch(t.Context(), d.name, kind, []byte(body), metav1.PatchOptions{FieldManager: "foreigner"}))(t)
}

func (d *drifter) scale(t *testing.T, n int64) {
	t.Helper()
	clustertest.Must(0, retry.RetryOnConflict(retry.DefaultRetry, func() error {
		u := clustertest.Must(d.their.Get(t.Context(), d.name, metav1.GetOptions{}, "scale"))(t)
		set(t, u, n, "spec", "replicas")
		_, err := d.their.Update(t.Context(), u, metav1.UpdateOptions{FieldManager: "foreigner"}, "scale")
		return err
	}))(t)
}

func scaleTo(t *testing.T, n int64) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) { set(t, u, n, "spec", "replicas") }
}

func replicas(t *testing.T, u *unstructured.Unstructured) int64 {
	t.Helper()
	n, _, err := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func setEnv(t *testing.T, u *unstructured.Unstructured, env ...any) {
	t.Helper()
	list, _, err := unstructured.NestedSlice(u.Object, "spec", "template", "spec", "containers")
	if err != nil || len(list) != 1 {
		t.Fatalf("containers: %v %v", list, err)
	}
	list[0].(map[string]any)["env"] = env
	set(t, u, list, "spec", "template", "spec", "containers")
}

func set(t *testing.T, u *unstructured.Unstructured, value any, path ...string) {
	t.Helper()
	if err := unstructured.SetNestedField(u.Object, value, path...); err != nil {
		t.Fatal(err)
	}
}

// whatWeRemoveGoesAfterClearedManagedFields: when managedFields were cleared the API server gives every field of the object to
// a manager "before-first-apply" too, so a field that we stop applying would stay. Once that share is taken away it goes, and
// our own entry is what it was.
func whatWeRemoveGoesAfterClearedManagedFields(t *testing.T, w *driftWorld) {
	for i, mended := range []bool{false, true} {
		d := w.drifter(t, "Secret", len(driftRows)+i)
		d.apply(t)
		recorded := apply.EntryHash(d.meta(t).ManagedFields)
		d.patch(t, types.MergePatchType, `{"metadata":{"managedFields":[{}]}}`, d.resource)
		u := d.apply(t)
		if mended {
			entries, change, err := apply.Ownership(u.GetManagedFields(), nil, true)
			if !change || err != nil {
				t.Fatalf("nobody has a share in our fields: %v %v", owners(u), err)
			}
			body := clustertest.Must(ownershipPatch(u.GetResourceVersion(), entries))(t)
			u = clustertest.Must(d.ours.Patch(t.Context(), d.name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: api.FieldManager}))(t)
			if got := apply.EntryHash(u.GetManagedFields()); got != recorded {
				t.Errorf("our entry is %s, it was %s before all that: %v", got, recorded, owners(u))
			}
		}
		unstructured.RemoveNestedField(d.target.Object, "data", "user")
		d.apply(t)
		if _, kept, _ := unstructured.NestedString(d.live(t).Object, "data", "user"); kept == mended {
			t.Errorf("with the share taken away: %v; the key that we removed is still there: %v", mended, kept)
		}
	}
}
