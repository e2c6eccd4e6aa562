package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gitfleet/gitfleet/reconcile"
	"github.com/gitfleet/gitfleet/report"
	"github.com/gitfleet/gitfleet/report/gitea"
	"github.com/gitfleet/gitfleet/report/github"
	"github.com/gitfleet/gitfleet/report/gitlab"
	"github.com/gitfleet/gitfleet/report/gitnotes"
	"github.com/gitfleet/gitfleet/source/gitrepo"
)

// What --forge takes.
const (
	forgeNone   = "none"
	forgeGitHub = "github"
	forgeGitLab = "gitlab"
	forgeGitea  = "gitea"
	forgeNotes  = "notes"
)

// forgeOptions says who is told about commits and pull requests, and what.
type forgeOptions struct {
	kind       string
	repo, url  string // on the forge; empty to take them from --repo
	tokenFile  string
	app        string // ID:INSTALLATION
	appKeyFile string
	name       string
	perCluster bool
	deadline   time.Duration
	public     string
	requests   bool
	hold       bool
	every      time.Duration
}

func (o *forgeOptions) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.kind, "forge", forgeNone, "tell commits and pull requests what becomes of them: github, gitlab, gitea (also Forgejo), or notes for Git notes in a repository without a forge")
	flags.StringVar(&o.repo, "forge-repo", "", "owner/name of the repository on the forge (default that in --repo)")
	flags.StringVar(&o.url, "forge-url", "", "address of the forge (default the host in --repo)")
	flags.StringVar(&o.tokenFile, "forge-token-file", "", "file with an access token for the forge, read at each use")
	flags.StringVar(&o.app, "github-app", "", "ID:INSTALLATION of a GitHub App to act as, instead of a token")
	flags.StringVar(&o.appKeyFile, "github-app-key-file", "", "PEM file with the App's private key, read at each use")
	flags.StringVar(&o.name, "status-name", report.StatusName, "what the contexts of statuses begin with; each gitfleet on one repository needs its own")
	flags.BoolVar(&o.perCluster, "status-per-cluster", false, "a status for each cluster besides that of the fleet")
	flags.DurationVar(&o.deadline, "health-deadline", 10*time.Minute, "how long a commit may take to be in place and healthy everywhere before its status is a failure; 0 for as long as it takes")
	flags.StringVar(&o.public, "public-url", "", "address at which people reach the status page, for links in statuses and comments")
	flags.BoolVar(&o.requests, "pull-requests", false, "plan open pull requests into the branch, and tell the plan in a comment")
	flags.DurationVar(&o.every, "pull-request-interval", time.Minute, "time between two looks at which pull requests are open")
	flags.BoolVar(&o.hold, "hold-differing", false, "with --pull-requests: apply a commit whose plan is not the one that its pull request showed only after a commit with the trailer that its status names")
}

// validate returns what contradicts itself. repository is what --repo names.
func (o *forgeOptions) validate(repository string) error {
	kinds := []string{forgeNone, forgeGitHub, forgeGitLab, forgeGitea, forgeNotes}
	token := o.kind == forgeGitHub || o.kind == forgeGitLab || o.kind == forgeGitea
	switch {
	case !slices.Contains(kinds, o.kind):
		return fmt.Errorf("--forge %q: want one of %s", o.kind, strings.Join(kinds, ", "))
	case o.kind == forgeNone && (o.requests || o.hold || o.tokenFile != "" || o.app != "" || o.repo != "" || o.url != ""):
		return errors.New("no forge: name it with --forge, or leave out --pull-requests and what is about one")
	case o.kind != forgeNone && !strings.Contains(repository, "://"):
		return errors.New("--forge needs the URL of a repository: a directory has no commits to tell about")
	case o.app != "" && (o.kind != forgeGitHub || o.appKeyFile == "" || o.tokenFile != ""):
		return errors.New("--github-app needs --forge github and --github-app-key-file, and no --forge-token-file")
	case token && o.app == "" && o.tokenFile == "":
		return fmt.Errorf("--forge %s needs --forge-token-file", o.kind)
	case o.hold && !o.requests:
		return errors.New("--hold-differing needs --pull-requests")
	case o.name == "" || strings.ContainsAny(o.name, "/ \t\r\n"):
		return fmt.Errorf("--status-name %q: want one word without a slash", o.name)
	case o.deadline < 0:
		return fmt.Errorf("--health-deadline %s: must not be negative", o.deadline)
	case o.every <= 0:
		return fmt.Errorf("--pull-request-interval %s: must be positive", o.every)
	}
	if u, err := url.Parse(o.public); o.public != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil) {
		return fmt.Errorf("--public-url: want an address such as https://fleet.example.com, without a user")
	}
	return nil
}

// wire puts the forge into what the loop is wired with. repository is where the branch comes from. What close closes is in use
// until then.
func (o *forgeOptions) wire(ctx context.Context, opt *reconcile.Options, from repositoryOptions, stateDir string, repository reconcile.Repository) (close func() error, err error) {
	close = func() error { return nil }
	if o.kind == forgeNone {
		return close, nil
	}
	repo, ok := repository.(*gitrepo.Repository)
	if !ok {
		return close, errors.New("--forge needs the URL of a repository")
	}
	branch := strings.TrimPrefix(from.ref, "refs/heads/")
	if opt.Forge, err = o.open(from, repo, branch); err != nil {
		return close, fmt.Errorf("--forge %s: %w", o.kind, err)
	}
	opt.Statuses = reconcile.StatusOptions{Name: o.name, Deadline: o.deadline, PerCluster: o.perCluster, URL: o.public}
	if !o.requests {
		return close, nil
	}
	builder, err := newBuilder()
	if err != nil {
		return close, err
	}
	reviewed, err := gitrepo.Open(ctx, gitrepo.Options{URL: from.url, Ref: from.ref, AuthFile: from.authFile, CAFile: from.caFile,
		CacheDir: filepath.Join(stateDir, "reviews")})
	if err != nil {
		return close, err
	}
	opt.Reviews = reconcile.ReviewOptions{Repository: reviewed, Builder: builder, Branch: branch, Interval: o.every, Limit: reviewLimit, URL: o.public, Hold: o.hold}
	return reviewed.Close, nil
}

const (
	reviewLimit  = 5 * time.Minute  // that planning one pull request may take
	forgeTimeout = 30 * time.Second // that one request to a forge may take
)

func (o *forgeOptions) open(from repositoryOptions, repo *gitrepo.Repository, branch string) (report.Forge, error) {
	if o.kind == forgeNotes {
		return gitnotes.New(repo, branch), nil
	}
	address, name, err := o.place(from.url)
	if err != nil {
		return nil, err
	}
	client, err := forgeHTTP(from.caFile)
	if err != nil {
		return nil, err
	}
	token := func(context.Context) (string, error) { return readToken(o.tokenFile) }
	switch o.kind {
	case forgeGitLab:
		return gitlab.New(gitlab.Options{BaseURL: address, Repo: name, Name: o.name, HTTP: client, Token: token})
	case forgeGitea:
		return gitea.New(gitea.Options{BaseURL: address, Repo: name, Name: o.name, HTTP: client, Token: token})
	}
	if o.app == "" {
		return github.New(github.Options{BaseURL: address, Repo: name, Name: o.name, HTTP: client, Token: token})
	}
	app, err := o.githubApp()
	if err != nil {
		return nil, err
	}
	return github.New(github.Options{BaseURL: address, Repo: name, Name: o.name, HTTP: client, App: app})
}

// place returns where the forge is and what the repository is called there: as told, or else as in the repository's URL.
func (o *forgeOptions) place(repository string) (address, name string, err error) {
	u, err := url.Parse(repository)
	if err != nil {
		return "", "", errors.New("--repo is no URL") // the cause would repeat it
	}
	if o.url == "" && (u.Scheme != "https" && u.Scheme != "http") {
		return "", "", errors.New("--repo does not say where the forge is: name it with --forge-url")
	}
	if o.url == "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return "", "", errors.New("--repo is plain HTTP, and the forge's token would be sent in clear: use https, or name the forge with --forge-url, as http:// where the network is trusted")
	}
	name = cmp.Or(o.repo, strings.TrimSuffix(strings.Trim(u.Path, "/"), ".git"))
	return cmp.Or(o.url, u.Scheme+"://"+u.Host), name, nil
}

// isLoopback tells whether a host is this machine by its very name: what a resolver says of another name may change.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// githubApp reads --github-app.
func (o *forgeOptions) githubApp() (*github.App, error) {
	id, installation, _ := strings.Cut(o.app, ":")
	app := &github.App{Key: func(context.Context) ([]byte, error) { return os.ReadFile(o.appKeyFile) }}
	var err, second error
	app.ID, err = strconv.ParseInt(id, 10, 64)
	app.InstallationID, second = strconv.ParseInt(installation, 10, 64)
	if err != nil || second != nil || app.ID <= 0 || app.InstallationID <= 0 {
		return nil, fmt.Errorf("--github-app %q: want ID:INSTALLATION, two numbers", o.app)
	}
	return app, nil
}

// readToken reads a token, which is one line. Errors never hold it.
func readToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, "\r\n\x00 ") {
		return "", fmt.Errorf("token file %s: want a token alone, on one line", file)
	}
	return token, nil
}

// forgeHTTP returns a client that trusts the certificates of a file besides the system's.
func forgeHTTP(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("--repo-ca-file: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--repo-ca-file %s holds no PEM certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: forgeTimeout}, nil
}
