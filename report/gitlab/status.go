package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgeclient"
)

// errorSign begins the description of an error: GitLab has one word, "failed", for what is the author's to mend and for what
// is not. It takes 255 characters, so there is room.
const errorSign = "[error] "

// Statuses lists the newest status of each name, over all pipelines of the commit: its branch's, its merge request's, and
// those that GitLab makes for statuses from outside. Jobs of GitLab's own are among them.
// https://docs.gitlab.com/api/commits/#list-all-statuses-for-a-commit
func (f *forge) Statuses(ctx context.Context, commit string) ([]report.CommitStatus, error) {
	if err := forgeclient.CheckCommit(commit); err != nil {
		return nil, err
	}
	var shown []report.CommitStatus
	err := f.client.Do(ctx, "read the statuses of "+commit, func(ctx context.Context) error {
		listed, err := f.listed(ctx, commit, nil)
		var posted []forgeclient.PostedStatus
		for _, s := range listed {
			posted = append(posted, forgeclient.PostedStatus{ID: s.ID, CommitStatus: converted(s)})
		}
		shown = forgeclient.Latest(posted)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// listed returns the statuses that GitLab counts as current; those of one name when that is not nil.
func (f *forge) listed(ctx context.Context, commit string, name *string) ([]*gitlab.CommitStatus, error) {
	return forgeclient.Pages(func(page int) ([]*gitlab.CommitStatus, int, error) {
		statuses, resp, err := f.api.Commits.GetCommitStatuses(f.project, commit, &gitlab.GetCommitStatusesOptions{
			ListOptions: gitlab.ListOptions{Page: int64(page), PerPage: perPage}, Name: name,
		}, gitlab.WithContext(ctx))
		if err != nil {
			return nil, 0, err
		}
		return statuses, int(resp.NextPage), nil
	})
}

// converted returns a status in the words of package report. A status that GitLab keeps from being decided is an error.
func converted(s *gitlab.CommitStatus) report.CommitStatus {
	c := report.CommitStatus{Context: s.Name, Description: s.Description, URL: s.TargetURL}
	switch s.Status {
	case "success", "skipped":
		c.State = report.StateSuccess
	case "failed":
		c.State = report.StateFailure
		if text, ok := strings.CutPrefix(s.Description, errorSign); ok {
			c.State, c.Description = report.StateError, text
		}
	case "canceled", "canceling":
		c.State = report.StateError
	default: // created, waiting_for_resource, preparing, pending, running, manual, scheduled
		c.State = report.StatePending
	}
	return c
}

// SetStatus posts a status to the commit's newest pipeline, whichever that is; GitLab makes one where there is none.
//
// GitLab refuses a change from a state to itself, and from running to pending, and with it new words. What is shown already
// is no failure. Other words for a pending status are posted as running, which is possible once; after that the words stay
// until the state changes.
// https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
func (f *forge) SetStatus(ctx context.Context, commit string, s report.CommitStatus) error {
	if err := errors.Join(forgeclient.CheckCommit(commit), forgeclient.CheckStatus(s)); err != nil {
		return err
	}
	opts := gitlab.SetCommitStatusOptions{Name: &s.Context, Description: &s.Description}
	if s.URL != "" {
		opts.TargetURL = &s.URL
	}
	switch s.State {
	case report.StatePending:
		opts.State = gitlab.Pending
	case report.StateSuccess:
		opts.State = gitlab.Success
	case report.StateFailure:
		opts.State = gitlab.Failed
	case report.StateError:
		opts.State, opts.Description = gitlab.Failed, gitlab.Ptr(errorSign+s.Description)
	}
	doing := fmt.Sprintf("set the status %s of %s", s.Context, commit)
	err := f.client.Do(ctx, doing, f.post(commit, opts))
	switch r := forgeclient.Refused(err); {
	case r == nil:
		return err
	case r.Status == http.StatusNotFound && strings.Contains(r.Message, "References for commit"):
		return f.client.Do(ctx, doing, func(ctx context.Context) error { return f.postToMergeRequest(ctx, commit, opts) })
	case r.Status == http.StatusBadRequest && strings.Contains(strings.ToLower(r.Message), "cannot transition"):
		return f.settle(ctx, doing, commit, s, opts, err)
	}
	return err
}

func (f *forge) post(commit string, opts gitlab.SetCommitStatusOptions) func(context.Context) error {
	return func(ctx context.Context) error {
		_, _, err := f.api.Commits.SetCommitStatus(f.project, commit, &opts, gitlab.WithContext(ctx))
		return err
	}
}

// postToMergeRequest posts a status to a commit that is on no branch of the project and in no pipeline: the head of a merge
// request from a fork. GitLab then wants a ref, for which the branch's name in the fork would be wrong: it may be the name of
// another branch here.
func (f *forge) postToMergeRequest(ctx context.Context, commit string, opts gitlab.SetCommitStatusOptions) error {
	mrs, err := f.withCommit(ctx, commit)
	if err != nil {
		return err
	}
	for _, mr := range mrs {
		if mr.State == "opened" && mr.SHA == commit {
			opts.Ref = gitlab.Ptr(headRef(mr))
			return f.post(commit, opts)(ctx)
		}
	}
	return errors.New("the commit is on no branch and is not the head of an open merge request")
}

// settle handles a refused transition, of which refused is the error. Somebody else, or an earlier process whose answer was
// lost, may have posted the same.
func (f *forge) settle(
	ctx context.Context, doing, commit string, s report.CommitStatus, opts gitlab.SetCommitStatusOptions, refused error,
) error {
	var shown *gitlab.CommitStatus
	err := f.client.Do(ctx, doing, func(ctx context.Context) error {
		listed, err := f.listed(ctx, commit, &s.Context)
		for _, l := range listed {
			if l.Name == s.Context && (shown == nil || l.ID > shown.ID) {
				shown = l
			}
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case shown == nil || converted(shown).State != s.State:
		return refused
	case converted(shown) == s || shown.Status == "running":
		return nil
	case s.State != report.StatePending:
		return refused
	}
	opts.State = gitlab.Running
	return f.client.Do(ctx, doing, f.post(commit, opts))
}
