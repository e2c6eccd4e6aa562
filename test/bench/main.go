// Bench measures gitfleet against a limit or a peer in the same run, because absolute figures do not carry over to another
// machine or hour. It prints one line a figure and nothing else: name, value, unit, what it is compared with, and the
// ratio of the value to that, separated by tabs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
)

// runs is how often everything is measured; the median is printed.
const runs = 3

// A figure is one measured value.
type figure struct {
	value   float64
	unit    string
	against string  // the limit or peer
	ratio   float64 // value over that of the limit or peer, measured in the same run
}

// A benchmark measures one figure.
type benchmark struct {
	name    string
	measure func(context.Context) (figure, error)
}

func main() {
	pattern := flag.String("run", ".", "run the benchmarks whose name matches this `regexp`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *pattern, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what the pattern names and prints it. A pattern that names nothing is an error.
func run(ctx context.Context, pattern string, out io.Writer) error {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(benchmarks(), func(b benchmark) bool { return !wanted.MatchString(b.name) })
	if len(chosen) == 0 {
		return fmt.Errorf("no benchmark matches %q", pattern)
	}
	for _, b := range chosen {
		f, err := b.measure(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		fmt.Fprintf(out, "%s\t%.0f\t%s\t%s\t%.2f\n", b.name, f.value, f.unit, f.against, f.ratio)
	}
	return nil
}

func benchmarks() []benchmark {
	return []benchmark{
		{"proxy-keepalive-64", keepAlive{connections: 64}.measure},
		{"proxy-keepalive-1024", keepAlive{connections: 1024}.measure},
		{"proxy-connect-64", connect{clients: 64}.measure},
	}
}

// median returns the middle of an odd number of values.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
