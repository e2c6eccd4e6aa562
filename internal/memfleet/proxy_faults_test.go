package memfleet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

func TestThrottledRequestComesAgain(t *testing.T) {
	r := newRig(t)
	r.proxy.SetRule(memfleet.Nth(1, isClass(memfleet.List), memfleet.Throttle(0)))
	if _, err := r.client.Namespace("default").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("client-go does not come back by itself: %v", err)
	}
	var codes []int
	for _, request := range r.proxy.Requests() {
		codes = append(codes, request.Code)
	}
	if want := []int{429, 200}; !slices.Equal(codes, want) {
		t.Errorf("answered %v, want %v", codes, want)
	}
}

func TestSlowAnswerEndsWithItsClient(t *testing.T) {
	r := newRig(t)
	r.proxy.SetRule(memfleet.When(isClass(memfleet.List), memfleet.Slow(time.Hour)))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := r.client.Namespace("default").List(ctx, metav1.ListOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a list of which no byte comes: %v", err)
	}
}

func TestWatchExpiresWhenSomethingComes(t *testing.T) {
	r := newRig(t)
	r.proxy.SetRule(memfleet.When(isClass(memfleet.Watch), memfleet.Expire()))
	w, err := r.client.Namespace("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	if err := r.make(t, "a"); err != nil {
		t.Fatal(err)
	}
	event := <-w.ResultChan()
	if err := apierrors.FromObject(event.Object); event.Type != watch.Error || !apierrors.IsResourceExpired(err) {
		t.Errorf("instead of the change came %s: %v, want the error 410", event.Type, err)
	}
	if event, more := <-w.ResultChan(); more {
		t.Errorf("after that came %+v", event)
	}
}

func TestImpostorIsNotTrusted(t *testing.T) {
	r := newRig(t)
	if err := r.make(t, "a"); err != nil {
		t.Fatal(err)
	}
	for i, impostor := range []bool{true, false} {
		if err := r.proxy.SetImpostor(impostor); err != nil {
			t.Fatal(err)
		}
		// The first request may be sent on the connection that is being closed.
		realfleet.Eventually(t, 20*time.Second, func() error {
			err := r.make(t, string(rune('b'+i)))
			if _, wrong := errors.AsType[*tls.CertificateVerificationError](err); wrong != impostor || !impostor && err != nil {
				return fmt.Errorf("impostor %t: %w", impostor, err)
			}
			return nil
		})
	}
	if r.exists(t, "b") {
		t.Error("a write reached the server through the impostor")
	}
}

// TestLostAnswerOfAClientThatIsGone has the client go while its write is under way.
func TestLostAnswerOfAClientThatIsGone(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	r.proxy.SetRule(memfleet.When(memfleet.Request.Writes, memfleet.Call(func(memfleet.Request) memfleet.Fault {
		cancel()
		return memfleet.LoseAnswer()
	})))
	_, err := r.client.Namespace("default").Create(ctx, parse(t, configMap("a", "k: v")), metav1.CreateOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}
	realfleet.Eventually(t, 20*time.Second, func() error {
		if !r.exists(t, "a") {
			return errors.New("the write was not done")
		}
		return nil
	})
}

func TestObjectsAreThoseOfTheServer(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"b", "a"} {
		if err := r.make(t, name); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, u := range r.server.Objects() {
		names = append(names, u.GetKind()+" "+u.GetName())
	}
	if want := []string{"ConfigMap a", "ConfigMap b", "Namespace default", "Namespace kube-system"}; !slices.Equal(names, want) {
		t.Errorf("holds %q, want %q", names, want)
	}
}
