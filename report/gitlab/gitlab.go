// Package gitlab shows commit statuses and comments on GitLab: gitlab.com and instances of one's own. It needs a token of a
// person, a group or a project with the scope "api" and the role Developer.
package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgeclient"
)

// perPage is the largest page that GitLab gives.
const perPage = 100

// Options tells which project, where, and as whom.
type Options struct {
	// BaseURL is the address that people open; empty for https://gitlab.com.
	BaseURL string
	// Repo is the project's path: group/subgroup/name.
	Repo string
	// Name is under what name gitfleet comments; empty for report.StatusName. Several that comment on one repository need
	// one each.
	Name string
	// HTTP gives proxy, certificates and time limits; nil for Go's defaults.
	HTTP *http.Client
	// Token returns an access token. It is asked before every request.
	Token func(ctx context.Context) (string, error)
}

// A forge is one project on GitLab.
type forge struct {
	client  *forgeclient.Client
	as      string // under what name it comments
	api     *gitlab.Client
	project string
}

// New returns the project as a forge; it makes no request.
func New(opts Options) (report.Forge, error) {
	owner, name, err := forgeclient.SplitRepo(opts.Repo, true)
	if err != nil {
		return nil, err
	}
	base, err := forgeclient.ParseBase(cmp.Or(opts.BaseURL, "https://gitlab.com"))
	if err != nil {
		return nil, err
	}
	if opts.Token == nil {
		return nil, errors.New("give a token for the forge")
	}
	f := &forge{as: opts.Name, project: owner + "/" + name}
	f.client = forgeclient.New(forgeclient.Options{Forge: "GitLab", API: base, HTTP: opts.HTTP, Token: opts.Token, Remedy: f.remedy})
	f.api, err = gitlab.NewAuthSourceClient(gitlab.Unauthenticated{}, // the token is added by the HTTP client
		gitlab.WithBaseURL(base.String()), gitlab.WithHTTPClient(f.client.HTTP()), gitlab.WithUserAgent("gitfleet"),
		gitlab.WithoutRetries(), gitlab.WithCustomRetryMax(0), gitlab.WithCustomLimiter(unlimited{}))
	return f, err
}

// unlimited replaces the SDK's limiter, which waits: the caller of package report does.
type unlimited struct{}

// Wait does not wait.
func (unlimited) Wait(context.Context) error { return nil }

// PullRequests lists the open merge requests.
// https://docs.gitlab.com/api/merge_requests/#list-project-merge-requests
func (f *forge) PullRequests(ctx context.Context, branch string) ([]report.PullRequest, error) {
	if err := forgeclient.CheckBranch(branch); err != nil {
		return nil, err // GitLab would list those of all branches
	}
	var found []report.PullRequest
	err := f.client.Do(ctx, "list the merge requests into "+branch, func(ctx context.Context) error {
		opened, err := forgeclient.Pages(func(page int) ([]*gitlab.BasicMergeRequest, int, error) {
			return f.opened(ctx, branch, page)
		})
		for _, mr := range opened {
			if mr.TargetBranch == branch && mr.State == "opened" {
				found = append(found, pullRequest(mr))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return forgeclient.SortPullRequests(found), nil
}

// opened reads one page. The SDK's method of that name makes an empty list of what is none, and fails at null.
func (f *forge) opened(ctx context.Context, branch string, page int) ([]*gitlab.BasicMergeRequest, int, error) {
	path := "projects/" + gitlab.PathEscape(f.project) + "/merge_requests"
	req, err := f.api.NewRequest(http.MethodGet, path, &gitlab.ListProjectMergeRequestsOptions{
		State: gitlab.Ptr("opened"), TargetBranch: &branch, OrderBy: gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc"),
		ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: perPage},
	}, []gitlab.RequestOptionFunc{gitlab.WithContext(ctx)})
	if err != nil {
		return nil, 0, err
	}
	var mrs []*gitlab.BasicMergeRequest
	resp, err := f.api.Do(req, &mrs)
	if err != nil {
		return nil, 0, err
	}
	return mrs, int(resp.NextPage), nil
}

// pullRequest converts GitLab's. The ref of its merge exists once GitLab has found that there are no conflicts. The project
// of its source is 0 when it was deleted; its head is missing for the moments in which GitLab prepares it.
func pullRequest(mr *gitlab.BasicMergeRequest) report.PullRequest {
	converted := report.PullRequest{
		ID:      strconv.FormatInt(mr.IID, 10),
		Title:   mr.Title,
		URL:     mr.WebURL,
		Head:    mr.SHA,
		HeadRef: headRef(mr),
		Fork:    mr.SourceProjectID == 0 || mr.SourceProjectID != mr.TargetProjectID,
	}
	switch mr.DetailedMergeStatus {
	case "unchecked", "checking", "preparing":
	default:
		if !mr.HasConflicts {
			converted.MergeRef = fmt.Sprintf("refs/merge-requests/%d/merge", mr.IID)
		}
	}
	return converted
}

func headRef(mr *gitlab.BasicMergeRequest) string {
	return fmt.Sprintf("refs/merge-requests/%d/head", mr.IID)
}

// Comment writes gitfleet's note on a merge request.
// https://docs.gitlab.com/api/notes/#merge-requests
func (f *forge) Comment(ctx context.Context, id, head, body string) error {
	iid, err := forgeclient.Number(id)
	if err := errors.Join(err, forgeclient.CheckCommit(head)); err != nil {
		return err
	}
	return f.client.Do(ctx, "comment on merge request "+id, func(ctx context.Context) error {
		return forgeclient.Thread{
			Name: f.as,
			List: func() ([]forgeclient.Comment, error) { return f.notes(ctx, iid) },
			Self: func() (int64, error) { return f.self(ctx) },
			Create: func(body string) error {
				_, _, err := f.api.Notes.CreateMergeRequestNote(f.project, iid,
					&gitlab.CreateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
				return err
			},
			Edit: func(note int64, body string) error {
				_, _, err := f.api.Notes.UpdateMergeRequestNote(f.project, iid, note,
					&gitlab.UpdateMergeRequestNoteOptions{Body: &body}, gitlab.WithContext(ctx))
				return err
			},
			Harmless: withoutQuickActions,
		}.Upsert(body)
	})
}

// quickAction is the beginning of a line that GitLab carries out instead of showing it: "/merge", with the rights of the
// token. https://docs.gitlab.com/user/project/quick_actions/
var quickAction = regexp.MustCompile(`(?m)^([ \t]*)/`)

// withoutQuickActions puts a space of no width before the slash at the beginning of a line: what is in a manifest is shown,
// not obeyed.
func withoutQuickActions(body string) string { return quickAction.ReplaceAllString(body, "$1\u200b/") }

func (f *forge) notes(ctx context.Context, iid int64) ([]forgeclient.Comment, error) {
	listed, err := forgeclient.Pages(func(page int) ([]*gitlab.Note, int, error) {
		notes, resp, err := f.api.Notes.ListMergeRequestNotes(f.project, iid, &gitlab.ListMergeRequestNotesOptions{
			ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: perPage},
			OrderBy:     gitlab.Ptr("created_at"), Sort: gitlab.Ptr("asc"),
		}, gitlab.WithContext(ctx))
		if err != nil {
			return nil, 0, err
		}
		return notes, int(resp.NextPage), nil
	})
	var comments []forgeclient.Comment
	for _, n := range listed {
		if !n.System {
			comments = append(comments, forgeclient.Comment{ID: n.ID, Author: n.Author.ID, Body: n.Body})
		}
	}
	return comments, err
}

// self returns the token's user; those of groups and projects have a bot of their own.
// https://docs.gitlab.com/api/users/#retrieve-the-current-user
func (f *forge) self(ctx context.Context) (int64, error) {
	user, _, err := f.api.Users.CurrentUser(gitlab.WithContext(ctx))
	if err != nil {
		return 0, err
	}
	return user.ID, nil
}

// MergedFrom takes the merge request into branch whose merge or squash commit it is; else, as after a fast-forward, the one that
// was merged last.
// https://docs.gitlab.com/api/commits/#list-merge-requests-associated-with-a-commit
func (f *forge) MergedFrom(ctx context.Context, commit, branch string) (string, error) {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckBranch(branch)); err != nil {
		return "", err
	}
	var from *gitlab.BasicMergeRequest
	err := f.client.Do(ctx, "find the merge request of "+commit, func(ctx context.Context) error {
		mrs, err := f.withCommit(ctx, commit)
		for _, mr := range mrs {
			switch {
			case mr.State != "merged" || mr.TargetBranch != branch:
			case mr.MergeCommitSHA == commit || mr.SquashCommitSHA == commit:
				from = mr
				return err
			case from == nil || mergedAt(mr).After(mergedAt(from)):
				from = mr
			}
		}
		return err
	})
	if err != nil || from == nil {
		return "", err
	}
	return strconv.FormatInt(from.IID, 10), nil
}

// withCommit returns the merge requests that contain a commit.
func (f *forge) withCommit(ctx context.Context, commit string) ([]*gitlab.BasicMergeRequest, error) {
	return forgeclient.Pages(func(page int) ([]*gitlab.BasicMergeRequest, int, error) {
		mrs, resp, err := f.api.Commits.ListMergeRequestsByCommit(f.project, commit, gitlab.WithContext(ctx),
			gitlab.WithOffsetPaginationParameters(int64(page)))
		if err != nil {
			return nil, 0, err
		}
		return mrs, int(resp.NextPage), nil
	})
}

func mergedAt(mr *gitlab.BasicMergeRequest) time.Time {
	if mr.MergedAt == nil {
		return time.Time{}
	}
	return *mr.MergedAt
}

// remedy tells an operator what to do about a refusal.
func (f *forge) remedy(r *forgeclient.Refusal) string {
	switch r.Status {
	case http.StatusUnauthorized:
		return "the token is wrong, expired or revoked: give a new one"
	case http.StatusForbidden:
		return fmt.Sprintf("give a token with the scope \"api\" and at least the role Developer in %s", f.project)
	case http.StatusNotFound:
		if strings.Contains(r.Message, "ommit") { // "404 Commit Not Found": it may have been rewritten since
			return ""
		}
		return fmt.Sprintf("check that %s is the project's path, and that the token may read it", f.project)
	}
	return ""
}
