package memfleet

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
)

// selected returns what tells whether an object belongs to a list or watch.
func (x *call) selected() (func(*unstructured.Unstructured) bool, error) {
	byLabel, err := labels.Parse(x.r.URL.Query().Get("labelSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	byField, err := fields.ParseSelector(x.r.URL.Query().Get("fieldSelector"))
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	for _, r := range byField.Requirements() {
		if _, known := x.fieldsOf(&unstructured.Unstructured{})[r.Field]; !known {
			return nil, apierrors.NewBadRequest("field label not supported: " + r.Field)
		}
	}
	return func(u *unstructured.Unstructured) bool {
		return (x.request.Namespace == "" || u.GetNamespace() == x.request.Namespace) &&
			(x.request.Name == "" || u.GetName() == x.request.Name) &&
			byLabel.Matches(labels.Set(u.GetLabels())) &&
			byField.Matches(x.fieldsOf(u))
	}, nil
}

// fieldsOf returns what a field selector may ask of an object of the requested kind.
func (x *call) fieldsOf(u *unstructured.Unstructured) fields.Set {
	set := fields.Set{"metadata.name": u.GetName(), "metadata.namespace": u.GetNamespace()}
	if x.kind.gvk.Kind == "Pod" && x.kind.gvk.Group == "" {
		set["spec.nodeName"], _, _ = unstructured.NestedString(u.Object, "spec", "nodeName")
		set["status.phase"], _, _ = unstructured.NestedString(u.Object, "status", "phase")
	}
	return set
}

// snapshot returns the selected objects and the version they are at.
func (x *call) snapshot(match func(*unstructured.Unstructured) bool) ([]*unstructured.Unstructured, int64) {
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	var objects []*unstructured.Unstructured
	for _, obj := range x.store.list(x.resource()) {
		if match(obj) {
			objects = append(objects, obj)
		}
	}
	return objects, x.store.version
}

// since returns the resource version that the request names, 0 for none.
func (x *call) since() (int64, error) {
	text := x.r.URL.Query().Get("resourceVersion")
	if text == "" {
		return 0, nil
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil || version < 0 {
		return 0, apierrors.NewBadRequest("invalid resource version " + strconv.Quote(text))
	}
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	if version > x.store.version {
		err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", version, x.store.version), 1)
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
		return 0, err
	}
	return version, nil
}

func (x *call) list() error {
	match, err := x.selected()
	if err != nil {
		return err
	}
	if _, err := x.since(); err != nil {
		return err
	}
	objects, version := x.snapshot(match)
	items := make([]any, 0, len(objects))
	for _, obj := range objects {
		items = append(items, x.shape(obj))
	}
	list := map[string]any{
		"apiVersion": x.kind.gvk.GroupVersion().String(), "kind": x.kind.gvk.Kind + "List",
		"metadata": map[string]any{"resourceVersion": strconv.FormatInt(version, 10)}, "items": items,
	}
	if x.partial {
		list["apiVersion"], list["kind"] = "meta.k8s.io/v1", "PartialObjectMetadataList"
	}
	return x.writeJSON(http.StatusOK, list)
}

func (x *call) deleteCollection() error {
	match, err := x.selected()
	if err != nil {
		return err
	}
	objects, _ := x.snapshot(match)
	x.store.mu.Lock()
	defer x.store.mu.Unlock()
	for _, obj := range objects {
		if x.request.Class != DryRun && x.store.get(x.resource(), keyOf(obj)) == obj {
			x.store.remove(x.kind, obj)
		}
	}
	return x.writeJSON(http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
}

// watch streams changes until the client goes, the time is up, or the kind is no longer served.
func (x *call) watch() error {
	match, err := x.selected()
	if err != nil {
		return err
	}
	version, err := x.since()
	if err != nil {
		return err
	}
	limit := 30 * time.Minute
	if seconds, err := strconv.Atoi(x.r.URL.Query().Get("timeoutSeconds")); err == nil && seconds > 0 {
		limit = time.Duration(seconds) * time.Second
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(http.StatusOK)
	stream := &stream{call: x, match: match, version: version}
	if !stream.begin() {
		return nil
	}
	for {
		more := stream.next()
		if more == nil {
			return nil
		}
		select {
		case <-x.r.Context().Done():
			return nil
		case <-timer.C:
			return nil
		case <-more:
		}
	}
}

// stream is one watch under way.
type stream struct {
	*call
	match   func(*unstructured.Unstructured) bool
	version int64
}

// begin sends what is there already, for a watch that does not say from where it goes on, or asks for it.
func (s *stream) begin() bool {
	initial := s.r.URL.Query().Get("sendInitialEvents") == "true"
	if s.version != 0 && !initial {
		return s.flush()
	}
	objects, version := s.snapshot(s.match)
	for _, obj := range objects {
		if !s.send(watch.Added, s.shape(obj)) {
			return false
		}
	}
	s.version = version
	if !initial {
		return s.flush()
	}
	mark := &unstructured.Unstructured{Object: map[string]any{}}
	mark.SetGroupVersionKind(s.kind.gvk)
	mark.SetResourceVersion(strconv.FormatInt(version, 10))
	mark.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return s.send(watch.Bookmark, s.shape(mark)) && s.flush()
}

// next sends what has changed and returns a channel that is closed when there is more, or nil when it is over.
func (s *stream) next() <-chan struct{} {
	changes, until, more, ok := s.store.since(s.resource(), s.version)
	if !ok {
		gone := apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d", s.version)).ErrStatus
		gone.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		s.send(watch.Error, gone)
		return nil
	}
	for _, c := range changes {
		event, visible := c.event(s.match)
		if visible && !s.send(event, s.shape(c.last)) {
			return nil
		}
	}
	s.version = until
	if !s.flush() || s.findKind() != nil {
		return nil
	}
	return more
}

func (s *stream) send(event watch.EventType, object any) bool {
	frame, err := json.Marshal(map[string]any{"type": event, "object": object})
	if err != nil {
		return false
	}
	_, err = s.w.Write(append(frame, '\n'))
	return err == nil
}

func (s *stream) flush() bool { return http.NewResponseController(s.w).Flush() == nil }
