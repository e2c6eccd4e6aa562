package kube

import (
	"errors"
	"testing"
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

func (w *arriving) Objects() []any {
	if !w.looked() {
		return nil
	}
	return []any{"a"}
}

// TestAListThatArrivesMeanwhileIsNotEmpty looks at a watch at every moment of its first list.
func TestAListThatArrivesMeanwhileIsNotEmpty(t *testing.T) {
	for looks := range 3 {
		objects, err := read(&arriving{looks: looks})
		if err == nil && len(objects) == 0 {
			t.Errorf("after %d looks the content is empty, and called complete", looks)
		}
	}
}
