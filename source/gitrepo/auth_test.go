package gitrepo

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCredentials(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	s := serve(t, o)
	host := strings.TrimPrefix(s.URL, "https://")
	for _, tt := range []struct {
		name       string
		user, pass string // what the server wants
		url        string
		file       string // content; empty means no file
		ok         bool
		words      string
	}{
		{"user and password from a file", "bob", "s3cret", s.url(), "bob:s3cret\n", true, ""},
		{"a password with a colon", "bob", "s3:cret", s.url(), "bob:s3:cret", true, ""},
		{"a token from a file", tokenUser, "ghp_s3cret", s.url(), "ghp_s3cret\r\n", true, ""},
		{"user and password in the URL", "bob", "s3cret", "https://bob:s3cret@" + host + "/origin.git", "", true, ""},
		{"a token in the URL", tokenUser, "s3cret", "https://s3cret@" + host + "/origin.git", "", true, ""},
		{"the file wins over the URL", "bob", "s3cret", "https://eve:s3creX@" + host + "/origin.git", "bob:s3cret", true, ""},
		{"wrong password in a file", "bob", "s3cret", s.url(), "bob:s3creX", false, "does not accept"},
		{"wrong password in the URL", "bob", "s3cret", "https://bob:s3creX@" + host + "/origin.git", "", false, "does not accept"},
		{"none", "bob", "s3cret", s.url(), "", false, "none are given"},
		{"an empty file", "bob", "s3cret", s.url(), "\n", false, "is empty"},
		{"a file of two lines", "bob", "s3cret", s.url(), "bob\ns3creX", false, "more than one line"},
		{"a file without a password", "bob", "s3cret", s.url(), "bob:", false, "password is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.behave(requireBasic(tt.user, tt.pass))
			opts := Options{URL: tt.url, CAFile: s.caFile}
			if tt.file != "" {
				opts.AuthFile = filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(opts.AuthFile, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r := open(t, opts)
			if tt.ok {
				if rev := fetch(t, r, first); rev.Repo != s.url() {
					t.Errorf("the revision's repository is %q, want %q", rev.Repo, s.url())
				}
				return
			}
			e := wantProblem(t, r, Unauthorized, tt.words)
			if strings.Contains(e.Error(), "s3cre") {
				t.Errorf("the error shows the password: %v", e)
			}
		})
	}
}

func TestCredentialsAreReadAtEachFetch(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	s := serve(t, o)
	file := filepath.Join(t.TempDir(), "token")
	r := open(t, Options{URL: s.url(), CAFile: s.caFile, AuthFile: file})
	s.behave(requireBasic(tokenUser, "new"))
	wantProblem(t, r, Unauthorized, file)
	for _, token := range []string{"old", "new"} {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if token == "old" {
			wantProblem(t, r, Unauthorized)
		}
	}
	fetch(t, r, first)
}

func TestServerRefuses(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", "one")
	s := serve(t, o)
	r := open(t, Options{URL: s.url(), CAFile: s.caFile})
	for status, problem := range map[int]Problem{http.StatusForbidden: Unauthorized, http.StatusNotFound: NotFound, http.StatusTooManyRequests: Unreachable} {
		s.behave(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, strings.Repeat("long ", 1000), status)
		})
		if e := wantProblem(t, r, problem); len(e.Error()) > 600 {
			t.Errorf("the error for %d repeats %d bytes of the answer", status, len(e.Error()))
		}
	}
}

func TestUntrustedCertificate(t *testing.T) {
	o := newOrigin(t)
	o.publish("a.yaml", "one")
	s := serve(t, o)
	r := open(t, Options{URL: s.url()})
	if e := wantProblem(t, r, Unreachable, "certificate"); !strings.Contains(e.Remedy(), "certificate authority") {
		t.Errorf("the remedy is %q", e.Remedy())
	}
}

func TestTokenIsNotSentToAnotherHost(t *testing.T) {
	o := newOrigin(t)
	first := o.publish("a.yaml", "one")
	elsewhere := serve(t, o)
	home := serve(t, o)
	home.behave(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusFound)
	})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("s3cret"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := open(t, Options{URL: home.url(), CAFile: home.caFile, AuthFile: file})
	if rev := fetch(t, r, first); rev.Repo != home.url() {
		t.Errorf("after a redirect the revision's repository is %q, want the one asked for", rev.Repo)
	}
	if len(home.authorizations()) == 0 {
		t.Error("the token was not sent to its own server, so this test proves nothing")
	}
	if sent := elsewhere.authorizations(); len(sent) > 0 {
		t.Errorf("the other host received %d Authorization headers", len(sent))
	}
}

func TestPlainHTTPTakesNoCredentials(t *testing.T) {
	asked := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer s.Close()
	r := open(t, Options{URL: "http://bob:s3cret@git.example.com/x.git"})
	wantProblem(t, r, Unauthorized, "https")
	if asked {
		t.Error("the server was asked")
	}
}
