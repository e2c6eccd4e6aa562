package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
)

// secretFile is a file with secrets, one a line. Any of them counts, so that a secret can be replaced without a moment in
// which one side has the new one and the other does not. The file is read at each use.
type secretFile struct {
	path string
	log  *slog.Logger
	told atomic.Pointer[string] // why it cannot be used, as the log was last told
}

// CheckSecretFile tells why the file at path cannot serve as a file with secrets. The error contains no secret.
func CheckSecretFile(path string) error {
	_, err := readSecrets(path)
	return err
}

func readSecrets(path string) (secrets, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list secrets
	for line := range strings.Lines(string(data)) {
		if secret := strings.TrimSpace(line); secret != "" {
			list = append(list, secret)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: %w", path, errNoSecret)
	}
	return list, nil
}

var errNoSecret = errors.New("the file holds no secret: want one on a line, at most an old and a new one")

// read returns what counts now: nothing while the file cannot be read, of which the log is told once.
func (f *secretFile) read() secrets {
	list, err := readSecrets(f.path)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if before := f.told.Swap(&text); text != "" && (before == nil || *before != text) {
		f.log.Error("whoever needs a secret is refused", "error", text)
	}
	return list
}

// secrets is what a secretFile holds at a moment.
type secrets []string

// hold tells whether given is one of them. How long that takes tells nothing of them, their length included.
func (s secrets) hold(given string) bool {
	found := 0
	for _, secret := range s {
		a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(secret))
		found |= subtle.ConstantTimeCompare(a[:], b[:])
	}
	return found == 1
}
