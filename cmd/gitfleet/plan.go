package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/source"
	"github.com/gitfleet/gitfleet/source/gitrepo"
)

// planOptions is what `gitfleet plan` was told.
type planOptions struct {
	repository repositoryOptions
	stateDir   string
	paths      []string
	base, head string
	offline    bool
	output     string
	color      string
}

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan --offline [--base REV] [--head REV]",
		Short: "Show what a commit would change, on which cluster and why",
		Long: `plan renders two revisions, schedules both, and shows the difference for each cluster. It writes nothing.

The repository is the one that encloses the current directory, or --repo: a directory, or a URL that is fetched.
With --offline no cluster is asked: a placement is taken to be where the base revision puts it.

It exits with 0 when nothing would change, with 2 when something would, and with 1 on an error.`,
		Example: `  gitfleet plan --offline --base origin/main --head HEAD
  gitfleet plan --offline --repo https://git.example.com/fleet.git --ref main --head main --base main~3 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			return runPlan(cmd, o)
		},
	}
	o.repository.addFlags(cmd, "main")
	flags := cmd.Flags()
	flags.Lookup("repo").Usage = "directory or URL of the fleet repository (default the one around the current directory)"
	flags.StringVar(&o.stateDir, "state-dir", defaultStateDir(), "directory for the repository cache, when --repo is a URL")
	flags.StringArrayVar(&o.paths, "path", nil, "directory of the repository to render; may be given again (default all)")
	flags.StringVar(&o.base, "base", "", "revision to compare with (default the parent of --head; everything is new when it has none)")
	flags.StringVar(&o.head, "head", "HEAD", "revision to plan")
	flags.BoolVar(&o.offline, "offline", false, "ask no cluster; required in this version")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	flags.StringVar(&o.color, "color", "auto", "auto, always or never")
	return cmd
}

func (o planOptions) validate() error {
	switch {
	case !o.offline:
		return errors.New("this version plans from Git alone: add --offline")
	case o.output != "text" && o.output != "json":
		return fmt.Errorf("--output %q: want text or json", o.output)
	case o.color != "auto" && o.color != "always" && o.color != "never":
		return fmt.Errorf("--color %q: want auto, always or never", o.color)
	}
	return nil
}

// revisions is a repository that knows its history.
type revisions interface {
	Resolve(ctx context.Context, rev string) (source.Revision, error)
	Snapshot(rev source.Revision) (source.Snapshot, error)
}

func runPlan(cmd *cobra.Command, o planOptions) (err error) {
	ctx := cmd.Context()
	repo, closeRepo, err := openRevisions(ctx, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeRepo()) }()
	plan, err := offlinePlan(ctx, repo, o)
	if err != nil {
		return err
	}
	if o.output == "json" {
		err = plan.JSON(cmd.OutOrStdout())
	} else {
		err = plan.Text(cmd.OutOrStdout(), useColor(o.color))
	}
	switch {
	case err != nil:
		return err
	case len(plan.Errors) > 0:
		return exitCode(exitError)
	case plan.Changed():
		return exitCode(exitChanges)
	}
	return nil
}

// openRevisions opens the repository that --repo names: a directory in place, a URL through the cache.
func openRevisions(ctx context.Context, o *planOptions) (revisions, func() error, error) {
	if !strings.Contains(o.repository.url, "://") {
		repo, err := gitrepo.OpenLocal(o.repository.url)
		return repo, func() error { return nil }, err
	}
	repo, err := gitrepo.Open(ctx, gitrepo.Options{
		URL: o.repository.url, Ref: o.repository.ref, AuthFile: o.repository.authFile, CAFile: o.repository.caFile,
		// A directory of its own: the cache of a gitfleet that runs is locked.
		CacheDir: filepath.Join(o.stateDir, "plan"),
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := repo.Fetch(ctx); err != nil {
		return nil, nil, errors.Join(err, repo.Close())
	}
	return repo, repo.Close, nil
}

func offlinePlan(ctx context.Context, repo revisions, o planOptions) (report.Plan, error) {
	headRev, err := repo.Resolve(ctx, o.head)
	if err != nil {
		return report.Plan{}, fmt.Errorf("--head: %w", err)
	}
	head, err := renderRevision(ctx, repo, headRev, o.paths)
	var authors render.ManifestErrors
	if errors.As(err, &authors) {
		return report.Plan{Head: headRev.Commit, Errors: authors}, nil
	}
	if err != nil {
		return report.Plan{}, err
	}
	base, err := renderBase(ctx, repo, headRev, o)
	if err != nil {
		return report.Plan{}, err
	}
	return reconcile.OfflinePlan(base, head, time.Now()), nil
}

// renderBase renders the revision to compare with; nil when there is none. A base with mistakes is an error: nothing can
// be said about what is in force then.
func renderBase(ctx context.Context, repo revisions, head source.Revision, o planOptions) (*render.Desired, error) {
	name := o.base
	if name == "" {
		name = head.Commit + "^"
	}
	rev, err := repo.Resolve(ctx, name)
	switch {
	case errors.Is(err, gitrepo.ErrNoParent) && o.base == "":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("--base: %w", err)
	}
	base, err := renderRevision(ctx, repo, rev, o.paths)
	if err != nil {
		return nil, fmt.Errorf("the base revision %.12s does not render, choose another with --base:\n%w", rev.Commit, err)
	}
	return base, nil
}

func renderRevision(ctx context.Context, repo revisions, rev source.Revision, paths []string) (*render.Desired, error) {
	snap, err := repo.Snapshot(rev)
	if err != nil {
		return nil, err
	}
	builder, err := newBuilder()
	if err != nil {
		return nil, err
	}
	objects, err := builder.Build(ctx, snap, paths)
	if err != nil {
		return nil, err
	}
	return render.Compose(rev, objects)
}

// useColor decides on colours: on a terminal, unless NO_COLOR is set (https://no-color.org).
func useColor(when string) bool {
	if when != "auto" {
		return when == "always"
	}
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
