package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/gitfleet/gitfleet/mcs"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/source"
)

// memory is what the loop remembers between runs for members that cannot be asked now. It is a convenience, never the
// truth: members' inventories overrule it, and losing the file loses nothing that a reachable fleet does not know.
type memory struct {
	Applied    source.Revision            `json:"applied,omitzero"` // the revision in force
	Placements map[string]placementMemory `json:"placements"`
	Members    map[string]memberMemory    `json:"members"`
}

// placementMemory is the last decision on one placement.
type placementMemory struct {
	Generation int64     `json:"generation"` // counts spec changes, as an API server would
	SpecDigest string    `json:"specDigest"`
	Created    time.Time `json:"created"`
	placement.Assignment
}

// memberMemory is what is kept of one member.
type memberMemory struct {
	Created  time.Time `json:"created"`
	LastSeen time.Time `json:"lastSeen,omitzero"`
	// Services is what the member showed before it went out of reach, and nil while it is in reach. Its pods may live on.
	Services *mcs.Observed `json:"services,omitempty"`
}

// Store keeps the memory in one file, replaced whole.
type Store struct {
	path  string
	saved memory
}

// OpenStore returns the store in dir, which it creates, of the fleet that identity names: several may share a dir. A file
// that cannot be read is an error: it is the user's to repair or remove, not ours to overwrite.
func OpenStore(dir, identity string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Store{path: filepath.Join(dir, "state-"+jsonDigest(identity)[:12]+".json")}
	data, err := os.ReadFile(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("state file: %w", err)
	default:
		if err := json.Unmarshal(data, &s.saved); err != nil {
			return nil, fmt.Errorf("state file %s is damaged: %w; remove it to start from what the members record", s.path, err)
		}
	}
	return s, nil
}

// load returns a copy that the loop may change.
func (s *Store) load() memory { return s.saved.clone() }

// save writes m when it differs from what the file holds.
func (s *Store) save(m memory) error {
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
	s.saved = m.clone()
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
	c := memory{Applied: m.Applied, Placements: map[string]placementMemory{}, Members: map[string]memberMemory{}}
	for name, p := range m.Placements {
		p.Clusters = append([]string(nil), p.Clusters...)
		c.Placements[name] = p
	}
	for name, member := range m.Members {
		c.Members[name] = member
	}
	return c
}
