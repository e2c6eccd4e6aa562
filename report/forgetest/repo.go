package forgetest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The users of every forge in the suite.
const (
	Self     int64 = 7 // whom the token belongs to
	Somebody int64 = 8
)

// BaseRepo is the number of the repository under test; heads from it are no forks.
const BaseRepo int64 = 100

// Repo is one repository on a forge, in memory. A package's server answers from it, holding Lock while it does.
type Repo struct {
	sync.Mutex
	Name         string
	Token        string // the one that is valid
	Commits      map[string]*Commit
	PullRequests []*PullRequest
	Writes       int // how often a status or a comment was written
	last         int64
}

// Commit is one commit.
type Commit struct {
	Branch   string   // one that contains it; empty for the head of a fork
	Statuses []Status // in the order in which they came
}

// Status is a status in the forge's own words.
type Status struct {
	ID          int64
	Context     string
	State       string
	Description string
	URL         string
	Ref         string
	Retried     bool // another has taken its place: GitLab's word
}

// PullRequest is one pull request.
type PullRequest struct {
	Number      int
	Title       string
	State       string // open, closed or merged
	Base        string // branch
	Head        string // commit
	HeadRepo    int64  // 0 when it was deleted
	Conflicts   bool
	Commits     []string // what it contains
	MergeCommit string   // of the merge or the squash; empty before
	MergedAt    int      // hours since some day; 0 before
	Comments    []*Comment
}

// Comment is one comment on a pull request.
type Comment struct {
	ID     int64
	Author int64
	Body   string
	System bool // written by the forge itself
}

// NextID returns a number that is larger than all before.
func (r *Repo) NextID() int64 {
	r.last++
	return r.last
}

// Authorized tells whether a request brings the valid token.
func (r *Repo) Authorized(req *http.Request) bool {
	return req.Header.Get("Authorization") == "Bearer "+r.Token
}

// PullRequest returns a pull request by its number as it stands in a path; nil when there is none.
func (r *Repo) PullRequest(number string) *PullRequest {
	i := slices.IndexFunc(r.PullRequests, func(pr *PullRequest) bool { return strconv.Itoa(pr.Number) == number })
	if i < 0 {
		return nil
	}
	return r.PullRequests[i]
}

// Comment returns a comment by its number as it stands in a path; nil when there is none.
func (r *Repo) Comment(id string) *Comment {
	for _, pr := range r.PullRequests {
		for _, c := range pr.Comments {
			if strconv.FormatInt(c.ID, 10) == id {
				return c
			}
		}
	}
	return nil
}

// With returns the pull requests that contain or made a commit.
func (r *Repo) With(commit string) []*PullRequest {
	return slices.DeleteFunc(slices.Clone(r.PullRequests), func(pr *PullRequest) bool {
		return pr.MergeCommit != commit && !slices.Contains(pr.Commits, commit)
	})
}

// AddComment writes a comment.
func (r *Repo) AddComment(pr *PullRequest, author int64, body string) *Comment {
	c := &Comment{ID: r.NextID(), Author: author, Body: body}
	pr.Comments = append(pr.Comments, c)
	r.Writes++
	return c
}

// AddStatus writes a status.
func (r *Repo) AddStatus(commit *Commit, s Status) Status {
	s.ID = r.NextID()
	commit.Statuses = append(commit.Statuses, s)
	r.Writes++
	return s
}

// Page returns the page of items that a query asks for, its number, and the last page's. The size is in the parameter named
// size and at most most.
func Page[T any](items []T, query url.Values, size string, most int) (page []T, number, last int) {
	perPage, err := strconv.Atoi(query.Get(size))
	if err != nil || perPage < 1 {
		perPage = 20
	}
	perPage = min(perPage, most)
	number, err = strconv.Atoi(query.Get("page"))
	if err != nil || number < 1 {
		number = 1
	}
	last = max(1, (len(items)+perPage-1)/perPage)
	from := min((number-1)*perPage, len(items))
	return append([]T{}, items[from:min(from+perPage, len(items))]...), number, last
}

// Link writes the header of that name, as GitHub and Gitea do.
func Link(w http.ResponseWriter, r *http.Request, number, last int) {
	var links []string
	link := func(page int, rel string) {
		u := *r.URL
		query := u.Query()
		query.Set("page", strconv.Itoa(page))
		u.Scheme, u.Host, u.RawQuery = "http", r.Host, query.Encode()
		links = append(links, fmt.Sprintf("<%s>; rel=%q", u.String(), rel))
	}
	if number > 1 {
		link(number-1, "prev")
	}
	if number < last {
		link(number+1, "next")
		link(last, "last")
	}
	if len(links) > 0 {
		w.Header().Set("Link", strings.Join(links, ", "))
	}
}
