package forgeclient

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gitfleet/gitfleet/report"
)

// segment is what forges allow in the name of an owner, a group or a repository.
var segment = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// commitName is a commit's whole hash; abbreviations, branches and tags mean other commits tomorrow.
var commitName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// ParseBase reads the address of a forge, and refuses what would end up in messages or not in requests.
func ParseBase(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, errors.New("the address of the forge is not a URL") // the cause would repeat it, with a password that may be in it
	case u.User != nil:
		return nil, fmt.Errorf("the address of the forge, %s, contains a user: give the token in its file", u.Redacted())
	case u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return nil, fmt.Errorf("the address of the forge, %q, does not begin with https:// and a host", base)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("the address of the forge, %q, goes on after its path: leave ? and # out", base)
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, nil
}

// SplitRepo splits "owner/name" at its last slash. Only with groups may the owner contain slashes.
func SplitRepo(repo string, groups bool) (owner, name string, err error) {
	segments := strings.Split(repo, "/")
	for _, s := range segments {
		if !segment.MatchString(s) || s == "." || s == ".." {
			return "", "", fmt.Errorf("the repository's name on the forge, %q, is not of the form owner/name", repo)
		}
	}
	if len(segments) < 2 || len(segments) > 2 && !groups {
		return "", "", fmt.Errorf("the repository's name on the forge, %q, is not of the form owner/name", repo)
	}
	last := len(segments) - 1
	return strings.Join(segments[:last], "/"), strings.TrimSuffix(segments[last], ".git"), nil
}

// CheckCommit wants a whole hash.
func CheckCommit(commit string) error {
	if !commitName.MatchString(commit) {
		return fmt.Errorf("%q is not the whole hash of a commit", commit)
	}
	return nil
}

// CheckBranch wants a branch: no name would mean none to some, and any to others.
func CheckBranch(branch string) error {
	if branch == "" {
		return errors.New("no branch is given")
	}
	return nil
}

// CheckStatus wants what every forge takes.
func CheckStatus(s report.CommitStatus) error {
	switch s.State {
	case report.StatePending, report.StateSuccess, report.StateFailure, report.StateError:
	default:
		return fmt.Errorf("status %s has the unknown state %q", s.Context, s.State)
	}
	switch n := utf8.RuneCountInString(s.Description); {
	case s.Context == "":
		return errors.New("a status without a context")
	case n > report.LongestDescription:
		return fmt.Errorf("status %s has a description of %d characters, of which forges take %d", s.Context, n, report.LongestDescription)
	}
	return nil
}

// Number reads the ID of a pull request.
func Number(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("%q is not the number of a pull request", id)
	}
	return n, nil
}
