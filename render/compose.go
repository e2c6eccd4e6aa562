package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/source"
)

// Compose turns rendered objects into the wish they express. The order of objects does not matter, and they are not
// modified. The error, if any, is a ManifestErrors that holds every mistake found; then nothing may be applied. A
// revision that wishes for nothing at all is such a mistake: it is never read as "delete everything".
func Compose(rev source.Revision, objects []Object) (*Desired, error) {
	d := &Desired{Revision: rev}
	objects, errs := d.gather(objects)
	if len(objects) == 0 && len(errs) == 0 {
		return nil, ManifestErrors{{File: ".", Message: "nothing to apply was found: no object, placement or member; " +
			"check the branch and the paths that are rendered"}}
	}
	errs = append(errs, d.place(scopesOf(objects))...)
	errs = append(errs, d.gatherHealthChecks()...)
	if d.decoded(objects) {
		errs = append(errs, d.checkDependencies()...)
	}
	if errs = fold(MergeErrors(errs)); len(errs) > 0 {
		blame(errs, objects)
		return nil, errs
	}
	return d, nil
}

// gather files what objects express under what it is, sorted, and returns those of them that count, with every mistake that they
// show without regard to what is selected.
func (d *Desired) gather(objects []Object) ([]Object, ManifestErrors) {
	objects, errs := prepare(objects)
	errs = append(errs, check(objects)...)
	for _, o := range objects {
		if err := d.add(o); err != nil {
			errs = append(errs, *err)
		}
	}
	d.sort()
	d.direct()
	for _, m := range d.Members {
		errs = append(errs, checkMember(m)...)
	}
	return objects, errs
}

// blame gives mistakes in resourceSelectors the key of their placement, in whose status they are told too.
func blame(errs ManifestErrors, objects []Object) {
	keys := map[Origin]string{}
	for _, o := range objects {
		if isPlacement(o) {
			keys[Origin{File: o.Origin.File, Document: o.Origin.Document}] = placementKey(o.GetNamespace(), o.GetName())
		}
	}
	for i, e := range errs {
		if strings.HasPrefix(e.Field, "spec.resourceSelectors") {
			errs[i].Placement = keys[Origin{File: e.File, Document: e.Document}]
		}
	}
}

// Check returns the mistakes that single documents and pairs of them show. Compose does the same and more; Check is for
// an incomplete set of objects, when some of a revision could not be rendered.
func Check(objects []Object) ManifestErrors {
	objects, errs := prepare(objects)
	return fold(MergeErrors(errs, check(objects)))
}

// CheckFields returns the unknown fields and wrong types of documents that could not be rendered, and nothing that a
// kustomization might still change.
func CheckFields(documents []Object) ManifestErrors {
	documents, _ = prepare(documents)
	var errs ManifestErrors
	for _, o := range documents {
		errs = append(errs, checkFields(o)...)
		for _, c := range o.Contents {
			errs = append(errs, checkFields(c)...)
		}
	}
	return MergeErrors(errs)
}

// prepare returns copies of the objects, with lists expanded, the fleet's own kinds in one version, envelopes opened, and
// without what only a server may set, sorted. Those that are never placed are left out, and reported.
func prepare(objects []Object) ([]Object, ManifestErrors) {
	var all []Object
	var errs ManifestErrors
	for _, o := range objects {
		items, wrong := Expand(Object{Unstructured: o.DeepCopy(), Origin: o.Origin})
		errs = append(errs, wrong...)
		for _, item := range items {
			item.Origin = o.Origin // what is placed is traced to its document
			converted, wrong := convertFleet(item)
			if errs = append(errs, wrong...); len(wrong) > 0 {
				continue
			}
			converted.Contents, wrong = open(converted)
			errs = append(errs, wrong...)
			all = append(all, converted)
		}
	}
	slices.SortStableFunc(all, compareObjects)
	kept, wrong := admit(all, servicesOf(all))
	return kept, append(errs, wrong...)
}

// admit returns those of objects that are taken from a repository, without what only a server may set, and of envelopes
// those that they carry.
func admit(objects []Object, services map[api.Ref]bool) ([]Object, ManifestErrors) {
	var kept []Object
	var errs ManifestErrors
	for _, o := range objects {
		if err := refused(o, services); err != nil {
			errs = append(errs, *err)
			continue
		}
		strip(o.Unstructured)
		var wrong ManifestErrors
		o.Contents, wrong = admit(o.Contents, services)
		errs = append(errs, wrong...)
		kept = append(kept, o)
	}
	return kept, errs
}

func compareObjects(a, b Object) int {
	if c := api.RefOf(a.Unstructured).Compare(api.RefOf(b.Unstructured)); c != 0 {
		return c
	}
	return compareOrigins(a.Origin, b.Origin)
}

// Expand returns the items of a list, such as `kubectl get -o yaml` prints, each with its place in the list, and any other object
// as it is. Like kubectl, it takes items that do not say so for what the list says they are.
func Expand(o Object) ([]Object, ManifestErrors) {
	list, isList := o.Object["items"].([]any)
	if !isList || !strings.HasSuffix(o.GetKind(), "List") {
		return []Object{o}, nil
	}
	kind := strings.TrimSuffix(o.GetKind(), "List")
	var out []Object
	var errs ManifestErrors
	for i, content := range list {
		at := o.Origin
		at.Field = strings.TrimPrefix(fmt.Sprintf("%s.items[%d]", at.Field, i), ".")
		object, ok := content.(map[string]any)
		if !ok {
			errs = append(errs, NoObject(at))
			continue
		}
		if object["kind"] == nil && kind != "" {
			object = maps.Clone(object)
			object["kind"], object["apiVersion"] = kind, o.GetAPIVersion()
		}
		items, wrong := Expand(Object{Unstructured: &unstructured.Unstructured{Object: object}, Origin: at})
		out, errs = append(out, items...), append(errs, wrong...)
	}
	return out, errs
}

// NoObject is the mistake of a document, or an item of a list, that is no mapping.
func NoObject(at Origin) ManifestError {
	return at.mistake("", "is no Kubernetes object, which is a mapping with apiVersion and kind; mend or remove it")
}

// check returns what is wrong with each object, and with two that are the same.
func check(objects []Object) ManifestErrors {
	var errs ManifestErrors
	scopes := scopesOf(objects)
	seen := map[api.Ref]Object{}
	for _, o := range objects {
		errs = append(errs, checkDocument(o, scopes)...)
		errs = append(errs, checkContents(o, scopes)...)
		ref := api.RefOf(o.Unstructured)
		if ref.Name == "" {
			continue
		}
		if first, dup := seen[ref]; dup {
			errs = append(errs, duplicate(ref, first, o))
			continue
		}
		seen[ref] = o
	}
	return errs
}

func duplicate(ref api.Ref, first, second Object) ManifestError {
	if first.Origin == second.Origin {
		return second.mistake("metadata.name", "%s is rendered twice from this document; use it in one kustomization "+
			"only, or let them set different namespaces or name prefixes", ref)
	}
	return second.mistake("metadata.name", "%s is already defined in %s; keep one of them", ref, first.Origin)
}

// add files o under what it is. Objects that do not decode are left out: check reports why.
func (d *Desired) add(o Object) *ManifestError {
	switch o.GroupVersionKind() {
	case placementv1beta1.ClusterResourcePlacementGVK:
		p := &placementv1beta1.ClusterResourcePlacement{}
		if err := api.DecodeStrict(o.Unstructured, p); err != nil {
			return undecodable(o, err)
		}
		d.Placements = append(d.Placements, Placement{ClusterResourcePlacement: p, Origin: o.Origin})
	case placementv1beta1.ResourcePlacementGVK:
		p := &placementv1beta1.ResourcePlacement{}
		if err := api.DecodeStrict(o.Unstructured, p); err != nil {
			return undecodable(o, err)
		}
		kept := placementv1beta1.ClusterResourcePlacement(*p)
		d.Placements = append(d.Placements, Placement{ClusterResourcePlacement: &kept, Origin: o.Origin})
	case clusterv1beta1.MemberClusterGVK:
		m := &clusterv1beta1.MemberCluster{}
		if err := api.DecodeStrict(o.Unstructured, m); err != nil {
			return undecodable(o, err)
		}
		d.Members = append(d.Members, Member{MemberCluster: m, Origin: o.Origin})
	default:
		d.Objects = append(d.Objects, o)
	}
	return nil
}

// undecodable reports err unless it consists of field errors, which check has reported one by one.
func undecodable(o Object, err error) *ManifestError {
	if _, ok := err.(api.FieldErrors); ok {
		return nil
	}
	m := o.mistake("", "%v", err)
	return &m
}

func (d *Desired) sort() {
	slices.SortFunc(d.Objects, compareObjects)
	slices.SortFunc(d.Placements, func(a, b Placement) int { return compareNamed(a.Key(), a.Origin, b.Key(), b.Origin) })
	slices.SortFunc(d.Members, func(a, b Member) int { return compareNamed(a.Name, a.Origin, b.Name, b.Origin) })
}

// place validates the placements and lets them select.
func (d *Desired) place(scopes scopes) ManifestErrors {
	var errs ManifestErrors
	catalog := newCatalog(d.Objects, scopes)
	placed := make([]bool, len(d.Objects))
	for i := range d.Placements {
		p := &d.Placements[i]
		errs = append(errs, checkPlacement(*p, scopes)...)
		s := catalog.selectFor(*p)
		p.Selected = catalog.unwrap(s.chosen)
		errs = append(errs, s.errs...)
		errs = append(errs, checkSelectedOnce(*p)...)
		d.Notices = append(d.Notices, s.notices...)
		for _, n := range s.chosen {
			placed[n] = true
		}
	}
	for n, o := range d.Objects {
		if !placed[n] {
			d.Unplaced = append(d.Unplaced, o)
			d.Notices = append(d.Notices, unplaced(o))
		}
	}
	d.Notices = fold(MergeErrors(d.Notices, d.idleIgnores()))
	return errs
}

func unplaced(o Object) ManifestError {
	if isEnvelope(o.GroupVersionKind()) {
		return o.mistake("", "%s is selected by no placement, so what it carries runs nowhere", api.RefOf(o.Unstructured))
	}
	return o.mistake("", "%s is selected by no placement, so it runs nowhere", api.RefOf(o.Unstructured))
}

// decoded tells whether every placement among objects could be read. If not, nobody can say what is placed where.
func (d *Desired) decoded(objects []Object) bool {
	n := 0
	for _, o := range objects {
		if isPlacement(o) {
			n++
		}
	}
	return n == len(d.Placements)
}

func isPlacement(o Object) bool {
	gvk := o.GroupVersionKind()
	return gvk == placementv1beta1.ClusterResourcePlacementGVK || gvk == placementv1beta1.ResourcePlacementGVK
}

// servicesOf returns the names of all Services, for kinds that must not share a name with one.
func servicesOf(objects []Object) map[api.Ref]bool {
	out := map[api.Ref]bool{}
	for o := range placeable(objects) {
		if o.GroupVersionKind().GroupKind() == (schema.GroupKind{Kind: "Service"}) {
			out[api.RefOf(o.Unstructured)] = true
		}
	}
	return out
}
