package kube

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// foreignFinalizers are what other controllers of these kinds hold their objects with; gitfleet has none. Azure's is
// networking.fleet.azure.com/svc-export-cleanup.
var foreignFinalizers = []string{"networking.fleet.azure.com/", "lighthouse.submariner.io/", "submariner.io/"}

// rivalOf tells what shows that another controller is at work on u; nothing when none is. A status that another one wrote before
// ours is not of one at work: whoever is writes again.
func rivalOf(u *unstructured.Unstructured) string {
	for _, f := range u.GetFinalizers() {
		for _, foreign := range foreignFinalizers {
			if strings.HasPrefix(f, foreign) {
				return fmt.Sprintf("finalizer %q", f)
			}
		}
	}
	var ours metav1.Time
	for _, entry := range u.GetManagedFields() {
		if entry.Manager == StatusManager && entry.Time != nil {
			ours = *entry.Time
		}
	}
	for _, entry := range u.GetManagedFields() {
		if entry.Subresource != "status" || entry.Manager == StatusManager || entry.Time == nil || entry.Time.Before(&ours) || isPerson(entry.Manager) {
			continue
		}
		return fmt.Sprintf("the status by %q", entry.Manager)
	}
	return ""
}

// isPerson tells whether a field manager is somebody's tool. What a person writes into a status is put right again.
func isPerson(manager string) bool { return strings.HasPrefix(manager, "kubectl") }
