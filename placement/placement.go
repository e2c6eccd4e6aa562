// Package placement decides which clusters a placement runs on, and why. It is pure: a placement, the assignment of
// before and the candidates in; a decision with a reason for every cluster out.
package placement

import "time"

// Candidate is one registered member as scheduling sees it.
type Candidate struct {
	Name   string
	Labels map[string]string
}

// Assignment is what was decided before: the clusters that hold the placement now, by name, and the PolicyDigest of the
// policy that put it there. The zero value means never placed.
type Assignment struct {
	Clusters     []string `json:"clusters,omitempty"`
	PolicyDigest string   `json:"policyDigest,omitempty"`
}

// Verdict tells for one cluster whether it was selected and why.
type Verdict struct {
	Cluster  string `json:"name"`
	Selected bool   `json:"selected"`
	Reason   string `json:"reason"`
}

// Scheduled is the placement's Scheduled condition, in upstream's words.
type Scheduled struct {
	Status  string `json:"status"` // True or False
	Reason  string `json:"reason"` // Fulfilled or Unfulfilled
	Message string `json:"message"`
}

// The reasons of Scheduled, from KubeFleet's placement conditions.
const (
	Fulfilled   = "SchedulingPolicyFulfilled"
	Unfulfilled = "SchedulingPolicyUnfulfilled"
)

// Decision is the outcome for one placement.
type Decision struct {
	Name       string     `json:"name"`
	Scheduled  Scheduled  `json:"scheduled"`
	Unfilled   int        `json:"unfilled"` // slots that no cluster fills
	Verdicts   []Verdict  `json:"clusters"` // selected first, then the others, each by name
	Assignment Assignment `json:"-"`        // what to remember
	At         time.Time  `json:"-"`
}
