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
