package render

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/api"
)

// node is something that becomes ready: an object as one placement brings it, one wave of a placement with all before it,
// a placement as a whole, or what a placement waits for before its first object.
type node struct {
	kind      nodeKind
	placement string  // its key
	ref       api.Ref // of an object
	wave      int     // of a wave
}

type nodeKind int

const (
	anObject nodeKind = iota
	aStart
	aWave
	aPlacement
)

func (n node) compare(o node) int {
	return cmp.Or(cmp.Compare(n.kind, o.kind), n.ref.Compare(o.ref), cmp.Compare(n.placement, o.placement), cmp.Compare(n.wave, o.wave))
}

func (n node) String() string {
	switch n.kind {
	case anObject:
		return n.ref.Path()
	case aStart:
		return "start of placement/" + n.placement
	case aWave:
		return fmt.Sprintf("wave %d of placement/%s", n.wave, n.placement)
	default:
		return "placement/" + n.placement
	}
}

// graph holds for each node what it waits for.
type graph map[node][]node

// cycles returns the circles of dependencies, each at a document that declares a part of it. Every declared dependency on
// a circle shows in one of them.
func (d dependencies) cycles() ManifestErrors {
	g := d.graph().circular()
	var errs ManifestErrors
	told := map[[2]string]bool{} // by what is printed: an object of two placements would be told twice
	for _, n := range slices.SortedFunc(maps.Keys(g), node.compare) {
		origin, declared := d.declared(n)
		for _, m := range declared {
			if told[[2]string{n.String(), m.String()}] || !slices.Contains(g[n], m) {
				continue
			}
			path := g.way(m, n)
			if path == nil {
				continue
			}
			path = append([]node{n}, path...)
			for i := range path[1:] {
				told[[2]string{path[i].String(), path[i+1].String()}] = true
			}
			errs = append(errs, origin.mistake(api.DirectiveField(api.AnnotationDependsOn),
				"waits for itself: %s; remove one of these dependencies", printCycle(path)))
		}
	}
	return errs
}

// declared returns what a node waits for because its document says so, and that document.
func (d dependencies) declared(n node) (Origin, []node) {
	switch n.kind {
	case anObject:
		o := d.placed[placed{n.placement, n.ref}]
		return o.Origin, d.nodes(n.placement, o, o.Directives.DependsOn)
	case aStart:
		p := d.placements[n.placement]
		return p.Origin, wholes(p.Directives.DependsOn)
	}
	return Origin{}, nil
}

func wholes(placements []string) []node {
	var out []node
	for _, name := range placements {
		out = append(out, node{kind: aPlacement, placement: name})
	}
	return out
}

func (d dependencies) graph() graph {
	g := graph{}
	for _, p := range d.desired.Placements {
		d.addPlacement(g, p)
	}
	return g
}

// addPlacement adds p, its waves and its objects. An object waits for the waves before its own, for what it declares and
// needs, and for the start of its placement, which waits for other placements.
func (d dependencies) addPlacement(g graph, p Placement) {
	key := p.Key()
	start := node{kind: aStart, placement: key}
	g[start] = wholes(p.Directives.DependsOn)
	byWave := map[int][]Object{}
	for _, o := range p.Selected {
		byWave[o.Directives.Wave] = append(byWave[o.Directives.Wave], o)
	}
	whole := node{kind: aPlacement, placement: key}
	last := start // what comes before a wave
	for _, w := range slices.Sorted(maps.Keys(byWave)) {
		wave := node{kind: aWave, placement: key, wave: w}
		for _, o := range byWave[w] {
			n := node{kind: anObject, placement: key, ref: api.RefOf(o.Unstructured)}
			var implied []api.Dependency
			for _, ref := range d.implied(n.ref) {
				implied = append(implied, api.Dependency{Object: ref})
			}
			g[n] = slices.Concat(d.nodes(key, o, o.Directives.DependsOn), d.nodes(key, o, implied), []node{last})
			g[wave] = append(g[wave], n)
			g[whole] = append(g[whole], n) // beside the last wave, so that the shortest circle is found
		}
		last = wave
	}
	g[whole] = append(g[whole], last)
}

// nodes returns the nodes of what o, as the placement brings it, waits for. What checkWaves reports is left out.
func (d dependencies) nodes(placement string, o Object, deps []api.Dependency) []node {
	var out []node
	for _, dep := range deps {
		if dep.Placement != "" {
			out = append(out, node{kind: aPlacement, placement: dep.Placement})
			continue
		}
		if _, late := d.laterWave(placement, o, dep.Object); late {
			continue
		}
		by := d.selectedBy[dep.Object]
		if slices.Contains(by, placement) {
			by = []string{placement}
		}
		for _, name := range by {
			out = append(out, node{kind: anObject, placement: name, ref: dep.Object})
		}
	}
	return out
}

// circular returns the part of g that lies on circles or between them: usually nothing.
func (g graph) circular() graph { return g.trimmed().reversed().trimmed().reversed() }

// trimmed returns g without the nodes that can become ready.
func (g graph) trimmed() graph {
	waiting := map[node]int{}
	back := g.reversed()
	var ready []node
	for n, all := range g {
		if waiting[n] = len(all); len(all) == 0 {
			ready = append(ready, n)
		}
	}
	for n := range back {
		if _, ok := g[n]; !ok { // does not exist, which is reported elsewhere
			ready = append(ready, n)
		}
	}
	for len(ready) > 0 {
		n := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		delete(waiting, n)
		for _, m := range back[n] {
			if waiting[m]--; waiting[m] == 0 {
				ready = append(ready, m)
			}
		}
	}
	out := make(graph, len(waiting))
	for n := range waiting {
		out[n] = slices.DeleteFunc(slices.Clone(g[n]), func(m node) bool { _, ok := waiting[m]; return !ok })
	}
	return out
}

// reversed returns for each node of g, and each that one of them waits for, what waits for it.
func (g graph) reversed() graph {
	out := make(graph, len(g))
	for n, all := range g {
		if _, ok := out[n]; !ok {
			out[n] = nil
		}
		for _, m := range all {
			out[m] = append(out[m], n)
		}
	}
	for _, all := range out {
		slices.SortFunc(all, node.compare)
	}
	return out
}

// way returns a shortest way from one node to another, both included, or nil.
func (g graph) way(from, to node) []node {
	before := map[node]node{from: from}
	for queue := []node{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != to {
			for _, m := range g[at] {
				if _, seen := before[m]; !seen {
					before[m] = at
					queue = append(queue, m)
				}
			}
			continue
		}
		path := []node{at}
		for at != from {
			at = before[at]
			path = append(path, at)
		}
		slices.Reverse(path)
		return path
	}
	return nil
}

// printCycle prints the nodes of path without those that say nothing: the start and the waves of a placement that is waited
// for as a whole, and of several waves in a row all but the last.
func printCycle(path []node) string {
	var names []string
	var last node // of those printed
	for i, n := range path {
		inside := (n.kind == aWave || n.kind == aStart) && last.kind == aPlacement && last.placement == n.placement
		if inside || n.kind == aWave && path[i+1].kind == aWave {
			continue
		}
		if i == 0 && n.kind == aStart {
			n.kind = aPlacement // whose document declares what follows
			names = append(names, n.String())
			continue
		}
		names, last = append(names, n.String()), n
	}
	return strings.Join(names, " -> ")
}
