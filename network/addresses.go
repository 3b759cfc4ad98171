package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Holder is a node that wants addresses.
type Holder struct {
	// Node as namespace/name.
	Node string
	// Wants are the node's networks.
	Wants []v1alpha1.NodeNetwork
	// Held are the addresses decided earlier. Unless they are only Planned they are in force: a server runs with them.
	Held []v1alpha1.Address
	// Planned means that no server runs with what is held yet, so that other addresses may be planned instead.
	Planned bool
	// Granted are the addresses that the Ledger holds for the node, whether they have been written into it or not: nobody
	// else gets them. Without a Ledger there are none.
	Granted []netip.Addr
	// AnsibleHost of a pre-provisioned node; when it is an address inside the ctlplane subnet it is the fixed one there.
	AnsibleHost string
}

// AddressPlan is who holds what.
type AddressPlan struct {
	// Addresses by node, in the order of its wants. A want that is in Unmet keeps the address held before, if any, so
	// that a mistake in a NetConfig loses nothing.
	Addresses map[string][]v1alpha1.Address
	// Unmet are the wants that could not be met, sorted by node, then in the order of its wants.
	Unmet []AddressProblem
}

// AddressProblem is a want that could not be met.
type AddressProblem struct {
	// Node as namespace/name, and the network it wants an address on.
	Node, Network string
	// Message names field and remedy.
	Message string
	// Exhausted means that the subnet has no free address: time or another node's end may help.
	Exhausted bool
}

// PlanAddresses plans the addresses of all holders together.
//
// An address that is held and still wanted (same network and subnet, inside its cidr, the fixed one if one is asked for)
// stays, even when ranges have moved away from it. One that is in force stays whatever is asked for, and what it goes against
// is told: elsewhere the server would be sought in vain. Then fixedIPs are given, which may lie outside allocationRanges and in
// excludeAddresses, but never take what another node keeps: two nodes cannot swap addresses in one step. The rest get the
// lowest free address of allocationRanges, one that is granted to the node before any other. The order of holders does not
// matter. A node whose address is granted to another one keeps it until a fixed one is asked for, and is told: moving a
// server that runs is for a person to decide.
func PlanAddresses(site Site, holders []Holder) AddressPlan {
	var once Addresses
	return once.Plan(site, holders)
}

// pool is a subnet addresses are taken from.
type pool struct {
	*Subnet
	at   int        // index into ranges
	next netip.Addr // next candidate in it; zero means its start
}

// want is one network of one holder on its way to an address.
type want struct {
	v1alpha1.NodeNetwork
	node      string
	pool      *pool
	held      netip.Addr // zero when none
	inForce   bool       // a server runs with it
	subnet    string     // resolved, or the held one's while the want cannot be resolved
	fixed     netip.Addr // zero when none is asked for
	asked     string     // the field that asks for it; fixedIP when empty
	address   netip.Addr // zero until granted
	problem   string
	exhausted bool
}

type addressPlanner struct {
	site  Site
	pools map[*Subnet]*pool
	owner map[netip.Addr]string
	// granted are the nodes that the Ledger names.
	granted map[netip.Addr]string
	wants   []*want
	// from is where each holder's wants begin, and the end of the last.
	from []int
}

func (p *addressPlanner) addWants(h *Holder) {
	p.from = append(p.from, len(p.wants))
	for _, a := range h.Granted {
		p.granted[a] = h.Node
	}
	wants := make([]want, len(h.Wants))
	for i, n := range h.Wants {
		w := &wants[i]
		*w = want{NodeNetwork: n, node: h.Node, subnet: n.SubnetName}
		p.wants = append(p.wants, w)
		if slices.ContainsFunc(h.Wants[:i], func(earlier v1alpha1.NodeNetwork) bool { return earlier.Name == n.Name }) {
			w.problem = fmt.Sprintf("networks lists %s twice: remove one", n.Name)
			continue
		}
		p.resolve(w)
		w.recall(h)
		if w.problem == "" {
			w.fix(h.AnsibleHost)
		}
	}
}

// resolve finds the want's pool.
func (p *addressPlanner) resolve(w *want) {
	s, err := p.site.Subnet(w.Name, w.SubnetName)
	if err != nil {
		w.problem = err.Error()
		return
	}
	if p.pools[s] == nil {
		p.pools[s] = &pool{Subnet: s}
	}
	w.pool, w.subnet = p.pools[s], s.Name
}

// field is the field that asks for the want's fixed address, or would.
func (w *want) field() string {
	return cmp.Or(w.asked, "networks["+w.Name+"].fixedIP")
}

// recall finds the address held for the want. While the want cannot be resolved, and while a server runs with it, any address on
// the network counts.
func (w *want) recall(h *Holder) {
	for _, a := range h.Held {
		if a.Network != w.Name || (h.Planned && a.Subnet != w.subnet && w.subnet != "") {
			continue
		}
		if addr, err := netip.ParseAddr(a.Address); err == nil {
			w.held, w.subnet, w.inForce = addr, a.Subnet, !h.Planned
			return
		}
	}
	for _, a := range h.Granted {
		if w.problem == "" && w.pool.Prefix.Contains(a) {
			w.held = a
			return
		}
	}
}

// fix reads the fixed address, if one is asked for. Where a pre-provisioned node answers counts as asked for.
func (w *want) fix(ansibleHost string) {
	if w.FixedIP == "" {
		if ansibleHost == "" || !w.pool.Network.IsCtlplane() {
			return
		}
		if a, err := w.pool.Inside(ansibleHost); err == nil && !slices.Contains(w.pool.reserved, a) {
			w.fixed, w.asked = a, "ansible.ansibleHost"
			w.inForce = w.inForce && a == w.held // where it answers is told by whoever moved it
		}
		return
	}
	a, err := w.pool.Inside(w.FixedIP)
	switch {
	case err != nil:
		w.problem = fmt.Sprintf("%s %v", w.field(), err)
	case slices.Contains(w.pool.reserved, a):
		w.problem = fmt.Sprintf("%s %s is the gateway, network or broadcast address of %s: choose another", w.field(), a, w.pool)
	default:
		w.fixed = a
	}
}

// grantHeld leaves held addresses where they are. A want that is wrong keeps whatever it has: the subnet may only have
// been misnamed, and its address must not go to another node meanwhile.
func (p *addressPlanner) grantHeld() {
	for _, w := range p.wants {
		if w.problem != "" || w.stays() {
			p.keep(w)
		}
	}
	for _, w := range p.wants {
		if w.inForce && w.problem == "" && !w.address.IsValid() && p.free(w.held, w.node) {
			p.give(w, w.held)
			w.problem = fmt.Sprintf("node %s holds address %s, which %s: take the change back, or delete the node, so that it comes back with another address",
				w.node, w.held, w.against())
		}
	}
}

// free reports whether nobody else has an address, and none is to have it.
func (p *addressPlanner) free(a netip.Addr, node string) bool {
	granted := p.granted[a]
	return p.owner[a] == "" && (granted == "" || granted == node)
}

// against says what does not allow the held address any more.
func (w *want) against() string {
	switch {
	case !w.pool.Prefix.Contains(w.held):
		return fmt.Sprintf("is outside %s of %s", w.pool.Prefix, w.pool)
	case slices.Contains(w.pool.reserved, w.held):
		return fmt.Sprintf("is the gateway, network or broadcast address of %s", w.pool)
	default:
		return fmt.Sprintf("is not %s %s", w.field(), w.fixed)
	}
}

func (w *want) stays() bool {
	return w.pool.Prefix.Contains(w.held) && !slices.Contains(w.pool.reserved, w.held) && (!w.fixed.IsValid() || w.fixed == w.held)
}

// keep gives the held address unless another node has it. Where the Ledger names another one, both have it: that is told.
func (p *addressPlanner) keep(w *want) {
	other := p.granted[w.held]
	switch {
	case !w.held.IsValid():
	case other != "" && other != w.node:
		w.address = w.held
		w.problem = cmp.Or(w.problem, fmt.Sprintf("address %s of node %s is also held by node %s (AddressBlock %s): give one of them another with networks[%s].fixedIP",
			w.held, w.node, other, BlockName(w.held), w.Name))
	case p.owner[w.held] == "":
		p.give(w, w.held)
		if w.problem == "" {
			w.subnet = w.pool.Name
		}
	}
}

// grantFixed moves nodes to their fixed addresses, one after the other as they become free. Who cannot move stays.
func (p *addressPlanner) grantFixed() {
	var pending []*want
	leaving := map[netip.Addr]string{} // held by a node that has not moved yet
	for _, w := range p.wants {
		if w.fixed.IsValid() && w.problem == "" && !w.address.IsValid() {
			pending = append(pending, w)
			if w.held.IsValid() && p.owner[w.held] == "" {
				p.owner[w.held], leaving[w.held] = w.node, w.node
			}
		}
	}
	for moved := true; moved; {
		moved = false
		pending = slices.DeleteFunc(pending, func(w *want) bool {
			if p.owner[w.fixed] != "" {
				return false
			}
			if leaving[w.held] == w.node {
				delete(p.owner, w.held)
			}
			p.give(w, w.fixed)
			moved = true
			return true
		})
	}
	for _, w := range pending {
		w.problem = fmt.Sprintf("%s %s of node %s is held by node %s: choose another address for one of them", w.field(), w.fixed, w.node, p.owner[w.fixed])
		if leaving[w.held] == w.node {
			p.give(w, w.held)
		}
	}
}

func (p *addressPlanner) grantFree() {
	for _, w := range p.wants {
		if w.problem != "" || w.address.IsValid() {
			continue
		}
		if a := w.pool.lowest(p.owner, p.granted); a.IsValid() {
			p.give(w, a)
			continue
		}
		w.exhausted = true
		w.problem = fmt.Sprintf("%s has no free address in %s: widen allocationRanges in the NetConfig", w.pool, w.pool.written)
		if w.pool.written == "" {
			w.problem = fmt.Sprintf("%s has no allocationRanges: add some in the NetConfig, or give %s", w.pool, w.field())
		}
	}
}

func (p *addressPlanner) give(w *want, a netip.Addr) {
	w.address = a
	p.owner[a] = w.node
}

// lowest is the lowest free address; zero when there is none. Addresses are never given back within a plan, so it goes
// on where it stopped.
func (p *pool) lowest(owner, granted map[netip.Addr]string) netip.Addr {
	for ; p.at < len(p.ranges); p.at, p.next = p.at+1, (netip.Addr{}) {
		r := p.ranges[p.at]
		if !p.next.IsValid() {
			p.next = r.From()
		}
		for ; r.Contains(p.next); p.next = p.next.Next() {
			if owner[p.next] == "" && granted[p.next] == "" {
				return p.next
			}
		}
	}
	return netip.Addr{}
}

func (p *addressPlanner) plan(sorted []Holder) AddressPlan {
	out := AddressPlan{Addresses: make(map[string][]v1alpha1.Address, len(sorted))}
	for i := range sorted {
		out.Addresses[sorted[i].Node] = nil
	}
	for _, w := range p.wants {
		if w.problem != "" {
			out.Unmet = append(out.Unmet, AddressProblem{Node: w.node, Network: w.Name, Message: w.problem, Exhausted: w.exhausted})
		}
		if w.address.IsValid() {
			out.Addresses[w.node] = append(out.Addresses[w.node], v1alpha1.Address{
				Network: w.Name, Subnet: w.subnet, Address: w.address.String(), DefaultRoute: w.DefaultRoute,
			})
		}
	}
	return out
}
