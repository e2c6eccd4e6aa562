package supervisor

import (
	"encoding/json"
	"fmt"
	"os"
)

// State is what state.json and `status` show of a fleet.
type State struct {
	PID      int            `json:"pid"`   // of the supervisor
	Range    string         `json:"range"` // the loopback range that this fleet uses
	Clusters []ClusterState `json:"clusters"`
}

// ClusterState is one control plane.
type ClusterState struct {
	Name       string           `json:"name"`
	Phase      Phase            `json:"phase"`
	Server     string           `json:"server"`
	Location   string           `json:"location,omitempty"` // of members
	Pods       int              `json:"pods"`               // simulated pods that have an address now
	Components []ComponentState `json:"components"`
}

// Phase is how far a cluster is.
type Phase string

// The phases.
const (
	Starting Phase = "Starting" // also after a component died, until all is well again
	Ready    Phase = "Ready"
	Stopped  Phase = "Stopped" // by `localfleet stop`
)

// ComponentState is one process.
type ComponentState struct {
	Name     string `json:"name"`
	PID      int    `json:"pid"`      // 0 when it is not running
	Restarts int    `json:"restarts"` // after it died by itself
}

// PIDs returns every running process of the fleet.
func (s State) PIDs() []int {
	pids := []int{s.PID}
	for _, c := range s.Clusters {
		for _, part := range c.Components {
			if part.PID != 0 {
				pids = append(pids, part.PID)
			}
		}
	}
	return pids
}

// ReadState returns the last state that a supervisor wrote. It may be one of a fleet that is no more: Lock tells.
func (l Layout) ReadState() (State, error) {
	var s State
	data, err := os.ReadFile(l.state())
	if err != nil {
		return s, fmt.Errorf("state of the fleet: %w", err)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("state of the fleet in %s: %w", l.state(), err)
	}
	return s, nil
}

func (l Layout) writeState(s State) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state of the fleet: %w", err)
	}
	return writeFile(l.state(), append(data, '\n'))
}
