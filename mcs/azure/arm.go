package azure

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/network/armnetwork/v9"
)

// This file translates between the values of model.go and those of the SDK. Every field that matters is written, whatever its default is:
// a PUT replaces all of a resource.

func (lb loadBalancer) toARM() armnetwork.LoadBalancer {
	tier := armnetwork.LoadBalancerSKUTierRegional
	if lb.Global {
		tier = armnetwork.LoadBalancerSKUTierGlobal
	}
	p := &armnetwork.LoadBalancerPropertiesFormat{}
	for _, f := range lb.Frontends {
		p.FrontendIPConfigurations = append(p.FrontendIPConfigurations, f.toARM())
	}
	for _, to := range lb.Pools {
		p.BackendAddressPools = append(p.BackendAddressPools, to.toARM())
	}
	for _, x := range lb.Probes {
		p.Probes = append(p.Probes, x.toARM())
	}
	for _, r := range lb.Rules {
		p.LoadBalancingRules = append(p.LoadBalancingRules, r.toARM(lb.ID))
	}
	return armnetwork.LoadBalancer{Location: &lb.Region, Tags: pointers(lb.Tags), Properties: p,
		SKU: &armnetwork.LoadBalancerSKU{Name: new(armnetwork.LoadBalancerSKUNameStandard), Tier: &tier}}
}

func (f frontend) toARM() *armnetwork.FrontendIPConfiguration {
	p := &armnetwork.FrontendIPConfigurationPropertiesFormat{}
	if f.PublicIP != "" {
		p.PublicIPAddress = &armnetwork.PublicIPAddress{ID: &f.PublicIP}
	} else {
		p.Subnet = &armnetwork.Subnet{ID: &f.Subnet}
		p.PrivateIPAddressVersion = new(armnetwork.IPVersionIPv4)
		p.PrivateIPAllocationMethod = new(armnetwork.IPAllocationMethodDynamic)
		if f.Static {
			p.PrivateIPAllocationMethod, p.PrivateIPAddress = new(armnetwork.IPAllocationMethodStatic), new(f.Address.String())
		}
	}
	return &armnetwork.FrontendIPConfiguration{Name: &f.Name, Properties: p}
}

func (to pool) toARM() *armnetwork.BackendAddressPool {
	p := &armnetwork.BackendAddressPoolPropertiesFormat{LoadBalancerBackendAddresses: []*armnetwork.LoadBalancerBackendAddress{}}
	if to.Network != "" {
		p.VirtualNetwork = &armnetwork.SubResource{ID: &to.Network}
	}
	if to.Manual {
		p.SyncMode = new(armnetwork.SyncModeManual)
	}
	for _, b := range to.Backends {
		a := &armnetwork.LoadBalancerBackendAddressPropertiesFormat{}
		if b.Frontend != "" {
			a.LoadBalancerFrontendIPConfiguration = &armnetwork.SubResource{ID: &b.Frontend}
		} else {
			state := armnetwork.LoadBalancerBackendAddressAdminStateNone
			if b.Down {
				state = armnetwork.LoadBalancerBackendAddressAdminStateDown
			}
			a.IPAddress, a.AdminState = new(b.Address.String()), &state
		}
		p.LoadBalancerBackendAddresses = append(p.LoadBalancerBackendAddresses, &armnetwork.LoadBalancerBackendAddress{Name: &b.Name, Properties: a})
	}
	return &armnetwork.BackendAddressPool{Name: &to.Name, Properties: p}
}

func (x probe) toARM() *armnetwork.Probe {
	p := &armnetwork.ProbePropertiesFormat{Protocol: new(armnetwork.ProbeProtocol(x.Protocol)), Port: &x.Port,
		// probeThreshold is the one that works; numberOfProbes is required besides and has no effect.
		IntervalInSeconds: &x.Interval, ProbeThreshold: &x.Threshold, NumberOfProbes: &x.Threshold}
	if x.Path != "" {
		p.RequestPath = &x.Path
	}
	return &armnetwork.Probe{Name: &x.Name, Properties: p}
}

func (r rule) toARM(lbID string) *armnetwork.LoadBalancingRule {
	child := func(kind, name string) *armnetwork.SubResource {
		return &armnetwork.SubResource{ID: new(lbID + "/" + kind + "/" + name)}
	}
	p := &armnetwork.LoadBalancingRulePropertiesFormat{
		FrontendIPConfiguration: child("frontendIPConfigurations", r.Frontend), BackendAddressPool: child("backendAddressPools", r.Pool),
		Protocol: new(armnetwork.TransportProtocol(r.Protocol)), FrontendPort: &r.FrontendPort, BackendPort: &r.BackendPort,
		EnableFloatingIP: &r.FloatingIP, EnableTCPReset: &r.Reset, IdleTimeoutInMinutes: &r.Idle,
		LoadDistribution: new(armnetwork.LoadDistribution(r.Distribution)),
		// Nodes do not get the frontend as the address of what they send: exporting a service must not change that.
		DisableOutboundSnat: new(true),
	}
	if r.Probe != "" {
		p.Probe = child("probes", r.Probe)
	}
	return &armnetwork.LoadBalancingRule{Name: &r.Name, Properties: p}
}

func loadBalancerOf(in armnetwork.LoadBalancer) loadBalancer {
	lb := loadBalancer{ID: value(in.ID), Region: value(in.Location), Tags: values(in.Tags), ETag: value(in.Etag)}
	lb.Global = in.SKU != nil && value(in.SKU.Tier) == armnetwork.LoadBalancerSKUTierGlobal
	p := in.Properties
	if p == nil {
		return lb
	}
	lb.State = string(value(p.ProvisioningState))
	for _, f := range p.FrontendIPConfigurations {
		lb.Frontends = append(lb.Frontends, frontendOf(f))
	}
	for _, to := range p.BackendAddressPools {
		lb.Pools = append(lb.Pools, poolOf(to))
	}
	for _, x := range p.Probes {
		lb.Probes = append(lb.Probes, probeOf(x))
	}
	for _, r := range p.LoadBalancingRules {
		lb.Rules = append(lb.Rules, ruleOf(r))
	}
	for _, x := range p.InboundNatRules {
		lb.Strange = append(lb.Strange, "inbound NAT rule "+value(x.Name))
	}
	for _, x := range p.OutboundRules {
		lb.Strange = append(lb.Strange, "outbound rule "+value(x.Name))
	}
	slices.SortFunc(lb.Frontends, func(a, b frontend) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(lb.Pools, func(a, b pool) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(lb.Probes, func(a, b probe) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(lb.Rules, func(a, b rule) int { return cmp.Compare(a.Name, b.Name) })
	return lb
}

func frontendOf(in *armnetwork.FrontendIPConfiguration) frontend {
	f := frontend{Name: value(in.Name)}
	p := in.Properties
	if p == nil {
		return f
	}
	if p.PublicIPAddress != nil {
		f.PublicIP = value(p.PublicIPAddress.ID)
	}
	if p.Subnet != nil {
		f.Subnet = value(p.Subnet.ID)
	}
	f.Address = address(p.PrivateIPAddress)
	f.Static = f.Subnet != "" && value(p.PrivateIPAllocationMethod) == armnetwork.IPAllocationMethodStatic
	return f
}

func poolOf(in *armnetwork.BackendAddressPool) pool {
	to := pool{Name: value(in.Name)}
	p := in.Properties
	if p == nil {
		return to
	}
	if p.VirtualNetwork != nil {
		to.Network = value(p.VirtualNetwork.ID)
	}
	to.Manual = value(p.SyncMode) == armnetwork.SyncModeManual
	for _, a := range p.LoadBalancerBackendAddresses {
		b := backend{Name: value(a.Name)}
		if q := a.Properties; q != nil {
			b.Address, b.Down = address(q.IPAddress), value(q.AdminState) == armnetwork.LoadBalancerBackendAddressAdminStateDown
			if q.LoadBalancerFrontendIPConfiguration != nil {
				b.Frontend = value(q.LoadBalancerFrontendIPConfiguration.ID)
			}
			if to.Network == "" && q.VirtualNetwork != nil { // Azure may answer with the network at each address instead of the pool
				to.Network = value(q.VirtualNetwork.ID)
			}
		}
		to.Backends = append(to.Backends, b)
	}
	slices.SortFunc(to.Backends, func(a, b backend) int { return cmp.Compare(a.Name, b.Name) })
	return to
}

func probeOf(in *armnetwork.Probe) probe {
	x := probe{Name: value(in.Name)}
	if p := in.Properties; p != nil {
		x.Protocol, x.Port, x.Path, x.Interval = string(value(p.Protocol)), value(p.Port), value(p.RequestPath), value(p.IntervalInSeconds)
		x.Threshold = cmp.Or(value(p.ProbeThreshold), value(p.NumberOfProbes))
	}
	return x
}

func ruleOf(in *armnetwork.LoadBalancingRule) rule {
	r := rule{Name: value(in.Name)}
	p := in.Properties
	if p == nil {
		return r
	}
	last := func(s *armnetwork.SubResource) string {
		if s == nil {
			return ""
		}
		return lastOf(value(s.ID))
	}
	r.Frontend, r.Pool, r.Probe = last(p.FrontendIPConfiguration), last(p.BackendAddressPool), last(p.Probe)
	if r.Pool == "" && len(p.BackendAddressPools) == 1 { // both spellings are seen in answers
		r.Pool = last(p.BackendAddressPools[0])
	}
	r.Protocol, r.FrontendPort, r.BackendPort = string(value(p.Protocol)), value(p.FrontendPort), value(p.BackendPort)
	r.FloatingIP, r.Reset = value(p.EnableFloatingIP), value(p.EnableTCPReset)
	r.Idle = cmp.Or(value(p.IdleTimeoutInMinutes), defaultIdle)
	r.Distribution = cmp.Or(string(value(p.LoadDistribution)), distribution5)
	if !value(p.DisableOutboundSnat) {
		r.Distribution += " with outbound SNAT" // somebody changed it: that is a difference
	}
	return r
}

func (ip publicIP) toARM() armnetwork.PublicIPAddress {
	tier := armnetwork.PublicIPAddressSKUTierRegional
	if ip.Global {
		tier = armnetwork.PublicIPAddressSKUTierGlobal
	}
	p := &armnetwork.PublicIPAddressPropertiesFormat{PublicIPAddressVersion: new(armnetwork.IPVersionIPv4),
		PublicIPAllocationMethod: new(armnetwork.IPAllocationMethodStatic), IdleTimeoutInMinutes: new(int32(defaultIdle))}
	if ip.Label != "" {
		p.DNSSettings = &armnetwork.PublicIPAddressDNSSettings{DomainNameLabel: &ip.Label}
	}
	if ip.Prefix != "" {
		p.PublicIPPrefix = &armnetwork.SubResource{ID: &ip.Prefix}
	}
	for _, t := range ip.IPTags {
		p.IPTags = append(p.IPTags, &armnetwork.IPTag{IPTagType: &t.Type, Tag: &t.Tag})
	}
	out := armnetwork.PublicIPAddress{Location: &ip.Region, Tags: pointers(ip.Tags), Properties: p,
		SKU: &armnetwork.PublicIPAddressSKU{Name: new(armnetwork.PublicIPAddressSKUNameStandard), Tier: &tier}}
	for _, z := range ip.Zones {
		out.Zones = append(out.Zones, &z)
	}
	return out
}

func publicIPOf(in armnetwork.PublicIPAddress) publicIP {
	ip := publicIP{ID: value(in.ID), Region: value(in.Location), Tags: values(in.Tags), ETag: value(in.Etag)}
	ip.Global = in.SKU != nil && value(in.SKU.Tier) == armnetwork.PublicIPAddressSKUTierGlobal
	for _, z := range in.Zones {
		ip.Zones = append(ip.Zones, value(z))
	}
	slices.Sort(ip.Zones)
	p := in.Properties
	if p == nil {
		return ip
	}
	ip.State, ip.Address = string(value(p.ProvisioningState)), address(p.IPAddress)
	if p.DNSSettings != nil {
		ip.Label, ip.FQDN = value(p.DNSSettings.DomainNameLabel), value(p.DNSSettings.Fqdn)
	}
	if p.PublicIPPrefix != nil {
		ip.Prefix = value(p.PublicIPPrefix.ID)
	}
	for _, t := range p.IPTags {
		ip.IPTags = append(ip.IPTags, ipTag{value(t.IPTagType), value(t.Tag)})
	}
	return ip
}

func (r securityRule) toARM() armnetwork.SecurityRule {
	access := armnetwork.SecurityRuleAccessAllow
	if r.Deny {
		access = armnetwork.SecurityRuleAccessDeny
	}
	p := &armnetwork.SecurityRulePropertiesFormat{Access: &access, Direction: new(armnetwork.SecurityRuleDirectionInbound), Priority: &r.Priority,
		Protocol: new(armnetwork.SecurityRuleProtocol(r.Protocol)), Description: &r.Description, SourcePortRange: new("*")}
	p.SourceAddressPrefix, p.SourceAddressPrefixes = oneOrMany(r.Sources)
	p.DestinationAddressPrefix, p.DestinationAddressPrefixes = oneOrMany(r.Destination)
	p.DestinationPortRange, p.DestinationPortRanges = oneOrMany(r.Ports)
	return armnetwork.SecurityRule{Properties: p}
}

func securityRuleOf(group string, in *armnetwork.SecurityRule) securityRule {
	r := securityRule{Group: group, Name: value(in.Name)}
	if p := in.Properties; p != nil {
		r.Description, r.Protocol, r.Priority = value(p.Description), string(value(p.Protocol)), value(p.Priority)
		r.Deny = value(p.Access) == armnetwork.SecurityRuleAccessDeny
		r.Sources = manyOf(p.SourceAddressPrefix, p.SourceAddressPrefixes)
		r.Destination = manyOf(p.DestinationAddressPrefix, p.DestinationAddressPrefixes)
		r.Ports = manyOf(p.DestinationPortRange, p.DestinationPortRanges)
	}
	return r
}

func securityGroupOf(in armnetwork.SecurityGroup) securityGroup {
	g := securityGroup{ID: value(in.ID), ETag: value(in.Etag)}
	if in.Properties != nil {
		g.State = string(value(in.Properties.ProvisioningState))
		for _, r := range in.Properties.SecurityRules {
			g.Rules = append(g.Rules, securityRuleOf(g.ID, r))
		}
	}
	return g
}

// oneOrMany spells a list as security rules do: one value has a field of its own.
func oneOrMany(list []string) (one *string, many []*string) {
	if len(list) == 1 {
		return &list[0], nil
	}
	for i := range list {
		many = append(many, &list[i])
	}
	return nil, many
}

func manyOf(one *string, many []*string) []string {
	var out []string
	if value(one) != "" {
		out = append(out, *one)
	}
	for _, v := range many {
		out = append(out, value(v))
	}
	slices.Sort(out)
	return out
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func address(text *string) netip.Addr {
	a, _ := netip.ParseAddr(strings.TrimSpace(value(text))) // what is no address is none
	return a
}

func pointers(m map[string]string) map[string]*string {
	out := make(map[string]*string, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		out[key] = new(m[key])
	}
	return out
}

func values(m map[string]*string) map[string]string {
	out := make(map[string]string, len(m))
	for key, v := range m {
		out[key] = value(v)
	}
	return out
}
