package gitrepo

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"strings"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// tokenUser is the user name that goes with a bare token. GitHub asks for it with installation tokens; GitLab, Gitea
// and Azure DevOps accept any name with a token as the password.
const tokenUser = "x-access-token"

// credentials are what one fetch shows to the server. The zero value means none.
type credentials struct {
	user, password string
}

// readCredentials reads path, which holds a token or "user:password" on one line. It is read at each use, so that a
// rotated credential is picked up. Errors name the file and never its content.
func readCredentials(path string) (credentials, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return credentials{}, fmt.Errorf("credentials file: %w", err)
	}
	line := strings.TrimSpace(string(data))
	if line == "" {
		return credentials{}, fmt.Errorf("credentials file %s is empty; write a token, or user:password, on one line", path)
	}
	if strings.ContainsAny(line, "\r\n\x00") {
		return credentials{}, fmt.Errorf("credentials file %s has more than one line; write a token, or user:password, on one line", path)
	}
	user, password, ok := strings.Cut(line, ":")
	if !ok {
		return credentials{user: tokenUser, password: line}, nil
	}
	if user == "" || password == "" {
		return credentials{}, fmt.Errorf("credentials file %s: the user or the password is missing; write a token, or user:password, on one line", path)
	}
	return credentials{user: user, password: password}, nil
}

// method returns c as go-git wants it, nil when there are none.
func (c credentials) method() *githttp.BasicAuth {
	if c == (credentials{}) {
		return nil
	}
	return &githttp.BasicAuth{Username: c.user, Password: c.password}
}

// scrub takes every form of c's password out of text that came from a server or a library.
func (c credentials) scrub(text string) string {
	if c.password == "" {
		return text
	}
	basic := base64.StdEncoding.EncodeToString([]byte(c.user + ":" + c.password))
	for _, secret := range []string{basic, c.password, url.QueryEscape(c.password), url.PathEscape(c.password)} {
		text = strings.ReplaceAll(text, secret, "***")
	}
	return text
}
