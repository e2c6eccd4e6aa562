package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
)

// owned is one object that gitfleet shall have in place on one member.
type owned struct {
	set   string // the Set that lists it
	value string // data.value of a ConfigMap
}

// check tells what is wrong with what the members hold, all of it: every object with our label is in exactly one inventory,
// that of its label; what an inventory lists is there; nothing is lost, nothing too much, nothing of others is gone. Only
// what want names shall be ours, by member and object.
func (f *chaosFleet) check(want map[string]map[api.Ref]owned, others map[string]map[api.Ref]types.UID) error {
	var errs []error
	for _, name := range f.names {
		held := newHoldings(f.servers[name].Objects())
		for _, err := range append(held.inconsistencies(), held.differs(want[name], others[name])...) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// holdings is what one member holds.
type holdings struct {
	objects map[api.Ref]*unstructured.Unstructured
	parents map[string]apply.Parent
	owners  map[api.Ref][]string // Sets that list it
	damage  []error
}

func newHoldings(objects []*unstructured.Unstructured) holdings {
	h := holdings{objects: map[api.Ref]*unstructured.Unstructured{}, parents: map[string]apply.Parent{}, owners: map[api.Ref][]string{}}
	for _, u := range objects {
		ref := api.RefOf(u)
		h.objects[ref] = u
		if ref.Kind != "ConfigMap" || ref.Namespace != api.SystemNamespace || !apply.IsParentName(ref.Name) {
			continue
		}
		var cm corev1.ConfigMap
		err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &cm)
		var parent apply.Parent
		if err == nil {
			parent, err = apply.DecodeParent(&cm)
		}
		if err != nil {
			h.damage = append(h.damage, fmt.Errorf("inventory %s: %w", ref.Name, err))
			continue
		}
		h.parents[parent.Name] = parent
		for _, item := range parent.Items {
			h.owners[item.Ref] = append(h.owners[item.Ref], parent.Name)
		}
	}
	return h
}

// inconsistencies tells where labels and inventories disagree.
func (h holdings) inconsistencies() []error {
	errs := h.damage
	for ref, u := range h.objects {
		label, labelled := u.GetLabels()[api.ApplySetPartOfLabel]
		switch sets := h.owners[ref]; {
		case !labelled:
		case len(sets) == 0:
			errs = append(errs, fmt.Errorf("orphan: %s has our label and is in no inventory", ref))
		case len(sets) > 1:
			errs = append(errs, fmt.Errorf("double owner: %s is in the inventories of %v", ref, sets))
		case label != apply.SetID(sets[0]):
			errs = append(errs, fmt.Errorf("%s is in the inventory of %s and labelled %s", ref, sets[0], label))
		}
	}
	for ref, sets := range h.owners {
		u, there := h.objects[ref]
		switch {
		case !there:
			errs = append(errs, fmt.Errorf("lost: %s is in the inventories of %v and not there", ref, sets))
		case u.GetLabels()[api.ApplySetPartOfLabel] == "":
			errs = append(errs, fmt.Errorf("%s is in the inventories of %v and has no label", ref, sets))
		}
	}
	return errs
}

// differs tells what is not as want and others say.
func (h holdings) differs(want map[api.Ref]owned, others map[api.Ref]types.UID) []error {
	var errs []error
	for ref, w := range want {
		u, there := h.objects[ref]
		if !there {
			errs = append(errs, fmt.Errorf("lost: %s is not there", ref))
			continue
		}
		if value, _, _ := unstructured.NestedString(u.Object, "data", "value"); value != w.value {
			errs = append(errs, fmt.Errorf("%s has the value %q, want %q", ref, value, w.value))
		}
		if !slices.Contains(h.owners[ref], w.set) {
			errs = append(errs, fmt.Errorf("%s is owned by %v, want %s", ref, h.owners[ref], w.set))
		}
	}
	for ref := range h.owners {
		if _, wanted := want[ref]; !wanted {
			errs = append(errs, fmt.Errorf("too much: %s is in an inventory and in no commit", ref))
		}
	}
	sets := map[string]bool{}
	for _, w := range want {
		sets[w.set] = true
	}
	for name := range maps.Keys(h.parents) {
		if !sets[name] {
			errs = append(errs, fmt.Errorf("too much: an inventory of %s", name))
		}
	}
	for ref, uid := range others {
		if u, there := h.objects[ref]; !there || u.GetUID() != uid {
			errs = append(errs, fmt.Errorf("deleted: %s, which is not ours", ref))
		}
	}
	return errs
}
