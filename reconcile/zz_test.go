package reconcile

import (
	"context"
	"errors"
	"fmt"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/report"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

var zzWrites atomic.Int32

type zzSession struct{ session }

func (s zzSession) WriteStatuses(context.Context, []mcs.StatusWrite) error {
	zzWrites.Add(1)
	return nil
}

type zzFleet struct{ fakeFleet }

func (f zzFleet) Open(n, s string, c func()) (Member, error) {
	m, err := f.fakeFleet.Open(n, s, c)
	if err != nil {
		return nil, err
	}
	return zzSession{m.(session)}, nil
}

func zzStart(t *testing.T, repo *repository, f fakeFleet) *Loop {
	store, err := OpenStore(t.TempDir(), "fleet")
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(repo, f, store)
	o.Fleet = zzFleet{f}
	l := New(o)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended; store.Close() })
	return l
}
func TestZZClaimStatuses(t *testing.T) {
	east := newCluster("east")
	east.claim = &apply.ClaimPendingError{Source: "x", Reason: "being acquired"}
	east.services = mcs.Observed{Synced: true, Cluster: "east", Exports: []mcs.Export{{Cluster: "east", Namespace: "web", Name: "a"}}}
	repo := &repository{}
	repo.push("c1", memberCluster("east", "e"), ns("web"), placeOn("web", "e"))
	l := zzStart(t, repo, fakeFleet{"east": east})
	await(t, l, "pending", func(r report.Report) bool {
		return len(r.Members) == 1 && r.Members[0].Message != "" && r.Members[0].Message != "connecting"
	})
	time.Sleep(time.Second)
	t.Log("status writes while the claim is pending:", zzWrites.Load())
	zzWrites.Store(0)
	east.set(func() { east.claim = nil })
	await(t, l, "applied", func(r report.Report) bool { return placedOn(r, "web", "east").Applied == yes })
	time.Sleep(8 * time.Second)
	t.Log("status writes 8s after the claim came:", zzWrites.Load(), l.Report().Converged)
}
func TestZZStaleCount(t *testing.T) {
	east, west := newCluster("east"), newCluster("west")
	repo := &repository{}
	docs := func(n int) []string { return append(many(n), memberCluster("west", "w")) }
	repo.push("c1", docs(120)...)
	l := zzStart(t, repo, fakeFleet{"east": east, "west": west})
	await(t, l, "c1", convergedOn("c1"))
	repo.push("c2", docs(2)...)
	await(t, l, "held", func(r report.Report) bool { return r.Applied.Commit == "c2" && r.Confirm != nil })
	east.set(func() { east.phase = fleet.Unreachable })
	await(t, l, "gone", func(r report.Report) bool {
		return slices.ContainsFunc(r.Members, func(m report.Member) bool { return m.Name == "east" && m.Joined != yes && m.Message != "" })
	})
	repo.push("c3", append(docs(120), config("web", "more", "1"))...)
	await(t, l, "c3", func(r report.Report) bool { return r.Applied.Commit == "c3" })
	time.Sleep(time.Second)
	east.set(func() { east.phase = fleet.Ready })
	await(t, l, "c3 converged", convergedOn("c3"))
	r := l.Report()
	t.Logf("nothing to delete, converged %t, confirm: %+v", r.Converged, r.Confirm)
	_ = errors.New
	_ = fmt.Sprint
}
