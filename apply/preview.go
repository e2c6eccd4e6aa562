package apply

import "k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

// Preview is what a member answers when it is asked what one change would come to. Nothing is written for it.
type Preview struct {
	// Live is the object as it is on the member; nil when there is none.
	Live *unstructured.Unstructured
	// After is the object as it would be, by the API server's answer to a dry run, with its defaults and what admission adds.
	// It is nil for a Delete, and when Refused or Unasked tells why there is none.
	After *unstructured.Unstructured
	// Refused is why the member would not take it; typed as the errors of an execution are.
	Refused error
	// Recreate are the fields that cannot be changed, for which the object is deleted and created again, as its author allows.
	Recreate []string
	// Unasked is why the member could not say: its namespace or its definition is not there yet, or a webhook takes no dry runs.
	Unasked string
	// Lacks is the kind of what has to be there before the member can say: Namespace or CustomResourceDefinition; empty when
	// Unasked has another reason.
	Lacks string
}
