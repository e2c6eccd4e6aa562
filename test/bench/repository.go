package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// repository is a bare Git repository and a working tree that pushes to it.
type repository struct {
	bare, tree string
}

func newRepository(ctx context.Context, dir string) (*repository, error) {
	r := &repository{bare: filepath.Join(dir, "fleet.git"), tree: filepath.Join(dir, "tree")}
	for _, args := range [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", r.bare},
		{"init", "--quiet", "--initial-branch=main", r.tree},
		{"-C", r.tree, "remote", "add", "origin", r.bare},
	} {
		if _, err := git(ctx, args...); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *repository) url() string { return "file://" + r.bare }

// commit writes files and commits them. It returns the commit.
func (r *repository) commit(ctx context.Context, files map[string]string) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(r.tree, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			return "", err
		}
	}
	if _, err := git(ctx, "-C", r.tree, "add", "--all"); err != nil {
		return "", err
	}
	if _, err := git(ctx, "-C", r.tree, "commit", "--quiet", "--allow-empty", "--message", "change"); err != nil {
		return "", err
	}
	return git(ctx, "-C", r.tree, "rev-parse", "HEAD")
}

// push pushes what was committed.
func (r *repository) push(ctx context.Context) error {
	_, err := git(ctx, "-C", r.tree, "push", "--quiet", "origin", "main")
	return err
}

func git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
