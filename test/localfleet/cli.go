package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gitfleet/gitfleet/test/localfleet/supervisor"
)

const usage = `Usage: localfleet [--dir DIR] COMMAND

  up [--members N | --names A,B,...]   start a hub and members, return when all are ready
     [--until-eof]                     take the fleet down when standard input ends
     [--timeout 3m]                    how long to wait for readiness
     [--audit]                         log every write request: log/CLUSTER-audit.log
     [--dual-stack NAME,...]           members whose Services may have addresses of both families
  down                                 stop everything and remove it; logs stay
  status                               what runs
  stop CLUSTER                         stop one control plane; its simulated pods still answer
  start CLUSTER                        bring it back, with its data
  kubectl ARGS...                      kubectl with the fleet's kubeconfig; contexts: fleet (the hub) and the members

DIR defaults to $LOCALFLEET_DIR, else to a directory in the user's cache. A symlink named kubectl to this program is kubectl.
`

func defaultDir() string {
	if dir := os.Getenv("LOCALFLEET_DIR"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil { // no home directory
		cache = os.TempDir()
	}
	return filepath.Join(cache, "localfleet", "default")
}

// options are all flags of all commands; which of them a command takes is up to newFlags.
type options struct {
	dir       string
	members   int
	names     string
	untilEOF  bool
	audit     bool
	dualStack string
	timeout   time.Duration
}

func newFlags(o *options, command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed by main
	flags.StringVar(&o.dir, "dir", o.dir, "directory of the fleet")
	switch command {
	case "up":
		flags.IntVar(&o.members, "members", 3, "how many members")
		fallthrough
	case supervise:
		flags.StringVar(&o.names, "names", "", "names of the members, separated by commas")
		flags.BoolVar(&o.untilEOF, "until-eof", false, "take the fleet down when standard input ends")
		flags.BoolVar(&o.audit, "audit", false, "log every write request")
		flags.StringVar(&o.dualStack, "dual-stack", "", "members, by commas, whose Services may have both families")
		flags.DurationVar(&o.timeout, "timeout", 3*time.Minute, "how long to wait for readiness")
	}
	return flags
}

func run(args []string) error {
	o := &options{dir: defaultDir()}
	flags := newFlags(o, "localfleet")
	if err := flags.Parse(args); err != nil || flags.NArg() == 0 {
		if err == nil || errors.Is(err, flag.ErrHelp) {
			fmt.Print(usage)
			return nil
		}
		return fmt.Errorf("%w\n%s", err, usage)
	}
	command, rest := flags.Arg(0), flags.Args()[1:]
	if command == "kubectl" { // its flags are not ours
		runKubectl(rest, o.dir)
	}
	flags = newFlags(o, command)
	if err := flags.Parse(rest); errors.Is(err, flag.ErrHelp) {
		fmt.Print(usage)
		return nil
	} else if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, usage)
	}
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return fmt.Errorf("--dir: %w", err)
	}
	return dispatch(command, o, flags.Args())
}

func dispatch(command string, o *options, args []string) error {
	want := 0
	if command == "stop" || command == "start" {
		want = 1
	}
	if len(args) != want {
		return fmt.Errorf("%s takes %d arguments after its flags, not %d\n%s", command, want, len(args), usage)
	}
	ctx, layout := context.Background(), supervisor.Layout{Dir: o.dir}
	switch command {
	case "up":
		return up(ctx, o)
	case supervise:
		return runSupervisor(ctx, o)
	case "down":
		return down(ctx, layout)
	case "status":
		return status(ctx, layout, os.Stdout)
	case "stop":
		return stop(ctx, layout, args[0])
	case "start":
		return start(ctx, layout, args[0])
	}
	return fmt.Errorf("unknown command %q\n%s", command, usage)
}

// running returns nil when a fleet runs in the directory.
func running(layout supervisor.Layout) error {
	lock, err := layout.Lock()
	if errors.Is(err, supervisor.ErrRunning) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("no fleet runs in %s: start one with `localfleet up`", layout.Dir)
		return errors.Join(err, lock.Close())
	}
	return err
}

func status(ctx context.Context, layout supervisor.Layout, w io.Writer) error {
	if err := running(layout); err != nil {
		return err
	}
	s, err := supervisor.Client{Layout: layout}.Status(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "CLUSTER\tPHASE\tLOCATION\tSERVER\tPODS\tCOMPONENTS")
	for _, c := range s.Clusters {
		var parts []string
		for _, part := range c.Components {
			text := fmt.Sprintf("%s:%d", part.Name, part.PID)
			if part.Restarts > 0 {
				text += fmt.Sprintf("(%d restarts)", part.Restarts)
			}
			parts = append(parts, text)
		}
		where, pods := c.Location, fmt.Sprint(c.Pods)
		if c.Name == supervisor.Hub {
			where, pods = "-", "-"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Name, c.Phase, where, c.Server, pods, strings.Join(parts, " "))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	_, err = fmt.Fprintf(w, "\nsupervisor %d; simulated pods answer in %s, 127 for the 10 of their address; kubeconfig %s\n",
		s.PID, s.Range, layout.Kubeconfig())
	return err
}

func stop(ctx context.Context, layout supervisor.Layout, cluster string) error {
	if err := running(layout); err != nil {
		return err
	}
	if err := (supervisor.Client{Layout: layout}).Stop(ctx, cluster); err != nil {
		return err
	}
	fmt.Printf("%s: control plane stopped; its simulated pods still answer\n", cluster)
	return nil
}

func start(ctx context.Context, layout supervisor.Layout, cluster string) error {
	if err := running(layout); err != nil {
		return err
	}
	if err := (supervisor.Client{Layout: layout}).Start(ctx, cluster); err != nil {
		return err
	}
	fmt.Printf("%s: ready\n", cluster)
	return nil
}
