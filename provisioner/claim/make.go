package claim

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// Make plans all needs over all hosts together.
//
// A held host stays while it exists under the same UID and carries the node's claim; one that was not claimed yet stays
// while the node may have it. A node that holds nothing but is named by the consumerRef of a host where it looks for
// hosts gets that host back. The remaining nodes are matched with the remaining
// hosts; among equally good plans the one that serves nodes and hosts in the order of their names, numbers by value, wins. The only error
// is a malformed selector; it names the node and the field, and no plan is made, because any could be wrong.
func Make(needs []Need, hosts []Host) (Plan, error) {
	sorted := slices.SortedFunc(slices.Values(hosts), func(a, b Host) int { return compareHosts(a.Ref, b.Ref) })
	return MakeAround(needs, sorted, make([]*Owner, len(hosts)))
}

// MakeAround plans as Make does where others hold hosts already, which nothing of these needs can change: holder is who, by index of
// the host, nil where nobody does. The hosts are sorted by namespace, name (numbers by value) and UID. It writes into holder who keeps a host, or takes one back.
func MakeAround(needs []Need, hosts []Host, holder []*Owner) (Plan, error) {
	p := planner{
		needs: slices.SortedFunc(slices.Values(needs), func(a, b Need) int { return compareOwners(a.Node, b.Node) }),
		hosts: hosts, holder: holder,
	}
	p.of = make([]*class, len(p.needs))
	if err := p.classify(); err != nil {
		return Plan{}, err
	}
	p.settle()
	p.match()
	return p.plan, nil
}

// planner carries one planning from sorted input to plan.
type planner struct {
	needs []Need
	hosts []Host

	of     []*class // class of each need
	free   []int32  // needs without a host so far, ascending
	holder []*Owner // who has the host after settle; nil means up for matching
	plan   Plan
}

// place is where a class looks for hosts, in comparable form. reader is the namespace of the nodes: what may be shown to it.
type place struct{ reader, namespace, selector, labels string }

type classKey struct {
	place
	requirements v1alpha1.HardwareRequirements
}

// classify groups needs that accept the same hosts, so that a rack of equal nodes costs as much as one.
func (p *planner) classify() error {
	classes := map[classKey]*class{}
	for i := range p.needs {
		c, err := classOf(&p.needs[i])
		if err != nil {
			return err
		}
		key := classKey{c.place, c.requirements}
		if classes[key] == nil {
			classes[key] = c
		}
		p.of[i] = classes[key]
	}
	return nil
}

func classOf(n *Need) (*class, error) {
	selector, err := selectorOf(n.Selector)
	if err != nil {
		return nil, fmt.Errorf("node %s: spec.hosts.selector is malformed: %w; see the labels and operators of a Kubernetes label selector", n.Node, err)
	}
	where := place{n.Node.Namespace, n.HostNamespace, selector.String(), labels.Set(n.Labels).String()}
	return &class{place: where, selector: selector, labels: n.Labels, requirements: n.Requirements}, nil
}

// selectorOf reads nil as "every host", unlike metav1, which reads it as "none".
func selectorOf(s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil {
		return labels.Everything(), nil
	}
	return metav1.LabelSelectorAsSelector(s)
}

// settle decides held hosts. A node that is the host's consumer goes before one that merely planned to be.
func (p *planner) settle() {
	consumed := p.consumed()
	for i := range p.needs {
		n := &p.needs[i]
		if p.keepHeld(i) || p.takeBack(i, consumed) || n.OnlyKeeps || p.asksFirst(i, consumed) {
			continue
		}
		p.free = append(p.free, int32(i))
	}
}

// consumed are the hosts that name one of the needs' nodes as their consumer, by its name.
func (p *planner) consumed() map[types.NamespacedName][]int {
	of := make(map[types.NamespacedName][]int, len(p.needs))
	for i := range p.needs {
		of[types.NamespacedName{Namespace: p.needs[i].Node.Namespace, Name: p.needs[i].Node.Name}] = nil
	}
	for i := range p.hosts {
		if c := p.hosts[i].Consumer; c != nil && p.hosts[i].ConsumerKind == OwnerKind {
			key := types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
			if named, ok := of[key]; ok {
				of[key] = append(named, i)
			}
		}
	}
	return of
}

func (p *planner) keepHeld(need int) bool {
	n := &p.needs[need]
	if n.Held == nil {
		return false
	}
	i, ok := slices.BinarySearchFunc(p.hosts, *n.Held, func(h Host, held v1alpha1.HostReference) int { return compareHosts(h.Ref, held) })
	if ok && p.holder[i] == nil && p.canStay(need, i) {
		p.holder[i] = &n.Node
		p.plan.Keep = append(p.plan.Keep, Assignment{n.Node, p.hosts[i].Ref})
		return true
	}
	p.plan.Drop = append(p.plan.Drop, Assignment{n.Node, *n.Held})
	return false
}

// takeBack finds a host that already carries the node's claim: the decision was lost (a restored backup), the claim was
// not. Only where the node looks for hosts: who writes hosts elsewhere could push one onto it.
func (p *planner) takeBack(need int, consumed map[types.NamespacedName][]int) bool {
	n := &p.needs[need]
	for _, i := range consumed[types.NamespacedName{Namespace: n.Node.Namespace, Name: n.Node.Name}] {
		if p.holder[i] == nil && p.hosts[i].Ref.Namespace == n.HostNamespace && p.canStay(need, i) {
			p.holder[i] = &n.Node
			p.plan.Take = append(p.plan.Take, Assignment{n.Node, p.hosts[i].Ref})
			return true
		}
	}
	return false
}

// asksFirst leaves a node without a host while one carries the claim of an earlier node of its name, and nothing tells
// whether the server runs as this one: a second server under one name and address is worse than none.
func (p *planner) asksFirst(need int, consumed map[types.NamespacedName][]int) bool {
	n := &p.needs[need]
	u := Unmet{Node: n.Node, Asks: true}
	for _, i := range consumed[types.NamespacedName{Namespace: n.Node.Namespace, Name: n.Node.Name}] {
		if h := &p.hosts[i]; h.Ref.Namespace == n.HostNamespace && h.carriesEarlier(n.Node) {
			reason := fmt.Sprintf("carries the claim of an earlier %s of this name (UID %s): set spec.consumerRef.uid to %s if its server runs as this node, or clear spec.consumerRef and spec.image if it may be erased",
				OwnerKind, h.Consumer.UID, n.Node.UID)
			u.Refusals = append(u.Refusals, Refusal{Reason: reason, Hosts: []string{h.Ref.Name}})
		}
	}
	if len(u.Refusals) > 0 {
		p.plan.Unmet = append(p.plan.Unmet, u)
	}
	return len(u.Refusals) > 0
}

// canStay reports whether the node may keep the host: it carries the node's claim, or the node may claim it.
func (p *planner) canStay(need, host int) bool {
	n, h := &p.needs[need], &p.hosts[host]
	if h.Carries(n.Node) {
		return true
	}
	return !n.OnlyKeeps && p.of[need].refusedTo(n.Node, h) == ""
}

// match gives the free hosts to the nodes that have none.
func (p *planner) match() {
	if len(p.free) == 0 {
		return
	}
	p.findFits()
	g := newGraph(p)
	g.solve()
	for slot, i := range p.free {
		if h := g.hostOf[slot]; h != none {
			p.plan.Take = append(p.plan.Take, Assignment{p.needs[i].Node, p.hosts[h].Ref})
		}
	}
	slices.SortFunc(p.plan.Take, func(a, b Assignment) int { return compareOwners(a.Node, b.Node) })
	p.explain(g)
}

// findFits fills each class's adjacency. Sets tend to differ in place and nodes in hardware, so each place is looked at once.
func (p *planner) findFits() {
	able := p.ableHosts()
	inPlace := map[place][]int32{}
	for _, i := range p.free {
		c := p.of[i]
		if c.adjacent != nil {
			continue
		}
		if inPlace[c.place] == nil {
			inPlace[c.place] = p.passing(placeRules(), c, able)
		}
		c.adjacent = p.passing(fitRules(), c, inPlace[c.place])
	}
}

// passing are the hosts that pass all rules; never nil.
func (p *planner) passing(rules []rule, c *class, hosts []int32) []int32 {
	out := []int32{}
	for _, h := range hosts {
		if firstRefusal(rules, c, &p.hosts[h]) < 0 {
			out = append(out, h)
		}
	}
	return out
}

// ableHosts are the hosts that somebody could take now.
func (p *planner) ableHosts() []int32 {
	var unheld []int32
	for h := range p.hosts {
		if p.holder[h] == nil {
			unheld = append(unheld, int32(h))
		}
	}
	return p.passing(freeRules(), nil, unheld)
}

// firstRefusal is the index of the first rule the host does not pass; -1 when it passes all.
func firstRefusal(rules []rule, c *class, h *Host) int {
	return slices.IndexFunc(rules, func(r rule) bool { return !r.passes(c, h) })
}

func compareOwners(a, b Owner) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), line.Natural(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}

func compareHosts(a, b v1alpha1.HostReference) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), line.Natural(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}
