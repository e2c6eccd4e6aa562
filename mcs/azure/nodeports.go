package azure

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/gitfleet/gitfleet/mcs"
)

// The range from which API servers give node ports unless told otherwise. They give those from nodePortsDynamic on to who names none
// before any below it (KEP-3668), so that ports that are named are least likely to be taken there.
const (
	nodePortsFirst   = 30000
	nodePortsDynamic = 30086
	nodePortsLast    = 32767
)

// taken are the node ports that Services of load balancers have or are about to have in any member.
type taken map[int32]bool

func takenPorts(r mcs.Resolution) taken {
	t := taken{}
	for cluster := range r.Members {
		for _, d := range r.Balancers(cluster) {
			t[d.HealthCheckNodePort] = true
			for _, n := range d.NodePorts {
				t[n] = true
			}
		}
	}
	return t
}

// choose returns one node port for what Service key needs one for, the same in all members: the one that a member has for it, by the
// order of their names, or one that is free as far as is known. Where another Service of a member has it, the API server there says so.
func (t taken) choose(r mcs.Resolution, key mcs.Key, what string, has func(mcs.DerivedService) int32) int32 {
	for _, cluster := range slices.Sorted(maps.Keys(r.Members)) {
		if d, ok := r.Derived(cluster, key); ok && has(d) > 0 {
			return has(d)
		}
	}
	for _, band := range [][2]int32{{nodePortsFirst, nodePortsDynamic - 1}, {nodePortsDynamic, nodePortsLast}} {
		size := band[1] - band[0] + 1
		start := hash(key.String()+"/"+what) % size
		for i := range size {
			if n := band[0] + (start+i)%size; !t[n] {
				t[n] = true
				return n
			}
		}
	}
	return 0 // all are taken: the API server gives one, if it has any
}

// hash is a number from 0 on that depends on text alone.
func hash(text string) int32 {
	var n uint32
	for _, c := range []byte(digest(7, text)) {
		n = n*31 + uint32(c)
	}
	return int32(n >> 1)
}

// nodePortOf returns the node port that d has for p; 0 when it has none.
func nodePortOf(d *mcs.DerivedService, p mcs.Port) int32 {
	for i, have := range d.Ports {
		if i < len(d.NodePorts) && have.Port == p.Port && protocolName(have) == protocolName(p) {
			return d.NodePorts[i]
		}
	}
	return 0
}

func protocolName(p mcs.Port) corev1.Protocol {
	if p.Protocol == "" {
		return corev1.ProtocolTCP
	}
	return p.Protocol
}
