package network

import (
	"net/netip"
	"slices"
	"strings"
)

// Addresses plans the addresses of one namespace again and again, and only those of holders that have changed. Most holders are at rest:
// they have what they want. What others want changes nothing of that, unless it is the same address. The zero value is ready
// to use, by one caller at a time.
type Addresses struct {
	addressPlanner
	holders map[string]carried // by node
	// restless are the holders that were not given what they hold.
	restless map[string]bool
}

// carried is what is kept of a holder.
type carried struct{ owned, granted []netip.Addr }

// Plan plans the addresses of all holders, as PlanAddresses does.
func (a *Addresses) Plan(site Site, holders []Holder) AddressPlan {
	a.addressPlanner = addressPlanner{site: site, pools: map[*Subnet]*pool{}, owner: make(map[netip.Addr]string, len(holders)), granted: map[netip.Addr]string{}}
	a.holders, a.restless = make(map[string]carried, len(holders)), map[string]bool{}
	sorted := sortedHolders(holders)
	for i := range sorted {
		a.addWants(&sorted[i])
	}
	return a.grant(sorted)
}

// Restless reports whether the holder must be among the changed of every Replan.
func (a *Addresses) Restless(node string) bool { return a.restless[node] }

// Replan plans what Plan would plan of the changed holders, where all others of the last plan are as they were but those that are gone. ok
// is false when that cannot be told without all of them: then Plan is to be asked, and nothing else.
func (a *Addresses) Replan(changed []Holder, gone []string) (_ AddressPlan, ok bool) {
	var left []netip.Addr
	for _, node := range gone {
		left = append(left, a.drop(node)...)
	}
	sorted := sortedHolders(changed)
	for i := range sorted {
		left = append(left, a.drop(sorted[i].Node)...)
	}
	if len(a.restless) > 0 {
		return AddressPlan{}, false
	}
	a.wants, a.from = nil, nil
	for i := range sorted {
		for _, granted := range sorted[i].Granted {
			if a.owner[granted] != "" || a.granted[granted] != "" {
				return AddressPlan{}, false
			}
		}
	}
	for i := range sorted {
		a.addWants(&sorted[i])
	}
	if slices.ContainsFunc(a.wants, func(w *want) bool { return w.held.IsValid() && a.owner[w.held] != "" }) {
		return AddressPlan{}, false
	}
	a.reopen(left)
	return a.grant(sorted), true
}

// drop forgets a holder and returns what it had.
func (a *Addresses) drop(node string) []netip.Addr {
	was := a.holders[node]
	delete(a.holders, node)
	delete(a.restless, node)
	for _, address := range was.owned {
		if a.owner[address] == node {
			delete(a.owner, address)
		}
	}
	for _, address := range was.granted {
		if a.granted[address] == node {
			delete(a.granted, address)
		}
	}
	return append(was.owned, was.granted...)
}

// reopen has pools looked through from their start again where an address was left that nobody is to keep.
func (a *Addresses) reopen(left []netip.Addr) {
	kept := make(map[netip.Addr]bool, len(left))
	for _, w := range a.wants {
		if w.problem == "" && w.stays() {
			kept[w.held] = true
		}
	}
	for _, address := range left {
		if kept[address] || a.granted[address] != "" {
			continue
		}
		for _, pool := range a.pools {
			pool.at, pool.next = 0, netip.Addr{}
		}
		return
	}
}

// grant gives out what the holders want, and notes what is to be known of them next time.
func (a *Addresses) grant(sorted []Holder) AddressPlan {
	a.grantHeld()
	a.grantFixed()
	a.grantFree()
	a.from = append(a.from, len(a.wants))
	for i := range sorted {
		c := carried{granted: sorted[i].Granted}
		for _, w := range a.wants[a.from[i]:a.from[i+1]] {
			if w.address.IsValid() && a.owner[w.address] == w.node {
				c.owned = append(c.owned, w.address)
			}
			if w.problem != "" || w.address != w.held || !w.stays() {
				a.restless[w.node] = true
			}
		}
		a.holders[sorted[i].Node] = c
	}
	plan := a.plan(sorted)
	a.wants, a.from = nil, nil
	return plan
}

func sortedHolders(holders []Holder) []Holder {
	return slices.SortedStableFunc(slices.Values(holders), func(a, b Holder) int { return strings.Compare(a.Node, b.Node) })
}
