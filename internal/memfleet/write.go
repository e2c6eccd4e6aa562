package memfleet

import (
	"fmt"

	"github.com/google/uuid"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// write is one writing request to one object.
type write struct {
	*store
	kind        *kind
	key         objectKey
	subresource string
	manager     string
	apply       bool // server-side apply; otherwise changes are recorded as an update
	dryRun      bool
	before      *unstructured.Unstructured // nil when there is no such object
}

func (w *write) resource() schema.GroupResource { return w.kind.gvr().GroupResource() }

func (w *write) fields() (*managedfields.FieldManager, error) {
	return fieldManager(w.kind, w.subresource)
}

// create stores a new object.
func (w *write) create(obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if obj.GetName() == "" && obj.GetGenerateName() != "" && !w.apply {
		obj.SetName(obj.GetGenerateName() + rand.String(5))
	}
	if err := w.checkIdentity(obj); err != nil {
		return nil, err
	}
	w.key = keyOf(obj)
	if w.get(w.resource(), w.key) != nil {
		return nil, apierrors.NewAlreadyExists(w.resource(), obj.GetName())
	}
	if obj.GetResourceVersion() != "" && !w.apply {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	if err := w.checkNamespace(obj.GetNamespace()); err != nil {
		return nil, err
	}
	obj.SetUID(types.UID(uuid.NewString()))
	obj.SetCreationTimestamp(metav1.Now().Rfc3339Copy())
	obj.SetDeletionTimestamp(nil)
	if w.kind.status {
		delete(obj.Object, "status")
	}
	if w.kind.generation {
		obj.SetGeneration(1)
	}
	w.prepare(obj)
	if !w.apply {
		fields, err := w.fields()
		if err != nil {
			return nil, err
		}
		empty := &unstructured.Unstructured{Object: map[string]any{}}
		empty.SetGroupVersionKind(w.kind.gvk)
		obj = fields.UpdateNoErrors(empty, obj, w.manager).(*unstructured.Unstructured)
	}
	return w.finish(obj)
}

// update stores another state of an existing object.
func (w *write) update(obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if err := w.checkIdentity(obj); err != nil {
		return nil, err
	}
	if err := w.checkVersion(obj); err != nil {
		return nil, err
	}
	obj.SetUID(w.before.GetUID())
	obj.SetCreationTimestamp(w.before.GetCreationTimestamp())
	obj.SetDeletionTimestamp(w.before.GetDeletionTimestamp())
	obj.SetDeletionGracePeriodSeconds(w.before.GetDeletionGracePeriodSeconds())
	obj.SetResourceVersion(w.before.GetResourceVersion())
	obj.SetGeneration(w.before.GetGeneration())
	obj = w.confine(obj)
	w.prepare(obj)
	if w.kind.generation && !equality.Semantic.DeepEqual(wish(w.before, w.kind), wish(obj, w.kind)) {
		obj.SetGeneration(w.before.GetGeneration() + 1)
	}
	if !w.apply {
		fields, err := w.fields()
		if err != nil {
			return nil, err
		}
		obj = fields.UpdateNoErrors(inVersion(w.before, w.kind.gvk.GroupVersion()), obj, w.manager).(*unstructured.Unstructured)
	}
	return w.finish(obj)
}

// applied is server-side apply.
func (w *write) applied(patch *unstructured.Unstructured, force bool) (*unstructured.Unstructured, error) {
	if patch.GetName() == "" {
		patch.SetName(w.key.name)
	}
	if patch.GetNamespace() == "" {
		patch.SetNamespace(w.key.namespace)
	}
	if err := w.checkIdentity(patch); err != nil {
		return nil, err
	}
	fields, err := w.fields()
	if err != nil {
		return nil, err
	}
	live := &unstructured.Unstructured{Object: map[string]any{}}
	live.SetGroupVersionKind(w.kind.gvk)
	if w.before != nil {
		if uid := patch.GetUID(); uid != "" && uid != w.before.GetUID() {
			return nil, w.invalid(field.Invalid(field.NewPath("metadata", "uid"), uid, "field is immutable"))
		}
		if err := w.checkVersion(patch); err != nil {
			return nil, err
		}
		live = inVersion(w.before, w.kind.gvk.GroupVersion()).DeepCopy()
	} else if patch.GetUID() != "" {
		return nil, apierrors.NewConflict(w.resource(), w.key.name, fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", patch.GetUID()))
	}
	patch.SetUID("") // identity is checked; it is nobody's field
	patch.SetResourceVersion("")
	merged, err := fields.Apply(live, patch, w.manager, force)
	if err != nil {
		return nil, err
	}
	obj := merged.(*unstructured.Unstructured).DeepCopy()
	if w.before == nil {
		return w.create(obj)
	}
	return w.update(obj)
}

// confine undoes what the endpoint does not change: the status endpoint only changes the status, the other all but that.
func (w *write) confine(obj *unstructured.Unstructured) *unstructured.Unstructured {
	if !w.kind.status {
		return obj
	}
	source, target := w.before.DeepCopy(), obj
	if w.subresource == "status" {
		source, target = obj, w.before.DeepCopy()
		target.SetManagedFields(obj.GetManagedFields())
		target = inVersion(target, w.kind.gvk.GroupVersion())
	}
	if status, ok := source.Object["status"]; ok {
		target.Object["status"] = status
	} else {
		delete(target.Object, "status")
	}
	return target
}

// wish returns what generation counts the changes of.
func wish(u *unstructured.Unstructured, k *kind) map[string]any {
	rest := map[string]any{}
	for key, value := range u.Object {
		if key != "metadata" && key != "apiVersion" && (key != "status" || !k.status) {
			rest[key] = value
		}
	}
	return rest
}

// checkIdentity compares what the object says of itself with what the request's path says.
func (w *write) checkIdentity(obj *unstructured.Unstructured) error {
	if obj.GroupVersionKind() != w.kind.gvk {
		return apierrors.NewBadRequest(fmt.Sprintf("the object is a %s, the path is for %s", obj.GroupVersionKind(), w.kind.gvk))
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(w.key.namespace)
	}
	if obj.GetNamespace() != w.key.namespace {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the object (%s) does not match the namespace on the request (%s)", obj.GetNamespace(), w.key.namespace))
	}
	if w.key.name != "" && obj.GetName() != w.key.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", obj.GetName(), w.key.name))
	}
	if obj.GetName() == "" {
		return w.invalid(field.Required(field.NewPath("metadata", "name"), "name or generateName is required"))
	}
	return nil
}

func (w *write) invalid(errs ...*field.Error) error {
	return apierrors.NewInvalid(w.kind.gvk.GroupKind(), w.key.name, errs)
}

// checkVersion is optimistic concurrency.
func (w *write) checkVersion(obj *unstructured.Unstructured) error {
	if uid := obj.GetUID(); uid != "" && uid != w.before.GetUID() {
		return apierrors.NewConflict(w.resource(), w.key.name, fmt.Errorf("precondition failed: UID in precondition: %s, UID in object meta: %s", uid, w.before.GetUID()))
	}
	version := obj.GetResourceVersion()
	if version != "" && version != w.before.GetResourceVersion() {
		return apierrors.NewConflict(w.resource(), w.key.name, fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	return nil
}

// checkNamespace refuses to create in a namespace that is not there or on its way out.
func (w *write) checkNamespace(name string) error {
	if !w.kind.namespaced {
		return nil
	}
	ns := w.get(namespaceKind.gvr().GroupResource(), objectKey{name: name})
	if ns == nil {
		return apierrors.NewNotFound(namespaceKind.gvr().GroupResource(), name)
	}
	if ns.GetDeletionTimestamp() != nil {
		err := apierrors.NewForbidden(w.resource(), w.key.name, fmt.Errorf("unable to create new content in namespace %s because it is being terminated", name))
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: "NamespaceTerminating", Message: "namespace " + name + " is being terminated", Field: "metadata.namespace"}}
		return err
	}
	return nil
}

// finish stores obj unless the request is a dry run, and lets the server's own controllers follow.
func (w *write) finish(obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if w.dryRun {
		if w.before != nil && equalButTimes(w.before, obj) {
			return w.before, nil
		}
		return obj, nil
	}
	stored := w.put(w.resource(), w.before, inVersion(obj, w.kind.storage))
	w.follow(w.kind, stored)
	return stored, nil
}

// preconditions of a delete.
func (w *write) preconditions(p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	if p.UID != nil && *p.UID != w.before.GetUID() {
		return w.preconditionFailed("UID", string(*p.UID), string(w.before.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != w.before.GetResourceVersion() {
		return w.preconditionFailed("ResourceVersion", *p.ResourceVersion, w.before.GetResourceVersion())
	}
	return nil
}

func (w *write) preconditionFailed(what, want, have string) error {
	return apierrors.NewConflict(w.resource(), w.key.name, fmt.Errorf("the %s in the precondition (%s) does not match the %s in record (%s). The object might have been deleted and then recreated", what, want, what, have))
}

// remove deletes the object, or marks it as deleted while finalizers hold it.
func (w *write) remove(options metav1.DeleteOptions) (*unstructured.Unstructured, error) {
	if err := w.preconditions(options.Preconditions); err != nil {
		return nil, err
	}
	if w.dryRun {
		return w.before, nil
	}
	return w.store.remove(w.kind, w.before), nil
}
