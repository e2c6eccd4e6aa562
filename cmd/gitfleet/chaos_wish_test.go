package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/gitfleet/gitfleet/api"
)

// keptNamespace is placed on every member by every wish; others keep objects there.
const keptNamespace = "kept"

// wish is a commit in the making: placements of one namespace each.
type wish struct {
	members    []string
	placements []*wishedPlacement
}

type wishedPlacement struct {
	id        string // what its name begins with
	name      string
	namespace string
	member    string // empty for all
	maps      valuesByName
}

// valuesByName are ConfigMaps.
type valuesByName map[string]string

func newWish(members []string) wish {
	w := wish{members: members}
	for _, name := range []string{"one", "two", "three"} {
		w.placements = append(w.placements, &wishedPlacement{id: name, name: name, namespace: name, member: members[0], maps: valuesByName{"a": "1", "b": "1", "c": "1"}})
	}
	w.placements = append(w.placements, &wishedPlacement{name: keptNamespace, namespace: keptNamespace, maps: valuesByName{"a": "1"}})
	return w
}

// pick returns the name of one of the ConfigMaps that there are or might be.
func (v valuesByName) pick(random *rand.Rand) string { return string(rune('a' + random.IntN(5))) }

// change does what authors do: change, add, remove, move to another member, hand over to another placement, rename.
func (w wish) change(random *rand.Rand) {
	p, q := w.placements[random.IntN(len(w.placements))], w.placements[random.IntN(len(w.placements)-1)]
	value := strconv.Itoa(random.IntN(10))
	switch n := random.IntN(10); {
	case n < 5:
		p.maps[p.maps.pick(random)] = value
	case n < 7:
		delete(p.maps, p.maps.pick(random))
	case p.namespace == keptNamespace:
	case n == 7:
		p.member = w.members[random.IntN(len(w.members))]
	case n == 8:
		p.namespace, q.namespace = q.namespace, p.namespace
		p.maps, q.maps = q.maps, p.maps
	default:
		p.name = p.id + "-" + value
	}
}

// files returns the tree of the commit.
func (w wish) files() map[string]string {
	files := map[string]string{"members.yaml": chaosRegistry(w.members...)}
	for _, p := range w.placements {
		documents := []string{placeAs(p.name, p.namespace, p.member), namespace(p.namespace)}
		for _, name := range slices.Sorted(maps.Keys(p.maps)) {
			documents = append(documents, configMap(p.namespace, name, p.maps[name]))
		}
		files[p.namespace+".yaml"] = strings.Join(documents, "---\n")
	}
	return files
}

// want returns what the members hold when the wish is in force.
func (w wish) want() map[string]map[api.Ref]owned {
	want := map[string]map[api.Ref]owned{}
	for _, member := range w.members {
		want[member] = map[api.Ref]owned{}
		for _, p := range w.placements {
			if p.member != "" && p.member != member {
				continue
			}
			want[member][api.Ref{Kind: "Namespace", Name: p.namespace}] = owned{set: p.name}
			for name, value := range p.maps {
				want[member][api.Ref{Kind: "ConfigMap", Namespace: p.namespace, Name: name}] = owned{p.name, value}
			}
		}
	}
	return want
}
