// Package render turns a snapshot into what its authors wish: members, placements and objects, or every error they made.
// This package is pure; building with kustomize happens below it, in a child process.
package render

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	clusterv1beta1 "github.com/gitfleet/gitfleet/api/cluster/v1beta1"
	placementv1beta1 "github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/source"
)

// Origin tells where in the repository a document stands.
type Origin struct {
	File     string `json:"file"`     // slash-separated, relative to the repository's root
	Document int    `json:"document"` // counted from 1
	// Root is what was built when the document came out of it: a directory with a kustomization, which may use files of
	// others, or the file itself. Empty where nothing was built.
	Root string `json:"-"`
	// Field is where in the document it stands when the document is an envelope: data["webhook.yaml"].
	Field string `json:"field,omitempty"`
}

// Object is one rendered object. It is never modified after rendering: stages share it.
type Object struct {
	*unstructured.Unstructured
	Origin     Origin
	Directives api.Directives // what its annotations of gitfleet's own say; set by Compose

	// Envelope names what carries the object; nil for one that stands in the repository by itself. Set by Compose.
	Envelope *placementv1beta1.EnvelopeIdentifier
	// Contents is what an envelope carries, sorted: it is placed where a placement selects the envelope, which itself is
	// never created. Set by Compose; empty for all else.
	Contents []Object
}

// Member is one cluster of the fleet as the repository registers it.
type Member struct {
	*clusterv1beta1.MemberCluster
	Origin     Origin
	Directives api.MemberDirectives
}

// Placement is one placement with the objects its selectors choose, in the order of Desired.Objects. Of an envelope that they
// choose it is what that carries.
//
// A ResourcePlacement is kept in the form of a ClusterResourcePlacement that has a namespace: both have the same spec. Its Kind
// remains.
type Placement struct {
	*placementv1beta1.ClusterResourcePlacement
	Origin     Origin
	Directives api.PlacementDirectives
	Selected   []Object
}

// Key names the placement among all: "name", or "namespace/name" of a ResourcePlacement.
func (p Placement) Key() string { return placementKey(p.Namespace, p.Name) }

func placementKey(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// Desired is the wish of one revision. All lists are sorted by name or ref and hold no duplicates.
type Desired struct {
	Revision   source.Revision
	Members    []Member
	Placements []Placement
	Objects    []Object // everything that selectors choose from: what can be placed, and envelopes
	Unplaced   []Object // those of Objects that no placement selects

	// HealthChecks are those of all placements, one a kind, sorted by kind.
	HealthChecks []api.HealthCheck

	// Notices are no errors, as upstream's placements have none there, but probably mistakes: a selector that names
	// nothing, for one. Sorted.
	Notices []ManifestError
}

// Suspends tells whether the placement of that key is there and nothing of it shall be changed.
func (d *Desired) Suspends(placement string) bool {
	return slices.ContainsFunc(d.Placements, func(p Placement) bool { return p.Key() == placement && p.Directives.Suspend })
}

// SuspendsMember tells whether nothing shall be changed on the member of that name.
func (d *Desired) SuspendsMember(name string) bool {
	return slices.ContainsFunc(d.Members, func(m Member) bool { return m.Name == name && m.Directives.Suspend })
}

// ManifestError is one mistake of an author, with what is needed to find and mend it.
type ManifestError struct {
	File     string `json:"file"`
	Document int    `json:"document,omitempty"` // 0 when the file as a whole is wrong
	Field    string `json:"field,omitempty"`    // a path such as spec.policy.placementType
	Message  string `json:"message"`            // what is wrong, and the remedy
	// Placement is the key of the placement whose resourceSelectors are at fault, otherwise empty.
	Placement string `json:"placement,omitempty"`
}

// Error prints e as one line: "file: document 2: spec.replicas: message".
func (e ManifestError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Document > 0 {
		fmt.Fprintf(&b, ": document %d", e.Document)
	}
	if e.Field != "" {
		b.WriteString(": " + e.Field)
	}
	return b.String() + ": " + e.Message
}

// ManifestErrors is every mistake found in one revision, sorted. It is the error that rendering returns when the author
// must act; anything else is ours or the machine's.
type ManifestErrors []ManifestError

// Error prints one line for each mistake.
func (e ManifestErrors) Error() string {
	lines := make([]string, len(e))
	for i, m := range e {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// MergeErrors returns the given mistakes as one sorted list without duplicates; nil when there are none.
func MergeErrors(lists ...ManifestErrors) ManifestErrors {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b ManifestError) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document),
			cmp.Compare(a.Field, b.Field), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(all)
}

// mistake returns an author's error about o.
func (o Object) mistake(field, format string, args ...any) ManifestError {
	return o.Origin.mistake(field, format, args...)
}

// mistakeAt is mistake for functions that find one at most.
func (o Object) mistakeAt(field, format string, args ...any) *ManifestError {
	m := o.mistake(field, format, args...)
	return &m
}

func (o Origin) mistake(field, format string, args ...any) ManifestError {
	if o.Field != "" {
		field = strings.TrimSuffix(o.Field+"."+field, ".")
	}
	return ManifestError{File: o.File, Document: o.Document, Field: field, Message: fmt.Sprintf(format, args...)}
}

// String prints where o stands: "file document 2", with the field of an envelope that holds it.
func (o Origin) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s document %d %s", o.File, o.Document, o.Field), " ")
}

func compareOrigins(a, b Origin) int {
	return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Field, b.Field))
}

func compareNamed(a string, ao Origin, b string, bo Origin) int {
	return cmp.Or(cmp.Compare(a, b), compareOrigins(ao, bo))
}
