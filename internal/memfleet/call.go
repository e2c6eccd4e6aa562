package memfleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// call is one request to the server.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	store   *store
	body    []byte
	request Request
	kind    *kind
	partial bool // the client wants metadata only
}

func newCall(w http.ResponseWriter, r *http.Request, s *store) (*call, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return &call{
		w: w, r: r, store: s, body: body, request: newRequest(r, body),
		partial: strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata"),
	}, nil
}

// findKind looks up what the path names.
func (x *call) findKind() error {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	gvr := schema.GroupVersionResource{Group: x.request.Group, Version: x.request.Version, Resource: x.request.Resource}
	x.kind = x.store.kinds[gvr]
	known := x.kind != nil && (x.request.Subresource == "" || x.request.Subresource == "status" && x.kind.status)
	if known && (x.kind.namespaced || x.request.Namespace == "") {
		return nil
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource",
	}}
}

func (x *call) resource() schema.GroupResource { return x.kind.gvr().GroupResource() }

func (x *call) key() objectKey { return objectKey{x.request.Namespace, x.request.Name} }

func (x *call) get() error {
	x.store.mu.Lock()
	obj := x.store.get(x.resource(), x.key())
	x.store.mu.Unlock()
	if obj == nil {
		return apierrors.NewNotFound(x.resource(), x.request.Name)
	}
	return x.writeObject(http.StatusOK, obj)
}

// write is everything that changes one object.
func (x *call) write() error {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	w := &write{
		store: x.store, kind: x.kind, key: x.key(), subresource: x.request.Subresource,
		manager: managerOf(x.r), dryRun: x.request.Class == DryRun,
		before: x.store.get(x.resource(), x.key()),
	}
	obj, err := x.change(w)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if w.before == nil {
		code = http.StatusCreated
	}
	return x.writeObject(code, obj)
}

func (x *call) change(w *write) (*unstructured.Unstructured, error) {
	if x.r.Method == http.MethodPost {
		obj, err := x.object()
		if err != nil {
			return nil, err
		}
		return w.create(obj)
	}
	mediaType := strings.TrimSpace(strings.Split(x.r.Header.Get("Content-Type"), ";")[0])
	w.apply = x.r.Method == http.MethodPatch && mediaType == string(types.ApplyPatchType)
	if w.before == nil && (!w.apply || w.subresource != "") {
		return nil, apierrors.NewNotFound(x.resource(), x.request.Name)
	}
	switch {
	case x.r.Method == http.MethodDelete:
		options, err := x.deleteOptions()
		if err != nil {
			return nil, err
		}
		return w.remove(options)
	case w.apply:
		return x.apply(w)
	case x.r.Method == http.MethodPatch:
		return x.patch(w, types.PatchType(mediaType))
	case x.r.Method == http.MethodPut:
		return x.update(w)
	default:
		return nil, apierrors.NewMethodNotSupported(x.resource(), x.r.Method)
	}
}

func (x *call) update(w *write) (*unstructured.Unstructured, error) {
	obj, err := x.object()
	if err != nil {
		return nil, err
	}
	if obj.GetResourceVersion() == "" && x.kind.definition != "" {
		return nil, w.invalid(field.Invalid(field.NewPath("metadata", "resourceVersion"), 0, "must be specified for an update"))
	}
	return w.update(obj)
}

func (x *call) apply(w *write) (*unstructured.Unstructured, error) {
	if x.r.URL.Query().Get("fieldManager") == "" {
		return nil, apierrors.NewBadRequest("fieldManager is required for apply patch")
	}
	obj, err := x.object()
	if err != nil {
		return nil, err
	}
	if len(obj.GetManagedFields()) > 0 {
		return nil, apierrors.NewBadRequest("metadata.managedFields must be nil")
	}
	return w.applied(obj, x.r.URL.Query().Get("force") == "true")
}

// patch is a JSON, merge or strategic merge patch.
func (x *call) patch(w *write, patchType types.PatchType) (*unstructured.Unstructured, error) {
	before, err := inVersion(w.before, x.kind.gvk.GroupVersion()).MarshalJSON()
	if err != nil {
		return nil, err
	}
	var after []byte
	switch patchType {
	case types.JSONPatchType:
		var patch jsonpatch.Patch
		if patch, err = jsonpatch.DecodePatch(x.body); err == nil {
			after, err = patch.Apply(before)
		}
	case types.MergePatchType:
		after, err = jsonpatch.MergePatch(before, x.body)
	case types.StrategicMergePatchType:
		typed, unknown := scheme.Scheme.New(x.kind.gvk)
		if unknown != nil {
			return nil, unsupportedMedia(patchType)
		}
		after, err = strategicpatch.StrategicMergePatch(before, x.body, typed)
	default:
		return nil, unsupportedMedia(patchType)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(after); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return w.update(obj)
}

func unsupportedMedia(patchType types.PatchType) error {
	return apierrors.NewGenericServerResponse(http.StatusUnsupportedMediaType, "patch", schema.GroupResource{}, "",
		fmt.Sprintf("the body of the request was in an unknown format: %s", patchType), 0, false)
}

// object reads the body, JSON or YAML, as one object.
func (x *call) object() (*unstructured.Unstructured, error) {
	body := x.body
	if !json.Valid(body) { // it is YAML too, but that takes many times as long
		var err error
		if body, err = yaml.YAMLToJSON(body); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(body); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return obj, nil
}

func (x *call) decode(into any) error {
	if err := json.Unmarshal(x.body, into); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	return nil
}

// writeObject answers with an object in the version and shape that was asked for.
func (x *call) writeObject(code int, obj *unstructured.Unstructured) error {
	return x.writeJSON(code, x.shape(obj))
}

// shape returns an object as this client wants it.
func (x *call) shape(obj *unstructured.Unstructured) map[string]any {
	if x.partial {
		return map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": obj.Object["metadata"]}
	}
	return inVersion(obj, x.kind.gvk.GroupVersion()).Object
}

// writeJSON answers with v; a media type that is set already stays.
func (x *call) writeJSON(code int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return apierrors.NewInternalError(err)
	}
	if x.w.Header().Get("Content-Type") == "" {
		x.w.Header().Set("Content-Type", "application/json")
	}
	x.w.WriteHeader(code)
	_, err = x.w.Write(append(body, '\n'))
	return ignoreGone(err)
}

// writeError answers with an error as the API's Status object.
func writeError(w http.ResponseWriter, err error) {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	s := status.Status()
	s.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	body, err := json.Marshal(s)
	if err != nil {
		panic(err) // a Status always has a JSON form
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(int(s.Code))
	_, err = w.Write(body)
	_ = ignoreGone(err)
}
