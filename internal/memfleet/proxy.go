package memfleet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Proxy stands before an API server, real or in-memory: it records requests and breaks the ones a Rule says. Clients
// reach it by HTTPS, with HTTP/2 or HTTP/1.1, without credentials; the proxy shows the server its own.
type Proxy struct {
	server   *httptest.Server
	gate     *gate
	upstream *url.URL
	forward  *httputil.ReverseProxy
	closed   context.Context
	close    context.CancelFunc

	mu       sync.Mutex
	impostor *tls.Config // presented instead of the proxy's own; nil when there is none
	rule     Rule
	requests []*Request
	seq      int
}

// NewProxy starts a proxy before the API server that upstream reaches.
func NewProxy(upstream *rest.Config) (*Proxy, error) {
	upstream = rest.CopyConfig(upstream)
	upstream.Dial = (&net.Dialer{}).DialContext // a dialer of its own makes client-go give it connections of its own
	transport, err := rest.TransportFor(upstream)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	target, _, err := rest.DefaultServerUrlFor(upstream)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{upstream: target, gate: &gate{Listener: listener, open: map[net.Conn]struct{}{}}}
	p.closed, p.close = context.WithCancel(context.Background())
	p.forward = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		Transport:      transport,
		FlushInterval:  -1,
		ModifyResponse: p.modify,
		ErrorLog:       log.New(io.Discard, "", 0),
		// A server that does not answer must look like one, not like a proxy that does.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = &httptest.Server{
		Listener:    p.gate,
		Config:      &http.Server{Handler: http.HandlerFunc(p.serve), ErrorLog: log.New(io.Discard, "", 0)},
		TLS:         &tls.Config{GetConfigForClient: p.identity},
		EnableHTTP2: true,
	}
	p.server.StartTLS()
	return p, nil
}

// Close stops the proxy and breaks every connection.
func (p *Proxy) Close() {
	p.close()
	p.gate.shut(true)
	p.server.Close()
	utilnet.CloseIdleConnectionsFor(p.forward.Transport)
}

// Config returns how to reach the server through the proxy.
func (p *Proxy) Config() *rest.Config {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	return &rest.Config{Host: p.server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: ca}}
}

// WriteKubeconfig writes a file in dir with one context of that name, which leads through the proxy, and returns its path.
func (p *Proxy) WriteKubeconfig(dir, contextName string) (string, error) {
	cfg := p.Config()
	file := filepath.Join(dir, contextName+".kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{contextName: {Server: cfg.Host, CertificateAuthorityData: cfg.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{contextName: {}},
		Contexts:       map[string]*clientcmdapi.Context{contextName: {Cluster: contextName, AuthInfo: contextName}},
		CurrentContext: contextName,
	}, file)
	return file, err
}

// SetRule makes rule decide about all requests from now on; nil passes everything on.
func (p *Proxy) SetRule(rule Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// SetDown closes all connections and every new one at once, or ends that.
func (p *Proxy) SetDown(down bool) { p.gate.shut(down) }

// SetImpostor closes all connections and shows every new one a certificate that no client of Config trusts, or ends that.
func (p *Proxy) SetImpostor(impostor bool) error {
	var identity *tls.Config
	if impostor {
		certificate, err := selfSigned()
		if err != nil {
			return err
		}
		identity = &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	}
	p.mu.Lock()
	p.impostor = identity
	p.mu.Unlock()
	p.gate.hangUp()
	return nil
}

// identity implements tls.Config.GetConfigForClient.
func (p *Proxy) identity(*tls.ClientHelloInfo) (*tls.Config, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.impostor, nil
}

// selfSigned makes a certificate for this machine that nobody vouches for.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("impostor: %w", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("impostor: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Requests returns the requests since the start or the last Reset, in the order they came.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	requests := make([]Request, len(p.requests))
	for i, r := range p.requests {
		requests[i] = *r
	}
	return requests
}

// Writes returns those of Requests that change what the cluster keeps.
func (p *Proxy) Writes() []Request {
	return slices.DeleteFunc(p.Requests(), func(r Request) bool { return !r.Writes() })
}

// Reset forgets the requests recorded so far.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = nil
}

// record keeps a request and returns what the rule says about it.
func (p *Proxy) record(r *Request) Fault {
	p.mu.Lock()
	p.seq++
	r.Seq = p.seq
	p.requests = append(p.requests, r)
	rule := p.rule
	p.mu.Unlock()
	if rule == nil {
		return Pass()
	}
	return rule(*r)
}

// exchange is what the response side needs to know of a request.
type exchange struct {
	request *Request
	fault   Fault
}

type exchangeKey struct{}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	described := newRequest(r, body)
	x := &exchange{request: &described}
	x.fault = p.record(x.request)
	for x.fault.kind == doCall {
		x.fault = x.fault.hook(*x.request)
	}
	parent := r.Context()
	if x.fault.kind == doLoseAnswer && x.request.Class != Watch {
		parent = context.WithoutCancel(parent)
	}
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	defer context.AfterFunc(p.closed, cancel)()
	if p.answer(ctx, w, x) {
		return
	}
	p.forward.ServeHTTP(w, r.WithContext(context.WithValue(ctx, exchangeKey{}, x)))
}

// answer deals with the faults that need no server, and reports whether x was one.
func (p *Proxy) answer(ctx context.Context, w http.ResponseWriter, x *exchange) (answered bool) {
	switch x.fault.kind {
	case doRefuse:
		panic(http.ErrAbortHandler)
	case doAnswer:
		p.answered(x.request, x.fault.code)
		writeStatus(w, x.fault.code, metav1.StatusReasonUnknown, "the test proxy says so")
		return true
	case doThrottle:
		p.answered(x.request, http.StatusTooManyRequests)
		seconds := (x.fault.pause + time.Second - 1) / time.Second
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		writeStatus(w, http.StatusTooManyRequests, metav1.StatusReasonUnknown, "the test proxy says so")
		return true
	case doHold:
		select {
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		case <-x.fault.wait:
		}
	case doEmptyList:
		if x.request.Class == Watch {
			p.answered(x.request, http.StatusOK)
			w.Header().Set("Content-Type", "application/json")
			return true
		}
	}
	return false
}

func (p *Proxy) answered(r *Request, code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Code = code
}

// rewrite aims a request at the server.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.upstream)
	// The transport asks for compression by itself and undoes it, so that answers can be cut and emptied.
	r.Out.Header.Del("Accept-Encoding")
	r.Out.Header.Del("Authorization")
	x := r.In.Context().Value(exchangeKey{}).(*exchange)
	if x.fault.kind == doEmptyList || x.fault.kind == doExpire {
		r.Out.Header.Set("Accept", jsonOnly(r.Out.Header.Get("Accept")))
	}
}

// jsonOnly drops every media type but JSON from an Accept header.
func jsonOnly(accept string) string {
	types := strings.Split(accept, ",")
	types = slices.DeleteFunc(types, func(t string) bool { return !strings.HasPrefix(strings.TrimSpace(t), "application/json") })
	return strings.Join(types, ",")
}
