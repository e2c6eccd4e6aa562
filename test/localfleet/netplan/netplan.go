// Package netplan divides 10.M.0.0/16, and its answering twin 127.M.0.0/16, among the clusters of one local fleet.
//
// Kubernetes refuses loopback addresses in endpoints, and nothing on this machine answers 10.M.x.y. So objects carry
// 10.M.x.y and the listeners stand on 127.M.x.y; everything but the first octet is equal.
package netplan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
)

const (
	// MaxClusters is how many clusters (the hub included) one fleet can have: each takes 16 of the 256 values of x.
	MaxClusters = 16

	// API servers listen on the first of these ports that is free: firstAPIPort, and steps beyond it. Each has an address
	// of its own, but a server of this machine that listens on all addresses is in their way.
	firstAPIPort, apiPortStep, apiPorts = 6443, 1000, 20

	firstM, lastM  = 2, 254 // 127.0 and 127.1 stay free for everything else on the machine
	clusterStride  = 16
	firstNodeHost  = 3
	firstPodOffset = 16
)

// Plan is the share of one fleet instance.
type Plan struct {
	M       byte
	APIPort uint16 // of every API server of the fleet
}

// Claim finds an M that no other fleet on this machine uses and keeps it until the returned release is called or the
// process ends. The claim is an abstract unix socket: its names are unique in exactly the scope in which 127.M is
// shared (the network namespace), and the kernel takes it back however the owner dies.
func Claim() (plan Plan, release func() error, err error) {
	for m := firstM; m <= lastM; m++ {
		l, err := net.Listen("unix", fmt.Sprintf("@gitfleet-localfleet/127.%d", m))
		if err != nil {
			continue
		}
		plan := Plan{M: byte(m)}
		if plan.APIPort, err = freePort(plan.addr(127, 0, 1)); err != nil {
			return Plan{}, nil, errors.Join(err, l.Close())
		}
		return plan, l.Close, nil
	}
	return Plan{}, nil, errors.New("every range 127.2 to 127.254 is claimed by a local fleet: stop one with `localfleet down`")
}

func freePort(a netip.Addr) (uint16, error) {
	var last error
	for i := range uint16(apiPorts) {
		port := firstAPIPort + i*apiPortStep
		l, err := net.Listen("tcp", netip.AddrPortFrom(a, port).String())
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("no free port for API servers among %d from %d: %w", apiPorts, firstAPIPort, last)
}

// API returns where cluster i's API server listens, on a loopback address.
func (p Plan) API(i int) netip.AddrPort { return netip.AddrPortFrom(p.addr(127, i, 1), p.APIPort) }

// Advertised returns the address of cluster i's API server as its own objects show it (10.M.x.1).
func (p Plan) Advertised(i int) netip.Addr { return p.addr(10, i, 1) }

// Node returns the address of node n (from 0) of cluster i. It is a loopback address, unlike those of pods, so that an
// API server asked for logs can not send a packet to whoever owns 10/8 around this machine.
func (p Plan) Node(i, n int) netip.Addr { return p.addr(127, i, byte(firstNodeHost+n)) }

// Fleet returns the range in which all pod addresses of all clusters lie (10.M.0.0/16).
func (p Plan) Fleet() netip.Prefix { return netip.PrefixFrom(p.addr(10, 0, 0), 16) }

// Pods returns the range of cluster i's pods (10.M.x.0/21). Its first addresses are not for pods: see FirstPod.
func (p Plan) Pods(i int) netip.Prefix { return netip.PrefixFrom(p.addr(10, i, 0), 21) }

// LoadBalancers returns the range of addresses for cluster i's Services of type LoadBalancer: what pods leave of its 16 values of x.
func (p Plan) LoadBalancers(i int) netip.Prefix {
	a := p.addr(10, i, 0).As4()
	a[2] += clusterStride / 2
	return netip.PrefixFrom(netip.AddrFrom4(a), 21)
}

// FirstPod returns the lowest address of cluster i that a pod may get.
func (p Plan) FirstPod(i int) netip.Addr { return p.addr(10, i, firstPodOffset) }

func (p Plan) addr(first byte, i int, host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{first, p.M, byte(i * clusterStride), host})
}

// Loopback returns the address on which a pod with address a is answered: 10.M.x.y becomes 127.M.x.y.
func Loopback(a netip.Addr) netip.Addr {
	b := a.As4()
	b[0] = 127
	return netip.AddrFrom4(b)
}
