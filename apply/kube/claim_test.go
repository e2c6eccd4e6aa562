package kube

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/apply/clustertest"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/internal/memfleet"
	"github.com/gitfleet/gitfleet/test/realfleet"
)

// claimParts is what must hold on any API server. Each runs for a source of its own, and so with a Lease of its own.
var claimParts = []struct {
	name string
	run  func(t *testing.T, w claimWorld)
}{
	{"free", aFreeMemberIsClaimed},
	{"restart", aRestartCostsNothing},
	{"fenced", aSecondInstanceIsFenced},
	{"killed", theClaimOfTheDeadIsTakenOver},
	{"released", aReleasedClaimIsFreeAtOnce},
	{"mute", aHolderThatCannotAnswerIsFenced},
	{"suspended", aSuspendedHolderKnowsNothing},
	{"deleted", aDeletedLeaseIsItsHolders},
	{"rivals", oneOfTwoRivalsWins},
	{"unreachable", aClaimOutOfReachIsNotHeld},
	{"garbled", aGarbledLeaseIsTaken},
	{"stale", aStaleWriteCreatesNothing},
	{"lied", aLeaseThatAListOmitsIsFound},
	{"other-source", anotherSourceHasAnotherClaim},
}

func TestClaimInMemory(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // last of all
	s := memfleet.NewServer()
	t.Cleanup(s.Close)
	testClaims(t, s.Config())
}

func TestClaimReal(t *testing.T) {
	f := realfleet.Start(t, 1)
	config := f.Config(t, f.Members[0])
	testClaims(t, config)
	t.Run("forbidden", func(t *testing.T) { aMissingPermissionIsNamed(t, config) })
}

func testClaims(t *testing.T, config *rest.Config) {
	for _, p := range claimParts {
		t.Run(p.name, func(t *testing.T) {
			if p.name != "free" { // which wants the namespace to be missing
				t.Parallel()
			}
			p.run(t, newClaimWorld(config, "https://git.example.com/"+p.name))
		})
	}
}

func aFreeMemberIsClaimed(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	if got := strings.Join(a.asked(), ", "); got != "POST leases, POST namespaces, POST leases" {
		t.Errorf("sent %s", got)
	}
	l := w.lease(t)
	if want := (apply.Instance{ID: "a", Description: "host of a"}); l.Holder != want || l.Since.IsZero() || l.Transitions != 0 {
		t.Errorf("lease %+v", l)
	}
}

func aRestartCostsNothing(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	a.kill()
	again := w.start(t, "a")
	again.holds(t)
	if sent := again.asked(); len(sent) > 0 {
		t.Errorf("a restart with the same identity sent %v", sent)
	}
}

func aSecondInstanceIsFenced(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	held := w.lease(t)
	a.proxy.Reset()
	b := w.start(t, "b")
	clustertest.Eventually(t, "b is fenced", func(context.Context) error {
		if err := a.Err(); err != nil {
			t.Fatalf("the first instance lost its claim: %v", err)
		}
		var claimed *apply.ClaimedError
		if err := b.Err(); !errors.As(err, &claimed) {
			return fmt.Errorf("it says: %w", err)
		}
		return nil
	})
	for _, want := range []string{"host of a (instance a)", held.Since.UTC().Format(time.RFC3339), w.source, "stop one of the two"} {
		if text := b.Err().Error(); !strings.Contains(text, want) {
			t.Errorf("the error does not say %q: %s", want, text)
		}
	}
	if l := w.lease(t); l.Holder.ID != "a" || l.Transitions != 0 || l.Answered == "" {
		t.Errorf("lease %+v", l)
	}
	if sent := fmt.Sprint(a.asked(), b.asked()); sent != "[PUT leases] [PUT leases]" {
		t.Errorf("a and b sent %s, want one challenge and one answer", sent)
	}
}

func theClaimOfTheDeadIsTakenOver(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	a.kill()
	b := w.start(t, "b")
	began := time.Now()
	b.holds(t)
	if took := time.Since(began); took < w.timing.Answer {
		t.Errorf("taken over after %s, the holder may take %s to answer", took, w.timing.Answer)
	}
	if l := w.lease(t); l.Holder.ID != "b" || l.Transitions != 1 || l.Challenge != "" {
		t.Errorf("lease %+v", l)
	}
	again := w.start(t, "a")
	again.isFencedBy(t, "b")
	b.kill() // of what was answered nothing is concluded for ever
	again.holds(t)
}

func aReleasedClaimIsFreeAtOnce(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	b := w.start(t, "b")
	b.isFencedBy(t, "a")
	if err := a.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Err(); err == nil {
		t.Error("a released claim says that it is held")
	}
	released := w.lease(t).Renewed
	b.holds(t)
	if took := w.lease(t).Since.Sub(released); took > w.timing.Answer {
		t.Errorf("taken %s after it was released", took)
	}
	a.proxy.Reset()
	if err := a.Release(t.Context()); err != nil || len(a.proxy.Writes()) > 0 {
		t.Errorf("releasing what another holds: %v, sent %v", err, a.proxy.Writes())
	}
	b.holds(t)
}

func aHolderThatCannotAnswerIsFenced(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	a.proxy.SetRule(memfleet.When(func(r memfleet.Request) bool { return r.Method == http.MethodPut }, memfleet.Hold(nil)))
	b := w.start(t, "b")
	b.holds(t)
	clustertest.Eventually(t, "the holder that was taken for dead knows", func(context.Context) error {
		if a.Err() == nil {
			return errors.New("it believes to hold the claim")
		}
		return nil
	})
	a.proxy.SetRule(nil)
	a.isFencedBy(t, "b")
	b.holds(t)
}

func aSuspendedHolderKnowsNothing(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	a.mu.Lock() // stops its goroutine, as SIGSTOP would
	b := w.start(t, "b")
	b.holds(t)
	state := a.state
	stale := apply.ClaimView{Synced: true, Lease: apply.ClaimLease{ResourceVersion: "1", Holder: a.self}}
	if err := state.Err(stale, time.Now()); err == nil {
		t.Error("what it saw before it was suspended makes it believe to hold the claim")
	}
	a.mu.Unlock()
	if err := a.Err(); err == nil {
		t.Error("it goes on as if it held the claim")
	}
	a.isFencedBy(t, "b")
}

func aDeletedLeaseIsItsHolders(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	b := w.start(t, "b")
	b.isFencedBy(t, "a")
	before := w.lease(t).UID
	clustertest.Must(0, w.leases().Delete(t.Context(), apply.ClaimName(w.source), metav1.DeleteOptions{}))(t)
	clustertest.Eventually(t, "the lease is there again", func(ctx context.Context) error {
		u, err := w.leases().Get(ctx, apply.ClaimName(w.source), metav1.GetOptions{})
		if err == nil && u.GetUID() == before {
			err = errors.New("still the same")
		}
		return err
	})
	if l := w.lease(t); l.Holder.ID != "a" {
		t.Errorf("the lease went to %v", l.Holder)
	}
	a.holds(t)
	b.isFencedBy(t, "a")
}

func oneOfTwoRivalsWins(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	a.kill()
	b, c := w.start(t, "b"), w.start(t, "c")
	clustertest.Eventually(t, "one of two holds the claim and the other says so", func(context.Context) error {
		errB, errC := b.Err(), c.Err()
		var claimed *apply.ClaimedError
		switch {
		case errB == nil && errC == nil:
			t.Fatal("both hold the claim")
		case errB == nil && errors.As(errC, &claimed), errC == nil && errors.As(errB, &claimed):
			return nil
		}
		return fmt.Errorf("b: %w, c: %w", errB, errC)
	})
	if l := w.lease(t); l.Transitions != 1 {
		t.Errorf("the lease changed its holder %d times", l.Transitions)
	}
}

func aClaimOutOfReachIsNotHeld(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	a.proxy.SetDown(true)
	clustertest.Eventually(t, "the member is missed", func(context.Context) error {
		var unreachable *fleet.UnreachableError
		if err := a.Err(); !errors.As(err, &unreachable) {
			return fmt.Errorf("it says: %w", err)
		}
		return nil
	})
	a.proxy.Reset()
	a.proxy.SetDown(false)
	a.holds(t)
	if n := len(a.proxy.Writes()); n > 0 {
		t.Errorf("%d writes to hold on to a claim", n)
	}
}

// aGarbledLeaseIsTaken: whatever others make of the lease, somebody holds it in the end.
func aGarbledLeaseIsTaken(t *testing.T, w claimWorld) {
	w.start(t, "other").holds(t) // makes the namespace, if it is the first
	name := apply.ClaimName(w.source)
	for what, patch := range map[string]string{
		"no holder":        `{"spec":{"holderIdentity":null}}`,
		"empty holder":     `{"spec":{"holderIdentity":""}}`,
		"blank challenge":  `{"metadata":{"annotations":{"gitfleet.dev/challenge":"  "}}}`,
		"odd challenge":    `{"metadata":{"annotations":{"gitfleet.dev/challenge":"{\n"}}}`,
		"foreign metadata": `{"metadata":{"annotations":null,"labels":{"a":"b"}}}`,
		"stranger":         `{"spec":{"holderIdentity":"somebody"}}`,
	} {
		u, err := w.leases().Patch(t.Context(), name, "application/merge-patch+json", []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		clustertest.Eventually(t, "the claim is held again after "+what, func(ctx context.Context) error {
			l := w.lease(t)
			if l.Holder.ID != "other" || l.Challenge != "" || l.ResourceVersion == u.GetResourceVersion() && what != "foreign metadata" {
				return fmt.Errorf("lease %+v", l)
			}
			return nil
		})
	}
}

// aStaleWriteCreatesNothing: a Lease may be created by an update, so the update names the UID of what it replaces.
func aStaleWriteCreatesNothing(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	stale := w.lease(t)
	a.kill()
	clustertest.Must(0, w.leases().Delete(t.Context(), apply.ClaimName(w.source), metav1.DeleteOptions{}))(t)
	u := clustertest.Must(runtime.DefaultUnstructuredConverter.ToUnstructured(apply.EncodeClaim(stale)))(t)
	_, err := w.leases().Update(t.Context(), &unstructured.Unstructured{Object: u}, metav1.UpdateOptions{})
	if !lostRace(err) {
		t.Errorf("an update of a deleted lease: %v, want a refusal that counts as a lost race", err)
	}
}

// aLeaseThatAListOmitsIsFound: nobody takes a claim for free because a list was answered with nothing.
func aLeaseThatAListOmitsIsFound(t *testing.T, w claimWorld) {
	a := w.start(t, "a")
	a.holds(t)
	b := w.startWith(t, "b", memfleet.Nth(1, func(r memfleet.Request) bool {
		return r.Class == memfleet.List && r.Resource == "leases"
	}, memfleet.EmptyList()))
	b.isFencedBy(t, "a")
	if err := a.Err(); err != nil {
		t.Errorf("the holder lost its claim: %v", err)
	}
}

func anotherSourceHasAnotherClaim(t *testing.T, w claimWorld) {
	other := w
	other.source += "-2"
	a, b := w.start(t, "a"), other.start(t, "b")
	a.holds(t)
	b.holds(t)
	if err := a.Err(); err != nil {
		t.Errorf("the claim for one source took that for another: %v", err)
	}
}

func aMissingPermissionIsNamed(t *testing.T, config *rest.Config) {
	config = rest.CopyConfig(config)
	config.Impersonate.UserName = "nobody-in-particular"
	a := newClaimWorld(config, "https://git.example.com/forbidden").start(t, "a")
	clustertest.Eventually(t, "the missing permission is named", func(context.Context) error {
		var refused *apply.RefusedError
		if err := a.Err(); !errors.As(err, &refused) || refused.Actor != apply.Operator || refused.Verb != "list" ||
			!strings.Contains(err.Error(), "create and update on leases.coordination.k8s.io in namespace gitfleet-system") {
			return fmt.Errorf("it says: %w", err)
		}
		return nil
	})
}
