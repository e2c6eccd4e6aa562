package github_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgetest"
	"github.com/gitfleet/gitfleet/report/github"
)

// reset is the time of the suite's answers and a while.
func reset(after string) map[string]string {
	return map[string]string{"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": after}
}

const secondary = `{"message":"You have exceeded a secondary rate limit and have been temporarily blocked from content creation.",` +
	`"documentation_url":"https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}`

func TestContract(t *testing.T) {
	forgetest.Run(t, forgetest.Subject{
		Repo: "acme/fleet",
		Open: func(c forgetest.Connection) (report.Forge, error) {
			return github.New(github.Options{BaseURL: c.BaseURL, Repo: c.Repo, Name: c.Name, HTTP: c.HTTP, Token: c.Token})
		},
		Serve:    serve,
		HeadRef:  "refs/pull/NUMBER/head",
		MergeRef: "refs/pull/NUMBER/merge",
		Patience: []forgetest.Patience{
			{Name: "primary limit", Answer: forgetest.Answer{Status: 403, Body: `{"message":"API rate limit exceeded for user ID 1."}`,
				Header: reset("1777896600")}, Want: 10 * time.Minute},
			{Name: "primary limit with 429", Answer: forgetest.Answer{Status: 429, Header: reset("1777896600")}, Want: 10 * time.Minute},
			{Name: "secondary limit", Answer: forgetest.Answer{Status: 403, Body: secondary,
				Header: map[string]string{"Retry-After": "60"}}, Want: time.Minute},
			{Name: "secondary limit without a time", Answer: forgetest.Answer{Status: 403, Body: secondary}, Want: time.Minute},
		},
	})
}

func TestOptions(t *testing.T) {
	token := func(context.Context) (string, error) { return "t", nil }
	key := func(context.Context) ([]byte, error) { return nil, nil }
	for name, c := range map[string]struct {
		options github.Options
		want    string // part of the error; empty for none
	}{
		"github.com":          {github.Options{Repo: "acme/fleet", Token: token}, ""},
		"an App":              {github.Options{Repo: "acme/fleet", App: &github.App{ID: 1, InstallationID: 2, Key: key}}, ""},
		"no name":             {github.Options{Repo: "acme", Token: token}, "owner/name"},
		"a group":             {github.Options{Repo: "acme/team/fleet", Token: token}, "owner/name"},
		"a path upwards":      {github.Options{Repo: "acme/..", Token: token}, "owner/name"},
		"nobody":              {github.Options{Repo: "acme/fleet"}, "either"},
		"two":                 {github.Options{Repo: "acme/fleet", Token: token, App: &github.App{ID: 1, InstallationID: 2, Key: key}}, "either"},
		"half an App":         {github.Options{Repo: "acme/fleet", App: &github.App{ID: 1, Key: key}}, "installation"},
		"an address with SSH": {github.Options{Repo: "acme/fleet", Token: token, BaseURL: "ssh://git@github.com"}, "user"},
		"no address":          {github.Options{Repo: "acme/fleet", Token: token, BaseURL: "github.com"}, "https://"},
		"a password":          {github.Options{Repo: "acme/fleet", Token: token, BaseURL: "https://me:hunter2@github.com"}, "user"},
	} {
		_, err := github.New(c.options)
		if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one about %q", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the password is in %v", name, err)
		}
	}
}

// TestAddress looks at where requests go, without sending them.
func TestAddress(t *testing.T) {
	for base, want := range map[string]string{
		"":                                    "https://api.github.com/repos/acme/fleet/pulls",
		"https://github.com/":                 "https://api.github.com/repos/acme/fleet/pulls",
		"https://api.github.com":              "https://api.github.com/repos/acme/fleet/pulls",
		"https://acme.ghe.com":                "https://api.acme.ghe.com/repos/acme/fleet/pulls",
		"https://git.acme.example":            "https://git.acme.example/api/v3/repos/acme/fleet/pulls",
		"https://git.acme.example:8443/":      "https://git.acme.example:8443/api/v3/repos/acme/fleet/pulls",
		"https://acme.example/github":         "https://acme.example/github/api/v3/repos/acme/fleet/pulls",
		"https://git.acme.example/api/v3/":    "https://git.acme.example/api/v3/repos/acme/fleet/pulls",
		"https://github.com.attacker.example": "https://github.com.attacker.example/api/v3/repos/acme/fleet/pulls",
	} {
		got := ""
		forge, err := github.New(github.Options{
			BaseURL: base, Repo: "acme/fleet", Token: func(context.Context) (string, error) { return "t", nil },
			HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				u := *r.URL
				u.RawQuery = ""
				got = u.String()
				return nil, errors.New("not sent")
			})},
		})
		if err != nil {
			t.Fatalf("%s: %v", base, err)
		}
		if _, err := forge.PullRequests(t.Context(), "main"); err == nil || got != want {
			t.Errorf("%q leads to %s (%v), want %s", base, got, err, want)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
