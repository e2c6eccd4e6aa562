package apply

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// gatewayGroup is that of the Gateway API, whose conditions are described at
// https://gateway-api.sigs.k8s.io/geps/gep-1364/: Accepted says that a controller can work with the object, Programmed that
// the data path follows it. What no controller takes up stays "Unknown: Pending".
const gatewayGroup = "gateway.networking.k8s.io"

// gatewayKind is a kind of the Gateway API.
func gatewayKind(kind string) schema.GroupKind {
	return schema.GroupKind{Group: gatewayGroup, Kind: kind}
}

// gatewayHealth wants a Gateway to be accepted and programmed.
func gatewayHealth(u *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	return allTrue(u, conditions, "Accepted", "Programmed")
}

// gatewayClassHealth wants a controller for the class.
func gatewayClassHealth(u *unstructured.Unstructured, conditions map[string]condition, _ time.Time) Health {
	return allTrue(u, conditions, "Accepted")
}

// routeHealth wants every parent of a route to have accepted it, with all that it refers to.
func routeHealth(u *unstructured.Unstructured, _ map[string]condition, _ time.Time) Health {
	parents, _, err := unstructured.NestedSlice(u.Object, "status", "parents")
	if err != nil || len(parents) == 0 {
		return inProgress("no parent has accepted the route yet")
	}
	for i, e := range parents {
		parent, ok := e.(map[string]any)
		if !ok {
			continue
		}
		list, _, _ := unstructured.NestedSlice(parent, "conditions") // none where it is no list
		conditions := readConditions(list)
		h := allTrue(u, conditions, "Accepted", "ResolvedRefs")
		if h.Status == Current {
			continue
		}
		name, _, _ := unstructured.NestedString(parent, "parentRef", "name")
		h.Message = fmt.Sprintf("parent %d (%s): %s", i+1, name, h.Message)
		return h
	}
	return current()
}

// allTrue wants conditions to be True for the object's present generation.
func allTrue(u *unstructured.Unstructured, conditions map[string]condition, types ...string) Health {
	for _, t := range types {
		c, ok := conditions[t]
		switch {
		case !ok:
			return inProgress("%s is not told yet", t)
		case c.Generation != 0 && c.Generation < u.GetGeneration():
			return inProgress("%s is told of generation %d, not yet of %d", t, c.Generation, u.GetGeneration())
		case c.Status != "True":
			return inProgress("not %s: %s", t, joinReason(c.Reason, c.Message))
		}
	}
	return current()
}
