package gitlab_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gitfleet/gitfleet/report/forgetest"
)

// serve answers as https://docs.gitlab.com/api describes it.
func serve(repo *forgetest.Repo) http.Handler {
	s := &server{repo}
	mux := http.NewServeMux()
	at := "/api/v4/projects/{project}"
	mux.HandleFunc("GET "+at+"/repository/commits/{sha}/statuses", s.statuses)
	mux.HandleFunc("POST "+at+"/statuses/{sha}", s.setStatus)
	mux.HandleFunc("GET "+at+"/merge_requests", s.mergeRequests)
	mux.HandleFunc("GET "+at+"/repository/commits/{sha}/merge_requests", s.mergeRequestsOfCommit)
	mux.HandleFunc("GET "+at+"/merge_requests/{iid}/notes", s.notes)
	mux.HandleFunc("POST "+at+"/merge_requests/{iid}/notes", s.createNote)
	mux.HandleFunc("PUT "+at+"/merge_requests/{iid}/notes/{id}", s.updateNote)
	mux.HandleFunc("GET /api/v4/user", func(w http.ResponseWriter, _ *http.Request) {
		forgetest.JSON(w, 200, user(forgetest.Self))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		project, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/api/v4/projects/"), "/")
		if name, err := url.PathUnescape(project); r.URL.Path != "/api/v4/user" && (err != nil || name != repo.Name) {
			refuse(w, 404, "404 Project Not Found")
			return
		}
		if !repo.Authorized(r) {
			refuse(w, 401, "401 Unauthorized")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

type server struct{ repo *forgetest.Repo }

type object = map[string]any

func refuse(w http.ResponseWriter, status int, message string) {
	forgetest.JSON(w, status, object{"message": message})
}

func user(id int64) object { return object{"id": id, "username": fmt.Sprintf("user-%d", id)} }

// page writes a page of a list.
func page(w http.ResponseWriter, r *http.Request, items []object) {
	items, number, last := forgetest.Page(items, r.URL.Query(), "per_page", 100)
	w.Header().Set("X-Page", strconv.Itoa(number))
	w.Header().Set("X-Next-Page", "")
	if number < last {
		w.Header().Set("X-Next-Page", strconv.Itoa(number+1))
	}
	forgetest.JSON(w, 200, items)
}

// statuses lists the newest of each name in each pipeline. A pipeline is here whatever has the same ref.
func (s *server) statuses(w http.ResponseWriter, r *http.Request) {
	commit := s.repo.Commits[r.PathValue("sha")]
	if commit == nil {
		refuse(w, 404, "404 Commit Not Found")
		return
	}
	statuses := []object{}
	for _, status := range commit.Statuses {
		if name := r.URL.Query().Get("name"); !status.Retried && (name == "" || name == status.Context) {
			statuses = append(statuses, statusObject(status))
		}
	}
	page(w, r, statuses)
}

func statusObject(s forgetest.Status) object {
	o := object{"id": s.ID, "name": s.Context, "status": s.State, "description": s.Description, "target_url": nil, "ref": s.Ref,
		"author": user(forgetest.Self)}
	if s.URL != "" {
		o["target_url"] = s.URL
	}
	return o
}

type statusBody struct {
	State, Name, Ref, Description string
	TargetURL                     string `json:"target_url"`
}

// setStatus changes a status that is pending or running, and else adds one.
func (s *server) setStatus(w http.ResponseWriter, r *http.Request) {
	commit, body := s.repo.Commits[r.PathValue("sha")], forgetest.Decode[statusBody](r)
	if commit == nil {
		refuse(w, 404, "404 Commit Not Found")
		return
	}
	ref := body.Ref
	if ref == "" && len(commit.Statuses) > 0 {
		ref = commit.Statuses[len(commit.Statuses)-1].Ref // of the newest pipeline
	}
	if ref == "" {
		ref = commit.Branch
	}
	if ref == "" {
		refuse(w, 404, "404 References for commit Not Found")
		return
	}
	event := map[string]string{"pending": "enqueue", "running": "run", "success": "success", "failed": "drop"}[body.State]
	from := "created"
	i := slices.IndexFunc(commit.Statuses, func(old forgetest.Status) bool {
		return old.Context == body.Name && old.Ref == ref && (old.State == "pending" || old.State == "running")
	})
	if i >= 0 {
		from = commit.Statuses[i].State
	}
	switch {
	case event == "":
		refuse(w, 400, "state does not have a valid value")
	case from == body.State || from == "running" && body.State == "pending":
		refuse(w, 400, fmt.Sprintf("Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via %q)", event, from, event))
	default:
		s.write(w, commit, i, forgetest.Status{
			Context: body.Name, State: body.State, Description: body.Description, URL: body.TargetURL, Ref: ref,
		})
	}
}

// write puts a status in the place of the one at i, or behind the others of its name when i is negative.
func (s *server) write(w http.ResponseWriter, commit *forgetest.Commit, i int, status forgetest.Status) {
	if i >= 0 {
		status.ID = commit.Statuses[i].ID
		commit.Statuses[i] = status
		s.repo.Writes++
	} else {
		for j, old := range commit.Statuses {
			if old.Context == status.Context && old.Ref == status.Ref {
				commit.Statuses[j].Retried = true
			}
		}
		status = s.repo.AddStatus(commit, status)
	}
	forgetest.JSON(w, 201, statusObject(status))
}

func (s *server) mergeRequests(w http.ResponseWriter, r *http.Request) {
	mrs := []object{}
	for _, pr := range s.repo.PullRequests {
		if stateOf(pr) == r.URL.Query().Get("state") && pr.Base == r.URL.Query().Get("target_branch") {
			mrs = append(mrs, s.mrObject(pr))
		}
	}
	page(w, r, mrs)
}

func stateOf(pr *forgetest.PullRequest) string {
	if pr.State == "open" {
		return "opened"
	}
	return pr.State
}

func (s *server) mrObject(pr *forgetest.PullRequest) object {
	o := object{
		"id": 1000 + pr.Number, "iid": pr.Number, "title": pr.Title, "state": stateOf(pr), "sha": pr.Head, "target_branch": pr.Base,
		"source_branch": "main", "source_project_id": nil, "target_project_id": forgetest.BaseRepo, "has_conflicts": pr.Conflicts,
		"detailed_merge_status": "not_approved", "merged_at": nil, "merge_commit_sha": nil, "squash_commit_sha": nil,
		"web_url": fmt.Sprintf("https://gitlab.com/%s/-/merge_requests/%d", s.repo.Name, pr.Number),
	}
	if pr.HeadRepo != 0 {
		o["source_project_id"] = pr.HeadRepo
	}
	if pr.Conflicts {
		o["detailed_merge_status"] = "conflict"
	}
	if pr.State == "merged" {
		o["merged_at"] = time.Date(2026, 5, 1, pr.MergedAt, 0, 0, 0, time.UTC)
		kind := "merge_commit_sha"
		if pr.Number%2 == 1 {
			kind = "squash_commit_sha" // where merges are fast-forwards, a squash is the only new commit
		}
		o[kind] = pr.MergeCommit
	}
	return o
}

func (s *server) mergeRequestsOfCommit(w http.ResponseWriter, r *http.Request) {
	sha := r.PathValue("sha")
	if s.repo.Commits[sha] == nil {
		refuse(w, 404, "404 Commit Not Found")
		return
	}
	mrs := []object{}
	for _, pr := range s.repo.With(sha) {
		mrs = append(mrs, s.mrObject(pr))
	}
	page(w, r, mrs)
}

func (s *server) notes(w http.ResponseWriter, r *http.Request) {
	pr := s.repo.PullRequest(r.PathValue("iid"))
	if pr == nil {
		refuse(w, 404, "404 Not found")
		return
	}
	notes := []object{}
	for _, c := range pr.Comments {
		notes = append(notes, noteObject(c))
	}
	if r.URL.Query().Get("sort") != "asc" {
		slices.Reverse(notes)
	}
	page(w, r, notes)
}

func noteObject(c *forgetest.Comment) object {
	return object{"id": c.ID, "body": c.Body, "author": user(c.Author), "system": c.System}
}

type noteBody struct{ Body string }

func (s *server) createNote(w http.ResponseWriter, r *http.Request) {
	pr := s.repo.PullRequest(r.PathValue("iid"))
	if pr == nil {
		refuse(w, 404, "404 Not found")
		return
	}
	forgetest.JSON(w, 201, noteObject(s.repo.AddComment(pr, forgetest.Self, forgetest.Decode[noteBody](r).Body)))
}

// updateNote is for the author and for maintainers.
func (s *server) updateNote(w http.ResponseWriter, r *http.Request) {
	c := s.repo.Comment(r.PathValue("id"))
	if c == nil {
		refuse(w, 404, "404 Not found")
		return
	}
	c.Body = forgetest.Decode[noteBody](r).Body
	s.repo.Writes++
	forgetest.JSON(w, 200, noteObject(c))
}
