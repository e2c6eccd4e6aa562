package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errStayedUp tells that the demo ended by Ctrl-C after everything was shown.
var errStayedUp = errors.New("stayed up")

// A step is one part of the walk, with the heading under which it is shown.
type step struct {
	title string
	run   func(context.Context) error
}

// walk does the demo in dir. It returns the first step that failed.
func walk(ctx context.Context, o options, dir string) error {
	first, err := newStage(o, dir, "kuard")
	if err != nil {
		return err
	}
	steps := append(first.tutorial(), first.reports(), first.internalAddress())
	steps = append(steps, first.pushes()...)
	if err := play(ctx, "kuard", steps); err != nil {
		return err
	}
	if !o.check {
		return first.stayUp(ctx)
	}
	if err := play(ctx, "kuard", []step{{"stop", first.stop}}); err != nil {
		return err
	}
	second, err := newStage(o, dir, "shop")
	if err != nil {
		return err
	}
	steps = append(second.tutorial(), second.reports(), step{"stop", second.stop})
	if err := play(ctx, "shop", steps); err != nil {
		return err
	}
	fmt.Println("\nOK: every step did what it should")
	return nil
}

// play runs the steps one after the other.
func play(ctx context.Context, name string, steps []step) error {
	for _, st := range steps {
		start := time.Now()
		fmt.Printf("\n=== %s: %s\n", name, st.title)
		if err := st.run(ctx); err != nil {
			return fmt.Errorf("%s: %s: %w", name, st.title, err)
		}
		fmt.Printf("=== done in %.1f s\n", time.Since(start).Seconds())
	}
	return nil
}

func (s *stage) stop(ctx context.Context) error {
	return errors.Join(s.stopGitfleet(), s.stopFleet(ctx))
}
