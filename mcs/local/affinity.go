package local

import (
	"net/netip"
	"slices"
	"time"
)

// maxClients bounds the memory of one port. Beyond it, clients are forgotten before their time.
const maxClients = 1 << 16

// affinity remembers which client goes where, as sessionAffinity ClientIP asks for.
type affinity struct {
	timeout time.Duration // 0 is none
	clients map[netip.Addr]visit
}

type visit struct {
	backend *backend
	last    time.Time
}

func (a *affinity) setTimeout(d time.Duration) {
	a.timeout = d
	if d == 0 {
		a.clients = nil
	} else if a.clients == nil {
		a.clients = map[netip.Addr]visit{}
	}
}

// find returns where client went before, when that is still among candidates.
func (a *affinity) find(client netip.Addr, now time.Time, candidates []*backend) *backend {
	v, ok := a.clients[client]
	if !ok || now.Sub(v.last) >= a.timeout || !slices.Contains(candidates, v.backend) {
		return nil
	}
	return v.backend
}

func (a *affinity) note(client netip.Addr, now time.Time, b *backend) {
	if a.timeout == 0 {
		return
	}
	if _, known := a.clients[client]; !known && len(a.clients) >= maxClients {
		a.makeRoom(now)
	}
	a.clients[client] = visit{b, now}
}

// makeRoom forgets who has not come for long, or else anybody: a sweep for every connection would be too much.
func (a *affinity) makeRoom(now time.Time) {
	for client, v := range a.clients {
		if now.Sub(v.last) >= a.timeout {
			delete(a.clients, client)
		}
	}
	for client := range a.clients {
		if len(a.clients) <= maxClients*3/4 {
			return
		}
		delete(a.clients, client)
	}
}
