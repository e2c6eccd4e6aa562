package local

import (
	"net/netip"
	"slices"
)

// share is one cluster's part of new flows, by smooth weighted round robin: every pick adds the weight to the credit of
// each that may be picked, and the one with most credit pays for all. Picks of one cluster are spread out that way.
type share struct {
	weight, credit int
}

// weigh takes over the clusters' weights. Credit outlives a change, so that frequent changes favour nobody.
func (p *pool) weigh(weights map[string]int) {
	if len(weights) == 0 {
		p.clusters = nil
		return
	}
	before := p.clusters
	p.clusters = map[string]*share{}
	for _, b := range p.active {
		s := before[b.cluster]
		if s == nil {
			s = &share{}
		}
		s.weight = 1
		if w, said := weights[b.cluster]; said {
			s.weight = max(w, 0)
		}
		p.clusters[b.cluster] = s
	}
}

// pick returns the backend for the next flow of client, or nil when all that may take it were tried. Those that are
// ejected come last, and so are tried when there are no others.
func (p *pool) pick(client netip.Addr, tried []*backend) *backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var healthy, ejected []*backend
	for _, b := range p.active {
		switch {
		case p.withdrawn(b) || slices.Contains(tried, b):
		case b.health.ejected(now):
			ejected = append(ejected, b)
		default:
			healthy = append(healthy, b)
		}
	}
	from := healthy
	if len(from) == 0 {
		from = ejected
	}
	if len(from) == 0 {
		return nil
	}
	b := p.sticky.find(client, now, from)
	if b == nil {
		b = longestWaiting(p.favoured(from))
		p.turns++
		b.turn = p.turns
	}
	p.sticky.note(client, now, b)
	return b
}

// withdrawn tells whether b's cluster takes no new flows.
func (p *pool) withdrawn(b *backend) bool {
	return p.clusters != nil && p.clusters[b.cluster].weight == 0
}

// favoured returns those of from that are in the cluster whose turn it is. Where clusters are not weighed it is all.
func (p *pool) favoured(from []*backend) []*backend {
	if p.clusters == nil {
		return from
	}
	total, counted := 0, map[string]bool{}
	var best string
	for _, b := range from {
		if counted[b.cluster] {
			continue
		}
		s := p.clusters[b.cluster]
		s.credit += s.weight
		total += s.weight
		if len(counted) == 0 || s.credit > p.clusters[best].credit {
			best = b.cluster
		}
		counted[b.cluster] = true
	}
	p.clusters[best].credit -= total
	return slices.DeleteFunc(slices.Clone(from), func(b *backend) bool { return b.cluster != best })
}

// longestWaiting is round robin that stays even when some are left out for a while.
func longestWaiting(from []*backend) *backend {
	return slices.MinFunc(from, func(a, b *backend) int {
		switch {
		case a.turn < b.turn:
			return -1
		case a.turn > b.turn:
			return 1
		}
		return 0
	})
}
