package memfleet

import (
	"fmt"
	"net/http"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// fieldManager returns what does server-side apply and keeps managedFields for a kind. Built-in kinds have their real
// schema; custom resources get one deduced from the object, in which every list is atomic.
func fieldManager(k *kind, subresource string) (*managedfields.FieldManager, error) {
	converter := managedfields.NewDeducedTypeConverter()
	if k.definition == "" && k.gvk != definitionKind.gvk {
		converter = applyconfigurations.NewTypeConverter(scheme.Scheme)
	}
	gv := k.gvk.GroupVersion()
	reset := map[fieldpath.APIVersion]fieldpath.Filter{}
	switch {
	case subresource == "status":
		reset[fieldpath.APIVersion(gv.String())] = exclude("spec", "metadata")
	case k.status:
		reset[fieldpath.APIVersion(gv.String())] = exclude("status")
	}
	return managedfields.NewDefaultCRDFieldManager(converter, plain{}, plain{}, plain{}, k.gvk, gv, subresource, reset)
}

func exclude(fields ...string) fieldpath.Filter {
	set := fieldpath.NewSet()
	for _, f := range fields {
		set.Insert(fieldpath.MakePathOrDie(f))
	}
	return fieldpath.NewExcludeSetFilter(set)
}

// managerOf returns the name a request's changes are recorded under.
func managerOf(r *http.Request) string {
	if name := r.URL.Query().Get("fieldManager"); name != "" {
		return name
	}
	name, _, _ := strings.Cut(r.UserAgent(), "/")
	return name
}

// plain is the conversion, creation and defaulting of unstructured objects: versions of a kind differ in name only.
type plain struct{}

var _ interface {
	runtime.ObjectConvertor
	runtime.ObjectCreater
	runtime.ObjectDefaulter
} = plain{}

// Default does nothing: this server has no defaults.
func (plain) Default(runtime.Object) {}

// New returns an empty object.
func (plain) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u, nil
}

// ConvertToVersion returns the object under another version's name.
func (plain) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk, ok := target.KindForGroupVersionKinds([]schema.GroupVersionKind{in.GetObjectKind().GroupVersionKind()})
	if !ok {
		return nil, fmt.Errorf("%s cannot become %v", in.GetObjectKind().GroupVersionKind(), target)
	}
	return inVersion(in.(*unstructured.Unstructured), gvk.GroupVersion()), nil
}

// Convert is not needed by field managers.
func (plain) Convert(in, out, _ any) error { return fmt.Errorf("cannot convert %T into %T", in, out) }

// ConvertFieldLabel accepts the labels that every kind has.
func (plain) ConvertFieldLabel(_ schema.GroupVersionKind, label, value string) (string, string, error) {
	return label, value, nil
}

// inVersion returns u with another apiVersion, sharing everything else.
func inVersion(u *unstructured.Unstructured, gv schema.GroupVersion) *unstructured.Unstructured {
	if u.GroupVersionKind().GroupVersion() == gv {
		return u
	}
	object := make(map[string]any, len(u.Object))
	for key, value := range u.Object {
		object[key] = value
	}
	object["apiVersion"] = gv.String()
	return &unstructured.Unstructured{Object: object}
}
