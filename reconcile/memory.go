package reconcile

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
	"github.com/gitfleet/gitfleet/source"
)

// memory is what the loop remembers between runs for members that cannot be asked now. It is a convenience, never the
// truth: members' inventories overrule it, and losing the file loses nothing that a reachable fleet does not know.
type memory struct {
	Instance string          `json:"instance"`         // who this process is, to others that find its claims on members
	Applied  source.Revision `json:"applied,omitzero"` // the revision in force
	Since    time.Time       `json:"since,omitzero"`   // when it was put in force
	// Commits are those that were the newest when the repository was looked at, the newest first; replaced whole.
	Commits   []commitMemory `json:"commits,omitempty"`
	Confirmed []string       `json:"confirmed,omitempty"` // plan digests that people confirmed on the way to it
	// Unseen are members that were registered when this memory began and have not shown since what they hold.
	Unseen []string `json:"unseen,omitempty"`
	// Reviewed are the plans of pull requests, the newest last; replaced whole.
	Reviewed []plannedRequest `json:"reviewed,omitempty"`
	// Planning are the heads of pull requests that a forge may show as being planned, the newest last; replaced whole.
	Planning []string `json:"planning,omitempty"`
	// Placements are the last decisions; replaced whole.
	Placements map[string]placementMemory `json:"placements"`
	Members    map[string]memberMemory    `json:"members"`
}

// placementMemory is the last decision on one placement.
type placementMemory struct {
	Generation int64     `json:"generation"` // counts spec changes, as an API server would
	SpecDigest string    `json:"specDigest"`
	Created    time.Time `json:"created"`
	// Spec is what was in force, for what may not be changed afterwards.
	Spec *v1beta1.PlacementSpec `json:"spec,omitempty"`
	placement.Assignment
}

// specsOf returns the placements in force, as far as checking a change of them needs.
func specsOf(remembered map[string]placementMemory) []render.Placement {
	var list []render.Placement
	for key, p := range remembered {
		if p.Spec == nil {
			continue
		}
		namespace, name, namespaced := strings.Cut(key, "/")
		if !namespaced {
			namespace, name = "", key
		}
		crp := &v1beta1.ClusterResourcePlacement{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: *p.Spec}
		list = append(list, render.Placement{ClusterResourcePlacement: crp})
	}
	return list
}

// memberMemory is what is kept of one member.
type memberMemory struct {
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"lastSeen,omitzero"`
	Reached  bool      `json:"reached,omitempty"` // it has answered, sometime
	// Services is what the member showed before it went out of reach, and nil while it is in reach. Its pods may live on.
	Services *mcs.Observed `json:"services,omitempty"`
}

// Store keeps the memory in one file, replaced whole. One process at a time has it.
type Store struct {
	path  string
	lock  *os.File
	saved memory
	last  time.Time // when it was
}

// wordsEvery is how often the file is written for the sake of what commits are told alone: writing waits for the disk, and words that
// count what is in place change all the time. The forge gets them no more often.
const wordsEvery = firstPause

// ErrStoreInUse tells that another process has the store open.
var ErrStoreInUse = errors.New("another gitfleet with the same repository runs in this state directory: stop it, or give this one another --state-dir")

// OpenStore returns the store in dir, which it creates, of the fleet that identity names: several may share a dir. The error
// is ErrStoreInUse while another process has it. A file that cannot be read is an error: it is the user's to repair or
// remove, not ours to overwrite.
func OpenStore(dir, identity string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Store{path: filepath.Join(dir, "state-"+jsonDigest(identity)[:12]+".json")}
	if err := s.acquire(); err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	if err := s.read(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// acquire locks the store. The kernel lets go of the lock however the process ends.
func (s *Store) acquire() (err error) {
	if s.lock, err = os.OpenFile(s.path+".lock", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrStoreInUse
	}
	return errors.Join(err, s.lock.Close())
}

// read reads the file, or begins one.
func (s *Store) read() error {
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("state file: %w", err)
	default:
		if err := json.Unmarshal(data, &s.saved); err != nil {
			return fmt.Errorf("state file %s is damaged: %w; remove it to start from what the members record", s.path, err)
		}
	}
	if s.saved.Instance != "" {
		return nil
	}
	begun := s.load()
	begun.Instance = rand.Text()
	return s.save(begun, time.Time{})
}

// Instance returns the name of whoever runs with this store: the same after every restart, and nobody else's.
func (s *Store) Instance() string { return s.saved.Instance }

// Close lets another process have the store.
func (s *Store) Close() error { return s.lock.Close() }

// load returns a copy that the loop may change.
func (s *Store) load() memory { return s.saved.clone() }

// wordsOnly tells whether m is saved but for the words in which commits are told the same state. Whoever starts from older words
// tells them once more, and then the present ones.
func (s *Store) wordsOnly(m memory) bool {
	if len(m.Commits) != len(s.saved.Commits) {
		return false
	}
	m.Commits = slices.Clone(m.Commits)
	for i := range m.Commits {
		c, saved := &m.Commits[i], s.saved.Commits[i]
		if len(c.Statuses) != len(saved.Statuses) {
			return false
		}
		c.Statuses = slices.Clone(c.Statuses)
		for j := range c.Statuses {
			c.Statuses[j].Description = saved.Statuses[j].Description
		}
	}
	return reflect.DeepEqual(m, s.saved)
}

// keep saves m. Words alone may wait, until the time that it returns: zero when nothing does.
func (s *Store) keep(m memory, now time.Time) (wait time.Time, err error) {
	if due := s.last.Add(wordsEvery); now.Before(due) && !reflect.DeepEqual(m, s.saved) && s.wordsOnly(m) {
		return due, nil
	}
	return time.Time{}, s.save(m, now)
}

// save writes m when it differs from what the file holds.
func (s *Store) save(m memory, now time.Time) error {
	if reflect.DeepEqual(m, s.saved) {
		return nil
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	if err := replace(s.path, append(data, '\n')); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	s.saved, s.last = m.clone(), now
	return nil
}

// replace writes a file in such a way that at any moment, a power failure included, it holds the old or the new content.
func replace(path string, data []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (m memory) clone() memory {
	c := m
	c.Confirmed = slices.Clone(m.Confirmed)
	c.Unseen = slices.Clone(m.Unseen)
	c.Placements, c.Members = map[string]placementMemory{}, map[string]memberMemory{}
	for name, p := range m.Placements {
		p.Clusters, p.Obsolete, p.Waiting = slices.Clone(p.Clusters), slices.Clone(p.Obsolete), slices.Clone(p.Waiting)
		p.Scores, p.Unmatched = maps.Clone(p.Scores), maps.Clone(p.Unmatched)
		c.Placements[name] = p
	}
	for name, member := range m.Members {
		c.Members[name] = member
	}
	return c
}
