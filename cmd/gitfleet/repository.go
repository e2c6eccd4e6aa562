package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/source"
	"github.com/gitfleet/gitfleet/source/dir"
	"github.com/gitfleet/gitfleet/source/gitrepo"
)

// opened is a repository that a loop may follow.
type opened struct {
	reconcile.Repository
	changed <-chan struct{} // nil for a repository that has to be asked
	close   func() error
}

// openRepository opens what --repo names: a URL, or a directory, whose files are taken as they are, committed or not.
func openRepository(ctx context.Context, o repositoryOptions, stateDir string, log *slog.Logger) (opened, error) {
	if strings.Contains(o.url, "://") {
		r, err := gitrepo.Open(ctx, gitrepo.Options{
			URL: o.url, Ref: o.ref, AuthFile: o.authFile, CAFile: o.caFile, CacheDir: filepath.Join(stateDir, "repositories"),
		})
		if err != nil {
			return opened{}, err
		}
		return opened{Repository: r, close: r.Close}, nil
	}
	if _, err := os.Stat(filepath.Join(o.url, "HEAD")); err == nil {
		return opened{}, fmt.Errorf("--repo %s is a bare Git repository: follow a branch of it with --repo file://%s", o.url, absolute(o.url))
	}
	t, err := dir.Open(ctx, dir.Options{Dir: o.url})
	if err != nil {
		return opened{}, fmt.Errorf("--repo: %w", err)
	}
	return opened{Repository: &uncommitted{Tree: t, log: log}, changed: t.Changed(), close: t.Close}, nil
}

// uncommitted is a directory as a repository: it has no commits, so nobody can confirm anything in one.
type uncommitted struct {
	*dir.Tree
	log  *slog.Logger
	told string // why changes may not be noticed at once, as the log was last told
}

// Fetch implements reconcile.Repository.
func (u *uncommitted) Fetch(ctx context.Context) (source.Revision, error) {
	rev, err := u.Tree.Fetch(ctx)
	text := ""
	if w := u.WatchErr(); w != nil {
		text = w.Error()
	}
	if text != u.told && text != "" {
		u.log.Warn("changes of the directory are noticed at the next look only", "error", text)
	}
	u.told = text
	return rev, err
}

// Confirmations implements reconcile.Repository.
func (*uncommitted) Confirmations(context.Context, string, string) ([]string, error) { return nil, nil }

// MistypedConfirmations implements reconcile.Repository.
func (*uncommitted) MistypedConfirmations(context.Context, string, string) ([]string, error) {
	return nil, nil
}

// absolute returns path from the root, for a URL; path itself when that is not known.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
