package plan

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// Memory carries plans forward: what has not changed since the last one is not planned again. It decides what Decide decides, which asks a
// new one each time. Nodes are told apart by UID and resourceVersion, hosts by claim.Host.Version, sets by generation: what has none is
// planned anew each time. The zero value is ready to use, by one caller at a time.
type Memory struct {
	pass    int // counts decisions
	sets    []setMark
	hosts   map[types.UID]*hostMark
	placed  map[types.UID]*place
	spaces  map[string]*space // by namespace
	decided map[types.UID]*remembered
}

// setMark identifies what is read of a set.
type setMark struct {
	uid        types.UID
	generation int64
	deleting   bool
	cloud      string
}

func markOf(set *v1alpha1.NodeSet) setMark {
	return setMark{set.UID, set.Generation, !set.DeletionTimestamp.IsZero(), set.Status.Cloud}
}

// hostMark is a host as it was seen last.
type hostMark struct {
	version, twin string
	lent          []string
	gone          bool
	// index in the world of the pass it was seen in last; changed is the pass it was last another in.
	index, seen, changed int
}

// place is a node that keeps its host, or needs none, as long as neither of them changes: who has kept a host once may keep it,
// and nobody else gets it.
type place struct {
	version string
	owner   claim.Owner
	host    *hostMark // nil for a node that needs none
	seen    int
}

// begin looks at what has changed since the last decision.
func (m *Memory) begin(w *World) {
	m.pass++
	sets := make([]setMark, len(w.NodeSets))
	known := true
	for i := range w.NodeSets {
		sets[i] = markOf(&w.NodeSets[i])
		known = known && sets[i].uid != "" && sets[i].generation != 0
	}
	if !known || !slices.Equal(sets, m.sets) || m.hosts == nil {
		*m = Memory{pass: m.pass, sets: sets, hosts: map[types.UID]*hostMark{}, placed: map[types.UID]*place{}, spaces: map[string]*space{}, decided: map[types.UID]*remembered{}}
	}
	for i := range w.Hosts {
		m.lookAt(i, &w.Hosts[i])
	}
	if len(m.hosts) > len(w.Hosts) {
		for uid, mark := range m.hosts {
			if mark.seen != m.pass {
				delete(m.hosts, uid)
			}
		}
	}
}

func (m *Memory) lookAt(index int, h *claim.Host) {
	mark := m.hosts[h.Ref.UID]
	if mark == nil {
		mark = &hostMark{}
		m.hosts[h.Ref.UID] = mark
	}
	same := mark.seen == m.pass-1 && h.Version != "" && mark.version == h.Version && mark.twin == h.Twin && mark.gone == h.ConsumerGone && slices.Equal(mark.lent, h.LentTo)
	if !same {
		mark.version, mark.twin, mark.gone, mark.lent, mark.changed = h.Version, h.Twin, h.ConsumerGone, h.LentTo, m.pass
	}
	mark.index, mark.seen = index, m.pass
}

// since reports whether a host is there and as it was at a pass.
func (m *Memory) since(host *hostMark, pass int) bool {
	return host == nil || (host.seen == m.pass && host.changed <= pass)
}

// settled is the place of a node that keeps what it has; nil when it is to be planned.
func (m *Memory) settled(w *World, node *v1alpha1.DataPlaneNode) *place {
	p := m.placed[node.UID]
	switch {
	case p == nil || p.seen != m.pass-1 || p.version != node.ResourceVersion || !node.DeletionTimestamp.IsZero():
		return nil
	case p.host != nil && (!m.since(p.host, m.pass-1) || w.Hosts[p.host.index].Ref != *node.Spec.Host):
		return nil
	}
	return p
}

// hostPlan is which nodes get which host.
type hostPlan struct {
	// at are the nodes' places, by their index in the world; nil for those that have none.
	at []*place
	// open are the nodes that were planned, by their index in the world; all others have what they had.
	open []bool
	// hosts are what those get, by node.
	hosts map[claim.Owner]*v1alpha1.HostReference
	unmet []claim.Unmet
}

// planHosts plans hosts for the nodes that are not settled, around those that are.
func (m *Memory) planHosts(w *World) (hostPlan, error) {
	out := hostPlan{at: make([]*place, len(w.Nodes)), open: make([]bool, len(w.Nodes)), hosts: map[claim.Owner]*v1alpha1.HostReference{}}
	holder := make([]*claim.Owner, len(w.Hosts))
	for i := range w.Nodes {
		p := m.settled(w, &w.Nodes[i])
		out.at[i], out.open[i] = p, p == nil
		if p != nil && p.host != nil {
			holder[p.host.index] = &p.owner
		}
	}
	needs := w.needs(out.open)
	if contested(w, needs, holder) {
		for i := range out.open {
			out.open[i] = true
		}
		needs, holder = w.needs(out.open), make([]*claim.Owner, len(w.Hosts))
	}
	plan, err := claim.MakeAround(needs, w.Hosts, holder)
	if err != nil {
		return hostPlan{}, err
	}
	kept := make(map[claim.Owner]bool, len(plan.Keep))
	for i := range plan.Keep {
		kept[plan.Keep[i].Node], out.hosts[plan.Keep[i].Node] = true, &plan.Keep[i].Host
	}
	for i := range plan.Take {
		out.hosts[plan.Take[i].Node] = &plan.Take[i].Host
	}
	out.unmet = plan.Unmet
	m.settle(w, out, kept)
	return out, nil
}

// needs are what the open nodes need of a host.
func (w *World) needs(open []bool) []claim.Need {
	var needs []claim.Need
	for i := range w.Nodes {
		if open[i] {
			if need := NeedOf(w.SetOf(&w.Nodes[i]), &w.Nodes[i]); need != nil {
				needs = append(needs, *need)
			}
		}
	}
	return needs
}

// contested reports whether a need holds what another node is settled on: only all of them together tell whose it is.
func contested(w *World, needs []claim.Need, holder []*claim.Owner) bool {
	return slices.ContainsFunc(needs, func(n claim.Need) bool {
		i, there := w.hostIndex(n.Held)
		return there && holder[i] != nil
	})
}

// settle notes which nodes need not be planned as long as nothing of theirs changes.
func (m *Memory) settle(w *World, plan hostPlan, kept map[claim.Owner]bool) {
	for i := range w.Nodes {
		if !plan.open[i] {
			plan.at[i].seen = m.pass
			continue
		}
		node := &w.Nodes[i]
		plan.at[i] = nil
		delete(m.placed, node.UID)
		p := &place{version: node.ResourceVersion, owner: OwnerOf(node), seen: m.pass}
		switch {
		case node.UID == "" || p.version == "" || !node.DeletionTimestamp.IsZero():
			continue
		case kept[p.owner]:
			p.host = m.hosts[node.Spec.Host.UID]
		case node.Spec.Host != nil || NeedOf(w.SetOf(node), node) != nil:
			continue
		}
		m.placed[node.UID], plan.at[i] = p, p
	}
	if len(m.placed) > len(w.Nodes) {
		for uid, p := range m.placed {
			if p.seen != m.pass {
				delete(m.placed, uid)
			}
		}
	}
}

// remembered is what was decided for a set.
type remembered struct {
	set  setMark
	site network.Site
	pass int // of the last decision
	// names are the host names of the desired nodes, by node; unique means that no two nodes want one.
	names  map[string]string
	unique bool
	nodes  map[string]v1alpha1.DataPlaneNodeSpec
	marks  map[types.UID]*nodeMark
}

// nodeMark is a node as it was when it was decided.
type nodeMark struct {
	version string
	seen    int
	on      *holderMark // its addresses; nil without networks
}

// recall is what was decided for the set by the same spec and networks.
func (m *Memory) recall(w *World, set *v1alpha1.NodeSet, site network.Site) *remembered {
	r := m.decided[set.UID]
	if r != nil && r.set == markOf(set) && r.site.Same(site) {
		return r
	}
	r = &remembered{
		set: markOf(set), site: site, names: map[string]string{}, nodes: map[string]v1alpha1.DataPlaneNodeSpec{}, marks: map[types.UID]*nodeMark{},
		unique: w.wantedOnce(set, site),
	}
	for _, node := range Desired(set) {
		r.names[node.Name] = node.Spec.HostName
	}
	m.decided[set.UID] = r
	return r
}

// nameless are the nodes that wait for a host name of their own.
func (r *remembered) nameless(w *World, set *v1alpha1.NodeSet, site network.Site) map[string]bool {
	if r.unique && (set.Status.Cloud == "" || !w.hasComputesBeyond(set.Namespace)) {
		return nil
	}
	return w.Nameless(set, site)
}

// question is what a decision is about.
type question struct {
	world *World
	set   *v1alpha1.NodeSet
	site  network.Site
}

// decide decides the specs of the set's nodes.
func (m *Memory) decide(d *Decision, q question, hosts hostPlan, on *space) {
	r := m.recall(q.world, q.set, q.site)
	nameless := r.nameless(q.world, q.set, q.site)
	members := 0
	for i := range q.world.Nodes {
		node := &q.world.Nodes[i]
		if !IsMember(node, q.set) || !node.DeletionTimestamp.IsZero() {
			continue
		}
		members++
		hostName, wanted := r.names[node.Name]
		if !wanted || nameless[node.Name] {
			hostName = node.Spec.HostName
		}
		mark := r.marks[node.UID]
		if mark != nil && !hosts.open[i] && m.same(r, mark, node, hosts.at[i]) && r.nodes[node.Name].HostName == hostName {
			mark.seen = m.pass
			continue
		}
		spec := node.Spec
		spec.HostName = hostName
		if hosts.open[i] {
			spec.Host = hosts.hosts[OwnerOf(node)]
		}
		if on != nil {
			spec.Networks = on.given(node)
			m.render(d, q, r, node, &spec)
		}
		r.nodes[node.Name], r.marks[node.UID] = spec, &nodeMark{version: node.ResourceVersion, seen: m.pass, on: on.mark(node)}
	}
	if len(r.marks) != members || len(r.nodes) != members {
		r.forget(q.world, q.set, m.pass)
	}
	r.pass, d.Nodes = m.pass, r.nodes
}

// same reports whether what was decided for a node the last time is what would be decided now, but for its host name.
func (m *Memory) same(r *remembered, mark *nodeMark, node *v1alpha1.DataPlaneNode, p *place) bool {
	return node.UID != "" && node.ResourceVersion != "" && mark.version == node.ResourceVersion && mark.seen == r.pass &&
		p != nil && m.since(p.host, r.pass) && (mark.on == nil || (mark.on.seen == m.pass && mark.on.planned <= r.pass))
}

// render decides the network of a node, as it was decided the last time if what it follows from is the same.
func (m *Memory) render(d *Decision, q question, r *remembered, node *v1alpha1.DataPlaneNode, spec *v1alpha1.DataPlaneNodeSpec) {
	old, mark := r.nodes[node.Name], r.marks[node.UID]
	sameHost := old.Host == nil && spec.Host == nil
	if old.Host != nil && spec.Host != nil && *old.Host == *spec.Host {
		host := m.hosts[spec.Host.UID]
		sameHost = host != nil && m.since(host, r.pass)
	}
	if node.UID != "" && mark != nil && mark.seen == r.pass && sameHost && old.HostName == spec.HostName && slices.Equal(old.Networks, spec.Networks) {
		spec.NetworkHash = old.NetworkHash
		return
	}
	q.site = r.site
	d.render(q, node, spec)
}

// forget drops nodes that are not decided any more.
func (r *remembered) forget(w *World, set *v1alpha1.NodeSet, pass int) {
	for uid, mark := range r.marks {
		if mark.seen != pass {
			delete(r.marks, uid)
		}
	}
	for name := range r.nodes {
		if node := w.Node(set.Namespace, name); node == nil || !IsMember(node, set) || !node.DeletionTimestamp.IsZero() {
			delete(r.nodes, name)
		}
	}
}
