package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/internal/memfleet"
)

// quiet is how long requests are counted after everything is in place.
const quiet = 5 * time.Second

// watches is about how many gitfleet has on a member.
const watches = 13

// requestSuite counts what the members are asked. A proxy before each does that; it takes processor time, so nothing is
// timed here.
func requestSuite(s settings, shared *sharedFleet) suite {
	return suite{
		names: []string{
			"change-one-object-writes", "change-one-parent-writes", "change-one-other-requests", "idle-requests", "idle-watch-renewals",
			"restart-writes", "restart-claim", "restart-lists", "restart-watches", "restart-reads", "restart-discovery", "memory-render-child",
		},
		measure: func(ctx context.Context, notes *notebook) (err error) {
			fleet, err := shared.get(ctx)
			if err != nil {
				return err
			}
			counted, err := fleet.behindProxies()
			if err != nil {
				return err
			}
			defer counted.close()
			clients, err := fleet.bareClients()
			if err != nil {
				return err
			}
			w, err := startWorld(ctx, s.gitfleet, clients, counted.dir, thousand())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, w.close(ctx)) }()
			return counted.measure(ctx, w, notes)
		},
	}
}

// counters are proxies before all members.
type counters struct {
	dir     string // of kubeconfigs that lead through the proxies
	proxies []*memfleet.Proxy
}

func (f *localFleet) behindProxies() (*counters, error) {
	dir, err := os.MkdirTemp(f.dir, "proxies-")
	if err != nil {
		return nil, err
	}
	c := &counters{dir: dir}
	for _, name := range f.members {
		config, err := memberConfig(f.kubeconfig, name)
		if err == nil {
			var p *memfleet.Proxy
			if p, err = memfleet.NewProxy(config); err == nil {
				c.proxies = append(c.proxies, p)
				_, err = p.WriteKubeconfig(dir, name)
			}
		}
		if err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

func (c *counters) close() {
	for _, p := range c.proxies {
		p.Close()
	}
}

// counts are the requests to all members, by what they are.
type counts struct {
	byClass map[memfleet.Class]int // without the following
	parents int                    // writes to inventories
	claims  int                    // writes to the Lease that keeps a second gitfleet away
	members int
	lines   []string // every request, as the proxy describes it
}

// take returns what was asked since the last time.
func (c *counters) take() counts {
	n := counts{byClass: map[memfleet.Class]int{}, members: len(c.proxies)}
	for _, p := range c.proxies {
		for _, r := range p.Requests() {
			n.lines = append(n.lines, r.String())
			switch own := r.Writes() && r.Namespace == api.SystemNamespace; {
			case own && r.Resource == "configmaps":
				n.parents++
			case own && r.Resource == "leases":
				n.claims++
			default:
				n.byClass[r.Class]++
			}
		}
		p.Reset()
	}
	return n
}

// each returns how many requests of some classes there were a member.
func (n counts) each(classes ...memfleet.Class) float64 {
	sum := 0
	for _, class := range classes {
		sum += n.byClass[class]
	}
	return float64(sum) / float64(n.members)
}

func (c *counters) measure(ctx context.Context, w *world, notes *notebook) error {
	for i := range runs {
		children := watchChildren(w.product.cmd.Process.Pid)
		err := w.place(ctx, fmt.Sprintf("edition-%d", i+1), i+1)
		peak := children.end()
		if err != nil {
			return err
		}
		if peak == 0 {
			return errors.New("no child of gitfleet was seen while it rendered, so its memory is not known")
		}
		notes.add("memory-render-child", peak, "MiB", "its limit of 1024 MiB", 1024)
	}
	for i := range runs {
		if err := c.changeOne(ctx, w, notes, fmt.Sprintf("one-%d", i)); err != nil {
			return err
		}
	}
	for range runs {
		if err := c.restart(ctx, w, notes); err != nil {
			return err
		}
	}
	return nil
}

func (c *counters) changeOne(ctx context.Context, w *world, notes *notebook, edition string) error {
	c.take()
	out, _, err := w.changeOne(ctx, edition)
	if err != nil {
		return err
	}
	if _, err := w.product.awaitConverged(ctx, out.commit); err != nil {
		return err
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	n := c.take()
	notes.add("change-one-object-writes", n.each(memfleet.Write, memfleet.Status), "requests a member", "goal 1", 1)
	notes.add("change-one-parent-writes", float64(n.parents)/float64(n.members), "requests a member", "goal 1", 1)
	others := n.each(memfleet.Read, memfleet.List, memfleet.Watch, memfleet.DryRun, memfleet.Other)
	notes.add("change-one-other-requests", others, "requests a member", "the 2 writes", 2)
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	n = c.take()
	for _, line := range n.lines {
		fmt.Fprintf(notes.log, "while idle: %s\n", line)
	}
	// A stream of changes ends by itself every few minutes and is asked for again.
	asked := n.each(memfleet.Read, memfleet.List, memfleet.DryRun, memfleet.Other, memfleet.Write, memfleet.Status)
	each := float64(n.parents+n.claims)/float64(n.members) + asked
	notes.add("idle-requests", each, "requests a member in "+quiet.String(), "1 would be too many", 1)
	notes.add("idle-watch-renewals", n.each(memfleet.Watch), "requests a member in "+quiet.String(), "1 a watch", watches)
	return nil
}

func (c *counters) restart(ctx context.Context, w *world, notes *notebook) error {
	if err := w.product.stop(); err != nil {
		return err
	}
	w.product = nil
	c.take()
	if _, err := w.restart(ctx); err != nil {
		return err
	}
	if err := wait(ctx, quiet); err != nil {
		return err
	}
	n := c.take()
	const objects = "the 1,000 objects"
	notes.add("restart-writes", n.each(memfleet.Write, memfleet.Status, memfleet.DryRun)+float64(n.parents), "requests a member", "1 would be too many", 1)
	notes.add("restart-claim", float64(n.claims)/float64(n.members), "requests a member", "goal 1", 1)
	notes.add("restart-lists", n.each(memfleet.List), "requests a member", objects, 1000)
	notes.add("restart-watches", n.each(memfleet.Watch), "requests a member", objects, 1000)
	notes.add("restart-reads", n.each(memfleet.Read), "requests a member", objects, 1000)
	notes.add("restart-discovery", n.each(memfleet.Other), "requests a member", objects, 1000)
	return nil
}
