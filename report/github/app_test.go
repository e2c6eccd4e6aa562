package github_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/forgetest"
	"github.com/gitfleet/gitfleet/report/github"
)

const (
	appID        = 11
	installation = 22
	bot          = forgetest.Self // the user of the App's slug
)

// An appServer is GitHub as an App sees it: it issues tokens to whoever signs with the right key.
type appServer struct {
	mu     sync.Mutex
	repo   *forgetest.Repo
	key    *rsa.PrivateKey
	issued int                                                        // tokens
	fault  func(w http.ResponseWriter, r *http.Request) (spoilt bool) // nil for none
}

func (s *appServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch path := strings.TrimPrefix(r.URL.Path, "/api/v3"); {
	case path == fmt.Sprintf("/app/installations/%d/access_tokens", installation) || path == "/app":
		if !s.signed(r.Header.Get("Authorization")) {
			refuse(w, 401, "A JSON web token could not be decoded")
			return
		}
		if path == "/app" {
			forgetest.JSON(w, 200, object{"id": appID, "slug": "fleet-keeper"})
			return
		}
		s.issued++
		s.repo.Token = fmt.Sprintf("ghs_3cr3t%d", s.issued)
		forgetest.JSON(w, 201, object{"token": s.repo.Token, "expires_at": time.Now().Add(time.Hour)})
	case path == "/user": // not for installations
		refuse(w, 403, "Resource not accessible by integration")
	case path == "/users/fleet-keeper[bot]":
		forgetest.JSON(w, 200, user(bot))
	default:
		serve(s.repo).ServeHTTP(w, r)
	}
}

// signed tells whether a JSON web token names the App, is valid now, and was signed with the key.
func (s *appServer) signed(authorization string) bool {
	token, _ := strings.CutPrefix(authorization, "Bearer ")
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Iss      string
		Iat, Exp int64
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.Iss != fmt.Sprint(appID) || claims.Exp-claims.Iat > 600 {
		return false
	}
	return rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], signature) == nil
}

func (s *appServer) spoil(fault func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// startApp returns GitHub, and a repository there as an App that reads its key from key.
func startApp(t *testing.T) (s *appServer, forge report.Forge, key *[]byte) {
	t.Helper()
	s = &appServer{key: newKey(t), repo: &forgetest.Repo{Name: "acme/fleet", Commits: map[string]*forgetest.Commit{commit: {Branch: "main"}}}}
	s.repo.PullRequests = []*forgetest.PullRequest{{Number: 12, State: "open", Base: "main", Head: commit, HeadRepo: forgetest.BaseRepo}}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	current := encode(s.key)
	forge, err := github.New(github.Options{BaseURL: srv.URL, Repo: "acme/fleet", HTTP: srv.Client(), App: &github.App{
		ID: appID, InstallationID: installation, Key: func(context.Context) ([]byte, error) { return current, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, forge, &current
}

func encode(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

var (
	commit = strings.Repeat("a", 40)
	status = report.CommitStatus{Context: report.ContextApply, State: report.StateSuccess, Description: "ok"}
)

func TestAppKeepsItsToken(t *testing.T) {
	s, forge, _ := startApp(t)
	for range 3 {
		if err := forge.SetStatus(t.Context(), commit, status); err != nil {
			t.Fatal(err)
		}
	}
	if s.issued != 1 {
		t.Errorf("%d tokens were issued for three requests", s.issued)
	}
}

func TestAppWritesOneComment(t *testing.T) {
	s, forge, _ := startApp(t)
	pr := s.repo.PullRequests[0]
	for _, body := range []string{"the plan", "another plan"} {
		if err := forge.Comment(t.Context(), "12", pr.Head, body); err != nil {
			t.Fatal(err)
		}
		s.repo.AddComment(pr, forgetest.Somebody, pr.Comments[0].Body) // somebody who copies it
	}
	if len(pr.Comments) != 3 || !strings.HasSuffix(pr.Comments[0].Body, "another plan") ||
		!strings.HasSuffix(pr.Comments[1].Body, "the plan") {
		t.Errorf("%d comments, the first says %q, the second, somebody's, %q", len(pr.Comments), pr.Comments[0].Body, pr.Comments[1].Body)
	}
}

// TestAppKeyRotates takes the old key away.
func TestAppKeyRotates(t *testing.T) {
	s, forge, current := startApp(t)
	if err := forge.SetStatus(t.Context(), commit, status); err != nil {
		t.Fatal(err)
	}
	s.key = newKey(t)
	*current = encode(s.key)
	if err := forge.SetStatus(t.Context(), commit, status); err != nil || s.issued != 2 {
		t.Errorf("error %v, %d tokens issued", err, s.issued)
	}
}

// TestAppTokenIsRevoked is an installation that was suspended and resumed within the hour that a token is kept.
func TestAppTokenIsRevoked(t *testing.T) {
	s, forge, _ := startApp(t)
	if err := forge.SetStatus(t.Context(), commit, status); err != nil {
		t.Fatal(err)
	}
	s.repo.Token = "ghs_none"
	if err := forge.SetStatus(t.Context(), commit, status); err == nil {
		t.Fatal("a revoked token is taken")
	}
	if err := forge.SetStatus(t.Context(), commit, status); err != nil {
		t.Errorf("the revoked token is kept: %v", err)
	}
}

func TestAppRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(s *appServer, key *[]byte)
		remedy string // part of it; empty for an error without one
		wait   time.Duration
	}{
		"another App's key": {func(_ *appServer, key *[]byte) { *key = encode(newKey(t)) }, "private key", 0},
		"no key":            {func(_ *appServer, key *[]byte) { *key = []byte("-----BEGIN SECRET") }, "credential", 0},
		"removed":           {refusing(404, nil), "may read it", 0},
		"patience":          {refusing(403, map[string]string{"Retry-After": "30"}), "", 30 * time.Second},
		"server at fault":   {refusing(502, nil), "", 0},
		"half an answer": {func(s *appServer, _ *[]byte) {
			s.spoil(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(201)
				_, _ = w.Write([]byte(`{"token":"ghs_3c`))
				return true
			})
		}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, forge, key := startApp(t)
			c.spoil(s, key)
			err := forge.SetStatus(t.Context(), commit, status)
			if err == nil {
				t.Fatal("no error")
			}
			var forgeErr *report.ForgeError
			if errors.As(err, &forgeErr) != (c.remedy != "" || c.wait != 0) {
				t.Fatalf("error %v, want remedy %q, wait %v", err, c.remedy, c.wait)
			}
			if forgeErr != nil && (!strings.Contains(forgeErr.Remedy, c.remedy) || (forgeErr.Remedy == "") != (c.remedy == "") ||
				forgeErr.RetryAfter != c.wait) {
				t.Errorf("remedy %q, wait %v, want %q, %v", forgeErr.Remedy, forgeErr.RetryAfter, c.remedy, c.wait)
			}
			if text := err.Error(); strings.Contains(text, "eyJ") || strings.Contains(text, "SECRET") || strings.Contains(text, "ghs_") {
				t.Errorf("the error contains a credential: %v", err)
			}
		})
	}
}

// refusing answers requests for a token, repeating what they were signed with.
func refusing(status int, header map[string]string) func(*appServer, *[]byte) {
	return func(s *appServer, _ *[]byte) {
		s.spoil(func(w http.ResponseWriter, r *http.Request) bool {
			for name, value := range header {
				w.Header().Set(name, value)
			}
			refuse(w, status, "no: "+r.Header.Get("Authorization"))
			return true
		})
	}
}

// TestAppTokenHangs has one call wait for a token and another one wait for that: each ends with its own context.
func TestAppTokenHangs(t *testing.T) {
	s, forge, _ := startApp(t)
	arrived := make(chan struct{}, 1)
	s.spoil(func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // only then does a server see that its client has gone
		arrived <- struct{}{}
		<-r.Context().Done()
		return true
	})
	first, endFirst := context.WithCancel(t.Context())
	firstEnded := make(chan error)
	go func() { firstEnded <- forge.SetStatus(first, commit, status) }()
	<-arrived
	second, endSecond := context.WithCancel(t.Context())
	endSecond()
	if err := forge.SetStatus(second, commit, status); !errors.Is(err, context.Canceled) {
		t.Errorf("who waits behind a hung call gets %v", err)
	}
	endFirst()
	if err := <-firstEnded; !errors.Is(err, context.Canceled) {
		t.Errorf("the hung call ends in %v", err)
	}
}
