package github_test

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gitfleet/gitfleet/report/forgetest"
)

// serve answers as https://docs.github.com/rest describes it for GitHub Enterprise Server, whose API lies below /api/v3.
func serve(repo *forgetest.Repo) http.Handler {
	s := &server{repo}
	mux := http.NewServeMux()
	at := "/api/v3/repos/" + repo.Name
	mux.HandleFunc("GET "+at+"/commits/{ref}/status", s.combinedStatus)
	mux.HandleFunc("POST "+at+"/statuses/{sha}", s.createStatus)
	mux.HandleFunc("GET "+at+"/pulls", s.pulls)
	mux.HandleFunc("GET "+at+"/commits/{ref}/pulls", s.pullsOfCommit)
	mux.HandleFunc("GET "+at+"/issues/{number}/comments", s.comments)
	mux.HandleFunc("POST "+at+"/issues/{number}/comments", s.createComment)
	mux.HandleFunc("PATCH "+at+"/issues/comments/{id}", s.updateComment)
	mux.HandleFunc("GET /api/v3/user", func(w http.ResponseWriter, _ *http.Request) {
		forgetest.JSON(w, 200, user(forgetest.Self))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !repo.Authorized(r) {
			refuse(w, 401, "Bad credentials")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type server struct{ repo *forgetest.Repo }

type object = map[string]any

func refuse(w http.ResponseWriter, status int, message string) {
	forgetest.JSON(w, status, object{"message": message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(status)})
}

func user(id int64) object {
	return object{"id": id, "login": fmt.Sprintf("user-%d", id), "type": "User"}
}

// combinedStatus has the newest status of each context.
func (s *server) combinedStatus(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("ref")
	commit := s.repo.Commits[sha]
	if commit == nil {
		refuse(w, 404, "Not Found")
		return
	}
	newest := map[string]int{}
	for i, status := range commit.Statuses {
		newest[status.Context] = i
	}
	statuses := []object{}
	for i, status := range commit.Statuses {
		if newest[status.Context] == i {
			statuses = append(statuses, statusObject(status))
		}
	}
	page, number, last := forgetest.Page(statuses, r.URL.Query(), "per_page", 100)
	forgetest.Link(w, r, number, last)
	forgetest.JSON(w, 200, object{"state": "pending", "sha": sha, "total_count": len(statuses), "statuses": page})
}

func statusObject(s forgetest.Status) object {
	o := object{"id": s.ID, "context": s.Context, "state": s.State, "description": s.Description, "target_url": nil}
	if s.URL != "" {
		o["target_url"] = s.URL
	}
	return o
}

func (s *server) createStatus(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("sha")
	commit := s.repo.Commits[sha]
	if commit == nil {
		refuse(w, 422, "No commit found for SHA: "+sha)
		return
	}
	type body struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	b := forgetest.Decode[body](r)
	switch {
	case b.State != "pending" && b.State != "success" && b.State != "failure" && b.State != "error":
		refuse(w, 422, "Validation Failed")
	case len([]rune(b.Description)) > 140:
		refuse(w, 422, "Validation Failed: description is too long (maximum is 140 characters)")
	default:
		forgetest.JSON(w, 201, statusObject(s.repo.AddStatus(commit,
			forgetest.Status{Context: b.Context, State: b.State, Description: b.Description, URL: b.TargetURL})))
	}
}

// pulls has the newest first unless it is asked otherwise.
func (s *server) pulls(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	prs := []object{}
	for _, pr := range s.repo.PullRequests {
		if pr.State == "open" && pr.Base == query.Get("base") {
			prs = append(prs, s.pullObject(pr))
		}
	}
	if query.Get("direction") != "asc" {
		for i, j := 0, len(prs)-1; i < j; i, j = i+1, j-1 {
			prs[i], prs[j] = prs[j], prs[i]
		}
	}
	page, number, last := forgetest.Page(prs, query, "per_page", 100)
	forgetest.Link(w, r, number, last)
	forgetest.JSON(w, 200, page)
}

func (s *server) pullObject(pr *forgetest.PullRequest) object {
	head := object{"sha": pr.Head, "ref": "a-branch", "repo": nil}
	if pr.HeadRepo != 0 {
		head["repo"] = object{"id": pr.HeadRepo}
	}
	o := object{
		"number": pr.Number, "title": pr.Title, "state": "open", "html_url": fmt.Sprintf("https://github.com/%s/pull/%d", s.repo.Name, pr.Number),
		"head": head, "base": object{"ref": pr.Base, "repo": object{"id": forgetest.BaseRepo}}, "merged_at": nil, "merge_commit_sha": nil,
	}
	if pr.State != "open" {
		o["state"] = "closed"
	}
	switch {
	case pr.State == "merged":
		o["merged_at"] = time.Date(2026, 5, 1, pr.MergedAt, 0, 0, 0, time.UTC)
		o["merge_commit_sha"] = pr.MergeCommit
	case !pr.Conflicts:
		o["merge_commit_sha"] = "7e57000000000000000000000000000000000000"
	}
	return o
}

func (s *server) pullsOfCommit(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("ref")
	if s.repo.Commits[sha] == nil {
		refuse(w, 422, "No commit found for SHA: "+sha)
		return
	}
	prs := []object{}
	for _, pr := range s.repo.With(sha) {
		prs = append(prs, s.pullObject(pr))
	}
	page, number, last := forgetest.Page(prs, r.URL.Query(), "per_page", 100)
	forgetest.Link(w, r, number, last)
	forgetest.JSON(w, 200, page)
}

func (s *server) comments(w http.ResponseWriter, r *http.Request) {
	pr := s.repo.PullRequest(r.PathValue("number"))
	if pr == nil {
		refuse(w, 404, "Not Found")
		return
	}
	comments := []object{}
	for _, c := range pr.Comments {
		if !c.System {
			comments = append(comments, commentObject(c))
		}
	}
	page, number, last := forgetest.Page(comments, r.URL.Query(), "per_page", 100)
	forgetest.Link(w, r, number, last)
	forgetest.JSON(w, 200, page)
}

// commentObject has no user when that was deleted and the comment was not given to the ghost.
func commentObject(c *forgetest.Comment) object {
	o := object{"id": c.ID, "body": c.Body, "user": nil}
	if c.Author != 0 {
		o["user"] = user(c.Author)
	}
	return o
}

type commentBody struct{ Body string }

func (s *server) createComment(w http.ResponseWriter, r *http.Request) {
	pr, body := s.repo.PullRequest(r.PathValue("number")), forgetest.Decode[commentBody](r)
	switch {
	case pr == nil:
		refuse(w, 404, "Not Found")
	case len([]rune(body.Body)) > 65536:
		refuse(w, 422, "Validation Failed: body is too long (maximum is 65536 characters)")
	default:
		forgetest.JSON(w, 201, commentObject(s.repo.AddComment(pr, forgetest.Self, body.Body)))
	}
}

// updateComment lets everybody with write access change any comment.
func (s *server) updateComment(w http.ResponseWriter, r *http.Request) {
	c := s.repo.Comment(r.PathValue("id"))
	if c == nil {
		refuse(w, 404, "Not Found")
		return
	}
	c.Body = forgetest.Decode[commentBody](r).Body
	s.repo.Writes++
	forgetest.JSON(w, 200, commentObject(c))
}
