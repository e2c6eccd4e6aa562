package memfleet_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// rig is a server, a proxy before it, and clients of both.
type rig struct {
	server *memfleet.Server
	proxy  *memfleet.Proxy
	direct dynamic.NamespaceableResourceInterface // config maps, past the proxy
	client dynamic.NamespaceableResourceInterface // config maps, through it
}

func newRig(t *testing.T) *rig {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) })
	r := &rig{server: memfleet.NewServer()}
	t.Cleanup(r.server.Close)
	r.proxy = startProxy(t, r.server.Config())
	r.direct = dynamic.NewForConfigOrDie(r.server.Config()).Resource(configMaps)
	cfg := r.proxy.Config()
	r.client = dynamic.NewForConfigOrDie(cfg).Resource(configMaps)
	t.Cleanup(func() { closeIdle(t, cfg) })
	return r
}

// closeIdle closes what client-go keeps open for everyone with this configuration.
func closeIdle(t *testing.T, cfg *rest.Config) {
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	client.CloseIdleConnections()
}

func (r *rig) make(t *testing.T, name string) error {
	_, err := r.client.Namespace("default").Create(context.Background(), parse(t, configMap(name, "k: v")), metav1.CreateOptions{})
	return err
}

func (r *rig) exists(t *testing.T, name string) bool {
	t.Helper()
	_, err := r.direct.Namespace("default").Get(context.Background(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	return err == nil
}

func isClass(class memfleet.Class) func(memfleet.Request) bool {
	return func(r memfleet.Request) bool { return r.Class == class }
}

func TestProxyRecordsWhatWasAsked(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	ns := r.client.Namespace("default")
	if err := r.make(t, "a"); err != nil {
		t.Fatal(err)
	}
	u, err := ns.Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = ns.List(ctx, metav1.ListOptions{})
	w, err := ns.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	_, _ = ns.Update(ctx, u, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	_ = ns.Delete(ctx, "a", metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	_, _ = ns.UpdateStatus(ctx, u, metav1.UpdateOptions{})
	_ = ns.Delete(ctx, "b", metav1.DeleteOptions{})

	var got []string
	for _, req := range r.proxy.Requests() {
		got = append(got, req.Method+" "+string(req.Class)+" "+req.Resource+" "+req.Namespace+"/"+req.Name)
	}
	want := `POST write configmaps default/
GET read configmaps default/a
GET list configmaps default/
GET watch configmaps default/
PUT dryrun configmaps default/a
DELETE dryrun configmaps default/a
PUT status configmaps default/a
DELETE write configmaps default/b`
	if strings.Join(got, "\n") != want {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(got, "\n"), want)
	}
	if writes := r.proxy.Writes(); len(writes) != 3 || writes[0].Code != 201 || writes[0].Size == 0 || writes[2].Code != 404 {
		t.Errorf("writes: %+v, want the create, the status update and the delete that found nothing", writes)
	}
	r.proxy.Reset()
	if n := len(r.proxy.Requests()); n != 0 {
		t.Errorf("%d requests after Reset", n)
	}
}

func TestFaults(t *testing.T) {
	list := func(r *rig) (int, error) {
		list, err := r.client.Namespace("default").List(context.Background(), metav1.ListOptions{})
		if err != nil {
			return 0, err
		}
		return len(list.Items), nil
	}
	for _, tc := range []struct {
		name  string
		fault memfleet.Fault
		check func(n int, err error) bool
	}{
		{"pass", memfleet.Pass(), func(n int, err error) bool { return n == 1 && err == nil }},
		{"refuse", memfleet.Refuse(), func(_ int, err error) bool { return err != nil && !isStatus(err) }},
		{"answer", memfleet.Answer(500), func(_ int, err error) bool { return apierrors.IsInternalError(err) }},
		{"forbidden", memfleet.Forbidden(), func(_ int, err error) bool { return apierrors.IsForbidden(err) }},
		{"cut", memfleet.Cut(), func(_ int, err error) bool { return err != nil && !isStatus(err) }},
		{"empty list", memfleet.EmptyList(), func(n int, err error) bool { return n == 0 && err == nil }},
		{"lose answer", memfleet.LoseAnswer(), func(_ int, err error) bool { return err != nil && !isStatus(err) }},
		{"expire", memfleet.Expire(), func(n int, err error) bool { return n == 1 && err == nil }},
		{"slow", memfleet.Slow(time.Millisecond), func(n int, err error) bool { return n == 1 && err == nil }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t)
			if err := r.make(t, "a"); err != nil {
				t.Fatal(err)
			}
			r.proxy.SetRule(memfleet.When(isClass(memfleet.List), tc.fault))
			if n, err := list(r); !tc.check(n, err) {
				t.Errorf("list answered %d objects and %v", n, err)
			}
			r.proxy.SetRule(nil)
			if n, err := list(r); n != 1 || err != nil {
				t.Errorf("after the fault: %d objects and %v", n, err)
			}
		})
	}
}

func isStatus(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status)
}

func TestLostAnswerOfAWriteThatWasDone(t *testing.T) {
	r := newRig(t)
	r.proxy.SetRule(memfleet.Nth(2, memfleet.Request.Writes, memfleet.LoseAnswer()))
	if err := r.make(t, "a"); err != nil {
		t.Fatalf("the first write is not the second: %v", err)
	}
	if err := r.make(t, "b"); err == nil {
		t.Error("the second write was answered")
	}
	if !r.exists(t, "b") {
		t.Error("the second write was not done")
	}
}

func TestHookBeforeTheKthWrite(t *testing.T) {
	r := newRig(t)
	var at memfleet.Request
	r.proxy.SetRule(memfleet.Nth(2, memfleet.Request.Writes, memfleet.Call(func(req memfleet.Request) memfleet.Fault {
		at = req
		return memfleet.Refuse()
	})))
	for _, name := range []string{"a", "b", "c"} {
		err := r.make(t, name)
		if failed := err != nil; failed != (name == "b") {
			t.Errorf("write of %s: %v", name, err)
		}
	}
	if at.Seq != 2 || r.exists(t, "b") || !r.exists(t, "c") {
		t.Errorf("hook at %+v; b exists: %t", at, r.exists(t, "b"))
	}
}

func TestHeldRequestGoesOnWhenReleased(t *testing.T) {
	r := newRig(t)
	release, reached, done := make(chan struct{}), make(chan struct{}), make(chan error)
	r.proxy.SetRule(memfleet.Nth(1, memfleet.Request.Writes, memfleet.Call(func(memfleet.Request) memfleet.Fault {
		close(reached)
		return memfleet.Hold(release)
	})))
	go func() { done <- r.make(t, "a") }()
	<-reached
	if r.exists(t, "a") {
		t.Error("a held request reached the server")
	}
	close(release)
	if err := <-done; err != nil || !r.exists(t, "a") {
		t.Errorf("after release: %v", err)
	}
}

func TestWatchIsPassedOnEventByEvent(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w, err := r.client.Namespace("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for _, name := range []string{"a", "b"} {
		if err := r.make(t, name); err != nil {
			t.Fatal(err)
		}
		if event := <-w.ResultChan(); event.Type != watch.Added {
			t.Fatalf("event for %s: %+v", name, event)
		}
	}
}

func TestWatchIsCutInsideAnEvent(t *testing.T) {
	r := newRig(t)
	if err := r.make(t, "a"); err != nil {
		t.Fatal(err)
	}
	r.proxy.SetRule(memfleet.When(isClass(memfleet.Watch), memfleet.Cut()))
	w, err := r.client.Namespace("default").Watch(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		if event.Type == watch.Added {
			t.Error("half an event came through whole")
		}
	}
}

func TestDownProxyAnswersNobody(t *testing.T) {
	r := newRig(t)
	r.proxy.SetDown(true)
	if err := r.make(t, "a"); err == nil || isStatus(err) {
		t.Errorf("a proxy that is down answered: %v", err)
	}
	r.proxy.SetDown(false)
	if err := r.make(t, "a"); err != nil {
		t.Errorf("a proxy that is up again: %v", err)
	}
}

func TestKubeconfigLeadsThroughTheProxy(t *testing.T) {
	r := newRig(t)
	file, err := r.proxy.WriteKubeconfig(t.TempDir(), "member")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeIdle(t, cfg) })
	if _, err := dynamic.NewForConfigOrDie(cfg).Resource(configMaps).List(context.Background(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	if n := len(r.proxy.Requests()); n != 1 {
		t.Errorf("the proxy saw %d requests, want 1", n)
	}
}
