package azure

import (
	"net/netip"
	"slices"
	"strings"
)

// The values below are what gitfleet writes of Azure's resources and compares, with every default spelled out. Lists are sorted by
// name; IDs compare without regard to case, as ARM treats them.

// loadBalancer is a load balancer of SKU Standard.
type loadBalancer struct {
	ID        string
	Region    string
	Global    bool // of tier Global, in front of regional frontends
	Tags      map[string]string
	Frontends []frontend
	Pools     []pool
	Probes    []probe
	Rules     []rule

	// Only of what was found.
	ETag    string
	State   string   // provisioningState
	Strange []string // what it has and gitfleet never writes
	Mine    bool     // its tags say that it is this fleet's
}

// frontend is a public IP address, or an address in a subnet.
type frontend struct {
	Name     string
	PublicIP string // ID
	Subnet   string // ID
	// Address is the one asked for in Subnet; when that is not valid Azure chooses. Of what was found it is the one there is.
	Address netip.Addr
	Static  bool // Address was asked for
}

// pool is where rules send connections to: addresses of one network, or frontends of regional load balancers.
type pool struct {
	Name     string
	Network  string // ID; empty for tier Global
	Manual   bool   // syncMode Manual, which pools need whose network is in another subscription
	Backends []backend
}

// backend is one address of a pool, by the name that backendName gives.
type backend struct {
	Name     string
	Address  netip.Addr
	Frontend string // ID, for tier Global
	Down     bool   // takes no new connection
}

type probe struct {
	Name      string
	Protocol  string // Tcp, Http, Https
	Port      int32
	Path      string
	Interval  int32 // seconds
	Threshold int32
}

type rule struct {
	Name         string
	Frontend     string // name
	Pool         string // name
	Probe        string // name; empty for none
	Protocol     string // Tcp, Udp, All
	FrontendPort int32
	BackendPort  int32
	FloatingIP   bool
	Reset        bool  // tells clients when an idle connection ends
	Idle         int32 // minutes
	Distribution string
}

// publicIP is a static address of SKU Standard.
type publicIP struct {
	ID     string
	Region string
	Global bool
	Tags   map[string]string
	Zones  []string
	Prefix string // ID
	IPTags []ipTag
	Label  string // the first part of its name in DNS
	// AnyLabel leaves the label as it is.
	AnyLabel bool

	// Only of what was found.
	ETag    string
	State   string
	Address netip.Addr
	FQDN    string
	Mine    bool
}

type ipTag struct{ Type, Tag string }

// securityRule lets clients in, or keeps them out.
type securityRule struct {
	Group       string // ID of the network security group
	Name        string
	Description string // says whose it is: rules have no tags
	Deny        bool
	Protocol    string // Tcp, Udp, *
	Sources     []string
	Destination []string
	Ports       []string
	Priority    int32 // found, or given when it is written
}

// securityGroup is all of a network security group.
type securityGroup struct {
	ID    string
	ETag  string
	State string
	Rules []securityRule // also those of others
}

// Provisioning states in which a resource may be written.
const (
	stateSucceeded = "Succeeded"
	stateFailed    = "Failed"
	stateCanceled  = "Canceled"
)

// settled tells whether nothing is being done to a resource in that state.
func settled(state string) bool {
	return state == stateSucceeded || state == stateFailed || state == stateCanceled
}

func same(a, b string) bool { return strings.EqualFold(a, b) }

// at is the index under which a resource of that ID is kept.
func at(id string) string { return strings.ToLower(id) }

// lastOf returns the last segment of an ID: the name.
func lastOf(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }

// backendName tells whose an address is: of which cluster, or of which place for tier Global.
func backendName(owner, text string) string { return owner + "_" + text }

// ownerOf is the reverse of backendName.
func ownerOf(name string) string {
	owner, _, _ := strings.Cut(name, "_")
	return owner
}

// found is what stands of one service, by at(ID).
type found struct {
	LBs map[string]loadBalancer
	IPs map[string]publicIP // also those that users brought, which are not ours
}

func newFound() found {
	return found{LBs: map[string]loadBalancer{}, IPs: map[string]publicIP{}}
}

func (f found) clone() found {
	out := found{LBs: make(map[string]loadBalancer, len(f.LBs)), IPs: make(map[string]publicIP, len(f.IPs))}
	for id, lb := range f.LBs {
		out.LBs[id] = lb
	}
	for id, ip := range f.IPs {
		out.IPs[id] = ip
	}
	return out
}

// withoutETags is f for those who decide and do not write: an ETag changes with things that are of no interest to them.
func (f found) withoutETags() found {
	out := f.clone()
	for id, lb := range out.LBs {
		lb.ETag = ""
		out.LBs[id] = lb
	}
	for id, ip := range out.IPs {
		ip.ETag = ""
		out.IPs[id] = ip
	}
	return out
}

// has tells whether nodes of a cluster are in a pool.
func (f found) has(cluster string) bool {
	for _, lb := range f.LBs {
		for _, to := range lb.Pools {
			if lb.Mine && slices.ContainsFunc(to.Backends, func(b backend) bool { return ownerOf(b.Name) == cluster }) {
				return true
			}
		}
	}
	return false
}

// states are the provisioning states of what is ours, by at(ID).
func (f found) states() map[string]string {
	out := map[string]string{}
	for id, lb := range f.LBs {
		if lb.Mine {
			out[id] = lb.State
		}
	}
	for id, ip := range f.IPs {
		if ip.Mine {
			out[id] = ip.State
		}
	}
	return out
}

// address returns where a frontend is reached, if it has an address yet.
func (f found) address(fe frontend) netip.Addr {
	if fe.PublicIP != "" {
		return f.IPs[at(fe.PublicIP)].Address
	}
	return fe.Address
}

// addresses are those of all frontends of a load balancer that stands.
func (f found) addresses(id string) []netip.Addr {
	var out []netip.Addr
	for _, fe := range f.LBs[at(id)].Frontends {
		if a := f.address(fe); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func (lb loadBalancer) pool(name string) (pool, bool) {
	i := slices.IndexFunc(lb.Pools, func(p pool) bool { return same(p.Name, name) })
	if i < 0 {
		return pool{}, false
	}
	return lb.Pools[i], true
}
