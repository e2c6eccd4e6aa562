// Bench measures gitfleet against a limit or a peer in the same run, because absolute figures do not carry over to another
// machine or hour. It prints one line a figure and nothing else: name, value, unit, what it is compared with, and the
// ratio of the value to that, separated by tabs. Every figure is the median of at least three runs.
package main

import (
	"context"
	"errors"
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

// A suite measures several figures on one set-up.
type suite struct {
	names   []string // of the figures, in the order of printing
	measure func(context.Context, *notebook) error
}

// settings are what the suites are told.
type settings struct {
	gitfleet   string // the binary under test
	localfleet string // real API servers; see test/localfleet
}

func main() {
	pattern := flag.String("run", ".", "run the benchmarks with a figure whose name matches this `regexp`")
	var s settings
	flag.StringVar(&s.gitfleet, "gitfleet", "bin/gitfleet", "the `binary` to measure")
	flag.StringVar(&s.localfleet, "localfleet", "bin/localfleet", "the `binary` that runs API servers")
	stubs := flag.Int("stub-members", 0, "serve this many stub members instead, until standard input ends")
	proxied := flag.String("local-proxy", "", "run a local load balancer for this `address` instead, until standard input ends")
	verbose := flag.Bool("v", false, "write the value of each run to standard error")
	flag.Parse()
	var log io.Writer = io.Discard
	if *verbose {
		log = os.Stderr
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := func() error {
		if *stubs > 0 {
			return serveStubs(*stubs, os.Stdin, os.Stdout)
		}
		if *proxied != "" {
			return serveLocal(*proxied, os.Stdin, os.Stdout)
		}
		return run(ctx, *pattern, s, os.Stdout, log)
	}()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what the pattern names and prints it. A pattern that names nothing is an error.
func run(ctx context.Context, pattern string, s settings, out, log io.Writer) (err error) {
	wanted, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	shared := &sharedFleet{binary: s.localfleet}
	defer func() { err = errors.Join(err, shared.close()) }()
	found := false
	for _, b := range suites(s, shared) {
		if !slices.ContainsFunc(b.names, wanted.MatchString) {
			continue
		}
		found = true
		notes := newNotebook(log)
		if err := b.measure(ctx, notes); err != nil {
			return fmt.Errorf("%s: %w", b.names[0], err)
		}
		for _, name := range b.names {
			if !wanted.MatchString(name) {
				continue
			}
			if err := notes.print(out, name); err != nil {
				return err
			}
		}
	}
	if !found {
		return fmt.Errorf("no benchmark matches %q", pattern)
	}
	return nil
}

func suites(s settings, shared *sharedFleet) []suite {
	var all []suite
	for _, connections := range []int{1, 64, 1024} {
		all = append(all, proxySuite(keepAlive(), connections, answer), proxySuite(bulk(), connections, swallow))
	}
	return append(all,
		proxySuite(connect(), 64, answer),
		scheduleSuite(),
		pushSuite(s, shared),
		requestSuite(s, shared),
		driftSuite(s, shared),
		serviceSuite(s, shared),
		serviceMemorySuite(s, shared),
		manySuite(s),
	)
}
