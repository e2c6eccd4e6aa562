// Package github shows commit statuses and comments on GitHub: github.com, GitHub Enterprise Cloud and GitHub Enterprise
// Server. It needs the repository permissions "Commit statuses: write" and "Pull requests: write", of a token or of a GitHub
// App.
package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/go-github/v88/github"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgeclient"
)

// perPage is the largest page that GitHub gives.
const perPage = 100

// Options tells which repository, where, and as whom. Either Token or App is given.
type Options struct {
	// BaseURL is the address that people open; empty for https://github.com.
	BaseURL string
	// Repo is owner/name.
	Repo string
	// Name is under what name gitfleet comments; empty for report.StatusName. Several that comment on one repository need
	// one each.
	Name string
	// HTTP gives proxy, certificates and time limits; nil for Go's defaults.
	HTTP *http.Client
	// Token returns a personal access token. It is asked before every request.
	Token func(ctx context.Context) (string, error)
	// App is a GitHub App that is installed where the repository is.
	App *App
}

// A forge is one repository on GitHub.
type forge struct {
	client      *forgeclient.Client
	as          string // under what name it comments
	api         *github.Client
	app         *installation // nil with a token
	owner, name string
}

// New returns the repository as a forge; it makes no request.
func New(opts Options) (report.Forge, error) {
	owner, name, err := forgeclient.SplitRepo(opts.Repo, false)
	if err != nil {
		return nil, err
	}
	base, err := forgeclient.ParseBase(cmp.Or(opts.BaseURL, "https://github.com"))
	if err != nil {
		return nil, err
	}
	if (opts.Token == nil) == (opts.App == nil) {
		return nil, errors.New("GitHub: give either a token or an App")
	}
	f := &forge{as: opts.Name, owner: owner, name: name}
	shared := forgeclient.Options{Forge: "GitHub", API: apiOf(base), HTTP: opts.HTTP, Token: opts.Token, Remedy: f.remedy}
	if opts.App != nil {
		if f.app, err = newInstallation(*opts.App, shared); err != nil {
			return nil, err
		}
		shared.Token = f.app.token
	}
	f.client = forgeclient.New(shared)
	f.api, err = newAPI(f.client.HTTP(), shared.API)
	return f, err
}

// newAPI returns an SDK client that waits for nothing: the caller of package report does.
func newAPI(h *http.Client, api *url.URL) (*github.Client, error) {
	address := api.String() + "/"
	return github.NewClient(github.WithHTTPClient(h), github.WithURLs(&address, &address), github.WithUserAgent("gitfleet"),
		github.WithDisableRateLimitCheck())
}

// apiOf returns where the API of an instance is: a host of its own in GitHub's cloud, a path on a server
// (https://docs.github.com/enterprise-server/rest/enterprise-admin).
func apiOf(base *url.URL) *url.URL {
	api := *base
	host := strings.ToLower(base.Hostname())
	switch {
	case host == "api.github.com" || strings.HasPrefix(host, "api.") && strings.HasSuffix(host, ".ghe.com"):
	case host == "github.com" || host == "www.github.com":
		api.Host = "api.github.com"
	case strings.HasSuffix(host, ".ghe.com"):
		api.Host = "api." + base.Host
	case !strings.HasSuffix(base.Path, "/api/v3"):
		api.Path += "/api/v3"
	}
	return &api
}

// do explains failures, and lets go of an App's token that GitHub does not take any more.
func (f *forge) do(ctx context.Context, doing string, call func(ctx context.Context) error) error {
	err := f.client.Do(ctx, doing, call)
	if r := forgeclient.Refused(err); f.app != nil && r != nil && r.Status == http.StatusUnauthorized {
		f.app.forget(ctx)
	}
	return err
}

// Statuses reads the combined status, which has the newest of each context.
// https://docs.github.com/rest/commits/statuses#get-the-combined-status-for-a-specific-reference
func (f *forge) Statuses(ctx context.Context, commit string) ([]report.CommitStatus, error) {
	if err := forgeclient.CheckCommit(commit); err != nil {
		return nil, err
	}
	var posted []forgeclient.PostedStatus
	err := f.do(ctx, "read the statuses of "+commit, func(ctx context.Context) error {
		statuses, err := forgeclient.Pages(func(page int) ([]*github.RepoStatus, int, error) {
			combined, resp, err := f.api.Repositories.GetCombinedStatus(ctx, f.owner, f.name, commit,
				&github.ListOptions{Page: page, PerPage: perPage})
			switch {
			case err != nil:
				return nil, 0, err
			case combined.GetSHA() != commit:
				return nil, 0, fmt.Errorf("the answer is about commit %q", combined.GetSHA())
			}
			return combined.Statuses, resp.NextPage, nil
		})
		for _, s := range statuses {
			posted = append(posted, forgeclient.PostedStatus{ID: s.GetID(), CommitStatus: report.CommitStatus{
				Context: s.GetContext(), State: report.State(s.GetState()), Description: s.GetDescription(), URL: s.GetTargetURL(),
			}})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return forgeclient.Latest(posted), nil
}

// SetStatus posts a status. GitHub keeps 1,000 for a commit and context, and shows the newest.
// https://docs.github.com/rest/commits/statuses#create-a-commit-status
func (f *forge) SetStatus(ctx context.Context, commit string, s report.CommitStatus) error {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckStatus(s)); err != nil {
		return err
	}
	status := github.RepoStatus{State: github.Ptr(string(s.State)), Context: &s.Context, Description: &s.Description}
	if s.URL != "" {
		status.TargetURL = &s.URL
	}
	return f.do(ctx, fmt.Sprintf("set the status %s of %s", s.Context, commit), func(ctx context.Context) error {
		_, _, err := f.api.Repositories.CreateStatus(ctx, f.owner, f.name, commit, status)
		return err
	})
}

// PullRequests lists the open ones.
// https://docs.github.com/rest/pulls/pulls#list-pull-requests
func (f *forge) PullRequests(ctx context.Context, branch string) ([]report.PullRequest, error) {
	if err := forgeclient.CheckBranch(branch); err != nil {
		return nil, err // GitHub would list those of all branches
	}
	var found []report.PullRequest
	err := f.do(ctx, "list the pull requests into "+branch, func(ctx context.Context) error {
		open, err := forgeclient.Pages(func(page int) ([]*github.PullRequest, int, error) {
			prs, resp, err := f.api.PullRequests.List(ctx, f.owner, f.name, &github.PullRequestListOptions{
				State: "open", Base: branch, Sort: "created", Direction: "asc",
				ListOptions: github.ListOptions{Page: page, PerPage: perPage},
			})
			if err != nil {
				return nil, 0, err
			}
			return prs, resp.NextPage, nil
		})
		for _, pr := range open {
			if pr.GetBase().GetRef() == branch && pr.GetState() == "open" {
				found = append(found, pullRequest(pr))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return forgeclient.SortPullRequests(found), nil
}

// pullRequest converts GitHub's. Its merge commit is made in the background, and is missing where there are conflicts. The
// repository of a head is missing when it was deleted.
func pullRequest(pr *github.PullRequest) report.PullRequest {
	ref := fmt.Sprintf("refs/pull/%d/", pr.GetNumber())
	converted := report.PullRequest{
		ID:      strconv.Itoa(pr.GetNumber()),
		Title:   pr.GetTitle(),
		URL:     pr.GetHTMLURL(),
		Head:    pr.GetHead().GetSHA(),
		HeadRef: ref + "head",
		Fork:    pr.GetHead().GetRepo().GetID() == 0 || pr.GetHead().GetRepo().GetID() != pr.GetBase().GetRepo().GetID(),
	}
	if pr.GetMergeCommitSHA() != "" {
		converted.MergeRef = ref + "merge"
	}
	return converted
}

// Comment writes gitfleet's comment on a pull request, which to GitHub is an issue.
// https://docs.github.com/rest/issues/comments
func (f *forge) Comment(ctx context.Context, id, head, body string) error {
	number, err := forgeclient.Number(id)
	if err := errors.Join(err, forgeclient.CheckCommit(head)); err != nil {
		return err
	}
	return f.do(ctx, "comment on pull request "+id, func(ctx context.Context) error {
		return forgeclient.Thread{
			Name: f.as,
			List: func() ([]forgeclient.Comment, error) { return f.comments(ctx, int(number)) },
			Self: func() (int64, error) { return f.self(ctx) },
			Create: func(body string) error {
				_, _, err := f.api.Issues.CreateComment(ctx, f.owner, f.name, int(number), &github.IssueComment{Body: &body})
				return err
			},
			Edit: func(comment int64, body string) error {
				_, _, err := f.api.Issues.EditComment(ctx, f.owner, f.name, comment, &github.IssueComment{Body: &body})
				return err
			},
		}.Upsert(body)
	})
}

func (f *forge) comments(ctx context.Context, number int) ([]forgeclient.Comment, error) {
	listed, err := forgeclient.Pages(func(page int) ([]*github.IssueComment, int, error) {
		comments, resp, err := f.api.Issues.ListComments(ctx, f.owner, f.name, number,
			&github.IssueListCommentsOptions{ListOptions: github.ListOptions{Page: page, PerPage: perPage}})
		if err != nil {
			return nil, 0, err
		}
		return comments, resp.NextPage, nil
	})
	var comments []forgeclient.Comment
	for _, c := range listed {
		comments = append(comments, forgeclient.Comment{ID: c.GetID(), Author: c.GetUser().GetID(), Body: c.GetBody()})
	}
	return comments, err
}

// self returns the user that writes gitfleet's comments: the token's owner, or the App's bot.
// https://docs.github.com/rest/users/users#get-the-authenticated-user
func (f *forge) self(ctx context.Context) (int64, error) {
	if f.app != nil {
		return f.app.bot(ctx, f.api)
	}
	user, _, err := f.api.Users.Get(ctx, "")
	return user.GetID(), err
}

// MergedFrom takes the pull request into branch whose merge commit it is; else, for a commit further down in one, the one that was
// merged last.
// https://docs.github.com/rest/commits/commits#list-pull-requests-associated-with-a-commit
func (f *forge) MergedFrom(ctx context.Context, commit, branch string) (string, error) {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckBranch(branch)); err != nil {
		return "", err
	}
	var from *github.PullRequest
	err := f.do(ctx, "find the pull request of "+commit, func(ctx context.Context) error {
		prs, err := forgeclient.Pages(func(page int) ([]*github.PullRequest, int, error) {
			prs, resp, err := f.api.PullRequests.ListPullRequestsWithCommit(ctx, f.owner, f.name, commit,
				&github.ListOptions{Page: page, PerPage: perPage})
			if err != nil {
				return nil, 0, err
			}
			return prs, resp.NextPage, nil
		})
		for _, pr := range prs {
			switch {
			case pr.MergedAt == nil || pr.GetBase().GetRef() != branch: // open, closed without a merge, or into another branch
			case pr.GetMergeCommitSHA() == commit:
				from = pr
				return err
			case from == nil || pr.GetMergedAt().After(from.GetMergedAt().Time):
				from = pr
			}
		}
		return err
	})
	if err != nil || from == nil {
		return "", err
	}
	return strconv.Itoa(from.GetNumber()), nil
}

// remedy tells an operator what to do about a refusal.
func (f *forge) remedy(r *forgeclient.Refusal) string {
	credential := "the token"
	if f.app != nil {
		credential = "the App"
	}
	switch r.Status {
	case http.StatusUnauthorized:
		if f.app != nil {
			return "check the App's ID, its installation's ID and its private key"
		}
		return "the token is wrong, expired or revoked: give a new one"
	case http.StatusForbidden:
		if r.Header.Get("X-Github-Sso") != "" {
			return "authorize the token for the organization's single sign-on"
		}
		if wants := r.Header.Get("X-Accepted-Github-Permissions"); wants != "" {
			return fmt.Sprintf("give %s the repository permission %s", credential, wants)
		}
		return fmt.Sprintf("give %s the repository permissions \"Commit statuses: write\" and \"Pull requests: write\" for %s/%s",
			credential, f.owner, f.name)
	case http.StatusNotFound:
		return fmt.Sprintf("check that %s/%s is the repository's name, and that %s may read it", f.owner, f.name, credential)
	case http.StatusUnprocessableEntity:
		if strings.Contains(r.Message, "maximum number of statuses") {
			return "GitHub takes no more statuses for this commit and context: push another commit"
		}
	}
	return ""
}
