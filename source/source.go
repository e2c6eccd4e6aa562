// Package source names what comes out of a repository: a revision and the immutable tree behind it.
package source

import (
	"io/fs"
	"time"
)

// Revision is one commit as the rest of the program refers to it.
type Revision struct {
	Repo    string    `json:"repo"`              // the URL without credentials
	Ref     string    `json:"ref"`               // the branch, as given
	Commit  string    `json:"commit"`            // full hexadecimal hash
	Subject string    `json:"subject,omitempty"` // first line of the message
	When    time.Time `json:"when,omitzero"`     // committer time
}

// Snapshot is the tree of one revision. FS is immutable and confined to the repository; it is read by one goroutine at a
// time. It implements fs.ReadDirFS, fs.ReadFileFS and fs.ReadLinkFS.
type Snapshot struct {
	Revision
	FS fs.FS
}
