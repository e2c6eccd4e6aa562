// Package gitea shows commit statuses and comments on Gitea and on Forgejo, which answer the same requests: gitea.com,
// codeberg.org and instances of one's own. It needs a token with the scopes write:repository, write:issue and read:user.
package gitea

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"code.gitea.io/sdk/gitea"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgeclient"
)

// perPage is the largest page that an instance gives unless it was configured otherwise.
const perPage = 50

// Options tells which repository, where, and as whom.
type Options struct {
	// BaseURL is the address of the instance that people open: https://codeberg.org.
	BaseURL string
	// Repo is owner/name.
	Repo string
	// Name is under what name gitfleet comments; empty for report.StatusName. Several that comment on one repository need
	// one each.
	Name string
	// HTTP gives proxy, certificates and time limits; nil for Go's defaults.
	HTTP *http.Client
	// Token returns an access token. It is asked before every request.
	Token func(ctx context.Context) (string, error)
}

// A forge is one repository on an instance.
type forge struct {
	client      *forgeclient.Client
	as          string // under what name it comments
	base        string
	owner, name string
}

// New returns the repository as a forge; it makes no request.
func New(opts Options) (report.Forge, error) {
	owner, name, err := forgeclient.SplitRepo(opts.Repo, false)
	if err != nil {
		return nil, err
	}
	base, err := forgeclient.ParseBase(opts.BaseURL)
	if err != nil {
		return nil, err
	}
	if opts.Token == nil {
		return nil, errors.New("give a token for the forge")
	}
	f := &forge{as: opts.Name, base: base.String(), owner: owner, name: name}
	f.client = forgeclient.New(forgeclient.Options{Forge: "Gitea", API: base, HTTP: opts.HTTP, Token: opts.Token, Remedy: f.remedy})
	return f, nil
}

// do runs call with an SDK client of its own: the SDK keeps the context in the client. It is not to ask for the server's
// version, which Forgejo counts otherwise.
func (f *forge) do(ctx context.Context, doing string, call func(api *gitea.Client) error) error {
	return f.client.Do(ctx, doing, func(ctx context.Context) error {
		api, err := gitea.NewClient(f.base, gitea.SetHTTPClient(f.client.HTTP()), gitea.SetContext(ctx), gitea.SetGiteaVersion(""),
			gitea.SetUserAgent("gitfleet"))
		if err != nil {
			return err
		}
		return call(api)
	})
}

// Statuses lists all that were posted. The combined status would be shorter, but the SDK reads its first page only.
// https://docs.gitea.com/api/#tag/repository/operation/repoListStatusesByRef
func (f *forge) Statuses(ctx context.Context, commit string) ([]report.CommitStatus, error) {
	if err := forgeclient.CheckCommit(commit); err != nil {
		return nil, err
	}
	var posted []forgeclient.PostedStatus
	err := f.do(ctx, "read the statuses of "+commit, func(api *gitea.Client) error {
		statuses, err := forgeclient.Pages(func(page int) ([]*gitea.Status, int, error) {
			statuses, resp, err := api.ListStatuses(f.owner, f.name, commit,
				gitea.ListStatusesOption{ListOptions: gitea.ListOptions{Page: page, PageSize: perPage}})
			if err != nil {
				return nil, 0, err
			}
			return statuses, resp.NextPage, nil
		})
		if err == nil && len(statuses) == 0 {
			_, _, err = api.GetSingleCommit(f.owner, f.name, commit) // older versions list nothing for any commit
		}
		for _, s := range statuses {
			posted = append(posted, forgeclient.PostedStatus{ID: s.ID, CommitStatus: report.CommitStatus{
				Context: s.Context, State: state(s.State), Description: s.Description, URL: s.TargetURL,
			}})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return forgeclient.Latest(posted), nil
}

// state returns Gitea's state in the words of package report. A warning does not let a protected branch be merged into;
// what was skipped does.
func state(s gitea.StatusState) report.State {
	switch s {
	case gitea.StatusPending:
		return report.StatePending
	case gitea.StatusSuccess, "skipped":
		return report.StateSuccess
	case gitea.StatusFailure, gitea.StatusWarning:
		return report.StateFailure
	}
	return report.StateError
}

// SetStatus posts a status. The states of package report are Gitea's.
// https://docs.gitea.com/api/#tag/repository/operation/repoCreateStatus
func (f *forge) SetStatus(ctx context.Context, commit string, s report.CommitStatus) error {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckStatus(s)); err != nil {
		return err
	}
	return f.do(ctx, fmt.Sprintf("set the status %s of %s", s.Context, commit), func(api *gitea.Client) error {
		_, _, err := api.CreateStatus(f.owner, f.name, commit, gitea.CreateStatusOption{
			State: gitea.StatusState(s.State), TargetURL: s.URL, Description: s.Description, Context: s.Context,
		})
		return err
	})
}

// PullRequests lists the open ones and chooses those into branch, which not every version does itself.
// https://docs.gitea.com/api/#tag/repository/operation/repoListPullRequests
func (f *forge) PullRequests(ctx context.Context, branch string) ([]report.PullRequest, error) {
	var found []report.PullRequest
	err := f.do(ctx, "list the pull requests into "+branch, func(api *gitea.Client) error {
		open, err := forgeclient.Pages(func(page int) ([]*gitea.PullRequest, int, error) {
			prs, resp, err := api.ListRepoPullRequests(f.owner, f.name, gitea.ListPullRequestsOptions{
				ListOptions: gitea.ListOptions{Page: page, PageSize: perPage}, State: gitea.StateOpen, Sort: "oldest",
			})
			if err != nil {
				return nil, 0, err
			}
			return prs, resp.NextPage, nil
		})
		for _, pr := range open {
			switch {
			case pr.Base == nil || pr.Head == nil:
				return fmt.Errorf("the answer has pull request %d without a base or a head", pr.Index)
			case pr.Base.Ref == branch && pr.State == gitea.StateOpen:
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

// pullRequest converts Gitea's, which has no ref for the merge. Whoever can read a repository can push to refs/for/BRANCH;
// such a pull request has its head in the repository itself, but no name of a branch.
func pullRequest(pr *gitea.PullRequest) report.PullRequest {
	return report.PullRequest{
		ID:      strconv.FormatInt(pr.Index, 10),
		Title:   pr.Title,
		URL:     pr.HTMLURL,
		Head:    pr.Head.Sha,
		HeadRef: fmt.Sprintf("refs/pull/%d/head", pr.Index),
		Fork:    pr.Head.RepoID != pr.Base.RepoID || pr.Head.Name == "",
	}
}

// Comment writes gitfleet's comment on a pull request, which to Gitea is an issue.
// https://docs.gitea.com/api/#tag/issue/operation/issueGetComments
func (f *forge) Comment(ctx context.Context, id, head, body string) error {
	index, err := forgeclient.Number(id)
	if err := errors.Join(err, forgeclient.CheckCommit(head)); err != nil {
		return err
	}
	return f.do(ctx, "comment on pull request "+id, func(api *gitea.Client) error {
		return forgeclient.Thread{
			Name: f.as,
			List: func() ([]forgeclient.Comment, error) { return f.comments(api, index) },
			Self: func() (int64, error) { return self(api) },
			Create: func(body string) error {
				_, _, err := api.CreateIssueComment(f.owner, f.name, index, gitea.CreateIssueCommentOption{Body: body})
				return err
			},
			Edit: func(comment int64, body string) error {
				_, _, err := api.EditIssueComment(f.owner, f.name, comment, gitea.EditIssueCommentOption{Body: body})
				return err
			},
		}.Upsert(body)
	})
}

// comments returns all comments. Gitea writes them on one page and their number beside it.
func (f *forge) comments(api *gitea.Client, index int64) ([]forgeclient.Comment, error) {
	total := -1
	listed, err := forgeclient.Pages(func(page int) ([]*gitea.Comment, int, error) {
		comments, resp, err := api.ListIssueComments(f.owner, f.name, index,
			gitea.ListIssueCommentOptions{ListOptions: gitea.ListOptions{Page: page, PageSize: perPage}})
		if err != nil {
			return nil, 0, err
		}
		if n, err := strconv.Atoi(resp.Header.Get("X-Total-Count")); err == nil {
			total = n
		}
		return comments, resp.NextPage, nil
	})
	if err == nil && len(listed) < total {
		err = fmt.Errorf("the answer has %d of %d comments", len(listed), total)
	}
	var comments []forgeclient.Comment
	for _, c := range listed {
		comment := forgeclient.Comment{ID: c.ID, Body: c.Body}
		if c.Poster != nil {
			comment.Author = c.Poster.ID
		}
		comments = append(comments, comment)
	}
	return comments, err
}

// self returns the token's user.
// https://docs.gitea.com/api/#tag/user/operation/userGetCurrent
func self(api *gitea.Client) (int64, error) {
	user, _, err := api.GetMyUserInfo()
	if err != nil {
		return 0, err
	}
	return user.ID, nil
}

// MergedFrom asks for the pull request whose merge made the commit, which is all that Gitea remembers: of a commit that
// was merged into another branch, and brought into this one by a later pull request, it does not tell that. It says "not found"
// when there is none, as when there is no such repository.
// https://docs.gitea.com/api/#tag/repository/operation/repoGetCommitPullRequest
func (f *forge) MergedFrom(ctx context.Context, commit, branch string) (string, error) {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckBranch(branch)); err != nil {
		return "", err
	}
	doing := "find the pull request of " + commit
	id := ""
	err := f.do(ctx, doing, func(api *gitea.Client) error {
		pr, _, err := api.GetCommitPullRequest(f.owner, f.name, commit)
		switch {
		case err != nil:
			return err
		case pr == nil || pr.Index <= 0:
			return errors.New("the answer is not a pull request")
		case pr.HasMerged && pr.Base != nil && pr.Base.Ref == branch:
			id = strconv.FormatInt(pr.Index, 10)
		}
		return nil
	})
	if r := forgeclient.Refused(err); r == nil || r.Status != http.StatusNotFound {
		return id, err
	}
	return "", f.do(ctx, doing, func(api *gitea.Client) error {
		_, _, err := api.GetSingleCommit(f.owner, f.name, commit)
		return err
	})
}

// remedy tells an operator what to do about a refusal.
func (f *forge) remedy(r *forgeclient.Refusal) string {
	switch r.Status {
	case http.StatusUnauthorized:
		return "the token is wrong, expired or revoked: give a new one"
	case http.StatusForbidden:
		return fmt.Sprintf("give a token with the scopes write:repository, write:issue and read:user, of a user who may write to %s/%s",
			f.owner, f.name)
	case http.StatusNotFound:
		return fmt.Sprintf("check that %s/%s is the repository's name, and that the token may read it", f.owner, f.name)
	}
	return ""
}
