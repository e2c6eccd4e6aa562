package gitrepo

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// origin is a bare repository with a working tree beside it, made by the git binary.
type origin struct {
	t    *testing.T
	bare string
	work string
	tick int // minutes, so that every commit has another time
}

// newOrigin makes an origin without commits, in directories whose names contain a space.
func newOrigin(t *testing.T) *origin {
	t.Helper()
	base := filepath.Join(t.TempDir(), "a fleet")
	o := &origin{t: t, bare: filepath.Join(base, "origin.git"), work: filepath.Join(base, "work")}
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		t.Fatal(err)
	}
	o.git(base, "init", "-q", "--bare", "-b", "main", o.bare)
	o.git(o.bare, "config", "http.receivepack", "false")
	o.git(base, "init", "-q", "-b", "main", o.work)
	o.git(o.work, "remote", "add", "origin", o.bare)
	return o
}

func (o *origin) git(dir string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	date := time.Date(2026, 1, 2, 3, o.tick, 0, 0, time.UTC).Format(time.RFC3339)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.com", "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// write puts a file into the working tree.
func (o *origin) write(name, content string) {
	o.t.Helper()
	file := filepath.Join(o.work, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// commit commits the working tree and returns the hash.
func (o *origin) commit(message string) string {
	o.t.Helper()
	o.tick++
	o.git(o.work, "add", "-A")
	o.git(o.work, "commit", "-q", "--allow-empty", "-m", message)
	return o.git(o.work, "rev-parse", "HEAD")
}

// push pushes the working tree's branch to main of the bare repository, by force.
func (o *origin) push() {
	o.t.Helper()
	o.git(o.work, "push", "-q", "--force", "origin", "HEAD:refs/heads/main")
}

// publish writes one file, commits and pushes.
func (o *origin) publish(name, content string) string {
	o.t.Helper()
	o.write(name, content)
	hash := o.commit("set " + name)
	o.push()
	return hash
}

func (o *origin) fileURL() string { return "file://" + o.bare }

// gitServer serves origins over HTTPS and counts what is asked for.
type gitServer struct {
	*httptest.Server
	caFile string

	mu      sync.Mutex
	lists   int // of branches
	packs   int
	seen    []string // Authorization headers
	handler func(w http.ResponseWriter, r *http.Request, git http.Handler)
}

func serve(t *testing.T, o *origin) *gitServer {
	t.Helper()
	backend := uploadPack(o.bare)
	s := &gitServer{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		if r.Method == http.MethodPost {
			s.packs++
		} else {
			s.lists++
		}
		if a := r.Header.Get("Authorization"); a != "" {
			s.seen = append(s.seen, a)
		}
		handler := s.handler
		s.mu.Unlock()
		if handler != nil {
			handler(w, r, backend)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports the hang-ups that the tests make
	s.StartTLS()
	t.Cleanup(s.Close)
	s.caFile = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.caFile, block, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// uploadPack speaks the smart HTTP protocol for the repository dir, whatever the path before its two resources:
// https://git-scm.com/docs/http-protocol
func uploadPack(dir string) http.Handler {
	run := func(w http.ResponseWriter, r *http.Request, kind string, args ...string) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-"+kind)
		cmd := exec.CommandContext(r.Context(), "git", append(append([]string{"upload-pack", "--stateless-rpc"}, args...), dir)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		cmd.Stdin = r.Body
		// Not cmd.Stdout: a panic that hangs up must happen in the handler's goroutine.
		out, err := cmd.Output()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if kind == "advertisement" {
			out = append([]byte("001e# service=git-upload-pack\n0000"), out...)
		}
		_, _ = w.Write(out)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/info/refs") && r.URL.Query().Get("service") == "git-upload-pack":
			run(w, r, "advertisement", "--advertise-refs")
		case strings.HasSuffix(r.URL.Path, "/git-upload-pack") && r.Method == http.MethodPost:
			run(w, r, "result")
		default:
			http.NotFound(w, r)
		}
	})
}

func (s *gitServer) url() string { return s.URL + "/origin.git" }

// behave replaces how requests are answered; nil restores Git.
func (s *gitServer) behave(h func(w http.ResponseWriter, r *http.Request, git http.Handler)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
}

func (s *gitServer) counts() (lists, packs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists, s.packs
}

func (s *gitServer) authorizations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

// requireBasic answers 401 unless user and password are shown, and repeats what was shown in the answer as a careless
// server may.
func requireBasic(user, password string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, git http.Handler) {
		u, p, ok := r.BasicAuth()
		if ok && u == user && p == password {
			git.ServeHTTP(w, r)
			return
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprintf(w, "no: %s:%s %s", u, p, r.Header.Get("Authorization"))
	}
}

// cutWriter hangs up after so many bytes of the body.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		p = p[:c.left]
	}
	n, err := c.ResponseWriter.Write(p)
	c.left -= n
	if c.left == 0 {
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}
