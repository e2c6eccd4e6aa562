package azure

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/arm"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gitfleet/gitfleet/mcs"
)

// Config is the provider file: where load balancers are made, and where members lie. docs/azure.md describes every field.
type Config struct {
	// Fleet is part of every name and of every owner tag. Two fleets that share a resource group differ in it.
	Fleet         string `json:"fleet"`
	Subscription  string `json:"subscription"`
	ResourceGroup string `json:"resourceGroup"` // of its own: never that of a cluster
	// GlobalRegion is where load balancers of tier Global are made, which services of several networks need.
	GlobalRegion string `json:"globalRegion,omitempty"`
	Mode         Mode   `json:"mode,omitempty"`
	// Drain is how long connections to what is taken out may go on.
	Drain metav1.Duration `json:"drain,omitempty"`
	// Zones are those that public addresses of a region are made in; none makes them non-zonal.
	Zones   map[string][]string       `json:"zones,omitempty"`
	Members map[string]MemberLocation `json:"members,omitempty"`
	// SecurityRulePriorities is the range from which rules in network security groups get theirs, both ends included.
	SecurityRulePriorities [2]int32 `json:"securityRulePriorities,omitempty"`
}

// MemberLocation is where one member lies. What is not set is read from its MemberCluster.
type MemberLocation struct {
	Region         string `json:"region,omitempty"`
	VirtualNetwork string `json:"virtualNetwork,omitempty"` // ID
	// Subnet is where internal load balancers get their addresses: a name in VirtualNetwork, or an ID.
	Subnet string `json:"subnet,omitempty"`
	// NetworkSecurityGroup is one in which gitfleet may write rules that let clients in: an ID.
	NetworkSecurityGroup string `json:"networkSecurityGroup,omitempty"`
	// PodNetwork "flat" tells that pods have addresses of VirtualNetwork, which mode pod needs.
	PodNetwork string `json:"podNetwork,omitempty"`
}

// Labels and annotations of a MemberCluster that say where it lies. The label is the one that Azure Kubernetes Fleet Manager sets.
const (
	LabelLocation            = "fleet.azure.com/location"
	AnnotationRegion         = "azure.gitfleet.dev/region"
	AnnotationVirtualNetwork = "azure.gitfleet.dev/virtual-network"
	AnnotationSubnet         = "azure.gitfleet.dev/subnet"
)

// Mode is how connections get from a load balancer to pods.
type Mode string

// The modes.
const (
	// ModeVIP hands nodes the packets as clients sent them; a Service on each member makes its nodes know the address.
	ModeVIP Mode = "vip"
	// ModeNodePort sends to one node port that is the same in all members.
	ModeNodePort Mode = "nodePort"
	// ModePod sends to pods. It is experimental: Azure does not promise that it works.
	ModePod Mode = "pod"
)

// Defaults of Config.
const defaultDrain = 30 * time.Second

var (
	defaultPriorities = [2]int32{2000, 2999}
	fleetName         = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,22}[a-z0-9])?$`)
	subscriptionID    = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// ReadConfig reads a provider file. The error names the file and the field.
func ReadConfig(file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, err
	}
	c, err := ParseConfig(data)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// ParseConfig reads the YAML of a provider file; a field that does not exist is an error.
func ParseConfig(data []byte) (Config, error) {
	var c Config
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return Config{}, errors.New(strings.TrimPrefix(err.Error(), "error unmarshaling JSON: while decoding JSON: json: "))
	}
	c.Mode = cmp.Or(c.Mode, ModeVIP)
	c.Drain.Duration = cmp.Or(c.Drain.Duration, defaultDrain)
	if c.SecurityRulePriorities == [2]int32{} {
		c.SecurityRulePriorities = defaultPriorities
	}
	return c, c.validate()
}

func (c Config) validate() error {
	switch p := c.SecurityRulePriorities; {
	case !fleetName.MatchString(c.Fleet):
		return fmt.Errorf("fleet: %q: want 1 to 24 lowercase letters, digits and hyphens", c.Fleet)
	case !subscriptionID.MatchString(c.Subscription):
		return fmt.Errorf("subscription: %q: want the ID of the subscription for load balancers, as az account show prints it", c.Subscription)
	case c.ResourceGroup == "":
		return fmt.Errorf("resourceGroup: missing: name a resource group that is for gitfleet alone")
	case strings.HasPrefix(strings.ToLower(c.ResourceGroup), "mc_"):
		return fmt.Errorf("resourceGroup: %s belongs to a cluster, which takes away what it does not know: name one that is for gitfleet alone", c.ResourceGroup)
	case !slices.Contains([]Mode{ModeVIP, ModeNodePort, ModePod}, c.Mode):
		return fmt.Errorf("mode: %q: want %s, %s or %s", c.Mode, ModeVIP, ModeNodePort, ModePod)
	case c.Drain.Duration < 0:
		return fmt.Errorf("drain: %s: must not be negative", c.Drain.Duration)
	case p[0] < 100 || p[1] > 4096 || p[0] > p[1]:
		return fmt.Errorf("securityRulePriorities: [%d, %d]: want a range within 100 to 4096", p[0], p[1])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Members)) {
		if err := c.Members[name].validate(); err != nil {
			return fmt.Errorf("members.%s.%w", name, err)
		}
	}
	return nil
}

func (l MemberLocation) validate() error {
	for _, f := range []struct{ field, id, want string }{
		{"virtualNetwork", l.VirtualNetwork, "virtualNetworks"},
		{"networkSecurityGroup", l.NetworkSecurityGroup, "networkSecurityGroups"},
	} {
		if err := checkID(f.id, f.want); err != nil {
			return fmt.Errorf("%s: %w", f.field, err)
		}
	}
	if strings.Contains(l.Subnet, "/") {
		if err := checkID(l.Subnet, "virtualNetworks/subnets"); err != nil {
			return fmt.Errorf("subnet: %w", err)
		}
	}
	if l.PodNetwork != "" && l.PodNetwork != "flat" {
		return fmt.Errorf("podNetwork: %q: want flat, or leave it out", l.PodNetwork)
	}
	return nil
}

// checkID wants the ID of a Microsoft.Network resource of that type, or nothing.
func checkID(id, resource string) error {
	if id == "" {
		return nil
	}
	parsed, err := arm.ParseResourceID(id)
	if err != nil || !same(parsed.ResourceType.String(), "Microsoft.Network/"+resource) || parsed.SubscriptionID == "" || parsed.ResourceGroupName == "" {
		return fmt.Errorf("%q: want /subscriptions/ID/resourceGroups/NAME/providers/Microsoft.Network/%s/NAME", id, resource)
	}
	return nil
}

// locate tells where a member lies, or why that is not known.
func (c Config) locate(m mcs.Member) (MemberLocation, error) {
	l := c.Members[m.Name]
	l.Region = strings.ToLower(cmp.Or(l.Region, m.Annotations[AnnotationRegion], m.Labels[LabelLocation]))
	l.VirtualNetwork = cmp.Or(l.VirtualNetwork, m.Annotations[AnnotationVirtualNetwork])
	l.Subnet = cmp.Or(l.Subnet, m.Annotations[AnnotationSubnet])
	if l.Region == "" {
		return l, fmt.Errorf("where member %s lies is not known: give its MemberCluster the label %s, or set members.%s.region in the provider file", m.Name, LabelLocation, m.Name)
	}
	if l.VirtualNetwork == "" {
		return l, fmt.Errorf("the virtual network of member %s is not known: give its MemberCluster the annotation %s, or set members.%s.virtualNetwork in the provider file",
			m.Name, AnnotationVirtualNetwork, m.Name)
	}
	if l.VirtualNetwork != c.Members[m.Name].VirtualNetwork || l.Subnet != c.Members[m.Name].Subnet { // else it was checked when the file was read
		if err := l.validate(); err != nil {
			return l, fmt.Errorf("MemberCluster %s: %w", m.Name, err)
		}
	}
	if l.Subnet != "" && !strings.Contains(l.Subnet, "/") {
		l.Subnet = l.VirtualNetwork + "/subnets/" + l.Subnet
	}
	return l, nil
}

// securityGroups are all in which rules may have been written.
func (c Config) securityGroups() []string {
	ids := map[string]string{}
	for _, l := range c.Members {
		if l.NetworkSecurityGroup != "" {
			ids[at(l.NetworkSecurityGroup)] = l.NetworkSecurityGroup
		}
	}
	return slices.Sorted(maps.Values(ids))
}

// id returns the ID of a resource of Microsoft.Network in a resource group of the fleet's subscription.
func (c Config) id(group, kind, name string) string {
	return fmt.Sprintf("/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Network/%s/%s", c.Subscription, cmp.Or(group, c.ResourceGroup), kind, name)
}

// first4 is the first IPv4 address of a node.
func first4(n mcs.Node) (netip.Addr, bool) {
	i := slices.IndexFunc(n.Addresses, netip.Addr.Is4)
	if i < 0 {
		return netip.Addr{}, false
	}
	return n.Addresses[i], true
}
