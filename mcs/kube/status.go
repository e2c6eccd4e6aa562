package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/gitfleet/gitfleet/fleet"
	"github.com/gitfleet/gitfleet/mcs"
)

// StatusManager is our name in managedFields for statuses. It is not the one objects are applied with, whose entry tells
// what the repository said.
const StatusManager = "gitfleet-status"

// statusApply is a server-side apply of a status.
type statusApply struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   statusMetadata `json:"metadata"`
	Status     any            `json:"status"`
}

type statusMetadata struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// WriteStatuses applies writes, all of which are for s's member, one after the other. One that fails does not stop the
// others. An object that is gone needs no status: that is no error. One that was created anew since it was judged gets
// the verdict on its predecessor until it is judged itself: the API server knows no precondition here that would tell
// the two apart and let other writers be.
func WriteStatuses(ctx context.Context, s *fleet.Session, writes []mcs.StatusWrite) error {
	var errs []error
	for _, w := range writes {
		if err := writeStatus(ctx, s, w); err != nil {
			errs = append(errs, fmt.Errorf("member %s: status of %s %s/%s: %w", s.Name(), w.GVK.Kind, w.Namespace, w.Name, err))
		}
	}
	return errors.Join(errs...)
}

func writeStatus(ctx context.Context, s *fleet.Session, w mcs.StatusWrite) error {
	mapping, err := s.Mapping(ctx, w.GVK)
	if meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(statusApply{APIVersion: w.GVK.GroupVersion().String(), Kind: w.GVK.Kind,
		Metadata: statusMetadata{Namespace: w.Namespace, Name: w.Name}, Status: w.Status})
	if err != nil {
		return err
	}
	force := true // the status of these kinds has one author
	_, err = s.Dynamic().Resource(mapping.Resource).Namespace(w.Namespace).Patch(ctx, w.Name, types.ApplyPatchType, body,
		metav1.PatchOptions{FieldManager: StatusManager, Force: &force}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
