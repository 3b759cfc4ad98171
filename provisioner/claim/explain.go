package claim

import (
	"fmt"
	"slices"
	"strings"
)

// shown is how many names a message lists before it counts the rest.
const shown = 5

// explain says of every slot without a host why it has none. Slots of one class share the explanation.
func (p *planner) explain(g *graph) {
	done := map[*lane]Unmet{}
	for slot, i := range p.free {
		if g.hostOf[slot] != none {
			continue
		}
		l := g.classOf[slot]
		u, ok := done[l]
		if !ok {
			u = Unmet{Refusals: p.refusals(l.class), Blocking: p.owners(g.rivals(l))}
			done[l] = u
		}
		u.Node = p.needs[i].Node
		p.plan.Unmet = append(p.plan.Unmet, u)
	}
}

// owners names the nodes of slots, sorted.
func (p *planner) owners(slots []int32) []Owner {
	var owners []Owner
	for _, slot := range slots {
		owners = append(owners, p.needs[p.free[slot]].Node)
	}
	slices.SortFunc(owners, compareOwners)
	return owners
}

// refusals lists the hosts that do not fit the class, each under the first rule that refuses it, in the order of the
// rules; hosts that fit but were settled before come last.
func (p *planner) refusals(c *class) []Refusal {
	rules := slices.Concat(placeRules(), freeRules(), fitRules())
	byRule := make([][]Refusal, len(rules)+1)
	index := map[string]int{} // of a reason within its rule
	for i := range p.hosts {
		h := &p.hosts[i]
		rank, reason := p.refusal(rules, c, i)
		if reason == "" {
			continue
		}
		at, seen := index[reason]
		if !seen {
			at = len(byRule[rank])
			index[reason] = at
			byRule[rank] = append(byRule[rank], Refusal{Reason: reason})
		}
		byRule[rank][at].Hosts = append(byRule[rank][at].Hosts, c.nameOf(h))
	}
	return slices.Concat(byRule...)
}

// refusal is why the class does not get the host, and the rank of the rule; an empty reason when the host fits it and
// was up for matching.
func (p *planner) refusal(rules []rule, c *class, host int) (rank int, reason string) {
	h := &p.hosts[host]
	rank = firstRefusal(rules, c, h)
	switch {
	case rank >= 0:
		return rank, rules[rank].reason(c, h)
	case p.holder[host] != nil:
		return len(rules), fmt.Sprintf("planned for %s %s", OwnerKind, p.holder[host])
	default:
		return len(rules), ""
	}
}

func (c *class) nameOf(h *Host) string {
	if h.Ref.Namespace == c.place.namespace {
		return h.Ref.Name
	}
	return h.Ref.Namespace + "/" + h.Ref.Name
}

// Message says in one line why the node has no host and what would help. It does not name the node, holds no time, and
// is the same for the same plan.
func (u Unmet) Message() string {
	parts := make([]string, 0, len(u.Refusals)+2)
	if len(u.Blocking) > 0 {
		names := make([]string, len(u.Blocking))
		for i, o := range u.Blocking {
			names[i] = o.String()
		}
		parts = append(parts, fmt.Sprintf("%d nodes compete for %d fitting hosts, which go to %s", len(names)+1, len(names), list(names)))
	}
	for _, r := range u.Refusals {
		parts = append(parts, r.Reason+": "+list(r.Hosts))
	}
	if len(parts) == 0 {
		return "there is no BareMetalHost: create BareMetalHosts for the servers, or correct spec.hosts.namespace of the NodeSet"
	}
	return "no host left (" + strings.Join(parts, "; ") + "): add or free a BareMetalHost, or relax spec.hosts of the NodeSet"
}

func list(names []string) string {
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
