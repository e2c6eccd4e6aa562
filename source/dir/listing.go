package dir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// listing is what one reading found: files and symbolic links by path, relative and separated by slashes. Nobody changes
// a listing once it is made.
type listing map[string]file

type file struct {
	mode  fs.FileMode // as in a commit
	data  []byte      // the content, or where the link leads
	sum   [sha256.Size]byte
	stamp stamp
	read  time.Time // when the reading of the content began
}

// stamp is how the file system tells whether a file changed. Times are nanoseconds since 1970.
type stamp struct {
	device, inode uint64
	mode          fs.FileMode
	size          int64
	modified      int64 // which programs can set as they like
	changed       int64 // which they cannot
}

// granularity is more than the coarsest clock of a file system that is common for working trees.
const granularity = time.Second

// settled tells whether a later write would show in the stamp. Right after a write it may not: another within the same
// tick of the file system's clock leaves size and times as they are.
func (f file) settled() bool { return f.read.Sub(time.Unix(0, f.stamp.changed)) > granularity }

// digest returns 40 hexadecimal digits that tell trees apart by their paths, modes and contents.
func (l listing) digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(l)) {
		f := l[name]
		fmt.Fprintf(h, "%q %o %x\n", name, f.mode, f.sum)
	}
	return hex.EncodeToString(h.Sum(nil)[:20])
}

// difference returns the first path that is not the same in both listings, to the file system or to its readers, and ""
// when there is none.
func (l listing) difference(before listing) string {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		now, old := l[name], before[name]
		if now.stamp != old.stamp || now.mode != old.mode || now.sum != old.sum {
			return name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := l[name]; !ok {
			return name
		}
	}
	return ""
}

// newest returns when a file last changed; the zero time for no files.
func (l listing) newest() time.Time {
	var newest int64
	for _, f := range l {
		newest = max(newest, f.stamp.modified)
	}
	if newest == 0 {
		return time.Time{}
	}
	return time.Unix(0, newest).UTC()
}
