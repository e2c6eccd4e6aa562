package report

import (
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/placement"
	"github.com/gitfleet/gitfleet/render"
)

// Plan is what a commit would change in the fleet: `gitfleet plan -o json`, a contract. All lists are sorted.
type Plan struct {
	Base       string                 `json:"base"` // commit; empty when compared with nothing
	Head       string                 `json:"head"`
	Digest     string                 `json:"digest"` // of the targets for each cluster, not of commits or live state; empty with Errors
	Changes    []Change               `json:"changes"`
	Placements []placement.Decision   `json:"placements"` // of Head
	Moves      []Move                 `json:"moves"`
	Services   []ServiceChange        `json:"services"`
	Risks      []Risk                 `json:"risks"`
	Errors     []render.ManifestError `json:"errors"` // author errors of Head; then nothing would be applied
}

// Change is one object that changes on one cluster.
type Change struct {
	Cluster    string       `json:"cluster"`
	Action     apply.Action `json:"action"`
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Namespace  string       `json:"namespace"`
	Name       string       `json:"name"`
	Placement  string       `json:"placement"`
	Source     string       `json:"source"` // "file#document"; of a delete, where it stood in Base
	Reason     string       `json:"reason"`
	Diff       string       `json:"diff"` // of an update: one "path: before -> after" line a field, secrets masked
}

// Move is one cluster that a placement comes to or goes from.
type Move struct {
	Placement string `json:"placement"`
	Cluster   string `json:"cluster"`
	Action    string `json:"action"` // Gain or Lose
	Reason    string `json:"reason"`
}

// What a placement does with a cluster that moves.
const (
	Gain = "gain"
	Lose = "lose"
)

// ServiceChange is one multi-cluster service that a commit touches.
type ServiceChange struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Action    string `json:"action"` // create, update or delete
	Reason    string `json:"reason"`
}

// Risk is something a reviewer should not overlook.
type Risk struct {
	Kind    string `json:"kind"` // a Risk… constant
	Message string `json:"message"`
}

// The kinds of risk.
const (
	RiskDeleteNamespace = "DeleteNamespace" // and everything in it
	RiskDeleteCRD       = "DeleteCRD"       // and every object of the kind
	RiskConfirm         = "Confirm"         // so much is deleted that a person must confirm it
	RiskDeleteStorage   = "DeleteStorage"   // a volume, a claim, or the workload that owns claims
	RiskNoCluster       = "NoCluster"       // a placement that runs nowhere
	RiskUnfilled        = "Unfilled"        // a placement that finds fewer clusters than it asks for
	RiskProperties      = "Properties"      // a placement that goes by what members report, which no file tells
	RiskNotice          = "Notice"          // probably a mistake in a manifest, though no error
	RiskMemberRemoved   = "MemberRemoved"   // its objects stay, unattended
	RiskBaseInvalid     = "BaseInvalid"     // Base could not be planned, so every object shows as new
	RiskUnseen          = "Unseen"          // a member was not asked, or could not be: Git alone tells
	RiskBlocked         = "Blocked"         // an inventory that gitfleet may not touch: nothing of it happens
	RiskRefused         = "Refused"         // a member would not take an object as it is
	RiskImmutable       = "Immutable"       // the same, for a field that cannot be changed
	RiskRecreate        = "Recreate"        // an object is deleted and created anew, as its annotation allows
	RiskAdopt           = "Adopt"           // an object is there that gitfleet did not create: it is taken over
	RiskSuspended       = "Suspended"       // nothing of a placement, or on a member, is changed
	RiskExportConflict  = "ExportConflict"  // exports of one service that do not agree
)

// Changed tells whether applying the plan would do anything to any member or to a service.
func (p Plan) Changed() bool { return len(p.Changes)+len(p.Services) > 0 }
