package fleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Credentials is the credentials of a fleet, kept up to date with the kubeconfig files they stand in and with every file
// that those name. All methods may be called from any goroutine.
type Credentials struct {
	paths   []string
	changed chan struct{} // holds one token while there is news
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	files   map[string]parsedFile // owned by who reads: open, then run

	mu      sync.Mutex
	members map[string]Credential
	err     error
}

// Credential is how to reach one member.
type Credential struct {
	// Config is complete: what the kubeconfig's certificate, key and token files hold has been read into it.
	Config *rest.Config
	// Outdated tells why Config is not what the files hold now, but the last that could be used: a file cannot be read or
	// parsed, perhaps because it is being written. It is nil when Config is current.
	Outdated error

	root, file string // the path given, and the file below it
	digest     [sha256.Size]byte
}

// Same tells whether two credentials lead to the same place with the same proof of identity.
func (c Credential) Same(other Credential) bool { return c.digest == other.digest }

// fileTiming is how often files are looked at; tests shorten it.
type fileTiming struct {
	settle time.Duration // from the first sign of a change until files are read: a change is rarely one write
	poll   time.Duration // between two looks at files that nobody told of: some file systems never tell
	retry  time.Duration // the same while something is wrong
}

var defaultFileTiming = fileTiming{settle: 200 * time.Millisecond, poll: time.Minute, retry: 2 * time.Second}

// OpenCredentials reads kubeconfig files, or directories of them (hidden files, editors' backups and subdirectories are
// skipped), and watches them until Close. Every context is the credentials of the member of that name; current-context means
// nothing. Relative paths in a file are relative to that file. A file that cannot be read, and a name that two files define,
// because either could be meant, is an error now; later it keeps the members concerned on the credentials they had.
func OpenCredentials(paths ...string) (*Credentials, error) {
	return openCredentials(defaultFileTiming, paths...)
}

func openCredentials(t fileTiming, paths ...string) (*Credentials, error) {
	if first := readFiles(paths, nil); first.mistakes() != nil {
		return nil, first.mistakes()
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Credentials{paths: paths, changed: make(chan struct{}, 1), cancel: cancel, files: map[string]parsedFile{}}
	f := newFollower(t)
	f.cover(c.read())
	f.cover(c.read()) // whatever changed between the reading and the watching
	<-c.changed       // that was the first reading
	c.wg.Go(func() { f.run(ctx, c.read) })
	return c, nil
}

// Close stops watching.
func (c *Credentials) Close() {
	c.cancel()
	c.wg.Wait()
}

// Changed returns a channel that holds a token whenever something has changed since it was last taken: a member's
// credentials, what is wrong with them, or which members have any.
func (c *Credentials) Changed() <-chan struct{} { return c.changed }

// Err tells what is wrong with the files now, or nil: every file that cannot be used is named.
func (c *Credentials) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Get returns how to reach the member of that name. The error is ErrNoCredentials when no context has that name any
// more, and names the file when the context is broken and was never anything else.
func (c *Credentials) Get(name string) (Credential, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found, ok := c.members[name]
	switch {
	case !ok:
		return Credential{}, fmt.Errorf("member %s: %w: no context of that name in the kubeconfig files given: add one", name, ErrNoCredentials)
	case found.Config == nil:
		return Credential{}, found.Outdated
	}
	return found, nil
}

// read takes in what the files hold now. It returns the paths that were looked at, and whether all is well.
func (c *Credentials) read() (looked lookedAt, ok bool) {
	r := readFiles(c.paths, c.files)
	c.files = r.files
	c.mu.Lock()
	members, errs := merge(c.members, &r)
	news := c.members == nil || !maps.EqualFunc(c.members, members, func(a, b Credential) bool {
		return a.Same(b) && fmt.Sprint(a.Outdated) == fmt.Sprint(b.Outdated)
	})
	c.members, c.err = members, errors.Join(errs...)
	c.mu.Unlock()
	if news {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
	return r.looked, len(errs) == 0
}

// merge returns the credentials of every member: those that the files hold now and, where these cannot be used, those
// from before. What is wrong is returned too, in the order of the members' names.
func merge(before map[string]Credential, now *reading) (members map[string]Credential, errs []error) {
	members = make(map[string]Credential, len(now.contexts))
	keep := func(name string, err error) {
		last := before[name]
		last.Outdated = err
		members[name] = last
	}
	for _, name := range slices.Sorted(maps.Keys(now.contexts)) {
		current, err := now.credential(name, before[name])
		if err != nil {
			keep(name, err)
			errs = append(errs, err)
			continue
		}
		members[name] = current
	}
	for name, last := range before {
		err := errors.Join(now.broken[last.root], now.broken[last.file])
		if _, there := now.contexts[name]; !there && err != nil {
			keep(name, err)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(now.broken)) {
		errs = append(errs, now.broken[path])
	}
	return members, errs
}
