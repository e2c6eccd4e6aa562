package apply

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/gitfleet/gitfleet/api"
)

// Err joins every error of r, by Set name; nil when all went well.
func (r Result) Err() error {
	var errs []error
	names := slices.Collect(maps.Keys(r.Errs))
	names = slices.AppendSeq(names, maps.Keys(r.Outcomes))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if err := r.SetErr(name); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// SetErr returns why a Set stopped, or else the errors of its objects; nil when all went well or nothing was done.
func (r Result) SetErr(set string) error {
	if err := r.Errs[set]; err != nil {
		return err
	}
	var errs []error
	for _, o := range r.Outcomes[set] {
		if o.Err != nil {
			errs = append(errs, o.Err)
		}
	}
	return errors.Join(errs...)
}

// ObjectErr returns what went wrong with one object of a Set; nil when nothing did.
func (r Result) ObjectErr(set string, ref api.Ref) error {
	for _, o := range r.Outcomes[set] {
		if o.Ref == ref && o.Err != nil {
			return o.Err
		}
	}
	return nil
}

// Touches tells whether p has something to do, to hold back, to wait for or to complain about for a Set.
func (p Plan) Touches(set string) bool {
	return slices.ContainsFunc(p.Sets, func(s SetPlan) bool { return s.Set.Name == set })
}

// Waits returns what waits in a Set, by Ref.
func (p Plan) Waits(set string) []Wait {
	for _, s := range p.Sets {
		if s.Set.Name == set {
			return s.Waits
		}
	}
	return nil
}

// Size counts the objects that p writes or deletes.
func (p Plan) Size() int {
	n := 0
	for _, s := range p.Sets {
		n += len(s.Prune)
		for _, stage := range s.Stages {
			n += len(stage)
		}
	}
	return n
}
