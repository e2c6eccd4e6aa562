package azure

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/gitfleet/gitfleet/mcs"
)

// secure adds the security rules of the members' network security groups. A public load balancer is closed until a rule lets clients in
// (https://learn.microsoft.com/azure/load-balancer/load-balancer-overview#securebydefault).
func (c designer) secure(d *design, lb mcs.LoadBalancer, s settings, sites map[place][]mcs.Site, places []place, f found) {
	d.Groups = c.securityGroups()
	if s.NoSecurity {
		return
	}
	behind := map[string][]int{} // indexes of parts, by group
	for i, p := range places {
		for _, site := range sites[p] {
			if l, err := c.locate(site.Member); err == nil && l.NetworkSecurityGroup != "" && !slices.Contains(behind[l.NetworkSecurityGroup], i) {
				behind[l.NetworkSecurityGroup] = append(behind[l.NetworkSecurityGroup], i)
			}
		}
	}
	for _, group := range slices.Sorted(maps.Keys(behind)) {
		d.Rules = append(d.Rules, c.rulesOf(*d, behind[group], lb, s, group, f)...)
	}
}

// rulesOf are the rules in one group: one for each protocol and service tag, and one that keeps all others out. What floating IP leaves as
// the destination of packets is the address that clients ask for; else it is already a node's, which is any.
func (c designer) rulesOf(d design, parts []int, lb mcs.LoadBalancer, s settings, group string, f found) []securityRule {
	destination := []string{"*"}
	if c.mode(s) == ModeVIP {
		destination = nil
		for _, i := range parts {
			for _, a := range d.vips(d.Parts[i], f) {
				destination = append(destination, a.String())
			}
		}
		if len(destination) == 0 {
			return nil // no address yet
		}
		slices.Sort(destination)
		destination = slices.Compact(destination)
	}
	base := securityRule{Group: group, Description: c.owner.describe(d.Key), Destination: destination}
	var out []securityRule
	add := func(what string, sources ...string) {
		for protocol, ports := range portsByProtocol(d.Parts[parts[0]].LB.Rules) {
			r := base
			r.Name, r.Protocol, r.Ports, r.Sources = c.owner.resourceNameOf(d.Key, what, protocol), protocol, ports, sources
			r.Deny = what == "deny"
			out = append(out, r)
		}
	}
	if len(s.Sources) > 0 {
		add("ranges", s.Sources...)
	}
	tags := s.ServiceTags
	if len(s.Sources)+len(tags) == 0 {
		tags = []string{map[bool]string{true: "VirtualNetwork", false: "Internet"}[lb.Internal]}
	}
	for _, tag := range tags { // a rule takes one tag
		add("tag "+tag, tag)
	}
	if s.DenyOthers {
		add("deny", "*")
	}
	slices.SortFunc(out, func(a, b securityRule) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func portsByProtocol(rules []rule) map[string][]string {
	out := map[string][]string{}
	for _, r := range rules {
		protocol, port := r.Protocol, fmt.Sprint(r.BackendPort)
		if protocol == "All" {
			protocol, port = "*", "*"
		}
		out[protocol] = append(out[protocol], port)
	}
	for protocol := range out {
		slices.Sort(out[protocol])
		out[protocol] = slices.Compact(out[protocol])
	}
	return out
}

// describe says whose a security rule is, in the one field of it that is free text.
func (o owner) describe(key mcs.Key) string {
	return strings.Join([]string{tagFleet + "=" + o.fleet, tagSource + "=" + o.source, tagService + "=" + key.String()}, " ")
}

// described is the reverse of describe.
func (o owner) described(text string) (mcs.Key, bool) {
	tags := map[string]string{}
	for _, part := range strings.Fields(text) {
		key, value, _ := strings.Cut(part, "=")
		tags[key] = value
	}
	return o.owns(tags)
}

// freePriority returns the lowest priority of the fleet's range that no rule of the group has; those that deny come after those that
// allow, from the end of the range. 0 is none.
func (c Config) freePriority(g securityGroup, deny bool) int32 {
	used := map[int32]bool{}
	for _, r := range g.Rules {
		used[r.Priority] = true
	}
	first, last := c.SecurityRulePriorities[0], c.SecurityRulePriorities[1]
	for i := range last - first + 1 {
		n := first + i
		if deny {
			n = last - i
		}
		if !used[n] {
			return n
		}
	}
	return 0
}
