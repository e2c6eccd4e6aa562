package forgetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// calls is one call of each method, as it is most of the time.
var calls = []struct {
	name string
	call func(ctx context.Context, f report.Forge) error
}{
	{"Statuses", func(ctx context.Context, f report.Forge) error {
		_, err := f.Statuses(ctx, commitA)
		return err
	}},
	{"SetStatus", func(ctx context.Context, f report.Forge) error {
		return f.SetStatus(ctx, commitA, report.CommitStatus{Context: report.ContextApply, State: report.StateSuccess, Description: "ok"})
	}},
	{"PullRequests", func(ctx context.Context, f report.Forge) error {
		_, err := f.PullRequests(ctx, "main")
		return err
	}},
	{"Comment", func(ctx context.Context, f report.Forge) error { return f.Comment(ctx, "12", hash(12), "the plan") }},
	{"MergedFrom", func(ctx context.Context, f report.Forge) error {
		_, err := f.MergedFrom(ctx, commitB, "main")
		return err
	}},
}

// each runs a case for each method against a forge where all of them succeed.
func each(
	t *testing.T, s Subject, run func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error),
) {
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			srv, forge, pr := thread(t, s)
			srv.repo.Commits[commitB] = &Commit{Branch: "main"}
			merged := open(11, hash(11))
			merged.State, merged.MergeCommit, merged.MergedAt = "merged", commitB, 1
			srv.repo.PullRequests = []*PullRequest{pr, merged}
			if err := c.call(limited(t), forge); err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			run(t, srv, forge, c.call)
		})
	}
}

// forgeError wants err to be a *report.ForgeError that does not contain the token.
func forgeError(t *testing.T, srv *server, err error) *report.ForgeError {
	t.Helper()
	var forgeErr *report.ForgeError
	if !errors.As(err, &forgeErr) {
		t.Fatalf("the error does not say who can help: %v", err)
	}
	keepsSecrets(t, srv, err)
	return forgeErr
}

func keepsSecrets(t *testing.T, srv *server, err error) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	if strings.Contains(text, srv.repo.Token) {
		t.Errorf("the error contains the token: %v", err)
	}
	if strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 1000 {
		t.Errorf("the error is not one line of text: %q", err)
	}
}

// refusalsNameARemedy has answers that repeat what they were sent, as some proxies do.
func refusalsNameARemedy(t *testing.T, s Subject) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
				body := fmt.Sprintf(`{"message":"no\n\u001b[31m with Authorization: Bearer %s"}`, srv.repo.Token)
				srv.spoilt(always(fault{answer: &Answer{Status: status, Body: body}}))
				got := forgeError(t, srv, call(limited(t), forge))
				if got.Remedy == "" || got.RetryAfter != 0 {
					t.Errorf("remedy %q, retry after %v: only an operator can help", got.Remedy, got.RetryAfter)
				}
				if !strings.Contains(got.Error(), fmt.Sprint(status)) || !strings.Contains(got.Error(), got.Remedy) {
					t.Errorf("the error says neither the status nor the remedy: %v", got)
				}
				srv.spoilt(nil)
				if err := call(limited(t), forge); err != nil {
					t.Errorf("after the operator has helped: %v", err)
				}
			})
		})
	}
}

func retryAfter(status int, value string) Answer {
	return Answer{Status: status, Header: map[string]string{"Retry-After": value}}
}

func patienceIsPassedOn(t *testing.T, s Subject) {
	date := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	ways := append([]Patience{
		{"429 without a time", Answer{Status: 429}, 0},
		{"429 for seconds", retryAfter(429, "17"), 17 * time.Second},
		{"429 until a time", retryAfter(429, date.Add(time.Minute).Format(http.TimeFormat)), time.Minute},
		{"429 until a time that has passed", retryAfter(429, date.Add(-time.Minute).Format(http.TimeFormat)), time.Second},
		{"429 for a year", retryAfter(429, "31536000"), time.Hour},
		{"429 for nonsense", retryAfter(429, "soon"), 0},
		{"503 for seconds", retryAfter(503, "120"), 2 * time.Minute},
	}, s.Patience...)
	for _, way := range ways {
		t.Run(way.Name, func(t *testing.T) {
			each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
				answer := Answer{Status: way.Answer.Status, Body: way.Answer.Body, Header: map[string]string{"Date": date.Format(http.TimeFormat)}}
				for name, value := range way.Answer.Header {
					answer.Header[name] = value
				}
				srv.requests()
				srv.spoilt(always(fault{answer: &answer}))
				got := forgeError(t, srv, call(limited(t), forge))
				if got.RetryAfter != way.Want || got.Remedy != "" {
					t.Errorf("retry after %v with remedy %q, want %v and none", got.RetryAfter, got.Remedy, way.Want)
				}
				if n := len(srv.requests()); n != 1 {
					t.Errorf("a forge that wants to be left alone got %d requests", n)
				}
				srv.spoilt(nil)
				if err := call(limited(t), forge); err != nil {
					t.Errorf("who calls again is told: %v", err)
				}
			})
		})
	}
}

// errorsOfTheServer are nobody's to mend here, and are not tried again within a call.
func errorsOfTheServer(t *testing.T, s Subject) {
	for name, answer := range map[string]Answer{
		"500":           {Status: 500, Body: `{"message":"boom"}`},
		"502 with HTML": {Status: 502, Body: "<html><body>" + strings.Repeat("bad gateway ", 10_000)},
		"503":           {Status: 503},
		"long words":    {Status: 500, Body: `{"message":"` + strings.Repeat("boom ", 10_000) + `"}`},
		"no JSON":       {Status: 500, Body: `{"message":`},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
				srv.requests()
				srv.spoilt(always(fault{answer: &answer}))
				err := call(limited(t), forge)
				keepsSecrets(t, srv, err)
				if forgeErr := (*report.ForgeError)(nil); errors.As(err, &forgeErr) {
					t.Errorf("%v claims that somebody here can help", err)
				}
				if n := len(srv.requests()); n != 1 {
					t.Errorf("%d requests: whoever calls decides when to try again", n)
				}
			})
		})
	}
}

func aHungServerEndsWithTheContext(t *testing.T, s Subject) {
	each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
		ctx, cancel := context.WithCancel(limited(t))
		srv.spoilt(func(*http.Request) *fault {
			cancel() // once the request is there
			return &fault{hang: true}
		})
		err := call(ctx, forge)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a hung server ends in %v instead of the context's error", err)
		}
		keepsSecrets(t, srv, err)
		srv.requests()
		if err := call(ctx, forge); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context ends in %v", err)
		}
	})
}

// halfAnAnswerIsNone covers reads and writes: what was written, but not confirmed, counts as failed and can be done again.
func halfAnAnswerIsNone(t *testing.T, s Subject) {
	for name, f := range map[string]fault{
		"half":       {cut: true},
		"nothing":    {empty: true},
		"login page": {answer: &Answer{Status: 200, Body: "<!DOCTYPE html><title>Sign in</title>"}},
		"no list":    {answer: &Answer{Status: 200, Body: "null"}},
		"a hole":     {answer: &Answer{Status: 200, Body: "[null]"}},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
				reads := 0
				srv.spoilt(func(r *http.Request) *fault {
					if r.Method != http.MethodGet {
						return nil
					}
					reads++
					return &f
				})
				err := call(limited(t), forge)
				if reads > 0 && err == nil {
					t.Error("no error")
				}
				srv.spoilt(nil)
				if err := call(limited(t), forge); err != nil {
					t.Errorf("once more: %v", err)
				}
			})
		})
	}
}

func anEndlessAnswerIsCut(t *testing.T, s Subject) {
	srv := serve(t, s)
	forge := srv.open(t, s)
	long := fault{answer: &Answer{Status: 200, Body: `[{"title":"` + strings.Repeat("x", 17<<20) + `"}]`}}
	srv.spoilt(always(long))
	_, err := forge.PullRequests(limited(t), "main")
	if err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("17 MiB are read: %.200v", err)
	}
	long.answer.Status = 500
	if _, err = forge.PullRequests(limited(t), "main"); err == nil || len(err.Error()) > 1000 {
		t.Errorf("an error of 17 MiB becomes one of %d bytes", len(fmt.Sprint(err)))
	}
}

func redirectsKeepTheToken(t *testing.T, s Subject) {
	thief := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { thief <- fmt.Sprint(r.URL, r.Header) }))
	t.Cleanup(elsewhere.Close)
	for _, status := range []int{301, 302, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
				srv.spoilt(always(fault{answer: &Answer{Status: status, Header: map[string]string{"Location": elsewhere.URL + "/there"}}}))
				got := forgeError(t, srv, call(limited(t), forge))
				if got.Remedy == "" {
					t.Errorf("no remedy: %v", got)
				}
				select {
				case request := <-thief:
					t.Errorf("another host was asked: %s", request)
				default:
				}
			})
		})
	}
}

// renamedRepositories are reached through a redirect on the same host, when that keeps what the request does.
func renamedRepositories(t *testing.T, s Subject) {
	for _, status := range []int{301, 307} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
				before := srv.writes()
				srv.spoilt(func(r *http.Request) *fault {
					query := r.URL.Query()
					if query.Get("moved") != "" {
						return nil
					}
					query.Set("moved", "1")
					return &fault{answer: &Answer{Status: status, Header: map[string]string{"Location": r.URL.EscapedPath() + "?" + query.Encode()}}}
				})
				err := call(limited(t), forge)
				if err != nil {
					if forgeError(t, srv, err).Remedy == "" || srv.writes() != before {
						t.Errorf("refused without a remedy, or written all the same: %v", err)
					}
				}
				asked := srv.requests()
				last := asked[len(asked)-1]
				if err == nil && status == 301 && last.method != http.MethodGet {
					t.Errorf("%s was sent on although that makes it a GET", last.method)
				}
				if status == 307 && err != nil {
					t.Errorf("a renamed repository: %v", err)
				}
			})
		})
	}
	t.Run("in circles", func(t *testing.T) {
		srv := serve(t, s)
		forge := srv.open(t, s)
		srv.spoilt(func(r *http.Request) *fault {
			return &fault{answer: &Answer{Status: 307, Header: map[string]string{"Location": r.URL.EscapedPath()}}}
		})
		if _, err := forge.PullRequests(limited(t), "main"); err == nil {
			t.Error("no error")
		}
		if n := len(srv.requests()); n > 10 {
			t.Errorf("%d requests", n)
		}
	})
}

func tokensRotate(t *testing.T, s Subject) {
	each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
		srv.repo.Lock()
		srv.repo.Token = "another-t0ken"
		srv.repo.Unlock()
		srv.requests()
		if err := call(limited(t), forge); err != nil {
			t.Errorf("after the token was rotated: %v", err)
		}
		for _, r := range srv.requests() {
			if r.authorization != "Bearer another-t0ken" {
				t.Errorf("%s %s was sent with an old token", r.method, r.path)
			}
		}
	})
}

func tokensThatCannotBeRead(t *testing.T, s Subject) {
	for name, token := range map[string]func(context.Context) (string, error){
		"missing":     func(context.Context) (string, error) { return "", errors.New("open /run/token: no such file") },
		"empty":       func(context.Context) (string, error) { return "\n", nil },
		"two lines":   func(context.Context) (string, error) { return "tok-3cr3t\nX-Evil: tok-3cr3t", nil },
		"not a token": func(context.Context) (string, error) { return "tok-3cr3t\x00", nil },
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, s)
			forge := srv.openWith(t, s, token)
			for _, c := range calls {
				if got := forgeError(t, srv, c.call(limited(t), forge)); got.Remedy == "" {
					t.Errorf("%s: no remedy: %v", c.name, got)
				}
			}
			if asked := srv.requests(); len(asked) > 0 {
				t.Errorf("the forge was asked without a token: %v", asked)
			}
		})
	}
}

// unknownCertificates is an instance with a certificate authority of its own, of which nobody was told.
func unknownCertificates(t *testing.T, s Subject) {
	repo := &Repo{Name: s.Repo, Token: "tok-3cr3t", Commits: map[string]*Commit{commitA: {Branch: "main"}}}
	forgeServer := s.Serve(repo)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		repo.Lock()
		defer repo.Unlock()
		forgeServer.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the refused handshake is what is wanted
	srv.StartTLS()
	t.Cleanup(srv.Close)
	connection := Connection{BaseURL: srv.URL, Repo: s.Repo, Token: func(context.Context) (string, error) { return repo.Token, nil }}
	forge, err := s.Open(connection)
	if err != nil {
		t.Fatal(err)
	}
	_, err = forge.PullRequests(limited(t), "main")
	if got := forgeError(t, &server{repo: repo}, err); !strings.Contains(got.Remedy, "certificate") {
		t.Errorf("remedy %q", got.Remedy)
	}
	connection.HTTP = srv.Client()
	if forge, err = s.Open(connection); err != nil {
		t.Fatal(err)
	}
	if _, err = forge.PullRequests(limited(t), "main"); err != nil {
		t.Errorf("with its certificate authority: %v", err)
	}
}

// fewRequests bounds what a call costs when there is one page of everything.
func fewRequests(t *testing.T, s Subject) {
	most := map[string]int{"Statuses": 1, "SetStatus": 1, "PullRequests": 1, "Comment": 2, "MergedFrom": 1}
	each(t, s, func(t *testing.T, srv *server, forge report.Forge, call func(context.Context, report.Forge) error) {
		srv.repo.AddStatus(srv.repo.Commits[commitA], Status{Context: "ci", State: "success"})
		srv.requests()
		if err := call(limited(t), forge); err != nil {
			t.Fatal(err)
		}
		name := path.Base(t.Name())
		if asked := srv.requests(); len(asked) > most[name] {
			t.Errorf("%d requests instead of at most %d: %v", len(asked), most[name], asked)
		}
	})
}
