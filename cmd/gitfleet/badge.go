package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/internal/web"
	"github.com/gitfleet/gitfleet/report"
)

// badgeOptions is what `gitfleet badge` was told.
type badgeOptions struct {
	server   string
	output   string
	ask      report.BadgeQuestion
	exitCode bool
}

func newBadge() *cobra.Command {
	var o badgeOptions
	cmd := &cobra.Command{
		Use:   "badge [BRANCH|COMMIT]",
		Short: "Draw what the running gitfleet knows as a badge for static hosting",
		Long: `badge asks the running gitfleet how the fleet fares and writes that as an SVG: the same that it serves at
/badge/BRANCH-OR-COMMIT.svg. Without a name it is about the branch that is followed. Of commits, the newest one and the
one in force can be asked for, by at least 7 digits.

The file is replaced in one step, so that a web server never sees half of it. It is written however the fleet fares, and
the exit code is 0 then: a job that publishes badges has to publish the red ones. With --exit-code it is 2 unless
everything that was asked about is in place. It is 1, and the file stays as it was, when gitfleet cannot be asked; it is
1, and the badge says unknown, for a name that is not in the fleet.`,
		Example: `  gitfleet badge -o public/fleet.svg
  gitfleet badge --cluster aks-member-1 -o public/aks-member-1.svg
  gitfleet badge --placement shop --exit-code -o public/shop.svg`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("want one branch or commit at most, got %d; see '%s --help'", len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.ask.Name = args[0]
			}
			r, err := web.FetchStatus(cmd.Context(), o.server)
			if err != nil {
				return err
			}
			return o.write(cmd.OutOrStdout(), r)
		},
	}
	addServerFlag(cmd, &o.server)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "-", "file to write; - for standard output")
	flags.StringVar(&o.ask.Cluster, "cluster", "", "about this member only")
	flags.StringVar(&o.ask.Placement, "placement", "", "about this placement only; a ResourcePlacement is NAMESPACE/NAME")
	flags.BoolVar(&o.exitCode, "exit-code", false, "exit with 2 unless everything is in place")
	return cmd
}

// write writes the badge and says by the error how to exit.
func (o badgeOptions) write(stdout io.Writer, r report.Report) error {
	b := report.BadgeOf(r, o.ask)
	var err error
	if o.output == "-" {
		_, err = stdout.Write(b.SVG())
	} else {
		err = writeWhole(o.output, b.SVG())
	}
	switch {
	case err != nil:
		return fmt.Errorf("write the badge: %w", err)
	case b.Unknown:
		return fmt.Errorf("the badge says %q: branch %s is followed, newest commit %.12s, in force %.12s; "+
			"'gitfleet get members' and 'gitfleet get placements' print the other names",
			b.Label+": "+b.Message, r.Head.Ref, r.Head.Commit, r.Applied.Commit)
	case o.exitCode && !b.InPlace():
		return exitCode(exitChanges)
	}
	return nil
}

// writeWhole gives the file at path this content in one step, for everybody to read. What is no regular file, such as
// /dev/stdout, is written to.
func writeWhole(path string, content []byte) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(path, content, 0o644)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
