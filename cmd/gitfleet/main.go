// Command gitfleet keeps a fleet of Kubernetes clusters in step with one Git repository.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
)

func main() {
	silence()
	thrift()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// silence keeps client-go from logging what gitfleet reports by itself.
func silence() { klog.SetLogger(logr.Discard()) }

// thrift has garbage collected twice as often as Go does by itself, unless the environment says how often: what gitfleet keeps
// is little, and what it throws away in a burst would stay with the process for long.
func thrift() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// Exit codes, the same for every command.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2 // `plan`: there is something to do; `badge --exit-code`: not everything is in place
)

// exitCode is an error that only says how to exit: everything a person needs has been printed.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// execute runs one command line and returns the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	default:
		fmt.Fprintln(stderr, "gitfleet:", err)
		return exitError
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "gitfleet",
		Short: "Keep a fleet of Kubernetes clusters in step with one Git repository",
		Long: `gitfleet polls a Git repository of placements and manifests, renders it with kustomize, chooses member clusters by
label affinity, applies the objects there, and keeps cross-cluster load balancers pointed at every endpoint that the
members export.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())
	})
	root.AddCommand(newRun(), newPlan(), newRender(), newGet(), newBadge(), newExplain(), newSchedule(), newVersion(), newRenderChild())
	return root
}
