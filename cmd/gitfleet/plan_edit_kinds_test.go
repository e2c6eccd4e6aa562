package main

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// editing is one commit in the making.
type editing struct {
	*edited
	random *rand.Rand
	done   []string // what it does, in words

	alone  bool                  // nothing else may be in the commit
	moves  bool                  // placements may go elsewhere
	before []func(*world)        // what happens on members before
	away   string                // a member that is out of reach while the commit is planned
	mend   []func(next *editing) // what the next commit begins with
}

// editKind is one thing that a commit may do. It reports whether there was something to do it to.
type editKind struct {
	name string
	do   func(*editing) bool
}

// usual are edits of which one commit may hold several.
var usual = []editKind{
	{"add an object", (*editing).addObject},
	{"change an object", (*editing).changeObject},
	{"remove an object", (*editing).removeObject},
	{"rename an object", (*editing).renameObject},
	{"move an object to another file", (*editing).moveFile},
	{"hand an object over", (*editing).handOver},
	{"unplace an object", (*editing).unplace},
	{"give replicas away", (*editing).giveAway},
	{"change replicas", (*editing).changeReplicas},
	{"take replicas back", (*editing).takeBack},
	{"give replicas away by a rule", (*editing).giveAwayByRule},
	{"start an object over", (*editing).startOver},
	{"order by waves", (*editing).order},
	{"depend on an object", (*editing).depend},
	{"depend on a placement", (*editing).dependOnPlacement},
	{"rename a placement", (*editing).renamePlacement},
	{"pick another number", (*editing).otherNumber},
	{"prefer others", (*editing).preferOthers},
	{"require another zone", (*editing).otherZone},
	{"name other clusters", (*editing).otherNames},
	{"label a member", (*editing).label},
	{"taint a member", (*editing).taint},
	{"suspend a placement", (*editing).suspend},
	{"resume placements", (*editing).resume},
	{"suspend a member", (*editing).suspendMember},
	{"resume members", (*editing).resumeMembers},
	{"export a service", (*editing).export},
	{"add a stateful set", (*editing).addStateful},
	{"remove a stateful set", (*editing).removeStateful},
}

// special are edits that a commit makes alone, or that the next commit must mend.
var special = []editKind{
	{"change what cannot be changed", (*editing).immutable},
	{"add what is refused", (*editing).refuse},
	{"add what is there already", (*editing).adopt},
	{"make a mistake", (*editing).mistake},
	{"use a kind that is not defined", (*editing).undefined},
	{"place an object twice", (*editing).placeTwice},
	{"change a placement's type", (*editing).changeType},
	{"add a namespace", (*editing).addSpace},
	{"remove a namespace", (*editing).removeSpace},
	{"remove a placement", (*editing).removePlacement},
	{"require what no member has", (*editing).nowhere},
	{"ask for too many clusters", (*editing).tooMany},
	{"remove a member", (*editing).removeMember},
	{"return a member", (*editing).returnMember},
	{"define a kind", (*editing).define},
	{"remove a kind", (*editing).undefine},
	{"delete most of all", (*editing).deleteMost},
	{"disagree about an export", (*editing).disagree},
	{"use another's inventory", (*editing).another},
	{"change while a member is away", (*editing).whileAway},
}

// editKinds are all of them, the usual ones between the special ones.
func editKinds() []editKind {
	var all []editKind
	for i := range max(len(usual), len(special)) {
		if i < len(usual) {
			all = append(all, usual[i])
		}
		if i < len(special) {
			all = append(all, special[i])
		}
	}
	return all
}

// edit makes the commit of a seed, counted from 1: the seeds take the kinds in turn, and the rest of it is random.
func (e *edited) edit(seed uint64, mend []func(*editing)) *editing {
	c := &editing{edited: e, random: rand.New(rand.NewPCG(seed, 5))}
	for _, do := range mend {
		do(c)
	}
	kinds := editKinds()
	c.one(kinds, int((seed-1)%uint64(len(kinds))))
	for range c.random.IntN(3) {
		if !c.alone {
			c.one(usual, c.random.IntN(len(usual)))
		}
	}
	return c
}

// one makes the first edit from kinds[first] on that can be made.
func (c *editing) one(kinds []editKind, first int) {
	for i := range kinds {
		k := kinds[(first+i)%len(kinds)]
		if k.do(c) {
			c.done = append(c.done, k.name)
			return
		}
	}
}

// object returns an object of one of these kinds.
func (c *editing) object(kinds ...string) *editedObject {
	return pick(c.random, c.objects, func(o *editedObject) bool { return slices.Contains(kinds, o.kind) && !o.refused })
}

// plain are kinds without anything special about them.
var plain = []string{"ConfigMap", "Secret", "Deployment", "ClusterRole", "Gadget"}

func (c *editing) addObject() bool {
	switch kind := plain[c.random.IntN(4)]; {
	case kind == "ClusterRole":
		c.add(kind, "", "roles")
	case c.random.IntN(3) == 0:
		c.add(kind, divided, []string{"one", "two"}[c.random.IntN(2)])
	default:
		ns := pick(c.random, c.objects, func(o *editedObject) bool { return o.kind == "Namespace" && o.name != divided })
		c.add(kind, ns.name, "")
	}
	return true
}

func (c *editing) changeObject() bool {
	o := c.object(append(slices.Clone(plain), "Namespace", "Service", "StatefulSet")...)
	o.value++
	return true
}

func (c *editing) removeObject() bool {
	gone := c.object(plain...)
	c.remove(func(o *editedObject) bool { return o == gone })
	return gone != nil
}

func (c *editing) renameObject() bool {
	o := c.object(plain...)
	if o != nil {
		o.name = c.name("renamed")
	}
	return o != nil
}

func (c *editing) moveFile() bool {
	c.object(plain...).file++
	return true
}

func (c *editing) handOver() bool {
	o := pick(c.random, c.objects, func(o *editedObject) bool { return o.part == "one" || o.part == "two" })
	if o == nil || c.placement(divided+"/one") != nil && c.placement(divided+"/one").suspended || c.placement(divided+"/two") != nil && c.placement(divided+"/two").suspended {
		return false // what a suspended placement has is not handed over
	}
	o.part = map[string]string{"one": "two", "two": "one"}[o.part]
	return true
}

// unplace takes the label off that a placement selects by, or puts it back.
func (c *editing) unplace() bool {
	o := pick(c.random, c.objects, func(o *editedObject) bool { return o.namespace == divided && o.kind != "ResourceEnvelope" })
	if o == nil {
		return false
	}
	if o.part == "none" {
		o.part = "one"
	} else {
		o.part = "none"
	}
	return true
}

func (c *editing) giveAway() bool {
	o := pick(c.random, c.objects, func(o *editedObject) bool { return o.kind == "Deployment" && !o.givenAway })
	if o == nil {
		return false
	}
	o.givenAway = true
	return true
}

func (c *editing) changeReplicas() bool {
	o := c.object("Deployment")
	if o == nil {
		return false
	}
	o.replicas = 1 - o.replicas
	return true
}

func (c *editing) takeBack() bool {
	o := pick(c.random, c.objects, func(o *editedObject) bool { return o.givenAway })
	if o == nil {
		return false
	}
	o.givenAway, o.replicas = false, 1-o.replicas
	return true
}

func (c *editing) giveAwayByRule() bool {
	p := pick(c.random, c.placements, func(p *editedPlacement) bool { return p.name != "plan-roles" })
	if p.givesAway == "" {
		p.givesAway = "Deployment.apps: spec.replicas"
	} else {
		p.givesAway = ""
	}
	return true
}

// startOver changes what cannot be changed, and allows the object to be deleted for it.
func (c *editing) startOver() bool {
	o := c.object("Deployment", "Secret")
	if o == nil {
		return false
	}
	o.recreate = true
	o.fixed++
	return true
}

// order has some objects of a namespace change one wave after the other.
func (c *editing) order() bool {
	ns := []string{everywhere, zoned, picked, pinned}[c.random.IntN(4)]
	for _, wave := range []int{1, 2, 0} {
		if o := pick(c.random, c.objects, func(o *editedObject) bool { return o.namespace == ns && c.unordered(o) }); o != nil {
			o.value++
			o.wave = wave
		}
	}
	c.add("ConfigMap", ns, "").wave = 1
	return true
}

// unordered tells whether o may be put into any order: no dependency is on it, nor its own.
func (c *editing) unordered(o *editedObject) bool {
	return o.kind == "ConfigMap" && o.after == nil && !slices.ContainsFunc(c.objects, func(x *editedObject) bool { return x.after == o })
}

func (c *editing) depend() bool {
	free := func(o *editedObject) bool { return c.unordered(o) && o.wave == 0 && o.namespace != divided }
	first := pick(c.random, c.objects, free)
	if first == nil {
		return false
	}
	second := pick(c.random, c.objects, func(o *editedObject) bool { return o != first && o.namespace == first.namespace && free(o) })
	if second == nil {
		return false
	}
	second.after = first
	first.value++
	return true
}

func (c *editing) dependOnPlacement() bool {
	first, second := c.placement(everywhere), c.placement(pinned)
	if first == nil || second == nil || c.anySuspended() {
		return false
	}
	if second.after != nil {
		second.after = nil
		return true
	}
	second.after = first
	for _, o := range c.objects {
		if o.namespace == everywhere || o.namespace == pinned {
			o.value++
		}
	}
	return true
}

// schedules begins an edit by which placements may go elsewhere. Where one goes while it is suspended, or to a member that is, no
// inventory shows: only the gitfleet that decided knows, and no plan. So all is resumed, and nothing suspended in the same commit.
func (c *editing) schedules() {
	c.moves = true
	c.resume()
	c.resumeMembers()
}

// anySuspended tells whether a member is suspended.
func (c *editing) anySuspended() bool {
	for _, m := range c.members {
		if m.suspended {
			return true
		}
	}
	return false
}

func (c *editing) renamePlacement() bool {
	c.schedules()
	p := pick(c.random, c.placements, func(p *editedPlacement) bool {
		return !p.suspended && p.name != divided && p.namespace == "" && !slices.Contains([]string{everywhere, pinned, picked, zoned}, p.name)
	})
	if p == nil {
		return false
	}
	p.name = c.name("plan-renamed")
	return true
}

func (c *editing) otherNumber() bool {
	c.schedules()
	p := pick(c.random, c.placements, func(p *editedPlacement) bool { return p.policy.kind == "PickN" })
	p.policy.number = 1 + p.policy.number%3
	return true
}

func (c *editing) preferOthers() bool {
	c.schedules()
	p := pick(c.random, c.placements, func(p *editedPlacement) bool { return p.policy.kind == "PickN" })
	p.policy.weight = 10 + c.random.IntN(80)
	p.policy.tier = []string{"gold", "silver"}[c.random.IntN(2)]
	return true
}

func (c *editing) otherZone() bool {
	p := c.placement(zoned)
	if p == nil {
		return false
	}
	c.schedules()
	p.policy.zone = map[string]string{"a": "b", "b": "", "": "a"}[p.policy.zone]
	return true
}

func (c *editing) otherNames() bool {
	p := pick(c.random, c.placements, func(p *editedPlacement) bool {
		return p.policy.kind == "PickFixed" && p.name != "left" && p.name != "right"
	})
	if p == nil {
		return false
	}
	c.schedules()
	all := c.memberNames()
	c.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	p.policy.names = all[:1+c.random.IntN(len(all))]
	return true
}

// memberNames returns all members in order, registered or not.
func (c *editing) memberNames() []string {
	var names []string
	for name := range c.members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *editing) member() *editedMember {
	names := c.memberNames()
	return c.members[names[c.random.IntN(len(names))]]
}

func (c *editing) label() bool {
	c.schedules()
	m := c.member()
	// The tier stays: how a member ranked when a placement came to it only the gitfleet knows that decided.
	m.labels = map[string]string{"tier": m.labels["tier"], "zone": []string{"a", "b"}[c.random.IntN(2)], "site": c.name("site")}
	return true
}

func (c *editing) taint() bool {
	c.schedules()
	m := c.member()
	if m.taints == "" {
		m.taints = "{key: upgrade, effect: NoSchedule}"
	} else {
		m.taints = ""
	}
	return true
}

func (c *editing) suspend() bool {
	p := pick(c.random, c.placements, func(p *editedPlacement) bool {
		return !p.suspended && p.namespace == "" && p.name != divided && p.name != everywhere
	})
	if p == nil || c.moves {
		return false
	}
	p.suspended = true
	for _, o := range c.objects {
		if o.namespace == p.name {
			o.value++
		}
	}
	return true
}

func (c *editing) resume() bool {
	any := false
	for _, p := range c.placements {
		any = any || p.suspended
		p.suspended = false
	}
	return any
}

func (c *editing) suspendMember() bool {
	m := c.member()
	if m.suspended || m.away || c.moves {
		return false
	}
	for _, p := range c.placements {
		p.after = nil // what depends on something suspended waits until that is resumed
	}
	m.suspended = true
	c.changeObject()
	return true
}

func (c *editing) resumeMembers() bool {
	any := false
	for _, m := range c.members {
		any = any || m.suspended
		m.suspended = false
	}
	return any
}

func (c *editing) export() bool {
	service := c.add("Service", everywhere, "")
	for _, kind := range []string{"ServiceExport", "MultiClusterService"} {
		c.add(kind, everywhere, "").name = service.name
	}
	return true
}

func (c *editing) addStateful() bool {
	c.add("StatefulSet", pinned, "")
	return true
}

func (c *editing) removeStateful() bool {
	gone := c.object("StatefulSet")
	c.remove(func(o *editedObject) bool { return o == gone })
	return gone != nil
}

func (c *editing) immutable() bool {
	o := pick(c.random, c.objects, func(o *editedObject) bool { return (o.kind == "Deployment" || o.kind == "Secret") && !o.recreate })
	if o == nil {
		return false
	}
	o.fixed++
	c.mend = append(c.mend, func(*editing) { o.fixed-- })
	c.alone = true // what comes after it, by its wave or a dependency, would wait
	return true
}

func (c *editing) refuse() bool {
	o := c.add("ConfigMap", everywhere, "")
	o.refused = true
	c.mend = append(c.mend, func(*editing) { o.refused = false })
	c.alone = true
	return true
}

// adopt adds an object that somebody has made on one of its clusters already.
func (c *editing) adopt() bool {
	p := c.placement(everywhere)
	if p == nil {
		return false
	}
	o := c.add("ConfigMap", p.name, "")
	member := c.memberNames()[0]
	c.before = append(c.before, func(w *world) {
		w.fleet.Kubectl(w.t, member, "create", "configmap", o.name, "-n", o.namespace, "--from-literal=theirs=1")
	})
	return true
}

func (c *editing) mistake() bool {
	c.extra["mistake.yaml"] = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: " + everywhere + "}\ndat: {}\n"
	c.mend = append(c.mend, func(*editing) { delete(c.extra, "mistake.yaml") })
	c.changeObject()
	return true
}

func (c *editing) placeTwice() bool {
	p := &editedPlacement{name: c.name("plan-twice"), selects: selectNamespace(everywhere, "NamespaceWithResources"), policy: editedPolicy{kind: "PickAll"}}
	c.placements = append(c.placements, p)
	c.mend = append(c.mend, func(*editing) { c.removePlacements(func(x *editedPlacement) bool { return x == p }) })
	return true
}

func (c *editing) changeType() bool {
	p := c.placement(picked)
	if p == nil {
		return false
	}
	was := p.policy
	p.policy = editedPolicy{kind: "PickAll"}
	c.mend = append(c.mend, func(*editing) { p.policy = was })
	return true
}

func (c *editing) addSpace() bool {
	c.schedules()
	p := c.addNamespace(c.name("plan-extra"), editedPolicy{kind: "PickN", number: 2})
	for range 2 {
		c.add("ConfigMap", p.name, "")
	}
	return true
}

// extraSpace returns the placement of a namespace that was added later.
func (c *editing) extraSpace() *editedPlacement {
	return pick(c.random, c.placements, func(p *editedPlacement) bool { return strings.HasPrefix(p.name, "plan-extra") })
}

func (c *editing) removeSpace() bool {
	p := c.extraSpace()
	if p == nil {
		return false
	}
	c.removePlacements(func(x *editedPlacement) bool { return x == p })
	c.remove(func(o *editedObject) bool { return o.namespace == p.name || o.kind == "Namespace" && o.name == p.name })
	return true
}

// removePlacement leaves what it brought in the repository, where nothing selects it any more.
func (c *editing) removePlacement() bool {
	p := c.placement(divided + "/two")
	if p == nil {
		return false
	}
	c.removePlacements(func(x *editedPlacement) bool { return x == p })
	c.mend = append(c.mend, func(*editing) { c.placements = append(c.placements, p) })
	return true
}

func (c *editing) nowhere() bool {
	p := c.placement(zoned)
	if p == nil {
		return false
	}
	c.schedules()
	was := p.policy.zone
	p.policy.zone = "nowhere"
	c.mend = append(c.mend, func(next *editing) { p.policy.zone, next.moves = was, true })
	return true
}

func (c *editing) tooMany() bool {
	p := c.placement(picked)
	if p == nil {
		return false
	}
	c.schedules()
	p.policy.number = 5
	c.mend = append(c.mend, func(next *editing) { p.policy.number, next.moves = 2, true })
	return true
}

func (c *editing) removeMember() bool {
	for _, m := range c.members {
		if m.away {
			return false
		}
	}
	c.schedules()
	c.member().away = true
	return true
}

func (c *editing) returnMember() bool {
	c.schedules()
	any := false
	for _, m := range c.members {
		if m.away {
			any, m.away, m.taints = true, false, "" // with a taint it would lose the namespace of what is placed there by name
		}
	}
	return any
}

// definition returns the object that defines a kind.
func (c *editing) definition() *editedObject { return c.object("CustomResourceDefinition") }

func (c *editing) define() bool {
	if c.definition() != nil {
		return false
	}
	c.schedules()
	for _, m := range c.members {
		m.taints = "" // the definition goes wherever objects of the kind are
	}
	c.objects = append(c.objects, &editedObject{kind: "CustomResourceDefinition", name: "gadgets.plan.example.com"})
	c.placements = append(c.placements, &editedPlacement{name: "plan-kinds", policy: editedPolicy{kind: "PickAll"},
		selects: "[{group: apiextensions.k8s.io, version: v1, kind: CustomResourceDefinition, name: gadgets.plan.example.com}]"})
	c.add("Gadget", everywhere, "")
	c.add("Gadget", pinned, "")
	return true
}

// undefined adds an object of a kind that no member knows.
func (c *editing) undefined() bool {
	if c.definition() != nil {
		return false
	}
	gone := c.add("Gadget", everywhere, "")
	c.mend = append(c.mend, func(*editing) { c.remove(func(o *editedObject) bool { return o == gone }) })
	c.alone = true
	return true
}

func (c *editing) undefine() bool {
	if c.definition() == nil {
		return false
	}
	c.remove(func(o *editedObject) bool { return o.kind == "CustomResourceDefinition" || o.kind == "Gadget" })
	c.removePlacements(func(p *editedPlacement) bool { return strings.Contains(p.selects, "gadgets") })
	return true
}

// deleteMost empties the repository but for namespaces; the next commit brings nearly all back.
func (c *editing) deleteMost() bool {
	var gone []*editedObject
	c.remove(func(o *editedObject) bool {
		leaves := o.kind != "Namespace" && o.kind != "CustomResourceDefinition" && c.random.IntN(10) > 0
		if leaves {
			gone = append(gone, o)
		}
		return leaves
	})
	c.mend = append(c.mend, func(*editing) { c.objects = append(c.objects, gone...) })
	c.alone = true
	return true
}

// disagree exports the same Service with two ports from two members.
func (c *editing) disagree() bool {
	names := c.memberNames()
	for i, part := range []string{"left", "right"} {
		p := &editedPlacement{namespace: divided, name: part, selects: selectParts(part), policy: editedPolicy{kind: "PickFixed", names: names[i : i+1]}}
		c.placements = append(c.placements, p)
		o := c.add("ResourceEnvelope", divided, part)
		o.value = i
		c.mend = append(c.mend, func(*editing) {
			c.removePlacements(func(x *editedPlacement) bool { return x == p })
			c.remove(func(x *editedObject) bool { return x == o })
		})
	}
	return true
}

// foreignSet is the name of a placement whose inventory on the members is another repository's.
const foreignSet = "plan-foreign"

func (c *editing) another() bool {
	p := c.addNamespace(foreignSet, editedPolicy{kind: "PickAll"})
	c.mend = append(c.mend, func(*editing) {
		c.removePlacements(func(x *editedPlacement) bool { return x == p })
		c.remove(func(o *editedObject) bool { return o.name == foreignSet })
	})
	return true
}

// whileAway has a member out of reach while what is surely on it is changed. Where else placements are nobody can tell then.
func (c *editing) whileAway() bool {
	c.resumeMembers()
	names := slices.DeleteFunc(c.memberNames(), func(name string) bool { return c.members[name].away || c.members[name].taints != "" })
	if len(names) == 0 {
		return false
	}
	c.away = names[c.random.IntN(len(names))]
	c.alone = true
	for _, o := range c.objects {
		if o.namespace == everywhere && o.kind == "ConfigMap" && c.random.IntN(2) == 0 {
			o.value++
		}
	}
	c.add("Secret", everywhere, "")
	gone := pick(c.random, c.objects, func(o *editedObject) bool { return o.namespace == everywhere && slices.Contains(plain, o.kind) })
	c.remove(func(o *editedObject) bool { return o == gone })
	return true
}

// String tells what the commit does.
func (c *editing) String() string { return strings.Join(c.done, ", ") }
