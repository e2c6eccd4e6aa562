package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

const (
	sequences = 20
	steps     = 500
	// seedVariable replays one sequence: the seed that a failure prints.
	seedVariable = "GITFLEET_CHAOS_SEED"
)

// TestFaults makes random sequences of pushes, foreign writes, restarts and broken requests. At the end of each everything
// is healed, and the members must come to hold what the last commit says and nothing else of ours, without anything of
// others deleted. At the end of all no goroutine may be left, and memory must be what it was after the first few.
func TestFaults(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) }) // last of all
	if text := os.Getenv(seedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", seedVariable, err)
		}
		disturb(t, seed)
		return
	}
	const warm, atOnce, most = 6, 6, 10 << 20
	play := func(from, to uint64) {
		var next atomic.Uint64
		var workers sync.WaitGroup
		for range atOnce {
			workers.Go(func() {
				for seed := from + next.Add(1) - 1; seed < to; seed = from + next.Add(1) - 1 {
					t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { disturb(t, seed) })
				}
			})
		}
		workers.Wait()
	}
	play(1, 1+warm)
	first := heap()
	play(1+warm, 1+sequences)
	if last := heap(); last > first+most {
		t.Errorf("the heap has %d bytes after %d sequences and had %d after %d; it may grow by %d", last, sequences, first, warm, most)
	}
}

// heap returns the bytes that live objects take.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // what finalizers let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// storm is one sequence under way. Every choice comes from its seed, none from what the program does.
type storm struct {
	*chaosFleet
	random  *rand.Rand
	wish    wish
	program *program
	clients map[string]dynamic.Interface
	others  map[string]map[api.Ref]types.UID
	touched map[string]int // changes of an object by others since the start of the program: the third would be damped for long
	heal    chan struct{}  // closed when requests that hang go on
	commit  string
}

// disturb makes one sequence.
func disturb(t *testing.T, seed uint64) {
	t.Helper()
	f := newChaosFleet(t, 3)
	defer f.close()
	s := &storm{chaosFleet: f, random: rand.New(rand.NewPCG(seed, 0)), wish: newWish(f.names), clients: map[string]dynamic.Interface{},
		others: map[string]map[api.Ref]types.UID{}, heal: make(chan struct{})}
	for _, name := range f.names {
		s.clients[name] = dynamic.NewForConfigOrDie(f.servers[name].Config())
		s.others[name] = map[api.Ref]types.UID{}
	}
	s.push()
	s.begin()
	s.settled(seed, "the beginning")
	for range steps {
		s.step()
	}
	s.healed()
	s.push()
	s.settled(seed, "the end")
	s.program.stop(t)
	if err := f.check(s.wish.want(), s.others); err != nil {
		t.Errorf("%s=%d: after it stopped: %v", seedVariable, seed, err)
	}
}

// settled waits until the members hold the wish.
func (s *storm) settled(seed uint64, when string) {
	s.t.Helper()
	want := s.wish.want()
	s.program.await(s.t, nil, func() error {
		err := s.program.converged(s.commit)
		if err == nil {
			err = s.check(want, s.others) // what is reported may be from before the last change of others
		}
		if err != nil {
			return fmt.Errorf("%s=%d: %s: %w", seedVariable, seed, when, err)
		}
		return nil
	})
}

func (s *storm) begin() {
	s.program, s.touched = s.start(nil), map[string]int{}
}

func (s *storm) push() { s.commit = s.branch.push(s.wish.files()) }

// step does one thing, and now and then gives it some time to matter.
func (s *storm) step() {
	switch n := s.random.IntN(1000); {
	case n < 250:
		s.wish.change(s.random)
		s.push()
		if s.random.IntN(2) == 0 {
			s.give(func() bool { return s.program.loop.Report().Applied.Commit == s.commit })
		}
	case n < 400:
		s.drift()
	case n < 450:
		s.create()
	case n < 460:
		s.restart()
	case n < 850:
		s.breakRequests()
	case n < 870:
		s.program.proxies[s.member()].SetDown(true)
	case n < 885:
		s.impostor()
	case n < 890:
		s.servers[s.member()].Compact()
	case n < 900:
		s.branch.fail(errors.New("the repository is out of reach"))
	default:
		s.healed()
	}
}

// give waits for what is likely to happen soon, but not for long.
func (s *storm) give(happened func() bool) {
	limit := time.After(10 * time.Millisecond)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !happened() {
		select {
		case <-limit:
			return
		case <-ticker.C:
		}
	}
}

func (s *storm) member() string { return s.names[s.random.IntN(len(s.names))] }

func (s *storm) healed() {
	close(s.heal)
	s.heal = make(chan struct{})
	s.branch.fail(nil)
	for _, proxy := range s.program.proxies {
		proxy.SetRule(nil)
		proxy.SetDown(false)
		if err := proxy.SetImpostor(false); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *storm) impostor() {
	if err := s.program.proxies[s.member()].SetImpostor(true); err != nil {
		s.t.Fatal(err)
	}
}

// restart ends the program, well or badly, and starts it, sometimes on a new machine.
func (s *storm) restart() {
	badly, lost := s.random.IntN(2) == 0, s.random.IntN(2) == 0
	close(s.heal)
	s.heal = make(chan struct{})
	if badly {
		s.program.kill(s.t)
	} else {
		s.program.stop(s.t)
	}
	if lost {
		s.loseState()
	}
	s.begin()
}

// breakRequests breaks the next few requests of a kind on one member.
func (s *storm) breakRequests() {
	classes := []memfleet.Class{memfleet.Other, memfleet.Read, memfleet.List, memfleet.Watch, memfleet.Write, memfleet.Status, memfleet.DryRun}
	class := classes[s.random.IntN(len(classes))]
	faults := []memfleet.Fault{
		memfleet.Refuse(), memfleet.Cut(), memfleet.LoseAnswer(), memfleet.Forbidden(), memfleet.Throttle(time.Second), memfleet.Hold(s.heal),
		memfleet.Slow(time.Millisecond), memfleet.Expire(), memfleet.Answer(http.StatusTooManyRequests), memfleet.Answer(http.StatusInternalServerError),
		memfleet.Answer(http.StatusServiceUnavailable), memfleet.Answer(http.StatusConflict),
	}
	if class == memfleet.Watch {
		faults = append(faults, memfleet.Answer(http.StatusGone))
	}
	fault, n, any := faults[s.random.IntN(len(faults))], 1+s.random.Int64N(5), s.random.IntN(4) == 0
	var seen atomic.Int64
	s.program.proxies[s.member()].SetRule(func(r memfleet.Request) memfleet.Fault {
		if (any || r.Class == class) && seen.Add(1) <= n {
			return fault
		}
		return memfleet.Pass()
	})
	s.give(func() bool { return seen.Load() > 0 })
}

// drift has somebody else change or delete an object of ours, if it is there.
func (s *storm) drift() {
	member := s.member()
	p := s.wish.placements[s.random.IntN(len(s.wish.placements))]
	name, what := p.maps.pick(s.random), s.random.IntN(5)
	key := member + "/" + p.namespace + "/" + name
	if s.touched[key]++; s.touched[key] > 2 {
		return
	}
	client := s.clients[member].Resource(configMaps).Namespace(p.namespace)
	patch := func(body string) error {
		_, err := client.Patch(context.Background(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{FieldManager: "foreigner"})
		return err
	}
	var err error
	switch what {
	case 0:
		err = client.Delete(context.Background(), name, metav1.DeleteOptions{})
	case 1:
		if p.namespace != keptNamespace {
			return // without its label it is no longer ours, and a namespace that shall go would be held because of it
		}
		err = patch(`{"metadata":{"labels":{"` + api.ApplySetPartOfLabel + `":null}}}`)
	case 2:
		err = patch(`{"metadata":{"annotations":{"` + api.AnnotationAppliedHash + `":null}}}`)
	default:
		err = patch(fmt.Sprintf(`{"data":{"value":"theirs %d"}}`, s.random.IntN(100)))
	}
	if err != nil && !apierrors.IsNotFound(err) {
		s.t.Fatal(err)
	}
}

// create makes an object that is not ours beside those that are.
func (s *storm) create() {
	member, name := s.member(), fmt.Sprintf("theirs-%d", s.random.IntN(1000))
	u, err := parse(configMap(keptNamespace, name, "theirs"))
	if err != nil {
		s.t.Fatal(err)
	}
	u, err = s.clients[member].Resource(configMaps).Namespace(keptNamespace).Create(context.Background(), u, metav1.CreateOptions{FieldManager: "foreigner"})
	switch {
	case apierrors.IsAlreadyExists(err):
	case err != nil:
		s.t.Fatal(err)
	default:
		s.others[member][api.RefOf(u)] = u.GetUID()
	}
}
