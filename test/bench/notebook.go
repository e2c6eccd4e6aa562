package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"time"
)

// A notebook keeps what was measured, by the name of the figure.
type notebook struct {
	series map[string][]*series // one for each thing that the figure is compared with, in the order in which they came
	log    io.Writer            // where every value is written as it comes; for who watches
}

// series is one figure, once a run.
type series struct {
	unit    string
	against string // the limit, peer or goal
	values  []float64
	ratios  []float64 // value over that of the limit, peer or goal, in the same run
	absent  bool      // there is nothing to compare with here
}

func newNotebook(log io.Writer) *notebook { return &notebook{series: map[string][]*series{}, log: log} }

// add notes one run: value in unit, and what it is compared with and that one's value in the same unit.
func (n *notebook) add(name string, value float64, unit, against string, limit float64) {
	s := n.find(name, against)
	s.unit = unit
	fmt.Fprintf(n.log, "%s\t%s\t%s\t%s\t%.2f\n", name, number(value), unit, against, value/limit)
	s.values, s.ratios = append(s.values, value), append(s.ratios, value/limit)
}

// absent notes that there is nothing to compare a figure with on this machine.
func (n *notebook) absent(name, against string) { n.find(name, against).absent = true }

func (n *notebook) find(name, against string) *series {
	for _, s := range n.series[name] {
		if s.against == against {
			return s
		}
	}
	s := &series{against: against}
	n.series[name] = append(n.series[name], s)
	return s
}

// addTime notes a duration, in milliseconds.
func (n *notebook) addTime(name string, took time.Duration, against string, limit time.Duration) {
	n.add(name, milliseconds(took), "ms", against, milliseconds(limit))
}

// addGoal notes a duration that has a goal.
func (n *notebook) addGoal(name string, took, goal time.Duration) {
	n.addTime(name, took, "goal "+goal.String(), goal)
}

// print writes the lines of one figure. A figure that was measured too seldom is an error: it would look like a result.
func (n *notebook) print(out io.Writer, name string) error {
	if len(n.series[name]) == 0 {
		return fmt.Errorf("%s was not measured", name)
	}
	for _, s := range n.series[name] {
		line := fmt.Sprintf("%s\t-\t-\t%s\t-\n", name, s.against)
		if !s.absent {
			if len(s.values) < runs {
				return fmt.Errorf("%s was not measured %d times", name, runs)
			}
			line = fmt.Sprintf("%s\t%s\t%s\t%s\t%.2f\n", name, number(median(s.values)), s.unit, s.against, median(s.ratios))
		}
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
	return nil
}

// number prints three digits that count, and never an exponent.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100 || v == math.Trunc(v):
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median returns the middle of values; of an even number, the upper one of the two in the middle.
func median(values []float64) float64 { return quantile(values, 0.5) }

// quantile returns the smallest value that at least the share q of values does not exceed, or a larger neighbour.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
