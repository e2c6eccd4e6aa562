package armsim

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Limits: https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#load-balancer
const (
	mostFrontends  = 600
	mostRules      = 1500
	mostPool       = 5000
	mostGlobalPool = 300
	mostConfigs    = 10000
)

// homeRegions are where load balancers and public IPs of tier Global can be made.
var homeRegions = []string{"centralus", "eastasia", "eastus2", "northeurope", "southeastasia", "uksouth", "usgovvirginia", "westeurope", "westus", "chinanorth2"}

func bad(code, format string, args ...any) *failure {
	return refuse(http.StatusBadRequest, code, format, args...)
}

// validateIP checks a public IP and fills in what Azure decides.
func (s *Server) validateIP(next, have *resource) *failure {
	if text(next.sku, "name") != "Standard" || text(next.properties, "publicIPAllocationMethod") != "Static" {
		return bad("IPAddressAllocationMethodNotSupported", "Public IP address %s is not of SKU Standard with a static address, which is all that is served here.", next.name)
	}
	global := text(next.sku, "tier") == "Global"
	if global && !slices.Contains(homeRegions, next.region) {
		return bad("GlobalTierNotSupportedInRegion", "Public IP address %s of tier Global cannot be made in %s. Home regions are %s.", next.name, next.region, strings.Join(homeRegions, ", "))
	}
	if global && len(next.zones) > 0 {
		return bad("GlobalTierPublicIPCannotHaveZones", "Public IP address %s of tier Global cannot have zones.", next.name)
	}
	id := strings.ToLower(next.id)
	if have == nil && s.opt.MostPublicIPs > 0 && s.count("publicIPAddresses") >= s.opt.MostPublicIPs {
		return bad("PublicIPCountLimitReached", "Cannot create more than %d public IP addresses for this subscription in this region.", s.opt.MostPublicIPs)
	}
	label := strings.ToLower(text(object(next.properties, "dnsSettings"), "domainNameLabel"))
	key := label + "." + next.region
	if of, taken := s.labels[key]; label != "" && taken && of != id {
		return bad("DnsRecordInUse", "DNS record %s.%s.cloudapp.azure.com is already used by another public IP.", label, next.region)
	}
	if text(object(next.properties, "publicIPPrefix"), "id") != "" {
		if denied := s.allow("Microsoft.Network/publicIPPrefixes/join/action"); denied != nil {
			return denied
		}
	}
	if have != nil {
		if f := unchanged(next, have); f != nil {
			return f
		}
		for _, kept := range []string{"ipAddress", "ipConfiguration"} {
			if v, ok := have.properties[kept]; ok {
				next.properties[kept] = v
			}
		}
	}
	for old, of := range s.labels {
		if of == id {
			delete(s.labels, old)
		}
	}
	if label != "" {
		s.labels[key] = id
		object(next.properties, "dnsSettings")["fqdn"] = label + "." + next.region + ".cloudapp.azure.com"
	}
	return nil
}

// unchanged wants what is decided when a public IP is made to stay.
func unchanged(next, have *resource) *failure {
	switch {
	case text(next.sku, "tier") != text(have.sku, "tier"):
		return bad("PublicIPAddressSkuTierCannotBeChanged", "The tier of public IP address %s cannot be changed.", next.name)
	case fmt.Sprint(next.zones) != fmt.Sprint(have.zones):
		return bad("ResourceAvailabilityZonesCannotBeModified", "Resource %s has an existing availability zone constraint that cannot be modified.", next.id)
	case fmt.Sprint(next.properties["publicIPPrefix"]) != fmt.Sprint(have.properties["publicIPPrefix"]), fmt.Sprint(next.properties["ipTags"]) != fmt.Sprint(have.properties["ipTags"]):
		return bad("PublicIPAddressImmutablePropertiesCannotBeChanged", "The prefix and the IP tags of public IP address %s cannot be changed.", next.name)
	case have.properties["servicePublicIPAddress"] != nil && next.properties["servicePublicIPAddress"] == nil:
		return bad("ServiceIPAddressCannotBeChangedOnUpdate", "The service IP address of %s cannot be changed.", next.name)
	}
	return nil
}

func (s *Server) count(kind string) int {
	n := 0
	for _, res := range s.resources {
		if res.kind == kind {
			n++
		}
	}
	return n
}

func (s *Server) validateDelete(res *resource) *failure {
	if res.kind == "publicIPAddresses" && res.properties["ipConfiguration"] != nil {
		return bad("PublicIPAddressCannotBeDeleted", "Public IP address %s can not be deleted since it is still allocated to resource %s.", res.id, text(object(res.properties, "ipConfiguration"), "id"))
	}
	if res.kind == "loadBalancers" {
		for _, other := range s.resources {
			if strings.Contains(strings.ToLower(fmt.Sprint(other.properties["backendAddressPools"])), strings.ToLower(res.id)+"/frontendipconfigurations/") {
				return bad("LoadBalancerFrontendInUseByCrossRegionLoadBalancer", "Load balancer %s can not be deleted since its frontend is in a pool of %s.", res.id, other.id)
			}
		}
		s.release(res)
	}
	return nil
}

// release takes back the public IPs that a load balancer's frontends have.
func (s *Server) release(lb *resource) {
	for _, other := range s.resources {
		at := text(object(other.properties, "ipConfiguration"), "id")
		if other.kind == "publicIPAddresses" && strings.HasPrefix(strings.ToLower(at), strings.ToLower(lb.id)+"/") {
			delete(other.properties, "ipConfiguration")
			other.etag = s.newETag()
		}
	}
}

// checker checks one load balancer.
type checker struct {
	s          *Server
	next, have *resource
	global     bool
	frontends  []any
	pools      []any
	rules      []any
}

// validateLB checks a load balancer, and fills in what Azure decides.
func (s *Server) validateLB(next, have *resource) *failure {
	c := checker{s: s, next: next, have: have, global: text(next.sku, "tier") == "Global", frontends: items(next.properties, "frontendIPConfigurations"),
		pools: items(next.properties, "backendAddressPools"), rules: items(next.properties, "loadBalancingRules")}
	if text(next.sku, "name") != "Standard" {
		return bad("LoadBalancerSkuNotSupported", "Load balancer %s is not of SKU Standard, which is all that is served here.", next.name)
	}
	if have != nil && text(have.sku, "tier") != text(next.sku, "tier") {
		return bad("LoadBalancerSkuTierCannotBeChanged", "The tier of load balancer %s cannot be changed.", next.name)
	}
	if c.global && !slices.Contains(homeRegions, next.region) {
		return bad("GlobalTierNotSupportedInRegion", "Load balancer %s of tier Global cannot be made in %s.", next.name, next.region)
	}
	if len(c.frontends) == 0 && len(c.pools)+len(c.rules) > 0 {
		return bad("LoadBalancerWithoutFrontendIPCantHaveChildResources", "Load balancer %s does not have a frontend IP configuration, but it has other child resources.", next.id)
	}
	for _, check := range []func() *failure{c.names, c.checkLimits, c.checkFrontends, c.checkPools, c.checkProbes, c.checkRules} {
		if f := check(); f != nil {
			return f
		}
	}
	c.take()
	return nil
}

// names wants the names of children to be there and distinct, and gives them IDs.
func (c checker) names() *failure {
	for _, list := range childLists("loadBalancers") {
		seen := map[string]bool{}
		for _, child := range items(c.next.properties, list) {
			name := text(child, "name")
			if name == "" || len(name) > 80 {
				return bad("InvalidResourceName", "Resource name '%s' is invalid. The name can be up to 80 characters long.", name)
			}
			if seen[strings.ToLower(name)] {
				return bad("DuplicateResourceName", "Resource %s has two child resources with the same name (%s).", c.next.id, name)
			}
			seen[strings.ToLower(name)] = true
			child.(map[string]any)["id"] = c.next.id + "/" + list + "/" + name
			child.(map[string]any)["type"] = "Microsoft.Network/loadBalancers/" + list
		}
	}
	return nil
}

func (c checker) checkLimits() *failure {
	if len(c.frontends) > mostFrontends {
		return bad("LoadBalancerFrontendIPConfigurationCountLimitReached", "Load balancer %s has more than %d frontends.", c.next.id, mostFrontends)
	}
	if len(c.rules) > mostRules {
		return bad("LoadBalancerRuleCountLimitReached", "Load balancer %s has more than %d rules.", c.next.id, mostRules)
	}
	for _, p := range c.pools {
		n, most := len(items(object(p, "properties"), "loadBalancerBackendAddresses")), mostPool
		if c.global {
			most = mostGlobalPool
		}
		if n > most {
			return bad("LoadBalancerBackendPoolIPCountLimitReached", "Backend pool %s has more than %d addresses.", text(p, "id"), most)
		}
		if n*len(c.rules) > mostConfigs {
			return bad("LoadBalancerBackendIPConfigurationsPerFrontendLimitReached", "Load balancer %s has more than %d backend IP configurations.", c.next.id, mostConfigs)
		}
	}
	return nil
}

func (c checker) checkFrontends() *failure {
	for _, f := range c.frontends {
		p := object(f, "properties")
		if id := text(object(p, "publicIPAddress"), "id"); id != "" {
			if failed := c.publicFrontend(f, id); failed != nil {
				return failed
			}
		} else if failed := c.privateFrontend(f, p); failed != nil {
			return failed
		}
	}
	return nil
}

func (c checker) publicFrontend(f any, id string) *failure {
	if denied := c.s.allow("Microsoft.Network/publicIPAddresses/join/action"); denied != nil {
		return denied
	}
	ip := c.s.resources[strings.ToLower(id)]
	switch {
	case ip == nil:
		return bad("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", id, text(f, "id"))
	case ip.state == "Updating" || ip.state == "Deleting":
		busy := refuse(http.StatusTooManyRequests, "RetryableError", "A retryable error occurred.")
		busy.detail, busy.message = "ReferencedResourceNotProvisioned", fmt.Sprintf("Cannot proceed with operation because resource %s used by resource %s is not in Succeeded state.", id, c.next.id)
		return busy
	case (text(ip.sku, "tier") == "Global") != c.global:
		return bad("DifferentSkuLoadBalancersAndPublicIPAddressNotAllowed", "Different tiers of load balancer %s and public IP address %s are not allowed.", c.next.id, id)
	case ip.region != c.next.region:
		return bad("InvalidResourceReference", "Resource %s referenced by resource %s is in another region.", id, text(f, "id"))
	}
	if at := text(object(ip.properties, "ipConfiguration"), "id"); at != "" && !strings.EqualFold(at, text(f, "id")) {
		return bad("PublicIPAddressInUse", "Resource %s is referencing public IP address %s that is already allocated to resource %s.", text(f, "id"), id, at)
	}
	return nil
}

func (c checker) privateFrontend(f any, p map[string]any) *failure {
	id := text(object(p, "subnet"), "id")
	if denied := c.s.allow("Microsoft.Network/virtualNetworks/subnets/join/action"); denied != nil {
		return denied
	}
	n, prefix, ok := c.s.subnetOf(id)
	if c.global {
		return bad("GlobalLoadBalancerMustBePublic", "Load balancer %s of tier Global cannot have a private frontend.", c.next.id)
	}
	if !ok || n.region != c.next.region {
		return bad("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", id, text(f, "id"))
	}
	if text(p, "privateIPAllocationMethod") == "Static" {
		a, err := netip.ParseAddr(text(p, "privateIPAddress"))
		if err != nil || !prefix.Contains(a) {
			return bad("PrivateIPAddressNotInSubnet", "Private static IP address %s does not belong to the range of subnet %s.", text(p, "privateIPAddress"), id)
		}
		if by := c.s.privateInUse(n, a); by != "" && !strings.EqualFold(by, c.next.id) {
			return bad("PrivateIPAddressIsAllocated", "IP configuration %s is using the private IP address %s which is already allocated to resource %s.", text(f, "id"), a, by)
		}
		return nil
	}
	if c.have != nil {
		for _, old := range items(c.have.properties, "frontendIPConfigurations") {
			was := object(old, "properties")
			if strings.EqualFold(text(old, "id"), text(f, "id")) && strings.EqualFold(text(object(was, "subnet"), "id"), id) {
				p["privateIPAddress"] = was["privateIPAddress"]
			}
		}
	}
	if text(p, "privateIPAddress") == "" {
		p["privateIPAddress"] = c.s.allocatePrivate(n, prefix)
	}
	return nil
}

func (c checker) checkPools() *failure {
	networkOfAll := ""
	for _, to := range c.pools {
		p := object(to, "properties")
		seen := map[string]bool{}
		if c.have != nil {
			for _, old := range items(c.have.properties, "backendAddressPools") {
				was := object(old, "properties")
				if strings.EqualFold(text(old, "id"), text(to, "id")) && (text(was, "syncMode") != text(p, "syncMode") || !strings.EqualFold(text(object(was, "virtualNetwork"), "id"), text(object(p, "virtualNetwork"), "id"))) {
					return bad("LoadBalancerBackendPoolImmutablePropertiesCannotBeChanged", "The virtual network and the sync mode of pool %s cannot be changed.", text(to, "id"))
				}
			}
		}
		for _, a := range items(p, "loadBalancerBackendAddresses") {
			q := object(a, "properties")
			for _, key := range []string{"name " + text(a, "name"), "address " + text(q, "ipAddress") + text(object(q, "loadBalancerFrontendIPConfiguration"), "id")} {
				if seen[strings.ToLower(key)] {
					return bad("DuplicateResourceName", "Resource %s has two child resources with the same name or address (%s).", text(to, "id"), key)
				}
				seen[strings.ToLower(key)] = true
			}
			if f := c.checkBackend(to, p, q); f != nil {
				return f
			}
		}
		id := text(object(p, "virtualNetwork"), "id")
		if id == "" || c.global {
			continue
		}
		if denied := c.s.allow("Microsoft.Network/virtualNetworks/joinLoadBalancer/action"); denied != nil {
			return denied
		}
		n := c.s.networks[strings.ToLower(id)]
		if n == nil || n.region != c.next.region {
			return bad("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", id, text(to, "id"))
		}
		if networkOfAll != "" && !strings.EqualFold(networkOfAll, id) {
			return bad("LoadBalancerBackendPoolsInDifferentVirtualNetworks", "Pools of load balancer %s are in different virtual networks.", c.next.id)
		}
		networkOfAll = id
		if !strings.EqualFold(strings.Split(id, "/")[2], strings.Split(c.next.id, "/")[2]) && text(p, "syncMode") == "" {
			return bad("LoadBalancerBackendPoolSyncModeRequired", "Pool %s is of a virtual network in another subscription and has no syncMode.", text(to, "id"))
		}
	}
	return nil
}

func (c checker) checkBackend(to any, p, q map[string]any) *failure {
	if id := text(object(q, "loadBalancerFrontendIPConfiguration"), "id"); id != "" || c.global {
		if denied := c.s.allow("Microsoft.Network/loadBalancers/frontendIPConfigurations/join/action"); denied != nil {
			return denied
		}
		lb, front := c.s.frontend(id)
		if !c.global || front == nil || text(lb.sku, "tier") == "Global" || text(object(object(front, "properties"), "publicIPAddress"), "id") == "" {
			return bad("InvalidResourceReference", "Resource %s referenced by resource %s was not found, or is no regional public frontend.", id, text(to, "id"))
		}
		return nil
	}
	if _, err := netip.ParseAddr(text(q, "ipAddress")); err != nil || text(object(p, "virtualNetwork"), "id") == "" {
		return bad("LoadBalancerBackendAddressInvalid", "An address of pool %s has no IP address or no virtual network.", text(to, "id"))
	}
	if state := text(q, "adminState"); !slices.Contains([]string{"", "None", "Up", "Down"}, state) {
		return bad("InvalidRequestFormat", "%q is no admin state.", state)
	}
	return nil // whether a machine has the address is not asked
}

// frontend returns a frontend by its ID.
func (s *Server) frontend(id string) (*resource, any) {
	i := strings.Index(strings.ToLower(id), "/frontendipconfigurations/")
	if i < 0 {
		return nil, nil
	}
	lb := s.resources[strings.ToLower(id[:i])]
	if lb == nil {
		return nil, nil
	}
	for _, f := range items(lb.properties, "frontendIPConfigurations") {
		if strings.EqualFold(text(f, "id"), id) {
			return lb, f
		}
	}
	return lb, nil
}

func (c checker) checkProbes() *failure {
	probes := items(c.next.properties, "probes")
	if c.global && len(probes) > 0 {
		return bad("GlobalLoadBalancerCannotHaveProbes", "Load balancer %s of tier Global cannot have probes.", c.next.id)
	}
	for _, x := range probes {
		p := object(x, "properties")
		interval, threshold := number(p, "intervalInSeconds"), max(number(p, "probeThreshold"), number(p, "numberOfProbes"))
		if interval < 5 || threshold < 1 || interval*threshold >= 120 {
			return bad("InvalidProbeInterval", "Probe %s: the interval must be at least 5 seconds, and its product with the threshold below 120.", text(x, "id"))
		}
		if (text(p, "requestPath") != "") == (text(p, "protocol") == "Tcp") {
			return bad("InvalidProbeRequestPath", "Probe %s: a request path goes with HTTP and HTTPS.", text(x, "id"))
		}
	}
	return nil
}

func (c checker) checkRules() *failure {
	fronts, backs := map[string]bool{}, map[string]string{}
	for _, r := range c.rules {
		p := object(r, "properties")
		for _, ref := range []struct{ field, list string }{{"frontendIPConfiguration", "frontendIPConfigurations"}, {"backendAddressPool", "backendAddressPools"}, {"probe", "probes"}} {
			id := text(object(p, ref.field), "id")
			if id == "" && ref.field == "probe" {
				continue
			}
			if !slices.ContainsFunc(items(c.next.properties, ref.list), func(x any) bool { return strings.EqualFold(text(x, "id"), id) }) {
				return bad("InvalidResourceReference", "Resource %s referenced by resource %s was not found.", id, text(r, "id"))
			}
		}
		front, back, protocol := number(p, "frontendPort"), number(p, "backendPort"), text(p, "protocol")
		fe, to := strings.ToLower(text(object(p, "frontendIPConfiguration"), "id")), strings.ToLower(text(object(p, "backendAddressPool"), "id"))
		if !slices.Contains([]string{"Tcp", "Udp", "All"}, protocol) || (protocol == "All") != (front == 0 && back == 0) || protocol == "All" && !c.internal() {
			return bad("LoadBalancingRuleInvalidProtocolOrPort", "Rule %s: protocol All goes with port 0 and internal load balancers.", text(r, "id"))
		}
		if idle := number(p, "idleTimeoutInMinutes"); idle != 0 && (idle < 4 || idle > 100) {
			return bad("InvalidIdleTimeout", "Rule %s: the idle timeout must be from 4 to 100 minutes.", text(r, "id"))
		}
		if key := fmt.Sprint(fe, front, protocol); fronts[key] {
			return bad("RulesUseSameFrontendPortProtocolAndFrontendIPConfiguration", "Two rules of %s use the same frontend port %d and protocol %s.", c.next.id, front, protocol)
		} else {
			fronts[key] = true
		}
		floating := truth(p, "enableFloatingIP")
		key := fmt.Sprint(to, back, protocol)
		if other, taken := backs[key]; taken && (!floating || other == fe) {
			if floating {
				return bad("RulesUseSameBackendPortProtocolAndPoolAndFrontendIPWithFloatingIPEnabled", "Two rules of %s use the same backend port %d, protocol %s, pool and frontend.", c.next.id, back, protocol)
			}
			return bad("RulesUseSameBackendPortProtocolAndPool", "Two rules of %s use the same backend port %d, protocol %s and pool.", c.next.id, back, protocol)
		}
		backs[key] = fe
		if c.global && back != front {
			return bad("GlobalLoadBalancerRuleBackendPortMustMatch", "Rule %s: the backend port must be the frontend port of the regional load balancers.", text(r, "id"))
		}
	}
	return nil
}

func (c checker) internal() bool {
	return !slices.ContainsFunc(c.frontends, func(f any) bool { return object(object(f, "properties"), "publicIPAddress") != nil })
}

// take notes at public IPs which frontend has them.
func (c checker) take() {
	c.s.release(c.next)
	for _, f := range c.frontends {
		if ip := c.s.resources[strings.ToLower(text(object(object(f, "properties"), "publicIPAddress"), "id"))]; ip != nil {
			ip.properties["ipConfiguration"] = map[string]any{"id": text(f, "id")}
			ip.etag = c.s.newETag()
		}
	}
}

// validateGroup checks the rules of a network security group.
func (s *Server) validateGroup(next *resource) *failure {
	priorities := map[string]string{}
	for _, r := range items(next.properties, "securityRules") {
		p := object(r, "properties")
		r.(map[string]any)["id"] = next.id + "/securityRules/" + text(r, "name")
		n := number(p, "priority")
		if n < 100 || n > 4096 {
			return bad("SecurityRuleInvalidPriority", "Security rule %s has invalid priority %d: values are from 100 to 4096.", text(r, "name"), n)
		}
		key := fmt.Sprint(text(p, "direction"), n)
		if other, taken := priorities[key]; taken {
			return bad("SecurityRuleConflict", "Security rule %s conflicts with rule %s. Rules cannot have the same Priority and Direction.", text(r, "name"), other)
		}
		priorities[key] = text(r, "name")
		for _, field := range []string{"sourceAddressPrefix", "destinationAddressPrefix", "destinationPortRange"} {
			if text(p, field) == "" && len(items(p, field+"es"))+len(items(p, field+"s")) == 0 {
				return bad("SecurityRuleParameterMissing", "Security rule %s has no %s.", text(r, "name"), field)
			}
		}
		for _, v := range items(p, "sourceAddressPrefixes") {
			if _, err := netip.ParsePrefix(fmt.Sprint(v)); err != nil {
				return bad("SecurityRuleAddressPrefixesInvalid", "Security rule %s: %v is no address range, and a list takes no service tags.", text(r, "name"), v)
			}
		}
	}
	return nil
}
