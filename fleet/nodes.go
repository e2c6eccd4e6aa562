package fleet

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Node is what is kept of a node besides its size.
type Node struct {
	Name      string
	Addresses []netip.Addr // its internal ones, in its order
	// Excluded tells that load balancers are to pass it over: it has the label node.kubernetes.io/exclude-from-external-load-balancers,
	// or an autoscaler is about to take it away.
	Excluded bool
}

// taintLeaving is what the cluster autoscaler puts on a node that it is about to take away.
const taintLeaving = "ToBeDeletedByClusterAutoscaler"

// Nodes returns the nodes of the member by name, as last seen: none until they were listed for the first time.
func (s *Session) Nodes() []Node {
	var out []Node
	for _, kept := range s.nodes.Objects() {
		out = append(out, kept.(node).Node)
	}
	slices.SortFunc(out, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// node is all that is kept of one.
type node struct {
	nodeSize
	Node
}

func (s *Session) watchNodes() *Watch {
	w := s.newWatch(WatchSpec{Key: "fleet/nodes", Resource: schema.GroupVersionResource{Version: "v1", Resource: "nodes"}, Reduce: reduceNode})
	w.builtin = true
	return w
}

func reduceNode(u *unstructured.Unstructured) any {
	n := node{nodeSize: nodeSize{shareOf(u.Object, "status", "capacity"), shareOf(u.Object, "status", "allocatable")}, Node: Node{Name: u.GetName()}}
	_, n.Excluded = u.GetLabels()[corev1.LabelNodeExcludeBalancers]
	taints, _, _ := unstructured.NestedSlice(u.Object, "spec", "taints")
	for _, t := range taints {
		if taint, ok := t.(map[string]any); ok && taint["key"] == taintLeaving {
			n.Excluded = true
		}
	}
	addresses, _, _ := unstructured.NestedSlice(u.Object, "status", "addresses")
	for _, a := range addresses {
		fields, ok := a.(map[string]any)
		if !ok || fields["type"] != string(corev1.NodeInternalIP) {
			continue
		}
		text, _ := fields["address"].(string)
		if address, err := netip.ParseAddr(text); err == nil {
			n.Addresses = append(n.Addresses, address)
		}
	}
	return n
}
