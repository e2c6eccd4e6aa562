package kube

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/apply"
	"github.com/gitfleet/gitfleet/fleet"
)

// definitionsLimit bounds the wait for the member's definitions to be listed.
const definitionsLimit = 30 * time.Second

// CRDs keeps the CustomResourceDefinitions that gitfleet itself needs on one member. The ones it installs carry
// api.LabelCRDRevision; one without that label is somebody else's, and only checked.
type CRDs struct {
	session *fleet.Session
	watch   *fleet.Watch
	wanted  []*unstructured.Unstructured
}

// NewCRDs starts to watch the definitions on the member of s. crds are not modified.
func NewCRDs(s *fleet.Session, crds []*unstructured.Unstructured) *CRDs {
	c := &CRDs{session: s}
	for _, crd := range crds {
		crd = crd.DeepCopy()
		labels := crd.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[api.LabelCRDRevision] = edition(crd)
		crd.SetLabels(labels)
		c.wanted = append(c.wanted, crd)
	}
	c.watch = s.Watch(fleet.WatchSpec{Key: "apply/definitions", Resource: definitions, Reduce: reduceDefinition})
	return c
}

// edition digests a definition, as a label's value.
func edition(crd *unstructured.Unstructured) string {
	raw, err := json.Marshal(crd.Object)
	if err != nil {
		panic("apply/kube: definition " + crd.GetName() + " is not JSON: " + err.Error()) // it came out of a file in the binary
	}
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%x", sum[:8])
}

// definition is what is kept of a CustomResourceDefinition on the member.
type definition struct {
	version     string // resourceVersion
	edition     string // our label; "" on somebody else's
	served      string // versions, separated by commas
	established bool
}

func reduceDefinition(u *unstructured.Unstructured) any {
	return definition{version: u.GetResourceVersion(), edition: u.GetLabels()[api.LabelCRDRevision],
		served: served(u), established: isEstablished(u)}
}

func served(u *unstructured.Unstructured) string {
	var versions []string
	for _, gvk := range apply.Defines(u) {
		versions = append(versions, gvk.Version)
	}
	slices.Sort(versions)
	return strings.Join(versions, ",")
}

// Ensure installs what is missing, updates what an other edition of gitfleet installed, and returns when all of it is
// served. When that is so already it makes no request. Errors are joined: one for each definition that is not right.
func (c *CRDs) Ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, definitionsLimit)
	defer cancel()
	known := until(ctx, func() bool { return c.watch.Synced() || c.session.State().Phase == fleet.Unreachable })
	if err := c.watch.Err(); err != nil || !known {
		return fmt.Errorf("definitions that gitfleet needs: %w", errors.Join(err, context.Cause(ctx)))
	}
	var errs []error
	for _, crd := range c.wanted {
		if err := c.ensure(ctx, crd); err != nil {
			errs = append(errs, fmt.Errorf("CustomResourceDefinition %s: %w", crd.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

func (c *CRDs) ensure(ctx context.Context, crd *unstructured.Unstructured) error {
	name := crd.GetName()
	client := c.session.Dynamic().Resource(definitions)
	kept, found := c.watch.Get("", name)
	have, _ := kept.(definition)
	switch {
	case !found:
		if _, err := client.Create(ctx, crd, metav1.CreateOptions{FieldManager: api.FieldManager}); err != nil {
			return refusal("create", api.RefOf(crd), definitions.Resource, err)
		}
	case have.edition == "":
		return foreign(crd, have)
	case have.edition != crd.GetLabels()[api.LabelCRDRevision]:
		crd = crd.DeepCopy()
		crd.SetResourceVersion(have.version)
		if _, err := client.Update(ctx, crd, metav1.UpdateOptions{FieldManager: api.FieldManager}); err != nil {
			return refusal("update", api.RefOf(crd), definitions.Resource, err)
		}
	case have.established:
		return nil
	}
	if err := awaitEstablished(ctx, client, name); err != nil {
		return fmt.Errorf("not established: %w", err)
	}
	until(ctx, func() bool { // so that the next call finds it
		kept, _ := c.watch.Get("", name)
		have, _ := kept.(definition)
		return have.edition == crd.GetLabels()[api.LabelCRDRevision] && have.established
	})
	return nil
}

// foreign checks a definition that somebody else installed.
func foreign(crd *unstructured.Unstructured, have definition) error {
	versions := strings.Split(have.served, ",")
	for _, gvk := range apply.Defines(crd) {
		if !slices.Contains(versions, gvk.Version) {
			return &apply.RefusedError{Ref: api.RefOf(crd), Verb: "use", Actor: apply.Operator, Message: fmt.Sprintf(
				"somebody else installed it (no label %s) and it serves %s, not %s: upgrade or remove it; gitfleet never changes it",
				api.LabelCRDRevision, have.served, gvk.Version)}
		}
	}
	if !have.established {
		return errors.New("somebody else installed it, and it is not established")
	}
	return nil
}
