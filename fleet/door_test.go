package fleet

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
)

// door stands before a member's API server and lets in whom it knows, by client certificate or token.
type door struct {
	*httptest.Server
	prefix string // of every path

	mu      sync.Mutex
	allowed []string
	seen    map[string]int        // requests, by who made them
	lists   int                   // of config maps
	account string                // that the latest request was made for
	probed  func(who string) bool // decides about /readyz, when set
	hold    chan struct{}         // requests that hold a "slow" parameter wait for it
}

func newDoor(t *testing.T, m *member, prefix string, allowed ...string) *door {
	t.Helper()
	target, err := url.Parse(m.server.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	d := &door{prefix: prefix, allowed: allowed, seen: map[string]int{}, hold: make(chan struct{})}
	transport := &http.Transport{}
	forward := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // of requests that their sender gave up
	}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.admit(r) {
			http.Error(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`, http.StatusUnauthorized)
			return
		}
		http.StripPrefix(prefix, forward).ServeHTTP(w, r)
	}))
	d.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	d.EnableHTTP2 = true
	d.StartTLS()
	t.Cleanup(func() { d.CloseClientConnections(); d.Close(); transport.CloseIdleConnections() })
	return d
}

func (d *door) admit(r *http.Request) bool {
	who := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if certs := r.TLS.PeerCertificates; len(certs) > 0 {
		who = certs[0].Subject.CommonName
	}
	d.mu.Lock()
	d.seen[who]++
	if account := r.Header.Get("Impersonate-User"); account != "" {
		d.account = account
	}
	if strings.HasSuffix(r.URL.Path, "/configmaps") && r.Method == http.MethodGet && r.URL.Query().Get("watch") == "" {
		d.lists++
	}
	known, probed := slices.Contains(d.allowed, who), d.probed
	d.mu.Unlock()
	if probed != nil && strings.HasSuffix(r.URL.Path, "/readyz") {
		return probed(who)
	}
	if strings.Contains(r.URL.RawQuery, "slow") {
		<-d.hold
	}
	return known
}

func (d *door) allow(who ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.allowed = who
}

func (d *door) onProbe(decide func(who string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.probed = decide
}

func (d *door) actedFor() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.account
}

func (d *door) requests(who string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[who]
}

// config returns how to get in with a client certificate, or, with a name that begins with "token-", with a token.
func (d *door) config(t *testing.T, who string) *rest.Config {
	cfg := &rest.Config{Host: d.URL + d.prefix, TLSClientConfig: rest.TLSClientConfig{CAData: d.authority()}}
	if strings.HasPrefix(who, "token-") {
		cfg.BearerToken = who
		return cfg
	}
	cfg.CertData, cfg.KeyData = clientCertificate(t, who)
	return cfg
}

func (d *door) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.Certificate().Raw})
}

func clientCertificate(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}
