package kube

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// arriving is a watch whose first list arrives right after somebody looked at it for the second time.
type arriving struct{ looks int }

func (w *arriving) looked() (listed bool) {
	w.looks++
	return w.looks > 2
}

func (w *arriving) Err() error {
	if !w.looked() {
		return errors.New("not listed yet")
	}
	return nil
}

func (w *arriving) Changes(uint64) ([]any, uint64, bool) {
	if !w.looked() {
		return nil, 1, true
	}
	return []any{"a"}, 2, true
}

// TestAListThatArrivesMeanwhileIsNotEmpty looks at a watch at every moment of its first list.
func TestAListThatArrivesMeanwhileIsNotEmpty(t *testing.T) {
	for looks := range 3 {
		r, err := read(&arriving{looks: looks}, 0)
		if err == nil && len(r.kept) == 0 {
			t.Errorf("after %d looks the content is empty, and called complete", looks)
		}
	}
}

// TestAKindThatWasWrittenIsNotAbsent writes the first object of a kind that discovery did not know a moment before: until its
// watch has listed, the object must not look deleted, whatever discovery was asked before the write and answers after it.
func TestAKindThatWasWrittenIsNotAbsent(t *testing.T) {
	widget := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
	o := &Observer{kinds: map[schema.GroupKind]*trackedKind{}, poke: make(chan struct{}, 1)}
	o.Track([]schema.GroupVersionKind{widget})
	k := o.kinds[widget.GroupKind()]
	unknown := &meta.NoKindMatchError{GroupKind: widget.GroupKind(), SearchedVersions: []string{"v1"}}
	o.resolved(o.unsynced()[0], nil, unknown)
	if _, err := k.content(0); err != nil {
		t.Fatalf("a kind that the member does not serve has no objects, but they are called unknown: %v", err)
	}
	late := o.unsynced()[0]
	o.served(widget)
	if _, err := k.content(0); err == nil {
		t.Error("right after a write the kind is still called empty")
	}
	o.resolved(late, nil, unknown)
	if _, err := k.content(0); err == nil {
		t.Error("an answer to what was asked before the write makes the kind empty")
	}
	if len(o.poke) == 0 {
		t.Error("nobody asks again")
	}
	o.resolved(o.unsynced()[0], nil, unknown)
	if _, err := k.content(0); err != nil {
		t.Errorf("the definition went again, but the kind's objects are still unknown: %v", err)
	}
}
