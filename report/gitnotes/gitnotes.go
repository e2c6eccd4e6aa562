// Package gitnotes shows commits and their plans to people who have no forge, in notes of the repository itself:
//
//	git fetch origin 'refs/notes/*:refs/notes/*'
//	git log --notes=gitfleet --notes=gitfleet-plan
//
// A branch that is not merged takes the place of a pull request.
package gitnotes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgeclient"
)

// The references of the notes. Both may hold what others wrote there, which stays.
const (
	StatusRef = "refs/notes/gitfleet"      // the statuses, on the commit they are about
	PlanRef   = "refs/notes/gitfleet-plan" // the comment on a branch, on its head
)

// Repository is what notes need of a remote repository. Its errors may have the methods
//
//	Remedy() string                                what an operator has to do; empty when waiting may help
//	RetryAfter() (wait time.Duration, asked bool)  whether the server asks to be left alone, and how long if it says
type Repository interface {
	// Note returns the note on a commit, empty when there is none.
	Note(ctx context.Context, ref, commit string) (string, error)
	// EditNote replaces the note on a commit by what edit makes of it. Edit is called again when another writer was faster.
	// Nothing is written when the text stays the same.
	EditNote(ctx context.Context, ref, commit string, edit func(text string) string) error
	// HasCommit tells whether the repository has a commit.
	HasCommit(ctx context.Context, commit string) (bool, error)
	// OpenBranches returns the heads of the branches that are not merged into the followed one, by the branch's name.
	OpenBranches(ctx context.Context) (map[string]string, error)
	// MergedBranches returns the branches, with their heads, whose head a commit is or merged.
	MergedBranches(ctx context.Context, commit string) (map[string]string, error)
}

// Forge is a report.Forge for one branch of a repository.
type Forge struct {
	repo   Repository
	branch string // the followed one, without refs/heads/
}

var _ report.Forge = (*Forge)(nil)

// New returns the forge of a repository that follows branch.
func New(repo Repository, branch string) *Forge { return &Forge{repo: repo, branch: branch} }

// Statuses implements report.Forge.
func (f *Forge) Statuses(ctx context.Context, commit string) ([]report.CommitStatus, error) {
	if err := forgeclient.CheckCommit(commit); err != nil {
		return nil, err
	}
	text, err := f.repo.Note(ctx, StatusRef, commit)
	if err != nil {
		return nil, forgeError(err)
	}
	if text == "" {
		if err := f.wantCommit(ctx, commit); err != nil {
			return nil, err
		}
	}
	return parseNote(text).statuses(), nil
}

// SetStatus implements report.Forge.
func (f *Forge) SetStatus(ctx context.Context, commit string, s report.CommitStatus) error {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckStatus(s)); err != nil {
		return err
	}
	// A note may be on anything, also on what the repository does not have, so that is asked first.
	if err := f.wantCommit(ctx, commit); err != nil {
		return err
	}
	return forgeError(f.repo.EditNote(ctx, StatusRef, commit, func(text string) string {
		n := parseNote(text)
		if !n.set(s) {
			return text
		}
		return n.String()
	}))
}

// wantCommit returns an error when the repository does not have a commit. A commit that gitfleet has noted is known,
// although a branch that had it may have moved on.
func (f *Forge) wantCommit(ctx context.Context, commit string) error {
	has, err := f.repo.HasCommit(ctx, commit)
	if err != nil || has {
		return forgeError(err)
	}
	for _, ref := range []string{StatusRef, PlanRef} {
		text, err := f.repo.Note(ctx, ref, commit)
		if err != nil {
			return forgeError(err)
		}
		if len(parseNote(text).statuses()) > 0 || hasComment(text) {
			return nil
		}
	}
	return fmt.Errorf("the repository has no commit %s", commit)
}

// PullRequests implements report.Forge. The title is the branch's name: the subjects of commits that are not fetched are
// not known.
func (f *Forge) PullRequests(ctx context.Context, branch string) ([]report.PullRequest, error) {
	if branch != f.branch {
		return nil, f.notFollowed(branch)
	}
	heads, err := f.repo.OpenBranches(ctx)
	if err != nil {
		return nil, forgeError(err)
	}
	var open []report.PullRequest
	for _, name := range slices.Sorted(maps.Keys(heads)) {
		open = append(open, report.PullRequest{ID: name, Title: name, Head: heads[name], HeadRef: "refs/heads/" + name})
	}
	return open, nil
}

func (f *Forge) notFollowed(branch string) error {
	return fmt.Errorf("what is merged into branch %q is not known; the branch that is followed is %q", branch, f.branch)
}

// Comment implements report.Forge. A new head of the branch gets a comment of its own; the one on the head before stays.
func (f *Forge) Comment(ctx context.Context, id, head, body string) error {
	if err := forgeclient.CheckCommit(head); err != nil {
		return err
	}
	if len(body) > report.LongestComment {
		return fmt.Errorf("the comment on branch %q has %d bytes, and %d is the most", id, len(body), report.LongestComment)
	}
	heads, err := f.repo.OpenBranches(ctx)
	if err != nil {
		return forgeError(err)
	}
	now, ok := heads[id]
	if !ok {
		return fmt.Errorf("there is no branch %q that is not merged into %q", id, f.branch)
	}
	if now != head { // whoever pushed may have rewritten the branch, and a note may be on what is nowhere
		if err := f.wantCommit(ctx, head); err != nil {
			return err
		}
	}
	return forgeError(f.repo.EditNote(ctx, PlanRef, head, func(text string) string { return setComment(text, body) }))
}

// MergedFrom implements report.Forge. It knows a branch that still exists: the second parent of a merge, or a head that was
// merged without a commit of its own and has a plan, as only the heads of open branches get one.
func (f *Forge) MergedFrom(ctx context.Context, commit, branch string) (string, error) {
	if branch != f.branch {
		return "", f.notFollowed(branch)
	}
	if err := forgeclient.CheckCommit(commit); err != nil {
		return "", err
	}
	if err := f.wantCommit(ctx, commit); err != nil {
		return "", err
	}
	heads, err := f.repo.MergedBranches(ctx, commit)
	if err != nil {
		return "", forgeError(err)
	}
	names := slices.Sorted(maps.Keys(heads))
	for _, name := range names {
		if heads[name] != commit {
			return name, nil
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	text, err := f.repo.Note(ctx, PlanRef, commit)
	if err != nil || !hasComment(text) {
		return "", forgeError(err)
	}
	return names[0], nil
}

// forgeError returns err as a *report.ForgeError where it says what helps.
func forgeError(err error) error {
	var patience interface {
		RetryAfter() (wait time.Duration, asked bool)
	}
	if errors.As(err, &patience) {
		if wait, asked := patience.RetryAfter(); asked {
			return &report.ForgeError{Err: err, RetryAfter: wait}
		}
	}
	var help interface{ Remedy() string }
	if errors.As(err, &help) {
		if remedy := help.Remedy(); remedy != "" {
			return &report.ForgeError{Err: err, Remedy: remedy}
		}
	}
	return err
}
