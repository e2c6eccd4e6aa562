package source

import (
	"errors"
	"io/fs"
	"path"
	"strings"
)

// Why a symbolic link of a snapshot is not followed.
var (
	// ErrEscapes is a symbolic link that leads out of the repository.
	ErrEscapes = errors.New("the symbolic link leads out of the repository")
	// ErrLinkLoop is a path with more than MaxLinks symbolic links.
	ErrLinkLoop = errors.New("too many symbolic links")
)

// MaxLinks is the number of symbolic links that a snapshot follows for one path, as Linux does.
const MaxLinks = 40

// LinkTarget returns where a symbolic link in the directory dir leads: a clean path relative to the root, like dir. The
// error is ErrEscapes, or fs.ErrNotExist for what no snapshot can hold.
func LinkTarget(dir, link string) (string, error) {
	to := path.Join(dir, link)
	switch {
	case path.IsAbs(link), to == "..", strings.HasPrefix(to, "../"):
		return "", ErrEscapes
	case !fs.ValidPath(to):
		return "", fs.ErrNotExist
	}
	return to, nil
}
