package gitea_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/gitfleet/gitfleet/report/forgetest"
)

// serve answers as https://docs.gitea.com/api describes it.
func serve(repo *forgetest.Repo) http.Handler {
	s := &server{repo}
	mux := http.NewServeMux()
	at := "/api/v1/repos/" + repo.Name
	mux.HandleFunc("GET "+at+"/commits/{ref}/statuses", s.statuses)
	mux.HandleFunc("POST "+at+"/statuses/{sha}", s.createStatus)
	mux.HandleFunc("GET "+at+"/git/commits/{sha}", s.commit)
	mux.HandleFunc("GET "+at+"/pulls", s.pulls)
	mux.HandleFunc("GET "+at+"/commits/{sha}/pull", s.pullOfCommit)
	mux.HandleFunc("GET "+at+"/issues/{index}/comments", s.comments)
	mux.HandleFunc("POST "+at+"/issues/{index}/comments", s.createComment)
	mux.HandleFunc("PATCH "+at+"/issues/comments/{id}", s.editComment)
	mux.HandleFunc("GET /api/v1/user", func(w http.ResponseWriter, _ *http.Request) {
		forgetest.JSON(w, 200, user(forgetest.Self))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !repo.Authorized(r) {
			refuse(w, 401, "invalid username, password or token")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type server struct{ repo *forgetest.Repo }

type object = map[string]any

func refuse(w http.ResponseWriter, status int, message string) {
	forgetest.JSON(w, status, object{"message": message, "url": "https://gitea.example/api/swagger"})
}

func user(id int64) object { return object{"id": id, "login": fmt.Sprintf("user-%d", id)} }

// statuses lists every status that was posted, the newest first; as older versions do it, also of commits that are not there.
func (s *server) statuses(w http.ResponseWriter, r *http.Request) {
	statuses := []object{}
	if commit := s.repo.Commits[r.PathValue("ref")]; commit != nil {
		for _, status := range slices.Backward(commit.Statuses) {
			statuses = append(statuses, statusObject(status))
		}
	}
	page, number, last := forgetest.Page(statuses, r.URL.Query(), "limit", 50)
	forgetest.Link(w, r, number, last)
	w.Header().Set("X-Total-Count", strconv.Itoa(len(statuses)))
	forgetest.JSON(w, 200, page)
}

// statusObject has its state in "status", where it is posted in "state".
func statusObject(s forgetest.Status) object {
	return object{"id": s.ID, "context": s.Context, "status": s.State, "description": s.Description, "target_url": s.URL,
		"creator": user(forgetest.Self), "created_at": time.Unix(s.ID, 0).UTC()}
}

func (s *server) createStatus(w http.ResponseWriter, r *http.Request) {
	commit := s.repo.Commits[r.PathValue("sha")]
	type body struct {
		State, Context, Description string
		TargetURL                   string `json:"target_url"`
	}
	b := forgetest.Decode[body](r)
	switch {
	case commit == nil:
		refuse(w, 500, "object does not exist")
	case !slices.Contains([]string{"pending", "success", "error", "failure", "warning"}, b.State):
		refuse(w, 422, "[]: invalid state")
	default:
		forgetest.JSON(w, 201, statusObject(s.repo.AddStatus(commit,
			forgetest.Status{Context: b.Context, State: b.State, Description: b.Description, URL: b.TargetURL})))
	}
}

func (s *server) commit(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("sha")
	if s.repo.Commits[sha] == nil {
		refuse(w, 404, "object does not exist")
		return
	}
	forgetest.JSON(w, 200, object{"sha": sha})
}

// pulls lists those into any branch.
func (s *server) pulls(w http.ResponseWriter, r *http.Request) {
	prs := []object{}
	for _, pr := range s.repo.PullRequests {
		if pr.State == r.URL.Query().Get("state") {
			prs = append(prs, s.pullObject(pr))
		}
	}
	page, number, last := forgetest.Page(prs, r.URL.Query(), "limit", 50)
	forgetest.Link(w, r, number, last)
	forgetest.JSON(w, 200, page)
}

// pullObject writes a deleted repository of a head as -1.
func (s *server) pullObject(pr *forgetest.PullRequest) object {
	head := object{"label": "a-branch", "ref": "a-branch", "sha": pr.Head, "repo_id": pr.HeadRepo, "repo": object{"id": pr.HeadRepo}}
	if pr.HeadRepo == 0 {
		head["ref"], head["repo_id"], head["repo"] = fmt.Sprintf("refs/pull/%d/head", pr.Number), -1, nil
	}
	o := object{
		"id": 1000 + pr.Number, "number": pr.Number, "title": pr.Title, "state": "open", "merged": false, "mergeable": !pr.Conflicts,
		"html_url": fmt.Sprintf("https://gitea.example/%s/pulls/%d", s.repo.Name, pr.Number), "head": head,
		"base": object{"label": pr.Base, "ref": pr.Base, "repo_id": forgetest.BaseRepo}, "merge_commit_sha": nil, "merged_at": nil,
	}
	if pr.State != "open" {
		o["state"] = "closed"
	}
	if pr.State == "merged" {
		o["merged"], o["merge_commit_sha"] = true, pr.MergeCommit
	}
	return o
}

// pullOfCommit knows merge commits only.
func (s *server) pullOfCommit(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("sha")
	for _, pr := range s.repo.PullRequests {
		if pr.State == "merged" && pr.MergeCommit == sha {
			forgetest.JSON(w, 200, s.pullObject(pr))
			return
		}
	}
	refuse(w, 404, "pull request does not exist")
}

// comments lists all of them on one page, whatever is asked for.
func (s *server) comments(w http.ResponseWriter, r *http.Request) {
	pr := s.repo.PullRequest(r.PathValue("index"))
	if pr == nil {
		refuse(w, 500, "issue does not exist")
		return
	}
	comments := []object{}
	for _, c := range pr.Comments {
		if !c.System {
			comments = append(comments, commentObject(c))
		}
	}
	w.Header().Set("X-Total-Count", strconv.Itoa(len(comments)))
	forgetest.JSON(w, 200, comments)
}

func commentObject(c *forgetest.Comment) object {
	o := object{"id": c.ID, "body": c.Body, "user": nil}
	if c.Author != 0 {
		o["user"] = user(c.Author)
	}
	return o
}

type commentBody struct{ Body string }

func (s *server) createComment(w http.ResponseWriter, r *http.Request) {
	pr := s.repo.PullRequest(r.PathValue("index"))
	if pr == nil {
		refuse(w, 500, "issue does not exist")
		return
	}
	forgetest.JSON(w, 201, commentObject(s.repo.AddComment(pr, forgetest.Self, forgetest.Decode[commentBody](r).Body)))
}

// editComment lets everybody with write access change any comment.
func (s *server) editComment(w http.ResponseWriter, r *http.Request) {
	c := s.repo.Comment(r.PathValue("id"))
	if c == nil {
		refuse(w, 404, "comment does not exist")
		return
	}
	c.Body = forgetest.Decode[commentBody](r).Body
	s.repo.Writes++
	forgetest.JSON(w, 200, commentObject(c))
}
