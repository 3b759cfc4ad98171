package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// space is the addresses of a namespace as they were planned the last time.
type space struct {
	addresses network.Addresses
	site      network.Site
	pass      int // of the last plan; 0 when there is none
	marks     map[types.UID]*holderMark
	blocks    map[string]blockMark
	ledger    bool
	strangers []string

	// of the plan that is being made
	changed []int // nodes, by their index in the world
	gone    []string
	results map[string][]v1alpha1.Address // of the nodes without UID, by holder
}

// holderMark is a node as it was when its addresses were planned.
type holderMark struct {
	version, node string
	// planned is the pass they were last planned in, given what came of it.
	seen, planned int
	given         []v1alpha1.Address
}

// blockMark is a block of the ledger as it was read last.
type blockMark struct {
	version string
	holders []network.Identity
}

// given are the addresses that were planned for a node.
func (s *space) given(node *v1alpha1.DataPlaneNode) []v1alpha1.Address {
	if mark := s.marks[node.UID]; mark != nil && node.UID != "" {
		return mark.given
	}
	return s.results[OwnerOf(node).String()]
}

// mark is the node's; nil without networks.
func (s *space) mark(node *v1alpha1.DataPlaneNode) *holderMark {
	if s == nil {
		return nil
	}
	return s.marks[node.UID]
}

// planAddresses plans the addresses of the set's namespace, those of nodes that changed around the others. It returns nil
// without networks.
func (m *Memory) planAddresses(d *Decision, w *World, set *v1alpha1.NodeSet, site network.Site, hosts hostPlan) *space {
	if site.Empty() {
		return nil
	}
	s := m.spaces[set.Namespace]
	if s == nil || !s.site.Same(site) || s.ledger != (w.Ledger != nil) {
		s = &space{site: site, ledger: w.Ledger != nil, marks: map[types.UID]*holderMark{}, blocks: map[string]blockMark{}}
		m.spaces[set.Namespace] = s
	}
	touched := s.touched(w.Ledger)
	came := m.compare(s, w, set.Namespace, hosts, touched)
	holders := s.holders(w, s.changed)
	if w.Ledger != nil && (s.pass == 0 || came || len(touched) > 0 || len(s.gone) > 0) {
		s.gone = append(s.gone, s.strangers...)
		s.strangers = nil
		for _, holder := range strangers(w, set.Namespace) {
			holders, s.strangers = append(holders, holder), append(s.strangers, holder.Node)
		}
	}
	plan, ok := network.AddressPlan{}, false
	if s.pass > 0 {
		plan, ok = s.addresses.Replan(holders, s.gone)
	}
	if !ok {
		s.changed = w.indexes(set.Namespace)
		holders = s.holders(w, s.changed)
		if w.Ledger != nil {
			holders = append(holders, strangers(w, set.Namespace)...)
		}
		plan = s.addresses.Plan(s.site, holders)
	}
	s.note(w, plan, m.pass)
	d.tell(w, set, plan)
	return s
}

// compare finds the nodes that are to be planned and those that are gone, and reports whether any came.
func (m *Memory) compare(s *space, w *World, namespace string, hosts hostPlan, touched map[network.Identity]bool) (came bool) {
	s.changed, s.gone = nil, nil
	there := 0
	for i := range w.Nodes {
		node := &w.Nodes[i]
		if node.Namespace != namespace {
			continue
		}
		there++
		mark := s.marks[node.UID]
		if mark == nil || mark.seen != s.pass || node.UID == "" {
			came = true
			mark = &holderMark{node: OwnerOf(node).String()}
			s.marks[node.UID] = mark
		}
		p := hosts.at[i]
		same := !hosts.open[i] && p != nil && m.since(p.host, s.pass) && s.rests(mark, node) && !touched[network.Identity{Node: node.Name, UID: node.UID}]
		if mark.seen = m.pass; !same {
			mark.version = node.ResourceVersion
			s.changed = append(s.changed, i)
		}
	}
	if len(s.marks) == there {
		return came
	}
	for uid, mark := range s.marks {
		if mark.seen != m.pass {
			s.gone = append(s.gone, mark.node)
			delete(s.marks, uid)
		}
	}
	return came
}

// rests reports whether the node is as its addresses were planned for the last time, and nothing of them was left open then.
func (s *space) rests(mark *holderMark, node *v1alpha1.DataPlaneNode) bool {
	return mark.version != "" && mark.version == node.ResourceVersion && !s.addresses.Restless(mark.node)
}

// touched are the nodes that hold, or held, addresses of blocks that have changed.
func (s *space) touched(ledger *network.Ledger) map[network.Identity]bool {
	if ledger == nil {
		return nil
	}
	nodes, there := map[network.Identity]bool{}, map[string]bool{}
	touch := func(holders []network.Identity) {
		for _, who := range holders {
			nodes[who] = true
		}
	}
	for _, block := range ledger.Blocks() {
		there[block.Name] = true
		if mark := s.blocks[block.Name]; block.Version == "" || mark.version != block.Version {
			now := ledger.HoldersOf(block.Name)
			touch(mark.holders)
			touch(now)
			s.blocks[block.Name] = blockMark{block.Version, now}
		}
	}
	for name, mark := range s.blocks {
		if !there[name] {
			touch(mark.holders)
			delete(s.blocks, name)
		}
	}
	return nodes
}

// indexes are where the nodes of a namespace are.
func (w *World) indexes(namespace string) []int {
	var all []int
	for i := range w.Nodes {
		if w.Nodes[i].Namespace == namespace {
			all = append(all, i)
		}
	}
	return all
}

// holders are the nodes as the plan of addresses sees them.
func (s *space) holders(w *World, nodes []int) []network.Holder {
	identities := make(map[network.Identity]bool, len(nodes))
	for _, i := range nodes {
		identities[network.Identity{Node: w.Nodes[i].Name, UID: w.Nodes[i].UID}] = true
	}
	granted := w.grantedTo(identities)
	out := make([]network.Holder, 0, len(nodes))
	for _, i := range nodes {
		node := &w.Nodes[i]
		holder := network.Holder{
			Node: OwnerOf(node).String(), Held: node.Spec.Networks, Planned: !w.InForce(node), Granted: granted[network.Identity{Node: node.Name, UID: node.UID}],
		}
		owner := w.SetOf(node)
		if leaving := !node.DeletionTimestamp.IsZero() || owner == nil; leaving {
			holder.Wants = wantsOf(node.Spec.Networks) // it keeps what it has until it is gone
		} else {
			section := Section(owner, node.Name)
			holder.Wants = section.Networks
			if owner.Spec.PreProvisioned {
				holder.AnsibleHost = section.Ansible.AnsibleHost
			}
		}
		out = append(out, holder)
	}
	return out
}

// note keeps what came of a plan.
func (s *space) note(w *World, plan network.AddressPlan, pass int) {
	s.results = nil
	for _, i := range s.changed {
		node := &w.Nodes[i]
		given := plan.Addresses[OwnerOf(node).String()]
		if mark := s.marks[node.UID]; node.UID != "" {
			mark.planned, mark.given = pass, given
			continue
		}
		if s.results == nil {
			s.results = map[string][]v1alpha1.Address{}
		}
		s.results[OwnerOf(node).String()] = given
	}
	s.pass = pass
}

// tell notes the set's nodes that do not get what they want. Who leaves gets nothing any more, and is not told.
func (d *Decision) tell(w *World, set *v1alpha1.NodeSet, plan network.AddressPlan) {
	for _, problem := range plan.Unmet {
		node := w.Node(set.Namespace, nameIn(problem.Node))
		if node != nil && node.DeletionTimestamp.IsZero() {
			if owner := w.SetOf(node); owner != nil && owner.Name == set.Name {
				d.NoAddress = append(d.NoAddress, problem)
			}
		}
	}
}

// strangers are holders that the world does not show: what they hold nobody else gets until they are seen to be gone.
func strangers(w *World, namespace string) []network.Holder {
	absent := w.Ledger.Absent(w.Tenants(namespace))
	wanted := make(map[network.Identity]bool, len(absent))
	for _, who := range absent {
		wanted[who] = true
	}
	granted := w.Ledger.GrantedTo(wanted)
	var out []network.Holder
	for _, who := range absent {
		out = append(out, network.Holder{Node: fmt.Sprintf("%s/%s (UID %s)", namespace, who.Node, who.UID), Granted: granted[who]})
	}
	return out
}
