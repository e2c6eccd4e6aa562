package main

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	k8syaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// desired is what the repository wishes for, with every file rendered as it is.
func (e *edited) desired(t *testing.T) (*render.Desired, error) {
	t.Helper()
	var objects []render.Object
	files := e.files()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		decoder := k8syaml.NewYAMLOrJSONDecoder(strings.NewReader(files[name]), 4096)
		for document := 1; ; document++ {
			u := &unstructured.Unstructured{}
			if err := decoder.Decode(&u.Object); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, files[name])
			}
			if len(u.Object) > 0 {
				objects = append(objects, render.Object{Unstructured: u, Origin: render.Origin{File: name, Document: document}})
			}
		}
	}
	return render.Compose(source.Revision{Commit: "c"}, objects)
}

// TestEdits: the seeded edits make every kind of edit, only those with a mistake in them are refused, and most change something.
func TestEdits(t *testing.T) {
	e := newEdited([]string{"aks-member-1", "aks-member-2", "aks-member-3"})
	before, err := e.desired(t)
	if err != nil {
		t.Fatal(err)
	}
	made, changing := map[string]int{}, 0
	var mend []func(*editing)
	for seed := uint64(1); seed <= editSeeds; seed++ {
		c := e.edit(seed, mend)
		mend = c.mend
		wrong := false
		for _, kind := range c.done {
			made[kind]++
			wrong = wrong || slices.Contains([]string{"make a mistake", "place an object twice", "change a placement's type"}, kind)
		}
		after, err := e.desired(t)
		if (err != nil) != slices.Contains(c.done, "make a mistake") {
			t.Fatalf("seed %d: %s: %v", seed, c, err)
		}
		if err != nil {
			continue
		}
		plan := reconcile.OfflinePlan(before, after, time.Unix(0, 0))
		if (len(plan.Errors) > 0) != wrong {
			t.Fatalf("seed %d: %s: errors %v", seed, c, plan.Errors)
		}
		if !wrong {
			before = after
		}
		if plan.Changed() {
			changing++
		}
	}
	for _, k := range editKinds() {
		if made[k.name] < 2 {
			t.Errorf("%d of %d edits %s", made[k.name], editSeeds, k.name)
		}
	}
	if changing < editSeeds/2 {
		t.Errorf("%d of %d edits change anything", changing, editSeeds)
	}
}
