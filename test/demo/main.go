// Demo starts a hub and three member clusters on this machine, pushes a fleet repository, runs gitfleet on it and walks
// through the tutorial: every command is printed as a user would type it, with what it really printed. Then it stays up
// to be played with. With -check it asserts every step, does the same with a second repository, and exits 0 or 1.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == janitorArg {
		os.Exit(sweep(os.Stdin, os.Args[2], os.Args[3]))
	}
	os.Exit(run())
}

// options are the command line.
type options struct {
	check      bool
	azure      bool
	gitfleet   string // path of the binary
	localfleet string // path of the binary
	examples   string // folder of the repositories to push
	tours      string // folder of the descriptions of what they must come to
}

func run() int {
	var o options
	flag.BoolVar(&o.check, "check", false, "do not stay up: assert every step, run the second repository, exit 0 or 1")
	flag.BoolVar(&o.azure, "azure", false, "the tutorial with load balancers of a simulated Azure")
	flag.StringVar(&o.gitfleet, "gitfleet", "bin/gitfleet", "gitfleet `binary`")
	flag.StringVar(&o.localfleet, "localfleet", "bin/localfleet", "localfleet `binary`")
	flag.StringVar(&o.examples, "examples", "examples", "`folder` of the example repositories")
	flag.StringVar(&o.tours, "tours", "test/demo/testdata", "`folder` of the tours")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q\n", flag.Arg(0))
		return 2
	}
	if err := o.makeAbsolute(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	dir, err := os.MkdirTemp("", "gitfleet-demo-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	janitor, err := hireJanitor(dir, o.localfleet)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err, "(left behind:", dir+")")
		return 1
	}
	walk := walk
	if o.azure {
		walk = walkAzure
	}
	return finish(ctx, walk(ctx, o, dir), janitor, dir)
}

func (o *options) makeAbsolute() error {
	for _, p := range []*string{&o.gitfleet, &o.localfleet, &o.examples, &o.tours} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return err
		}
		if _, err := os.Stat(abs); err != nil {
			return fmt.Errorf("%w: run `make build` in the repository and start the demo from there", err)
		}
		*p = abs
	}
	return nil
}

// finish cleans up and turns the outcome of the walk into an exit code.
func finish(ctx context.Context, err error, janitor *janitor, dir string) int {
	interrupted := ctx.Err() != nil
	failed := err != nil && !interrupted
	if failed {
		fmt.Printf("\nFAILED: %v\n", err)
		if err := os.WriteFile(filepath.Join(dir, keepLogs), nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
		}
	}
	fmt.Println("\ncleaning up")
	if err := janitor.wait(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: cleaning up:", err)
		failed = true
	}
	switch {
	case failed:
		fmt.Println("logs:", dir)
		return 1
	case interrupted && !errors.Is(err, errStayedUp):
		return 130
	}
	return 0
}
