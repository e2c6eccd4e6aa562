package render

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	v1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
)

// catalog is what selectors choose from: the objects of a revision, found by kind and by namespace. An envelope stands in it
// for what it carries, which no selector sees.
type catalog struct {
	objects    []Object // sorted
	scopes     scopes
	kinds      map[schema.GroupKind][]int // indexes of objects
	shelves    map[shelf][]int
	namespaces map[string][]int // of those that live in one
	homes      map[string]bool  // namespaces whose Namespace is in the repository
}

// shelf is where the objects of one kind in one namespace stand, or those of a kind that live in none.
type shelf struct {
	kind      schema.GroupKind
	namespace string
}

func newCatalog(objects []Object, scopes scopes) catalog {
	c := catalog{objects: objects, scopes: scopes, kinds: map[schema.GroupKind][]int{}, shelves: map[shelf][]int{},
		namespaces: map[string][]int{}, homes: map[string]bool{}}
	for o := range placeable(objects) {
		if isNamespace(o) {
			c.homes[o.GetName()] = true
		}
	}
	for n, o := range objects {
		gk := o.GroupVersionKind().GroupKind()
		ns := o.GetNamespace()
		c.kinds[gk] = append(c.kinds[gk], n)
		c.shelves[shelf{gk, ns}] = append(c.shelves[shelf{gk, ns}], n)
		if ns != "" {
			c.namespaces[ns] = append(c.namespaces[ns], n)
		}
	}
	return c
}

// selection is what one placement's selectors choose.
type selection struct {
	chosen  []int // indexes in the catalog, sorted
	errs    ManifestErrors
	notices []ManifestError
}

// selectFor applies the selectors of p. As upstream: a selector that matches nothing is no error, an object that two
// selectors match is one.
func (c catalog) selectFor(p Placement) selection {
	s := selection{}
	by := map[int]int{} // the selector that chose an object
	for i, sel := range p.Spec.ResourceSelectors {
		query, ok := newQuery(p, i)
		if !ok {
			continue // checkPlacement says what is wrong with it
		}
		chosen := c.choose(query)
		s.errs = append(s.errs, c.wrongScope(query)...)
		if len(chosen) == 0 {
			if sel.SelectionScope == v1beta1.NamespaceWithResourceSelectors && selectsNamespaces(sel) {
				s.errs = append(s.errs, c.noNamespace(query)...)
			} else {
				s.notices = append(s.notices, c.nothingSelected(query))
			}
		}
		s.errs = append(s.errs, c.clashes(query, chosen, by)...)
	}
	s.notices = append(s.notices, c.homeless(p)...)
	s.chosen = slices.Sorted(maps.Keys(by))
	return s
}

// query is one selector of a placement.
type query struct {
	v1beta1.ResourceSelector
	placement Placement
	index     int
	labels    labels.Selector // nil without a labelSelector
	// home is the namespace in which the placement looks for what lives in one; empty for none.
	home string
}

// newQuery reads selector i of p. It fails for label selectors that make no sense.
func newQuery(p Placement, i int) (query, bool) {
	q := query{ResourceSelector: p.Spec.ResourceSelectors[i], placement: p, index: i, home: homeOf(p)}
	if q.LabelSelector != nil {
		var err error
		if q.labels, err = metav1.LabelSelectorAsSelector(q.LabelSelector); err != nil {
			return q, false
		}
	}
	return q, true
}

// homeOf returns the namespace that the selectors of p are limited to where they name kinds that live in namespaces: of a
// ResourcePlacement its own, of a ClusterResourcePlacement the one it selects as NamespaceWithResourceSelectors.
func homeOf(p Placement) string {
	if p.confined() {
		return p.Namespace
	}
	for _, s := range p.Spec.ResourceSelectors {
		if selectsNamespaces(s) && s.SelectionScope == v1beta1.NamespaceWithResourceSelectors {
			return s.Name
		}
	}
	return ""
}

func (q query) kind() schema.GroupKind { return schema.GroupKind{Group: q.Group, Kind: q.Kind} }

func (q query) mistake(field, format string, args ...any) ManifestError {
	return q.placement.Origin.mistake(entry("spec.resourceSelectors", q.index)+field, format, args...)
}

// matches tells whether q names o, wherever o lives.
func (q query) matches(o Object) bool {
	return (q.Name == "" || q.Name == o.GetName()) && (q.labels == nil || q.labels.Matches(labelsOf(o)))
}

// labelsOf returns the labels that o has on a cluster: its own, and on a Namespace the one that every API server sets
// (https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-metadata-name).
func labelsOf(o Object) labels.Set {
	set := labels.Set(o.GetLabels())
	if isNamespace(o) {
		set = labels.Merge(set, labels.Set{corev1.LabelMetadataName: o.GetName()})
	}
	return set
}

// choose returns what q selects: the objects it names and, if those are Namespaces and it does not say otherwise, what lives
// in them.
func (c catalog) choose(q query) []int {
	var chosen []int
	if !q.placement.confined() {
		chosen = c.matching(q, c.shelves[shelf{q.kind(), ""}])
	}
	if q.home != "" {
		chosen = append(chosen, c.matching(q, c.shelves[shelf{q.kind(), q.home}])...)
	}
	alone := q.SelectionScope == v1beta1.NamespaceOnly || q.SelectionScope == v1beta1.NamespaceWithResourceSelectors
	if !selectsNamespaces(q.ResourceSelector) || alone {
		return chosen
	}
	for _, n := range chosen { // range sees the Namespaces only
		chosen = append(chosen, c.namespaces[c.objects[n].GetName()]...)
	}
	return chosen
}

func (c catalog) matching(q query, candidates []int) []int {
	var out []int
	for _, n := range candidates {
		if q.matches(c.objects[n]) {
			out = append(out, n)
		}
	}
	return out
}

// misplaced returns the objects that q names and that live where its placement selects nothing. It is asked of kinds whose
// scope nothing tells: of others checkPlacement reports the selector, or checkNamespace the object.
func (c catalog) misplaced(q query) []int {
	switch {
	case c.scopes.of(q.kind()) != unknownScope:
		return nil
	case q.placement.confined():
		return c.matching(q, c.shelves[shelf{q.kind(), ""}])
	case q.home != "":
		return nil
	}
	return slices.DeleteFunc(c.matching(q, c.kinds[q.kind()]), func(n int) bool { return c.objects[n].GetNamespace() == "" })
}

// wrongScope reports a custom kind whose objects live elsewhere than where the placement looks.
func (c catalog) wrongScope(q query) ManifestErrors {
	misplaced := c.misplaced(q)
	if len(misplaced) == 0 {
		return nil
	}
	o := c.objects[misplaced[0]]
	if q.placement.confined() {
		return ManifestErrors{q.mistake(".kind", "%s (%s) has no namespace, and a ResourcePlacement selects what lives in its own; "+
			"give it the namespace, or select it with a ClusterResourcePlacement", api.RefOf(o.Unstructured), o.Origin)}
	}
	return ManifestErrors{q.mistake(".kind", "%s (%s) has a namespace, and a ClusterResourcePlacement selects what lives outside them; "+
		"select the Namespace instead, which brings everything in it along", api.RefOf(o.Unstructured), o.Origin)}
}

// clashes notes in by what q chose. Of the objects that another selector has chosen before, the first is reported.
func (c catalog) clashes(q query, chosen []int, by map[int]int) ManifestErrors {
	var errs ManifestErrors
	told := map[int]bool{}
	for _, n := range chosen {
		first, taken := by[n]
		switch {
		case !taken:
			by[n] = q.index
		case first != q.index && !told[first]:
			told[first] = true
			errs = append(errs, q.mistake("", "selects %s, which resourceSelectors[%d] selects too; let only one of them select it",
				api.RefOf(c.objects[n].Unstructured), first))
		}
	}
	return errs
}

// noNamespace reports that the Namespace is missing that the other selectors are limited to. Of a reserved one checkPlacement
// tells that it is never placed.
func (c catalog) noNamespace(q query) ManifestErrors {
	if q.Name == "" || Reserved(q.Name) || q.LabelSelector != nil { // that excludes a name, and is told as what it is
		return nil
	}
	return ManifestErrors{q.mistake(".name", "the repository has no Namespace %s, which %s needs%s", q.Name, q.SelectionScope,
		orAdd(api.Nearest(q.Name, c.names(q.kind()))))}
}

func orAdd(best string) string {
	if best == "" {
		return "; add one"
	}
	return "; did you mean " + best + "?"
}

// names returns the names of all objects of a kind.
func (c catalog) names(gk schema.GroupKind) []string {
	var names []string
	for _, n := range c.kinds[gk] {
		names = append(names, c.objects[n].GetName())
	}
	return names
}

func (c catalog) nothingSelected(q query) ManifestError {
	if inside := len(c.namespaces[q.Name]); selectsNamespaces(q.ResourceSelector) && q.Name != "" && inside > 0 {
		return q.mistake("", "selects nothing, although there are %d objects in namespace %s: the repository has "+
			"no Namespace %s; add one", inside, q.Name, q.Name)
	}
	where := ""
	if q.home != "" && c.scopes.of(q.kind()) != clusterWide {
		where = " in namespace " + q.home
	}
	return q.mistake("", "selects nothing: the repository has no such %s%s", q.Kind, where)
}

// homeless notes a ResourcePlacement whose Namespace is not in the repository: what it brings needs it on every cluster.
func (c catalog) homeless(p Placement) []ManifestError {
	if !p.confined() || p.Namespace == "" || c.homes[p.Namespace] {
		return nil
	}
	return []ManifestError{p.Origin.mistake("metadata.namespace", "the repository has no Namespace %s, so nothing comes to clusters that "+
		"lack it; add it, and a ClusterResourcePlacement that selects it with selectionScope NamespaceOnly", p.Namespace)}
}

// unwrap returns the objects at the given indexes, in place of envelopes what they carry, sorted.
func (c catalog) unwrap(chosen []int) []Object {
	var out []Object
	carried := false
	for _, n := range chosen {
		o := c.objects[n]
		if isEnvelope(o.GroupVersionKind()) {
			carried = true
			out = append(out, o.Contents...)
			continue
		}
		out = append(out, o)
	}
	if carried {
		slices.SortFunc(out, compareObjects)
	}
	return out
}

// checkSelectedOnce reports an object that p brings twice, by an envelope and by another one or as it is. Different
// placements may do that, as long as they do not meet on a cluster.
func checkSelectedOnce(p Placement) ManifestErrors {
	var errs ManifestErrors
	for i := 1; i < len(p.Selected); i++ {
		a, b := p.Selected[i-1], p.Selected[i]
		if sameEnvelope(a, b) {
			continue // what is defined twice is reported by check, whatever selects it
		}
		if ref := api.RefOf(b.Unstructured); ref == api.RefOf(a.Unstructured) {
			errs = append(errs, b.mistake("metadata.name", "placement/%s selects %s here and in %s; keep one of them, or let only one be selected",
				p.Key(), ref, a.Origin))
		}
	}
	return errs
}
