package web

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gitfleet/gitfleet/report"
)

// codeOf is the HMAC-SHA256 of the parts.
func codeOf(key string, parts ...string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	for _, p := range parts {
		mac.Write([]byte(p))
	}
	return mac.Sum(nil)
}

func hexOf(key, body string) string { return hex.EncodeToString(codeOf(key, body)) }

// hooked is a server that takes webhooks, and how often it was told to look.
type hooked struct {
	http.Handler
	file  string
	log   bytes.Buffer
	looks int
}

func newHooked(t *testing.T, secrets ...string) *hooked {
	h := &hooked{file: secretsIn(t, secrets...)}
	h.Handler = newServer(Options{Latest: func() report.Report { return report.Report{} }, HookSecretFile: h.file,
		Look: func() { h.looks++ }, Log: slog.New(slog.NewTextHandler(&h.log, nil))}, time.Now)
	return h
}

func (h *hooked) post(path, body string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestHookSenders(t *testing.T) {
	const secret, body = "It's a Secret to Everybody", "Hello, World!"
	signingKey := strings.Repeat("k", 32)
	signingToken := "whsec_" + base64.StdEncoding.EncodeToString([]byte(signingKey))
	signed := "v1," + base64.StdEncoding.EncodeToString(codeOf(signingKey, "id-1", ".", "1700000000", ".", body))
	// The code that GitHub's documentation gives for this secret and this body.
	const documented = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
	for _, tt := range []struct {
		name, path, body string
		header           []string
		accepted         bool
	}{
		{"GitHub, as documented", "/hook/github", body, []string{"X-Hub-Signature-256", "sha256=" + documented}, true},
		{"a ping, or anything else", "/hook/github", "", []string{"X-Hub-Signature-256", "sha256=" + hexOf(secret, ""), "X-GitHub-Event", "ping"}, true},
		{"digits in capitals", "/hook/github", body, []string{"X-Hub-Signature-256", "sha256=" + strings.ToUpper(documented)}, true},
		{"another body", "/hook/github", body + " ", []string{"X-Hub-Signature-256", "sha256=" + documented}, false},
		{"another secret", "/hook/github", body, []string{"X-Hub-Signature-256", "sha256=" + hexOf("secret", body)}, false},
		{"no algorithm", "/hook/github", body, []string{"X-Hub-Signature-256", documented}, false},
		{"a cut code", "/hook/github", body, []string{"X-Hub-Signature-256", "sha256=" + documented[:62]}, false},
		{"an empty code", "/hook/github", body, []string{"X-Hub-Signature-256", "sha256="}, false},
		{"no digits", "/hook/github", body, []string{"X-Hub-Signature-256", "sha256=" + strings.Repeat("z", 64)}, false},
		{"SHA-1", "/hook/github", body, []string{"X-Hub-Signature", "sha1=" + documented[:40]}, false},
		{"no header", "/hook/github", body, nil, false},
		{"the header of another sender", "/hook/github", body, []string{"X-Gitlab-Token", secret}, false},

		{"GitLab's secret token", "/hook/gitlab", body, []string{"X-Gitlab-Token", secret}, true},
		{"a wrong one", "/hook/gitlab", body, []string{"X-Gitlab-Token", secret + "."}, false},
		{"the beginning of it", "/hook/gitlab", body, []string{"X-Gitlab-Token", secret[:5]}, false},
		{"an empty one", "/hook/gitlab", body, []string{"X-Gitlab-Token", ""}, false},
		{"two secrets at once", "/hook/gitlab", body, []string{"X-Gitlab-Token", secret + "\n" + signingToken}, false},
		{"GitLab's signing token", "/hook/gitlab", body, []string{"webhook-id", "id-1", "webhook-timestamp", "1700000000", "webhook-signature", signed}, true},
		{"among others, of other versions", "/hook/gitlab", body, []string{"webhook-id", "id-1", "webhook-timestamp", "1700000000", "webhook-signature", "v1a,AAAA v1,BBBB " + signed}, true},
		{"for another message", "/hook/gitlab", body, []string{"webhook-id", "id-2", "webhook-timestamp", "1700000000", "webhook-signature", signed}, false},
		{"for another time", "/hook/gitlab", body, []string{"webhook-id", "id-1", "webhook-timestamp", "1700000001", "webhook-signature", signed}, false},
		{"not base64", "/hook/gitlab", body, []string{"webhook-id", "id-1", "webhook-timestamp", "1700000000", "webhook-signature", "v1,*"}, false},

		{"Gitea", "/hook/gitea", body, []string{"X-Gitea-Signature", documented}, true},
		{"Forgejo", "/hook/gitea", body, []string{"X-Forgejo-Signature", documented}, true},
		{"Gitea, another body", "/hook/gitea", "", []string{"X-Gitea-Signature", documented}, false},
		{"Gitea without a secret", "/hook/gitea", body, []string{"X-Gitea-Signature", ""}, false},

		{"a script that signs", "/hook/generic", body, []string{"X-Gitfleet-Signature", "sha256=" + documented}, true},
		{"a script that shows the secret", "/hook/generic", "", []string{"Authorization", "bearer " + secret}, true},
		{"a wrong one", "/hook/generic", body, []string{"Authorization", "Bearer x"}, false},
		{"nothing after Bearer", "/hook/generic", body, []string{"Authorization", "Bearer "}, false},
		{"a secret that is not a bearer's", "/hook/generic", body, []string{"Authorization", secret}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHooked(t, secret, signingToken)
			w := h.post(tt.path, tt.body, tt.header...)
			want, looks := http.StatusUnauthorized, 0
			if tt.accepted {
				want, looks = http.StatusAccepted, 1
			}
			if w.Code != want || h.looks != looks {
				t.Errorf("%s with %q: %d and %d looks, want %d and %d", tt.path, tt.header, w.Code, h.looks, want, looks)
			}
			if w.Body.Len() > 0 {
				t.Errorf("the answer says %q, want nothing", w.Body)
			}
		})
	}
}

// TestHookRefusalsAreAlike compares whole answers: nobody shall learn why, nor whether the secret can be read.
func TestHookRefusalsAreAlike(t *testing.T) {
	h := newHooked(t, "secret")
	first := fmt.Sprint(h.post("/hook/github", "x").Result().Header)
	refuse := func(what, path string, header ...string) {
		t.Helper()
		w := h.post(path, "x", header...)
		if got := fmt.Sprint(w.Result().Header); w.Code != http.StatusUnauthorized || w.Body.Len() > 0 || got != first {
			t.Errorf("%s: %d %q %s, want 401, nothing, and %s", what, w.Code, w.Body, got, first)
		}
	}
	code := hexOf("other", "x")
	refuse("a wrong signature", "/hook/github", "X-Hub-Signature-256", "sha256="+code)
	refuse("a broken signature", "/hook/gitea", "X-Gitea-Signature", "?")
	refuse("a wrong token", "/hook/gitlab", "X-Gitlab-Token", "other")
	refuse("no token", "/hook/generic")
	if err := os.Remove(h.file); err != nil {
		t.Fatal(err)
	}
	refuse("a secret that was right", "/hook/gitlab", "X-Gitlab-Token", "secret")
	refuse("a signature that was right", "/hook/gitea", "X-Gitea-Signature", hexOf("secret", "x"))
	refuse("the code of no key at all", "/hook/gitea", "X-Gitea-Signature", hexOf("", "x"))
	if n := strings.Count(h.log.String(), "level=ERROR"); n != 1 || strings.Contains(h.log.String(), "secret=") {
		t.Errorf("the log is told %d times, want once:\n%s", n, h.log.String())
	}
}

func TestHookSecretsRotate(t *testing.T) {
	h := newHooked(t, "old")
	send := func(secret string, want int) {
		t.Helper()
		if w := h.post("/hook/gitlab", "", "X-Gitlab-Token", secret); w.Code != want {
			t.Errorf("with %q: %d, want %d", secret, w.Code, want)
		}
	}
	send("old", 202)
	send("new", 401)
	rewrite(t, h.file, "old", "new")
	send("old", 202)
	send("new", 202)
	rewrite(t, h.file, "new")
	send("old", 401)
	send("new", 202)
}

func TestHookMethodsAndPaths(t *testing.T) {
	h := newHooked(t, "secret")
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodHead} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/hook/github", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s /hook/github: %d, Allow %q, want 405 and POST", method, w.Code, w.Header().Get("Allow"))
		}
	}
	if w := h.post("/hook/other", "", "Authorization", "Bearer secret"); w.Code != http.StatusNotFound {
		t.Errorf("an unknown sender: %d, want 404", w.Code)
	}
	without := handler(report.Report{})
	for _, sender := range []string{"github", "gitlab", "gitea", "generic"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			w := httptest.NewRecorder()
			without.ServeHTTP(w, httptest.NewRequest(method, "/hook/"+sender, nil))
			if w.Code != http.StatusNotFound {
				t.Errorf("%s /hook/%s where no secret is configured: %d, want 404", method, sender, w.Code)
			}
		}
	}
	if h.looks != 0 {
		t.Errorf("%d looks without a webhook", h.looks)
	}
}

// endless gives far more bytes than are allowed, and counts those that are read.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	if e.read > 8*maxHook {
		return 0, io.EOF
	}
	e.read += len(b)
	return len(b), nil
}

func TestHookBodyLimit(t *testing.T) {
	h := newHooked(t, "secret")
	most := strings.Repeat("x", maxHook)
	if w := h.post("/hook/gitea", most, "X-Gitea-Signature", hexOf("secret", most)); w.Code != http.StatusAccepted {
		t.Errorf("a body of the largest size: %d, want 202", w.Code)
	}
	body := &endless{}
	req := httptest.NewRequest(http.MethodPost, "/hook/gitlab", body)
	req.Header.Set("X-Gitlab-Token", "secret")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != http.StatusRequestEntityTooLarge || w.Body.Len() > 0 || body.read > 2*maxHook {
		t.Errorf("a larger one: %d %q after %d bytes, want 413 and nothing, and no more read than must be", w.Code, w.Body, body.read)
	}
	for _, token := range []string{"", "other"} {
		body.read = 0
		req = httptest.NewRequest(http.MethodPost, "/hook/gitlab", body)
		req.Header.Set("X-Gitlab-Token", token)
		w = httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if w.Code != http.StatusUnauthorized || body.read > 0 {
			t.Errorf("a larger one with token %q: %d after %d bytes, want 401 after none", token, w.Code, body.read)
		}
	}
	req = httptest.NewRequest(http.MethodPost, "/hook/gitlab", io.MultiReader(strings.NewReader("x"), broken{}))
	req.Header.Set("X-Gitlab-Token", "secret")
	w = httptest.NewRecorder()
	h.ServeHTTP(w, req)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a sender that goes in the middle: %d, want 400", w.Code)
	}
	if h.looks != 1 {
		t.Errorf("%d looks, want one", h.looks)
	}
}

// TestHookRefusesWhateverTheBody: who does not know a secret does not learn either what becomes of a body that is too large, or cut.
// A code of such a body is no proof, not even that of the part which was read.
func TestHookRefusesWhateverTheBody(t *testing.T) {
	const secret = "secret"
	part := strings.Repeat("x", maxHook)
	bodies := map[string]func() io.Reader{
		"too large": func() io.Reader { return strings.NewReader(part + "x") },
		"endless":   func() io.Reader { return &endless{} },
		"cut":       func() io.Reader { return io.MultiReader(strings.NewReader(part), broken{}) },
		"broken":    func() io.Reader { return broken{} },
	}
	signed := "v1," + base64.StdEncoding.EncodeToString(codeOf(secret, "..", part))
	for _, tt := range []struct {
		name, path string
		header     []string
	}{
		{"GitHub, nothing", "/hook/github", nil},
		{"GitHub, another secret", "/hook/github", []string{"X-Hub-Signature-256", "sha256=" + hexOf("other", part)}},
		{"GitHub, a code of no body", "/hook/github", []string{"X-Hub-Signature-256", "sha256=" + hexOf(secret, "")}},
		{"GitHub, a code of a part", "/hook/github", []string{"X-Hub-Signature-256", "sha256=" + hexOf(secret, part)}},
		{"Gitea, nothing", "/hook/gitea", nil},
		{"Gitea, another secret", "/hook/gitea", []string{"X-Gitea-Signature", hexOf("other", part)}},
		{"Gitea, a code of a part", "/hook/gitea", []string{"X-Gitea-Signature", hexOf(secret, part)}},
		{"GitLab, nothing", "/hook/gitlab", nil},
		{"GitLab, another secret", "/hook/gitlab", []string{"X-Gitlab-Token", "other"}},
		{"GitLab, a code of a part", "/hook/gitlab", []string{"webhook-signature", signed}},
		{"GitLab, another secret and a code of a part", "/hook/gitlab", []string{"X-Gitlab-Token", "other", "webhook-signature", signed}},
		{"a script, nothing", "/hook/generic", nil},
		{"a script, another secret", "/hook/generic", []string{"Authorization", "Bearer other"}},
		{"a script, a code of a part", "/hook/generic", []string{"X-Gitfleet-Signature", "sha256=" + hexOf(secret, part)}},
	} {
		for kind, body := range bodies {
			h := newHooked(t, secret)
			req := httptest.NewRequest(http.MethodPost, tt.path, body())
			for i := 0; i+1 < len(tt.header); i += 2 {
				req.Header.Set(tt.header[i], tt.header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code != http.StatusUnauthorized || w.Body.Len() > 0 || h.looks > 0 {
				t.Errorf("%s, with a body that is %s: %d %q and %d looks, want 401, nothing and none", tt.name, kind, w.Code, w.Body, h.looks)
			}
		}
	}
}

// TestHookMalformedBody sends what is no body at all to a server as it listens.
func TestHookMalformedBody(t *testing.T) {
	s := httptest.NewServer(newHooked(t, "secret"))
	defer s.Close()
	for header, want := range map[string]int{
		"X-Other: 1":                  http.StatusUnauthorized,
		"Authorization: Bearer other": http.StatusUnauthorized,
		"X-Gitfleet-Signature: sha256=" + hexOf("secret", ""): http.StatusUnauthorized,
		"Authorization: Bearer secret":                        http.StatusBadRequest,
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST /hook/generic HTTP/1.1\r\nHost: x\r\n%s\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n\r\n", header)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", header, err)
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != want || len(body) > 0 || err != nil {
			t.Errorf("%s, and chunks that are none: %d %q %v, want %d and nothing", header, resp.StatusCode, body, err, want)
		}
		resp.Body.Close()
		conn.Close()
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// FuzzHook sends what nobody who lacks the secret could send rightly.
func FuzzHook(f *testing.F) {
	f.Add("X-Hub-Signature-256", "sha256=00", "")
	f.Add("webhook-signature", "v1, v1,AA==", "x")
	f.Add("Authorization", "Bearer \x00", "x")
	f.Add("X-Gitea-Signature", strings.Repeat("0", 64), "x")
	f.Fuzz(func(t *testing.T, name, value, body string) {
		h := newHooked(t, "0dd5f2f1c1b1d0b5b6c1")
		for sender := range schemes() {
			req := httptest.NewRequest(http.MethodPost, "/hook/"+sender, strings.NewReader(body))
			req.Header[http.CanonicalHeaderKey(name)] = []string{value}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, req)
			if w.Code != http.StatusUnauthorized || w.Body.Len() > 0 || h.looks > 0 {
				t.Errorf("/hook/%s with %q: %q answers %d %q", sender, name, value, w.Code, w.Body)
			}
		}
	})
}

func TestCheckSecretFile(t *testing.T) {
	if err := CheckSecretFile(secretsIn(t, "", "secret")); err != nil {
		t.Errorf("a file with a secret: %v", err)
	}
	empty := secretsIn(t, " ", "\t")
	if err := CheckSecretFile(empty); err == nil || !strings.Contains(err.Error(), empty) || !strings.Contains(err.Error(), "want one on a line") {
		t.Errorf("a file without a secret: %v, want its name and what to do", err)
	}
	if err := CheckSecretFile(empty + ".not"); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}
