package claim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/line"
)

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

// Explain says of each host whether the node could have it: hosts that fit first, without a reason, then the others by the
// rule that refuses them.
func Explain(n Need, hosts []Host) ([]Refusal, error) {
	c, err := classOf(&n)
	if err != nil {
		return nil, err
	}
	p := planner{hosts: slices.SortedFunc(slices.Values(hosts), func(a, b Host) int { return compareHosts(a.Ref, b.Ref) })}
	p.holder = make([]*Owner, len(p.hosts))
	var out []Refusal
	fit := Refusal{}
	for i := range p.hosts {
		if firstRefusal(allRules(), c, &p.hosts[i]) < 0 {
			fit.Hosts = append(fit.Hosts, c.nameOf(&p.hosts[i]))
		}
	}
	if len(fit.Hosts) > 0 {
		out = append(out, fit)
	}
	return append(out, p.refusals(c)...), nil
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
// rules; hosts that fit but were settled before come after them, and those that may not be seen are counted last.
func (p *planner) refusals(c *class) []Refusal {
	rules := allRules()
	byRule := make([][]Refusal, len(rules)+1)
	index := map[string]int{} // of a reason within its rule
	hidden, asked := 0, 0
	for i := range p.hosts {
		h := &p.hosts[i]
		if !h.visibleTo(c.place.reader) {
			hidden++
			continue
		}
		if h.Ref.Namespace == c.place.namespace {
			asked++
		}
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
	return append(slices.Concat(byRule...), c.unseen(hidden, asked)...)
}

// unseen tells of hosts that may not be seen: how many there are in all, never where. That the namespace asked for shows
// none is said in the same words whether it has hosts, or is there at all.
func (c *class) unseen(hidden, asked int) []Refusal {
	var out []Refusal
	if asked == 0 && c.place.namespace != c.place.reader {
		out = append(out, Refusal{Reason: fmt.Sprintf("namespace %s lends no host to namespace %s: its owner does that with a HostClaimPolicy",
			c.place.namespace, c.place.reader)})
	}
	if hidden > 0 {
		out = append(out, Refusal{Reason: "of other namespaces", Unnamed: hidden})
	}
	return out
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
		return len(rules), "planned for " + (&Host{Consumer: p.holder[host], ConsumerKind: OwnerKind}).ConsumerFor(c.place.reader)
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
	if n := len(u.Blocking); n > 0 {
		parts = append(parts, fmt.Sprintf("%d nodes compete for %d fitting hosts, which go to %s", n+1, n, u.rivals()))
	}
	for _, r := range u.Refusals {
		parts = append(parts, r.String())
	}
	if u.Asks {
		return strings.Join(parts, "; ")
	}
	if len(parts) == 0 {
		return "there is no BareMetalHost: create BareMetalHosts for the servers, or correct spec.hosts.namespace of the NodeSet"
	}
	return "no host left (" + strings.Join(parts, "; ") + "): add or free a BareMetalHost, or relax spec.hosts of the NodeSet"
}

// rivals names the nodes that get the hosts, those of the node's own namespace.
func (u Unmet) rivals() string {
	var names []string
	for _, o := range u.Blocking {
		if o.Namespace == u.Node.Namespace {
			names = append(names, o.String())
		}
	}
	switch foreign := len(u.Blocking) - len(names); {
	case foreign == 0:
		return line.Few(names)
	case len(names) == 0:
		return fmt.Sprintf("%d of other namespaces", foreign)
	default:
		return fmt.Sprintf("%s and %d of other namespaces", line.Few(names), foreign)
	}
}

// String is the reason with the hosts it excludes.
func (r Refusal) String() string {
	switch {
	case r.Unnamed == 1:
		return "1 host " + r.Reason
	case r.Unnamed > 1:
		return fmt.Sprintf("%d hosts %s", r.Unnamed, r.Reason)
	case len(r.Hosts) == 0:
		return r.Reason
	default:
		return r.Reason + ": " + line.Few(r.Hosts)
	}
}
