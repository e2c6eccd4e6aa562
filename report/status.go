package report

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gitfleet/gitfleet/api"
	"github.com/gitfleet/gitfleet/api/placement/v1beta1"
	"github.com/gitfleet/gitfleet/apply"
)

// Limits of upstream's API for one cluster: objects in each of its lists, and fields of one drifted object.
const (
	maxListed = 100
	maxDrifts = 100
)

// driftShown is how long an object is told as drifted after it was put back. Upstream shows what differs now; gitfleet puts
// that back at once, and a list that is empty a second later would tell nobody.
const driftShown = time.Hour

// Status returns the status that users of KubeFleet know, from p's conditions and the rest of it. drift is the Report's.
// There is no observedResourceIndex: it numbers snapshots, and gitfleet keeps none.
func (p Placement) Status(drift []Drift, now time.Time) v1beta1.PlacementStatus {
	s := v1beta1.PlacementStatus{SelectedResources: slices.Clone(p.Resources), Conditions: slices.Clone(p.Conditions)}
	if p.Err == "" && !p.decided() {
		return s
	}
	ids := p.identifiers()
	for _, c := range p.byName() {
		conditions := c.Conditions
		if len(conditions) == 0 {
			conditions = ClusterConditions(p, c, nil, now)
		}
		s.PlacementStatuses = append(s.PlacementStatuses, v1beta1.ClusterStatus{
			ClusterName:       c.Cluster,
			Conditions:        slices.Clone(conditions),
			FailedPlacements:  c.failed(ids, conditions, p.Generation, now),
			DriftedPlacements: p.drifted(drift, c.Cluster, ids, now),
		})
	}
	for range p.Decision.Unfilled {
		s.PlacementStatuses = append(s.PlacementStatuses, v1beta1.ClusterStatus{
			Conditions: ClusterConditions(p, PlacementOnCluster{}, nil, now),
		})
	}
	return s
}

// byName returns what is known of each selected cluster, by its name.
func (p Placement) byName() []PlacementOnCluster {
	clusters := p.selectedClusters()
	slices.SortFunc(clusters, func(a, b PlacementOnCluster) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return clusters
}

// identifiers returns p's resources by what they name.
func (p Placement) identifiers() map[api.Ref]v1beta1.ResourceIdentifier {
	ids := make(map[api.Ref]v1beta1.ResourceIdentifier, len(p.Resources))
	for _, id := range p.Resources {
		ids[refOf(id)] = id
	}
	return ids
}

func refOf(id v1beta1.ResourceIdentifier) api.Ref {
	return api.Ref{Group: id.Group, Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}

// identify names what ref does as upstream would. What is not selected any more has no version.
func identify(ref api.Ref, ids map[api.Ref]v1beta1.ResourceIdentifier) v1beta1.ResourceIdentifier {
	if id, ok := ids[ref]; ok {
		return id
	}
	return v1beta1.ResourceIdentifier{Group: ref.Group, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}
}

// Upstream's reasons for an object that is not applied or not available.
const (
	applyFailed   = "ManifestApplyFailed"
	decodingErred = "DecodingErred" // the member does not serve the kind
	healthFailed  = "Failed"
	notAvailable  = "ManifestNotAvailableYet"
)

// AppliedReason returns upstream's word for why an object could not be applied; "" for no error.
func AppliedReason(err error) string {
	var kind *meta.NoKindMatchError
	var resource *meta.NoResourceMatchError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &kind), errors.As(err, &resource):
		return decodingErred
	}
	return applyFailed
}

// failed returns the objects that need somebody, the worst first: those that could not be applied, then, where the cluster as
// a whole is known not to be healthy, those that are not available. What is not known has not failed. Where applying failed
// as a whole, every object that is not in place failed with it. conditions are those of c, for the times.
func (c PlacementOnCluster) failed(ids map[api.Ref]v1beta1.ResourceIdentifier, conditions []metav1.Condition, generation int64,
	now time.Time) []v1beta1.FailedResourcePlacement {
	whole := !slices.ContainsFunc(c.Objects, func(o PlacedObject) bool { return o.Error != "" })
	var list []v1beta1.FailedResourcePlacement
	for _, o := range c.Objects {
		kind, reason, message := c.fault(o, whole)
		if kind == "" {
			continue
		}
		since := second(now)
		if of := meta.FindStatusCondition(conditions, kind); of != nil && of.Status == metav1.ConditionFalse {
			since = of.LastTransitionTime
		}
		list = append(list, v1beta1.FailedResourcePlacement{
			ResourceIdentifier: identify(o.Ref, ids),
			Condition: metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: reason, Message: shorten(message, longestOfObject),
				ObservedGeneration: generation, LastTransitionTime: since},
		})
	}
	slices.SortStableFunc(list, func(a, b v1beta1.FailedResourcePlacement) int { return severity(a) - severity(b) })
	return list[:min(len(list), maxListed)]
}

// longestOfObject bounds the message about one object, of which a status holds many.
const longestOfObject = 1000

func severity(f v1beta1.FailedResourcePlacement) int {
	switch {
	case f.Condition.Type == applied:
		return 0
	case f.Condition.Reason == healthFailed:
		return 1
	}
	return 2
}

// fault tells which condition of o is False and why; kind is empty when none is. whole tells that no object of c has an error
// of its own.
func (c PlacementOnCluster) fault(o PlacedObject, whole bool) (kind, reason, message string) {
	switch {
	case o.Error != "":
		return applied, cmp.Or(o.Reason, applyFailed), o.Error
	case whole && statusOf(c.Applied) == metav1.ConditionFalse && statusOf(o.Applied) == metav1.ConditionFalse && o.Wait == "":
		return applied, applyFailed, c.Message
	case statusOf(c.Healthy) != metav1.ConditionFalse || o.Health.Status == apply.Current || o.Health.Status == apply.Unknown:
		return "", "", ""
	case o.Health.Status == apply.Failed:
		return available, healthFailed, o.Health.Message
	}
	return available, notAvailable, o.Health.Message
}

// drifted returns what was lately put back on a cluster, as upstream tells drift. There are no values: drift is never
// remembered with any. Nor is the object's generation on the member known.
func (p Placement) drifted(drift []Drift, cluster string, ids map[api.Ref]v1beta1.ResourceIdentifier, now time.Time) []v1beta1.DriftedResourcePlacement {
	var list []v1beta1.DriftedResourcePlacement
	for _, d := range drift {
		if d.Placement != p.Key() || d.Cluster != cluster || now.Sub(d.Time) >= driftShown || len(list) == maxListed {
			continue
		}
		told := v1beta1.DriftedResourcePlacement{ResourceIdentifier: identify(d.Ref, ids),
			ObservationTime: second(d.Time), FirstDriftedObservedTime: second(cmp.Or(d.First, d.Time))}
		for _, f := range d.Fields[:min(len(d.Fields), maxDrifts)] {
			told.ObservedDrifts = append(told.ObservedDrifts, v1beta1.PatchDetail{Path: pointer(f.Path)})
		}
		if len(d.Fields) == 0 {
			told.ObservedDrifts = []v1beta1.PatchDetail{{Path: "/"}} // the whole object
		}
		list = append(list, told)
	}
	return list
}

// second is t as an API server stores it.
func second(t time.Time) metav1.Time { return metav1.NewTime(t.Truncate(time.Second)) }

// mapFields are fields whose keys people choose, so that what follows is one key, however many dots it has.
var mapFields = []string{"annotations", "binaryData", "data", "hard", "labels", "limits", "matchLabels", "nodeSelector", "requests", "stringData"}

// pointer writes the path of a field, ".spec.ports[port=80].name", as a JSON pointer: "/spec/ports/[port=80]/name". What names
// an element of a list stays: where in the list it was does not say which it is.
func pointer(path string) string {
	var b strings.Builder
	for last := ""; path != ""; {
		if path[0] == '[' {
			last, path = cutElement(path)
		} else {
			last, path = cutField(strings.TrimPrefix(path, "."), slices.Contains(mapFields, last))
		}
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(last))
	}
	return b.String()
}

// cutField splits "ports[port=80].name" after the first field; a key of a map is all there is.
func cutField(path string, isKey bool) (field, rest string) {
	end := strings.IndexAny(path, ".[")
	if isKey || end < 0 {
		return path, ""
	}
	return path[:end], path[end:]
}

// cutElement splits "[name=\"a]b\"].image" after the bracket that closes the first one; quoted text may hold others.
func cutElement(path string) (element, rest string) {
	quoted := false
	for i := 0; i < len(path); i++ {
		switch {
		case quoted && path[i] == '\\':
			i++
		case path[i] == '"':
			quoted = !quoted
		case path[i] == ']' && !quoted:
			return path[:i+1], path[i+1:]
		}
	}
	return path, ""
}
