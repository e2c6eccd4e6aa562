package forgeclient

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/gitfleet/gitfleet/report"
)

// mostPages bounds a list: 10,000 comments, open pull requests or statuses of one commit.
const mostPages = 100

// Pages puts a list together. fetch returns a page's items and the next page's number, 0 after the last one. A list that is
// longer than anybody reads is an error, as is a page that is no list, to which SDKs
// leave nil, or has a hole, for which JSON has null.
func Pages[T any](fetch func(page int) (items []*T, next int, err error)) ([]*T, error) {
	var all []*T
	page := 1
	for range mostPages {
		items, next, err := fetch(page)
		switch {
		case err != nil:
			return nil, err
		case items == nil:
			return nil, errors.New("the answer is not a list")
		case slices.Contains(items, nil):
			return nil, errors.New("the answer has null in its list")
		}
		all = append(all, items...)
		switch {
		case next == 0:
			return all, nil
		case next <= page:
			return nil, fmt.Errorf("page %d of the answer is followed by page %d", page, next)
		}
		page = next
	}
	return nil, fmt.Errorf("the answer has more than %d pages", mostPages)
}

// PostedStatus is a status as it was posted. Forges keep all of them, numbered in the order in which they came.
type PostedStatus struct {
	ID int64
	report.CommitStatus
}

// Latest returns the newest status of each context, sorted by context.
func Latest(posted []PostedStatus) []report.CommitStatus {
	newest := map[string]PostedStatus{}
	for _, p := range posted {
		if old, ok := newest[p.Context]; !ok || p.ID > old.ID {
			newest[p.Context] = p
		}
	}
	var shown []report.CommitStatus
	for _, p := range newest {
		shown = append(shown, p.CommitStatus)
	}
	slices.SortFunc(shown, func(a, b report.CommitStatus) int { return cmp.Compare(a.Context, b.Context) })
	return shown
}

// SortPullRequests sorts by number and drops repeats: a list grows at one end while its pages are read.
func SortPullRequests(prs []report.PullRequest) []report.PullRequest {
	number := func(pr report.PullRequest) int64 {
		n, _ := strconv.ParseInt(pr.ID, 10, 64) // written by this program from a number
		return n
	}
	slices.SortStableFunc(prs, func(a, b report.PullRequest) int { return cmp.Compare(number(a), number(b)) })
	return slices.CompactFunc(prs, func(a, b report.PullRequest) bool { return a.ID == b.ID })
}
