package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// edited is a fleet repository that edits are made to: a value from which its files follow.
type edited struct {
	members    map[string]*editedMember
	placements []*editedPlacement
	objects    []*editedObject
	names      int               // how many names were given out
	extra      map[string]string // files with mistakes
}

type editedMember struct {
	registration
	suspended, away bool // away: not registered for now
}

// editedPlacement is a placement; without a namespace it is a ClusterResourcePlacement.
type editedPlacement struct {
	namespace, name string
	selects         string // a YAML list
	policy          editedPolicy
	suspended       bool
	after           *editedPlacement
	givesAway       string // a rule of gitfleet.dev/ignore-fields
}

type editedPolicy struct {
	kind   string
	names  []string // PickFixed
	number int      // PickN
	tier   string   // preferred with PickN
	weight int
	zone   string // required; "" for none
}

// editedObject is an object; home says what brings it to clusters.
type editedObject struct {
	kind, namespace, name string
	part                  string // the label that placements select by
	value                 int    // what an update changes
	fixed                 int    // what cannot be changed once it is there
	replicas              int
	wave                  int
	after                 *editedObject
	givenAway, recreate   bool
	refused               bool // no API server takes it
	file                  int
}

// The namespaces of the repository at its beginning, by how they are placed.
const (
	everywhere = "plan-all"   // PickAll
	zoned      = "plan-zone"  // PickAll with a required label
	picked     = "plan-some"  // PickN
	pinned     = "plan-fixed" // PickFixed
	divided    = "plan-split" // the namespace everywhere, what is in it by ResourcePlacements
)

// newEdited is the repository before the first edit.
func newEdited(members []string) *edited {
	e := &edited{members: map[string]*editedMember{}, extra: map[string]string{}}
	for i, name := range members {
		labels := map[string]string{"tier": []string{"gold", "silver"}[min(i, 1)], "zone": []string{"a", "b"}[i/2]}
		e.members[name] = &editedMember{registration: registration{labels: labels}}
	}
	e.addNamespace(everywhere, editedPolicy{kind: "PickAll"})
	e.addNamespace(zoned, editedPolicy{kind: "PickAll", zone: "a"})
	e.addNamespace(picked, editedPolicy{kind: "PickN", number: 2, tier: "gold", weight: 10})
	e.addNamespace(pinned, editedPolicy{kind: "PickFixed", names: members[:2]})
	e.addNamespace(divided, editedPolicy{kind: "PickAll"}).selects = selectNamespace(divided, "NamespaceOnly")
	e.placements = append(e.placements,
		&editedPlacement{namespace: divided, name: "one", selects: selectParts("one"), policy: editedPolicy{kind: "PickFixed", names: members[:2]}},
		&editedPlacement{namespace: divided, name: "two", selects: selectParts("two"), policy: editedPolicy{kind: "PickFixed", names: members[1:]}},
		&editedPlacement{name: "plan-roles", policy: editedPolicy{kind: "PickN", number: 1}, selects: `[{group: rbac.authorization.k8s.io, version: v1, kind: ClusterRole, labelSelector: {matchLabels: {part: roles}}}]`})
	for _, ns := range []string{everywhere, zoned, picked, pinned} {
		for _, kind := range []string{"ConfigMap", "ConfigMap", "Secret", "Deployment"} {
			e.add(kind, ns, "")
		}
	}
	for _, part := range []string{"one", "two", "one", "two"} {
		e.add("ConfigMap", divided, part)
	}
	e.add("ClusterRole", "", "roles")
	return e
}

func selectNamespace(name, scope string) string {
	return fmt.Sprintf("[{group: \"\", version: v1, kind: Namespace, name: %s, selectionScope: %s}]", name, scope)
}

// selectParts chooses every kind that edits use, where it has that part's label.
func selectParts(part string) string {
	var list []string
	for _, gk := range []string{`"", kind: ConfigMap`, `"", kind: Secret`, `apps, kind: Deployment`, `placement.kubernetes-fleet.io, kind: ResourceEnvelope`} {
		group, kind, _ := strings.Cut(gk, ", ")
		version := "v1"
		if strings.Contains(group, "fleet") {
			version = "v1beta1"
		}
		list = append(list, fmt.Sprintf("{group: %s, version: %s, %s, labelSelector: {matchLabels: {part: %s}}}", group, version, kind, part))
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// name gives out a name that was never used.
func (e *edited) name(prefix string) string {
	e.names++
	return fmt.Sprintf("%s-%d", prefix, e.names)
}

func (e *edited) add(kind, namespace, part string) *editedObject {
	o := &editedObject{kind: kind, namespace: namespace, name: e.name(strings.ToLower(kind)), part: part}
	e.objects = append(e.objects, o)
	return o
}

// addNamespace adds a Namespace and the placement that brings it with everything in it.
func (e *edited) addNamespace(name string, policy editedPolicy) *editedPlacement {
	e.objects = append(e.objects, &editedObject{kind: "Namespace", name: name})
	p := &editedPlacement{name: name, selects: selectNamespace(name, "NamespaceWithResources"), policy: policy}
	e.placements = append(e.placements, p)
	return p
}

// remove takes objects out of the repository, and every mention of them.
func (e *edited) remove(gone func(*editedObject) bool) {
	e.objects = slices.DeleteFunc(e.objects, gone)
	for _, o := range e.objects {
		if o.after != nil && !slices.Contains(e.objects, o.after) {
			o.after = nil
		}
	}
}

// removePlacements does it for placements.
func (e *edited) removePlacements(gone func(*editedPlacement) bool) {
	e.placements = slices.DeleteFunc(e.placements, gone)
	for _, p := range e.placements {
		if p.after != nil && !slices.Contains(e.placements, p.after) {
			p.after = nil
		}
	}
}

func (e *edited) placement(name string) *editedPlacement {
	i := slices.IndexFunc(e.placements, func(p *editedPlacement) bool { return p.key() == name })
	if i < 0 {
		return nil
	}
	return e.placements[i]
}

// pick returns one of those that are right, nil when none is.
func pick[T any](random *rand.Rand, all []*T, right func(*T) bool) *T {
	all = slices.DeleteFunc(slices.Clone(all), func(x *T) bool { return !right(x) })
	if len(all) == 0 {
		return nil
	}
	return all[random.IntN(len(all))]
}

func (p *editedPlacement) key() string {
	if p.namespace == "" {
		return p.name
	}
	return p.namespace + "/" + p.name
}

// files are all files of the repository.
func (e *edited) files() map[string]string {
	files := maps.Clone(e.extra)
	members := map[string]registration{}
	for name, m := range e.members {
		if !m.away {
			members[name] = m.registration
		}
	}
	files["members.yaml"] = documents(members)
	for name, m := range e.members {
		if m.suspended {
			files["members.yaml"] = strings.Replace(files["members.yaml"], "{name: "+name+",", `{annotations: {gitfleet.dev/suspend: "true"}, name: `+name+",", 1)
		}
	}
	for _, p := range e.placements {
		files["placements/"+strings.ReplaceAll(p.key(), "/", "-")+".yaml"] = p.manifest()
	}
	for _, o := range e.objects {
		files[fmt.Sprintf("objects-%d/%s-%s-%s.yaml", o.file, o.kind, o.namespace, o.name)] = o.manifest()
	}
	return files
}

func (p *editedPlacement) manifest() string {
	kind, namespace := "ClusterResourcePlacement", ""
	if p.namespace != "" {
		kind, namespace = "ResourcePlacement", ", namespace: "+p.namespace
	}
	var notes []string
	if p.suspended {
		notes = append(notes, `gitfleet.dev/suspend: "true"`)
	}
	if p.after != nil {
		notes = append(notes, fmt.Sprintf("gitfleet.dev/depends-on: placement/%s", p.after.key()))
	}
	if p.givesAway != "" {
		notes = append(notes, fmt.Sprintf("gitfleet.dev/ignore-fields: %q", p.givesAway))
	}
	return fmt.Sprintf("apiVersion: placement.kubernetes-fleet.io/v1beta1\nkind: %s\nmetadata: {name: %s%s, annotations: {%s}}\nspec:\n  resourceSelectors: %s\n  policy: %s\n",
		kind, p.name, namespace, strings.Join(notes, ", "), p.selects, p.policy)
}

// String prints the policy as YAML.
func (p editedPolicy) String() string {
	required, preferred := "", ""
	if p.zone != "" {
		required = fmt.Sprintf("requiredDuringSchedulingIgnoredDuringExecution: {clusterSelectorTerms: [{labelSelector: {matchLabels: {zone: %s}}}]}", p.zone)
	}
	if p.weight != 0 {
		preferred = fmt.Sprintf("preferredDuringSchedulingIgnoredDuringExecution: [{weight: %d, preference: {labelSelector: {matchLabels: {tier: %s}}}}]", p.weight, p.tier)
	}
	affinity := strings.Trim(required+", "+preferred, ", ")
	switch p.kind {
	case "PickFixed":
		return fmt.Sprintf("{placementType: PickFixed, clusterNames: [%s]}", strings.Join(p.names, ", "))
	case "PickN":
		return fmt.Sprintf("{placementType: PickN, numberOfClusters: %d, affinity: {clusterAffinity: {%s}}}", p.number, affinity)
	}
	return fmt.Sprintf("{placementType: PickAll, affinity: {clusterAffinity: {%s}}}", affinity)
}

// apiVersions of the kinds that edits use.
var editedVersions = map[string]string{
	"Namespace": "v1", "ConfigMap": "v1", "Secret": "v1", "Service": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1",
	"ClusterRole": "rbac.authorization.k8s.io/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1", "Gadget": "plan.example.com/v1",
	"ServiceExport": "networking.fleet.azure.com/v1alpha1", "MultiClusterService": "networking.fleet.azure.com/v1alpha1",
	"ResourceEnvelope": "placement.kubernetes-fleet.io/v1beta1",
}

func (o *editedObject) manifest() string {
	meta := "name: " + o.name
	if o.namespace != "" {
		meta += ", namespace: " + o.namespace
	}
	if o.part != "" {
		meta += ", labels: {part: " + o.part + "}"
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {%s, annotations: {%s}}\n%s", editedVersions[o.kind], o.kind, meta, o.annotations(), o.body())
}

func (o *editedObject) annotations() string {
	var notes []string
	if o.wave != 0 {
		notes = append(notes, fmt.Sprintf("gitfleet.dev/wave: \"%d\"", o.wave))
	}
	if o.after != nil {
		notes = append(notes, fmt.Sprintf("gitfleet.dev/depends-on: %s/%s/%s", o.after.kind, o.after.namespace, o.after.name))
	}
	if o.givenAway {
		notes = append(notes, "gitfleet.dev/ignore-fields: spec.replicas")
	}
	if o.recreate {
		notes = append(notes, `gitfleet.dev/recreate: "true"`)
	}
	if o.kind == "Namespace" && o.value > 0 {
		notes = append(notes, fmt.Sprintf("example.com/value: \"%d\"", o.value))
	}
	return strings.Join(notes, ", ")
}

// body is the manifest below its metadata.
func (o *editedObject) body() string {
	pods := fmt.Sprintf("selector: {matchLabels: {app: %[1]s-%[2]d}}, template: {metadata: {labels: {app: %[1]s-%[2]d}}, "+
		"spec: {containers: [{name: web, image: \"registry.example/web:%[3]d\", ports: [{name: http, containerPort: 7070}]}]}}", o.name, o.fixed, o.value)
	switch o.kind {
	case "ConfigMap":
		if o.refused {
			return "data: {\"no key\": x}\n"
		}
		return fmt.Sprintf("data: {value: \"%d\"}\n", o.value)
	case "Secret":
		return fmt.Sprintf("type: example.com/type-%d\nstringData: {value: \"secret-%d\"}\n", o.fixed, o.value)
	case "Service":
		return fmt.Sprintf("spec: {selector: {app: %s}, ports: [{port: %d, targetPort: 7070}]}\n", o.name, 9000+o.value)
	case "MultiClusterService":
		return fmt.Sprintf("spec: {serviceImport: {name: %s}}\n", o.name)
	case "Deployment":
		return fmt.Sprintf("spec: {replicas: %d, %s}\n", o.replicas, pods)
	case "StatefulSet":
		return fmt.Sprintf("spec: {replicas: 0, serviceName: %s, %s}\n", o.name, pods)
	case "ClusterRole":
		return fmt.Sprintf("rules: [{apiGroups: [\"\"], resources: [configmaps], resourceNames: [value-%d], verbs: [get]}]\n", o.value)
	case "Gadget":
		return fmt.Sprintf("spec: {teeth: %d}\n", o.value)
	case "CustomResourceDefinition":
		return "spec:\n  group: plan.example.com\n  scope: Namespaced\n  names: {kind: Gadget, listKind: GadgetList, plural: gadgets, singular: gadget}\n" +
			"  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]\n"
	case "ResourceEnvelope": // a Service of its part's own port, and its export
		return fmt.Sprintf(`data:
  service.yaml: {apiVersion: v1, kind: Service, metadata: {name: shared, namespace: %[1]s}, spec: {ports: [{port: %[2]d}]}}
  export.yaml: {apiVersion: networking.fleet.azure.com/v1alpha1, kind: ServiceExport, metadata: {name: shared, namespace: %[1]s}}
`, o.namespace, 9000+o.value)
	}
	return ""
}
