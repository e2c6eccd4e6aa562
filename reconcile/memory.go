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

	"github.com/gitfleet/gitfleet/placement"
)

// memory is what the loop remembers between runs for members that cannot be asked now. It is a convenience, never the
// truth: members' inventories overrule it, and losing the file loses nothing that a reachable fleet does not know.
type memory struct {
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
}

// Store keeps the memory in one file, replaced whole.
type Store struct {
	path  string
	saved memory
}

// OpenStore returns the store in dir, which it creates. A file that cannot be read is an error: it is the user's to
// repair or remove, not ours to overwrite.
func OpenStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	s := &Store{path: filepath.Join(dir, "state.json")}
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
	temp := s.path + ".new"
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	if err := os.Rename(temp, s.path); err != nil {
		return fmt.Errorf("state file: %w", err)
	}
	s.saved = m.clone()
	return nil
}

func (m memory) clone() memory {
	c := memory{Placements: map[string]placementMemory{}, Members: map[string]memberMemory{}}
	for name, p := range m.Placements {
		p.Clusters = append([]string(nil), p.Clusters...)
		c.Placements[name] = p
	}
	for name, member := range m.Members {
		c.Members[name] = member
	}
	return c
}
