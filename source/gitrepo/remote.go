package gitrepo

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// remote is where a repository is fetched from.
type remote struct {
	name     string // the URL without credentials: what is shown
	endpoint transport.Endpoint
	inURL    credentials // those that the URL carried
	loopback bool
}

// parseRemote reads a repository's URL. Errors never repeat the URL's credentials, also not when it cannot be parsed.
func parseRemote(raw string) (remote, error) {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return remote{}, fmt.Errorf("the repository URL is empty; write https://HOST/PATH or file:///PATH")
	case err != nil:
		return remote{}, fmt.Errorf("the repository URL cannot be parsed; write https://HOST/PATH or file:///PATH")
	case u.Scheme == "file":
		return parseFile(u)
	case u.Scheme == "https" || u.Scheme == "http":
		return parseHTTP(u)
	case u.Scheme == "" && strings.HasPrefix(raw, "/"):
		return remote{}, fmt.Errorf("repository %q is a path; write it as a URL: file://%s", raw, raw)
	}
	u.User = nil
	return remote{}, fmt.Errorf("repository URL with scheme %q is not supported; write https://HOST/PATH or file:///PATH", u.Scheme)
}

func parseFile(u *url.URL) (remote, error) {
	if u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
		return remote{}, fmt.Errorf("repository URL %s: a file URL needs an absolute path and no host: file:///PATH", u.Redacted())
	}
	return remote{
		name:     (&url.URL{Scheme: "file", Path: u.Path}).String(),
		endpoint: transport.Endpoint{Protocol: "file", Path: u.Path},
	}, nil
}

func parseHTTP(u *url.URL) (remote, error) {
	clean := *u
	clean.User = nil
	if u.Hostname() == "" {
		return remote{}, fmt.Errorf("repository URL %s has no host; write https://HOST/PATH", &clean)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		clean.RawQuery, clean.Fragment = "", ""
		return remote{}, fmt.Errorf("repository URL %s must not have a query or a fragment; the branch is an option of its own", &clean)
	}
	r := remote{name: clean.String(), loopback: isLoopback(u.Hostname())}
	if u.User != nil {
		r.inURL.user = u.User.Username()
		r.inURL.password, _ = u.User.Password()
		if r.inURL.password == "" { // the form https://TOKEN@HOST, which forges document
			r.inURL = credentials{user: tokenUser, password: r.inURL.user}
		}
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	r.endpoint = transport.Endpoint{Protocol: u.Scheme, Host: host, Path: strings.TrimSuffix(u.EscapedPath(), "/")}
	if p := u.Port(); p != "" {
		port, err := strconv.Atoi(p)
		if err != nil {
			return remote{}, fmt.Errorf("repository URL %s: port %q is not a number", &clean, p)
		}
		r.endpoint.Port = port
	}
	return r, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// credentials returns what to show to the server: the file's content, or else what the URL carried. Over plain HTTP
// they would travel in the clear, so there they are only shown to this machine.
func (r remote) credentials(file string) (credentials, error) {
	c := r.inURL
	if file != "" && r.endpoint.Protocol != "file" {
		var err error
		if c, err = readCredentials(file); err != nil {
			return credentials{}, err
		}
	}
	if c != (credentials{}) && r.endpoint.Protocol == "http" && !r.loopback {
		return credentials{}, fmt.Errorf("repository %s: credentials are not sent over plain http; use https", r.name)
	}
	return c, nil
}

// checkGit reports a missing git binary where one is needed: go-git reads a file URL by running git-upload-pack.
func (r remote) checkGit() error {
	if r.endpoint.Protocol != "file" {
		return nil
	}
	if _, err := exec.LookPath("git-upload-pack"); err == nil {
		return nil
	}
	if _, err := exec.LookPath("git"); err != nil {
		return fmt.Errorf("repository %s: a file:// URL is read by running git-upload-pack, and no git binary is in PATH; install git, or serve the repository over https", r.name)
	}
	return nil
}

// loadRoots returns the system's certificate authorities and those in file, nil (the system's) when file is empty.
func loadRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no PEM certificate", file)
	}
	return roots, nil
}
