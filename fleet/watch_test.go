package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

func TestWatchKeepsWhatIsReduced(t *testing.T) {
	m := openMember(t)
	m.configMap("b")
	m.configMap("a")
	m.create(configMaps, "kube-system", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: z, labels: {app: a}}")
	m.create(configMaps, "default", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: hidden}\ndata: {k: v}")
	identity := m.Watch(WatchSpec{
		Key: "identity", Resource: configMaps, LabelSelector: "app=a", Metadata: true,
		Reduce: func(u *unstructured.Unstructured) any {
			if u.GetName() == "b" {
				return nil
			}
			return u.GetAPIVersion() + " " + u.GetKind() + " " + u.GetNamespace() + "/" + u.GetName()
		},
	})
	whole := m.Watch(WatchSpec{Key: "whole", Resource: configMaps, Namespace: "default", FieldSelector: "metadata.name=hidden"})
	m.awaitSynced(identity)
	m.awaitSynced(whole)
	if diff := cmp.Diff([]any{"v1 ConfigMap default/a", "v1 ConfigMap kube-system/z"}, identity.Objects()); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	kept, ok := whole.Get("default", "hidden")
	if !ok || len(whole.Objects()) != 1 {
		t.Fatalf("kept %v", whole.Objects())
	}
	if v, _, _ := unstructured.NestedString(kept.(*unstructured.Unstructured).Object, "data", "k"); v != "v" {
		t.Errorf("without Reduce the object is kept whole, but data.k is %q", v)
	}
	if m.Watch(WatchSpec{Key: "whole", Resource: nodes}) != whole {
		t.Error("a second watch of the same key is another watch")
	}
	m.Unwatch("whole")
	m.Unwatch("whole")
	if whole.Synced() {
		t.Error("a stopped watch calls itself synced")
	}
	if m.Watch(WatchSpec{Key: "whole", Resource: configMaps}) == whole {
		t.Error("the key is still taken after Unwatch")
	}
}

func TestWatchFollowsChanges(t *testing.T) {
	m := openMember(t)
	w := m.watchNames()
	m.awaitSynced(w)
	m.configMap("a")
	m.await("a comes", func() bool { return names(w) == "a" })
	patch := []byte(`{"metadata":{"labels":{"app":null}}}`)
	if _, err := m.direct.Resource(configMaps).Namespace("default").Patch(context.Background(), "a", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	m.await("a leaves the selector", func() bool { return names(w) == "" && w.Synced() })
	if _, err := m.Dynamic().Resource(configMaps).Namespace("default").Get(context.Background(), "a", metav1.GetOptions{}); err != nil {
		t.Errorf("it still exists, as a GET tells: %v", err)
	}
}

// TestBadListNeverShrinks: what a failed answer does not show is not gone.
func TestBadListNeverShrinks(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault memfleet.Fault
		err   string
	}{
		{"500", memfleet.Answer(500), "the test proxy says so"},
		{"403", memfleet.Answer(403), "the test proxy says so"},
		{"429", memfleet.Answer(429), "the test proxy says so"},
		{"cut", memfleet.Cut(), ""},
		{"refused", memfleet.Refuse(), ""},
		{"answer lost", memfleet.LoseAnswer(), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := openMember(t)
			m.configMap("a")
			m.configMap("b")
			w := m.watchNames()
			m.awaitSynced(w)
			m.awaitRequest("watch", configMapsOf(memfleet.Watch))
			m.proxy.Reset()
			m.relist(memfleet.When(configMapsOf(memfleet.List), tc.fault))
			m.awaitRequest("list", configMapsOf(memfleet.List))
			m.await("the doubt shows", func() bool { return !w.Synced() && strings.Contains(fmt.Sprint(w.Err()), tc.err) })
			if names(w) != "a b" {
				t.Errorf("content shrank to %q", names(w))
			}
			m.remove(configMaps, "default", "a")
			m.proxy.SetRule(nil)
			m.await("the truth arrives", func() bool { return w.Synced() && names(w) == "b" })
		})
	}
}

// relist makes the session list anew, with a rule for that: the history is forgotten, and the member is away for a moment.
func (m *member) relist(rule memfleet.Rule) {
	m.t.Helper()
	epoch, _ := m.link.current()
	m.proxy.SetDown(true)
	m.await("the member is missed", func() bool { return m.State().Phase == Unreachable })
	m.server.Compact()
	m.proxy.SetRule(rule)
	m.proxy.SetDown(false)
	m.await("the member is back", func() bool { now, err := m.link.current(); return err == nil && now > epoch })
}

// TestRelistMendsALie: a list that was wrongly empty looks like an answer, and no change will ever correct it.
func TestRelistMendsALie(t *testing.T) {
	m := startMember(t)
	m.configMap("a")
	m.proxy.SetRule(memfleet.When(configMapsOf(memfleet.List), memfleet.EmptyList()))
	m.open(m.proxy.Config())
	w := m.watchNames()
	m.awaitSynced(w)
	if names(w) != "" {
		t.Fatalf("content %q", names(w))
	}
	m.awaitRequest("watch", configMapsOf(memfleet.Watch))
	m.proxy.SetRule(nil)
	since := m.State().Since
	m.Relist()
	if w.Synced() {
		t.Error("still synced, although a list is due")
	}
	m.await("the truth arrives", func() bool { return names(w) == "a" && w.Synced() })
	if s := m.State(); s.Phase != Ready || s.Since != since {
		t.Errorf("the member was given up: %+v", s)
	}
}

// TestFirstListFails: nothing is known, and that is what is said.
func TestFirstListFails(t *testing.T) {
	m := startMember(t)
	m.configMap("a")
	m.proxy.SetRule(memfleet.When(configMapsOf(memfleet.List), memfleet.Forbidden()))
	m.open(m.proxy.Config())
	w := m.watchNames()
	m.await("the denial shows", func() bool {
		return w.Err() != nil && strings.Contains(w.Err().Error(), "member-1: configmaps: ") && strings.Contains(w.Err().Error(), "the test proxy says so")
	})
	if w.Synced() || len(w.Objects()) != 0 {
		t.Errorf("synced %t, objects %v", w.Synced(), w.Objects())
	}
	m.proxy.SetRule(nil)
	m.await("it works as soon as it may", func() bool { return w.Synced() && names(w) == "a" })
}

// TestForbiddenWatch: lists alone are not enough to be current.
func TestForbiddenWatch(t *testing.T) {
	m := startMember(t)
	m.configMap("a")
	m.proxy.SetRule(memfleet.When(configMapsOf(memfleet.Watch), memfleet.Forbidden()))
	m.open(m.proxy.Config())
	w := m.watchNames()
	m.await("the doubt shows", func() bool { return w.Err() != nil && strings.Contains(w.Err().Error(), "the test proxy says so") })
	m.await("it is listed all the same", func() bool { return names(w) == "a" })
	if w.Synced() {
		t.Error("synced without a stream of changes")
	}
	m.proxy.SetRule(nil)
	m.awaitSynced(w)
}

// TestExpiredVersion is 410 Gone: the server has forgotten what came after our last event.
func TestExpiredVersion(t *testing.T) {
	m := openMember(t)
	m.configMap("a")
	w := m.watchNames()
	m.await("a is seen", func() bool { return names(w) == "a" && w.Synced() })
	m.awaitRequest("watch", configMapsOf(memfleet.Watch))

	hold := make(chan struct{})
	m.proxy.SetRule(memfleet.When(configMapsOf(memfleet.Watch), memfleet.Hold(hold)))
	m.proxy.Reset()
	m.proxy.SetDown(true) // breaks the stream
	m.proxy.SetDown(false)
	m.awaitRequest("the watch goes on", configMapsOf(memfleet.Watch))
	m.remove(configMaps, "default", "a")
	m.configMap("b")
	m.server.Compact()
	m.proxy.SetRule(nil)
	close(hold)
	m.await("the gap is closed by a list", func() bool { return names(w) == "b" && w.Synced() })
}

const widgetDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.gitfleet.io}
spec:
  group: test.gitfleet.io
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`

// TestKindThatComesLater: nobody asks for it meanwhile, and it is watched when it is there.
func TestKindThatComesLater(t *testing.T) {
	m := openMember(t)
	w := m.Watch(WatchSpec{Key: "widgets", Resource: widgets, Metadata: true, Reduce: func(u *unstructured.Unstructured) any { return u.GetKind() }})
	m.await("its absence shows", func() bool { return w.Err() != nil && strings.Contains(w.Err().Error(), "not served by this member") })
	m.await("the definitions are watched", m.definitions.Synced)
	m.proxy.Reset()
	time.Sleep(300 * time.Millisecond) // for what should not come
	for _, r := range m.proxy.Requests() {
		if r.Class != memfleet.Watch {
			t.Errorf("asked for meanwhile: %s", r)
		}
	}
	m.create(definitions, "", widgetDefinition)
	m.awaitSynced(w)
	m.create(widgets, "default", "apiVersion: test.gitfleet.io/v1\nkind: Widget\nmetadata: {name: a}")
	m.await("objects of it are seen", func() bool { return len(w.Objects()) == 1 && w.Objects()[0] == "Widget" })

	m.remove(definitions, "", "widgets.test.gitfleet.io")
	m.await("its end shows", func() bool { return errors.Is(w.Err(), errNotServed) })
	m.create(definitions, "", widgetDefinition)
	m.await("its return too", w.Synced)
}

// TestKindThatComesLaterUnannounced: who may not watch the definitions asks now and then.
func TestKindThatComesLaterUnannounced(t *testing.T) {
	m := startMember(t)
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Resource == definitions.Resource }, memfleet.Forbidden()))
	m.open(m.proxy.Config())
	w := m.Watch(WatchSpec{Key: "widgets", Resource: widgets})
	m.await("its absence shows", func() bool { return errors.Is(w.Err(), errNotServed) })
	m.create(definitions, "", widgetDefinition)
	m.awaitSynced(w)
}

func TestMapping(t *testing.T) {
	m := openMember(t)
	ctx := context.Background()
	widget := schema.GroupVersionKind{Group: "test.gitfleet.io", Version: "v1", Kind: "Widget"}
	deployment, err := m.Mapping(ctx, schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"})
	if err != nil || deployment.Resource.Resource != "deployments" || deployment.Scope.Name() != meta.RESTScopeNameNamespace {
		t.Fatalf("got %+v, %v", deployment, err)
	}
	m.await("the definitions are watched", m.definitions.Synced)
	m.proxy.Reset()
	for range 3 {
		if _, err := m.Mapping(ctx, widget); !meta.IsNoMatchError(err) {
			t.Fatalf("a kind that is not there: %v", err)
		}
	}
	if discovered := m.proxy.Requests(); len(discovered) > 0 {
		t.Errorf("a miss asked again although nothing has changed: %v", discovered)
	}
	m.create(definitions, "", widgetDefinition)
	m.awaitDefinition("test.gitfleet.io")
	mapping, err := m.Mapping(ctx, widget)
	if err != nil || mapping.Resource != widgets {
		t.Fatalf("a kind that was just defined: %+v, %v", mapping, err)
	}
	m.remove(definitions, "", "widgets.test.gitfleet.io")
	realfleet.Eventually(t, 10*time.Second, func() error {
		if _, err := m.Mapping(ctx, widget); !meta.IsNoMatchError(err) {
			return fmt.Errorf("a kind that was removed is still mapped (%v)", err)
		}
		return nil
	})
}

// awaitDefinition waits until the session has seen a change of the group's definitions.
func (m *member) awaitDefinition(group string) {
	m.t.Helper()
	m.await("the definition is seen", func() bool { _, since := m.catalog.current(group); return !since.IsZero() })
}

// TestDiscoveryThatFailsIsNotAnAnswer: a kind may only be called absent by an answer.
func TestDiscoveryThatFailsIsNotAnAnswer(t *testing.T) {
	m := startMember(t)
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Path == "/apis" }, memfleet.Answer(500)))
	m.open(m.proxy.Config())
	m.await("ready", func() bool { return m.State().Phase == Ready })
	w := m.watchNames()
	_, err := m.Mapping(context.Background(), schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"})
	if err == nil || meta.IsNoMatchError(err) {
		t.Errorf("got %v, want an error that is not NoMatch", err)
	}
	m.await("the watch says why it waits", func() bool {
		return w.Err() != nil && strings.Contains(w.Err().Error(), "configmaps: discovery: an error on the server")
	})
	m.proxy.SetRule(nil)
	m.awaitSynced(w)
}

// TestMappingWithoutVersion: a kind is found in the preferred one of the versions that serve it, at every look.
func TestMappingWithoutVersion(t *testing.T) {
	m := openMember(t)
	both := parse(t, widgetDefinition)
	versions := both.Object["spec"].(map[string]any)["versions"].([]any)
	older := runtime.DeepCopyJSON(versions[0].(map[string]any))
	older["name"], older["storage"] = "v1beta1", false
	both.Object["spec"].(map[string]any)["versions"] = append(versions, older)
	if _, err := m.direct.Resource(definitions).Create(context.Background(), both, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	m.awaitDefinition("test.gitfleet.io")
	for range 5 { // discovery's own lists are in no order
		m.catalog.invalidate("test.gitfleet.io", time.Now())
		mapping, err := m.Mapping(context.Background(), schema.GroupVersionKind{Group: "test.gitfleet.io", Kind: "Widget"})
		if err != nil || mapping.Resource != widgets || mapping.GroupVersionKind.Version != "v1" {
			t.Fatalf("got %+v, %v, want %s", mapping, err, widgets)
		}
	}
	_, err := m.Mapping(context.Background(), schema.GroupVersionKind{Group: "test.gitfleet.io", Kind: "Gadget"})
	if !meta.IsNoMatchError(err) {
		t.Errorf("a kind that no version serves: %v", err)
	}
}

func TestNamespacedResources(t *testing.T) {
	m := openMember(t)
	m.create(definitions, "", widgetDefinition)
	resources, err := m.NamespacedResources(context.Background(), "list", "delete")
	if err != nil {
		t.Fatal(err)
	}
	count := map[schema.GroupResource]int{}
	for _, r := range resources {
		count[r.Resource.GroupResource()]++
	}
	for gr, want := range map[schema.GroupResource]int{
		widgets.GroupResource(): 1, configMaps.GroupResource(): 1, nodes.GroupResource(): 0, {Resource: "pods/status"}: 0,
	} {
		if count[gr] != want {
			t.Errorf("%s is there %d times, want %d", gr, count[gr], want)
		}
	}
	if none, err := m.NamespacedResources(context.Background(), "list", "fly"); err != nil || len(none) > 0 {
		t.Errorf("resources that can fly: %v, %v", none, err)
	}
	m.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Path == "/apis" }, memfleet.Answer(500)))
	if _, err := m.NamespacedResources(context.Background(), "list"); err == nil {
		t.Error("a discovery that failed is taken for an answer")
	}
}
