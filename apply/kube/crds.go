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

	"k8s.io/client-go/dynamic"

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
	wanted  []*unstructured.Unstructured
}

// NewCRDs returns what keeps crds on the member of s. They are not modified.
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
	var err error
	known := until(ctx, func() bool {
		_, _, err = c.session.Definition("")
		return err == nil || c.session.State().Phase == fleet.Unreachable
	})
	if err != nil || !known {
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
	name, edition := crd.GetName(), crd.GetLabels()[api.LabelCRDRevision]
	client := c.session.Dynamic().Resource(definitions)
	have, found, err := c.session.Definition(name)
	switch {
	case err != nil:
		return err
	case !found:
		if _, err := client.Create(ctx, crd, metav1.CreateOptions{FieldManager: api.FieldManager}); err != nil {
			return refusal("create", api.RefOf(crd), definitions.Resource, err)
		}
	case have.Labels[api.LabelCRDRevision] == "":
		return foreign(ctx, client, crd)
	case have.Labels[api.LabelCRDRevision] != edition:
		crd = crd.DeepCopy()
		crd.SetResourceVersion(have.ResourceVersion)
		if _, err := client.Update(ctx, crd, metav1.UpdateOptions{FieldManager: api.FieldManager}); err != nil {
			return refusal("update", api.RefOf(crd), definitions.Resource, err)
		}
	case c.serves(ctx, crd):
		return nil
	}
	if err := awaitEstablished(ctx, client, name); err != nil {
		return fmt.Errorf("not established: %w", err)
	}
	until(ctx, func() bool { // so that the next call finds it
		have, _, _ := c.session.Definition(name)
		return have.Labels[api.LabelCRDRevision] == edition && c.serves(ctx, crd)
	})
	return nil
}

// serves tells whether discovery shows every kind that crd defines.
func (c *CRDs) serves(ctx context.Context, crd *unstructured.Unstructured) bool {
	for _, gvk := range apply.Defines(crd) {
		if _, err := c.session.Mapping(ctx, gvk); err != nil {
			return false
		}
	}
	return true
}

// foreign checks a definition that somebody else installed.
func foreign(ctx context.Context, client dynamic.ResourceInterface, crd *unstructured.Unstructured) error {
	have, err := client.Get(ctx, crd.GetName(), metav1.GetOptions{})
	if err != nil {
		return refusal("get", api.RefOf(crd), definitions.Resource, err)
	}
	versions := served(have)
	for _, gvk := range apply.Defines(crd) {
		if !slices.Contains(strings.Split(versions, ","), gvk.Version) {
			return &apply.RefusedError{Ref: api.RefOf(crd), Verb: "use", Actor: apply.Operator, Message: fmt.Sprintf(
				"somebody else installed it (no label %s) and it serves %s, not %s: upgrade or remove it; gitfleet never changes it",
				api.LabelCRDRevision, versions, gvk.Version)}
		}
	}
	if !isEstablished(have) {
		return errors.New("somebody else installed it, and it is not established")
	}
	return nil
}
