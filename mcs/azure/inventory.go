package azure

import (
	"maps"

	"github.com/gitfleet/gitfleet/mcs"
)

// inventory is what stands in Azure, as it was last read.
type inventory struct {
	owner     owner
	found     map[mcs.Key]found
	strangers found                    // what stands in the resource group and is not ours
	groups    map[string]securityGroup // by at(ID)

	// Stamps tell whether what is known of a service has changed: its own, and that of what all have in common.
	stamps map[mcs.Key]int
	common int
	merged map[mcs.Key]mergedAt
}

// mergedAt is what of returned at a stamp.
type mergedAt struct {
	stamp
	found found
}

// stamp is a state of what is known of one service.
type stamp struct{ own, common int }

func newInventory(o owner) *inventory {
	return &inventory{owner: o, found: map[mcs.Key]found{}, strangers: newFound(), groups: map[string]securityGroup{}, stamps: map[mcs.Key]int{}, merged: map[mcs.Key]mergedAt{}}
}

// stamp returns the state of what is known of key.
func (i *inventory) stamp(key mcs.Key) stamp { return stamp{i.stamps[key], i.common} }

// clear forgets everything but the security groups, as before a list is taken in. It returns what was known.
func (i *inventory) clear() map[mcs.Key]found {
	before := i.found
	i.found, i.strangers = map[mcs.Key]found{}, newFound()
	i.common++
	return before
}

// of returns all that a design for key may meet. It is not to be modified.
func (i *inventory) of(key mcs.Key) found {
	now := i.stamp(key)
	if m, ok := i.merged[key]; ok && m.stamp == now {
		return m.found
	}
	f := i.strangers.clone()
	maps.Copy(f.LBs, i.found[key].LBs)
	maps.Copy(f.IPs, i.found[key].IPs)
	i.merged[key] = mergedAt{now, f}
	return f
}

// own returns what stands for key, to be changed in place.
func (i *inventory) own(key mcs.Key) found {
	i.stamps[key]++
	f, ok := i.found[key]
	if !ok {
		f = newFound()
		i.found[key] = f
	}
	return f
}

// keepLB notes what stands.
func (i *inventory) keepLB(lb loadBalancer) {
	key, mine := i.owner.owns(lb.Tags)
	if lb.Mine = mine; mine {
		i.own(key).LBs[at(lb.ID)] = lb
		return
	}
	i.strangers.LBs[at(lb.ID)] = lb
	i.common++
}

// keepIP does the same.
func (i *inventory) keepIP(ip publicIP) {
	key, mine := i.owner.owns(ip.Tags)
	if ip.Mine = mine; mine {
		i.own(key).IPs[at(ip.ID)] = ip
		return
	}
	i.strangers.IPs[at(ip.ID)] = ip
	i.common++
}

// forget notes that a load balancer or public IP does not stand any more, or is about to be noted anew.
func (i *inventory) forget(key mcs.Key, id string) {
	delete(i.own(key).LBs, at(id))
	delete(i.found[key].IPs, at(id))
	if _, known := i.strangers.LBs[at(id)]; known {
		delete(i.strangers.LBs, at(id))
		i.common++
	}
	if _, known := i.strangers.IPs[at(id)]; known {
		delete(i.strangers.IPs, at(id))
		i.common++
	}
}

// forgetService forgets a service of which nothing stands.
func (i *inventory) forgetService(key mcs.Key) {
	delete(i.found, key)
	delete(i.merged, key)
	i.stamps[key]++
}

func (i *inventory) keepGroup(g securityGroup) {
	i.groups = maps.Clone(i.groups) // others may hold it
	i.groups[at(g.ID)] = g
	i.common++
}
