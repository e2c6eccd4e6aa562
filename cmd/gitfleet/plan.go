package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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
	repository  repositoryOptions
	stateDir    string
	paths       []string
	base, head  string
	kubeconfigs []string
	offline     bool
	timeout     time.Duration
	output      string
	color       string
	limitOptions
}

func newPlan() *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use:   "plan (--kubeconfig FILE... | --offline) [--base REV] [--head REV]",
		Short: "Show what a commit would change, on which cluster and why",
		Long: `plan shows what would change on each cluster if --head came into force, and why. It writes nothing.

The repository is the one that encloses the current directory, or --repo: a directory, or a URL that is fetched.

With --kubeconfig the members are asked, as 'gitfleet run' would ask them: what they hold decides what changes, and their
API servers answer to a dry run of every change, so that defaults make no noise and refusals show before the commit is
there. --repo, --ref and --path must say what they say to the gitfleet that runs, whose inventories are read; so must
--confirm-above, which tells what would wait for a person, and --service-account, whose rights the dry runs have. Of a
member that cannot be reached, Git alone tells. With --offline that is so for all: a placement is taken to be where the
base revision puts it.

It exits with 0 when nothing would change, with 2 when something would, and with 1 on an error.`,
		Example: `  gitfleet plan --kubeconfig ~/fleet.kubeconfig --base origin/main
  gitfleet plan --offline --base origin/main --head HEAD
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
	flags.StringArrayVar(&o.kubeconfigs, "kubeconfig", nil, "kubeconfig file, or directory of them, with a context for each member; may be given again")
	o.limitOptions.addFlags(cmd)
	flags.BoolVar(&o.offline, "offline", false, "ask no cluster")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long members may take to answer")
	flags.StringVarP(&o.output, "output", "o", "text", "text, markdown (a comment that fits any forge) or json")
	flags.StringVar(&o.color, "color", "auto", "auto, always or never")
	return cmd
}

func (o planOptions) validate() error {
	switch {
	case !o.offline && len(o.kubeconfigs) == 0:
		return errors.New("no credentials for members: name a kubeconfig file or directory with --kubeconfig, or plan from Git alone with --offline")
	case o.offline && len(o.kubeconfigs) > 0:
		return errors.New("--offline asks no cluster: leave out --kubeconfig, or --offline")
	case o.timeout <= 0:
		return fmt.Errorf("--timeout %s: must be positive", o.timeout)
	case o.output != "text" && o.output != "markdown" && o.output != "json":
		return fmt.Errorf("--output %q: want text, markdown or json", o.output)
	case o.color != "auto" && o.color != "always" && o.color != "never":
		return fmt.Errorf("--color %q: want auto, always or never", o.color)
	}
	return o.limitOptions.validate()
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
	plan, err := planRevisions(ctx, repo, o)
	if err != nil {
		return err
	}
	err = printPlan(cmd.OutOrStdout(), plan, o)
	if blocked(plan) {
		fmt.Fprintln(cmd.ErrOrStderr(), "error: not everything could be planned, see the risks: --repo, --ref and --path must say what they say to the gitfleet that runs")
	}
	switch {
	case err != nil:
		return err
	case len(plan.Errors) > 0 || blocked(plan):
		return exitCode(exitError)
	case plan.Changed():
		return exitCode(exitChanges)
	}
	return nil
}

func printPlan(w io.Writer, plan report.Plan, o planOptions) error {
	switch o.output {
	case "json":
		return plan.JSON(w)
	case "markdown":
		_, err := io.WriteString(w, plan.Markdown(report.LongestComment, report.MarkdownOptions{Offline: o.offline}))
		return err
	}
	return plan.Text(w, useColor(o.color))
}

// blocked tells whether the plan says nothing of a placement, because its inventory is not of this repository and branch.
func blocked(plan report.Plan) bool {
	return slices.ContainsFunc(plan.Risks, func(r report.Risk) bool { return r.Kind == report.RiskBlocked })
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

// rendered is one revision as what it wishes for, and the objects that it was read from.
type rendered struct {
	*render.Desired // nil for no revision
	objects         []render.Object
	tree            fs.FS
}

// planRevisions renders both revisions and compares them, on the fleet or alone.
func planRevisions(ctx context.Context, repo revisions, o planOptions) (report.Plan, error) {
	rev, err := repo.Resolve(ctx, o.head)
	if err != nil {
		return report.Plan{}, fmt.Errorf("--head: %w", err)
	}
	head, err := renderRevision(ctx, repo, rev, o)
	var authors render.ManifestErrors
	if errors.As(err, &authors) {
		return report.Plan{Head: rev.Commit, Errors: authors}, nil
	}
	if err != nil {
		return report.Plan{}, err
	}
	base, err := renderBase(ctx, repo, rev, o)
	if err != nil {
		return report.Plan{}, err
	}
	if o.offline {
		return reconcile.OfflinePlanWithin(o.threshold(), base.Desired, head.Desired, time.Now()), nil
	}
	return livePlan(ctx, base, head, o)
}

// renderBase renders the revision to compare with, if there is one. A base with mistakes is an error: nothing can be said
// about what is in force then.
func renderBase(ctx context.Context, repo revisions, head source.Revision, o planOptions) (rendered, error) {
	name := o.base
	if name == "" {
		name = head.Commit + "^"
	}
	rev, err := repo.Resolve(ctx, name)
	switch {
	case errors.Is(err, gitrepo.ErrNoParent) && o.base == "":
		return rendered{}, nil
	case err != nil:
		return rendered{}, fmt.Errorf("--base: %w", err)
	}
	base, err := renderRevision(ctx, repo, rev, o)
	if err != nil {
		return rendered{}, fmt.Errorf("the base revision %.12s does not render, choose another with --base:\n%w", rev.Commit, err)
	}
	return base, nil
}

func renderRevision(ctx context.Context, repo revisions, rev source.Revision, o planOptions) (rendered, error) {
	confinements, err := o.confinements()
	if err != nil {
		return rendered{}, err
	}
	snap, err := repo.Snapshot(rev)
	if err != nil {
		return rendered{}, err
	}
	builder, err := newBuilder()
	if err != nil {
		return rendered{}, err
	}
	objects, err := builder.Build(ctx, snap, o.paths)
	if err != nil {
		return rendered{}, err
	}
	rev.Ref = o.repository.ref // whichever branch is checked out: inventories name the one that is followed
	desired, err := render.Compose(rev, objects)
	if err != nil {
		return rendered{}, err
	}
	return rendered{desired, objects, snap.FS}, reconcile.Confine(snap.FS, desired, confinements)
}

// useColor decides on colours: on a terminal, unless NO_COLOR is set (https://no-color.org).
func useColor(when string) bool {
	if when != "auto" {
		return when == "always"
	}
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
