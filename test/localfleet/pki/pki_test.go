package pki

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestHandshake(t *testing.T) {
	now := time.Now()
	ours, foreign := authority(t, "ours", now), authority(t, "foreign", now)
	server, err := ours.Server([]string{"api"}, []net.IP{net.IPv4(127, 9, 0, 1)}, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name           string
		trusts, issuer *Authority
		serverName     string
		wantErr        bool
	}{
		{"both sides of one authority, by address", ours, ours, "127.9.0.1", false},
		{"by name", ours, ours, "api", false},
		{"an address the certificate does not name", ours, ours, "127.9.0.2", true},
		{"a client that trusts another cluster", foreign, ours, "api", true},
		{"a client certificate of another cluster", ours, foreign, "api", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, err := tc.issuer.Client("admin", []string{"system:masters"}, now)
			if err != nil {
				t.Fatal(err)
			}
			peer, err := handshake(t, server, ours, client, tc.trusts, tc.serverName)
			if tc.wantErr != (err != nil) {
				t.Fatalf("handshake: %v, want an error: %v", err, tc.wantErr)
			}
			if err == nil && (peer.Subject.CommonName != "admin" || peer.Subject.Organization[0] != "system:masters") {
				t.Errorf("the server sees user %q of groups %q", peer.Subject.CommonName, peer.Subject.Organization)
			}
		})
	}
}

// handshake returns the client's certificate as the server sees it.
func handshake(t *testing.T, server Pair, clientCA *Authority, client Pair, serverCA *Authority, name string) (*x509.Certificate, error) {
	t.Helper()
	var peer *x509.Certificate
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { peer = r.TLS.PeerCertificates[0] }))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of refused handshakes, which the client reports
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair(t, server)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots(clientCA)}
	s.StartTLS()
	defer s.Close()
	transport := &http.Transport{DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair(t, client)}, RootCAs: roots(serverCA), ServerName: name}}
	response, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(s.URL)
	if err != nil {
		return nil, err
	}
	return peer, response.Body.Close()
}

func authority(t *testing.T, name string, now time.Time) *Authority {
	t.Helper()
	a, err := NewAuthority(name, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func pair(t *testing.T, p Pair) tls.Certificate {
	c, err := tls.X509KeyPair(p.CertPEM, p.KeyPEM)
	if err != nil {
		t.Errorf("certificate and key do not belong together: %v", err)
	}
	return c
}

func roots(a *Authority) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(a.CertPEM)
	return pool
}
