package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// NameClash is a node of a set that waits, because another one has its host name already or asked for it earlier. Two
// servers of one name overwrite each other in DNS, known hosts, Nova and OVN.
type NameClash struct {
	// Node that waits, and the one that has the name.
	Node, Other string
	// OtherSet is the NodeSet of the other when it is not the same; else empty.
	OtherSet string
	// Foreign is set when the other is a compute of the same cloud in another namespace. It is not named: whoever may read
	// this set need not know what others have.
	Foreign bool
	// HostName is the name of both, with its domain.
	HostName string
}

// String says what is wrong and what to do.
func (c NameClash) String() string {
	other := c.Other
	switch {
	case c.Foreign:
		other = "one of another namespace, which is a compute of the same cloud,"
	case c.OtherSet != "":
		other += " of NodeSet " + c.OtherSet
	}
	return fmt.Sprintf("nodes %s and %s are both called %s: %s waits until hostName in spec.nodes, or spec.hostNameTemplate, gives it another name",
		c.Node, other, c.HostName, c.Node)
}

// bearer is a node that wants a host name.
type bearer struct {
	set  *v1alpha1.NodeSet
	node string
	// held is set for a node that has the name.
	held *v1alpha1.DataPlaneNode
}

// NameClashes returns the nodes of a set whose host name is another node's of the namespace, or a compute's of the cloud
// that the set joins (status.cloud), by node. Of other namespaces only what has joined counts: who merely wants a name there
// keeps nobody waiting here. It is pure.
func (w *World) NameClashes(set *v1alpha1.NodeSet, site network.Site) []NameClash {
	bearers := map[string][]bearer{}
	w.addWanted(bearers, set, site)
	w.addComputes(bearers, set)
	var clashes []NameClash
	for name, all := range bearers {
		first := slices.MinFunc(all, earlier)
		for _, b := range all {
			if b == first || b.set.Namespace != set.Namespace || b.set.Name != set.Name {
				continue
			}
			clash := NameClash{Node: b.node, HostName: name, Foreign: first.set.Namespace != set.Namespace}
			if !clash.Foreign {
				clash.Other = first.node
			}
			if !clash.Foreign && first.set.Name != set.Name {
				clash.OtherSet = first.set.Name
			}
			clashes = append(clashes, clash)
		}
	}
	slices.SortFunc(clashes, func(a, b NameClash) int { return strings.Compare(a.Node, b.Node) })
	return clashes
}

// addWanted adds the nodes that the sets of the namespace want, by the names they want for them.
func (w *World) addWanted(bearers map[string][]bearer, set *v1alpha1.NodeSet, site network.Site) {
	for i := range w.NodeSets {
		other := &w.NodeSets[i]
		if other.Namespace != set.Namespace || (!other.DeletionTimestamp.IsZero() && other.Name != set.Name) {
			continue
		}
		for _, node := range Desired(other) {
			b := bearer{set: other, node: node.Name}
			if there := w.Node(node.Namespace, node.Name); there != nil && there.Spec.HostName == node.Spec.HostName && IsMember(there, other) {
				b.held = there
			}
			name := wantedName(other, &node, site)
			bearers[name] = append(bearers[name], b)
		}
	}
}

// wantedOnce reports whether no two nodes of the namespace want one name, whoever has it.
func (w *World) wantedOnce(set *v1alpha1.NodeSet, site network.Site) bool {
	bearers := map[string][]bearer{}
	w.addWanted(bearers, set, site)
	for _, all := range bearers {
		if len(all) > 1 {
			return false
		}
	}
	return true
}

// hasComputesBeyond reports whether any node of another namespace has joined a cloud.
func (w *World) hasComputesBeyond(namespace string) bool {
	for i := range w.Nodes {
		if n := &w.Nodes[i]; n.Namespace != namespace && n.Status.OpenStack != nil && n.Status.OpenStack.Host != "" {
			return true
		}
	}
	return false
}

// addComputes adds the nodes of other namespaces that are computes of the set's cloud under one of the names, with or
// without the domain.
func (w *World) addComputes(bearers map[string][]bearer, set *v1alpha1.NodeSet) {
	if set.Status.Cloud == "" {
		return
	}
	byHost := map[string]bearer{}
	for i := range w.Nodes {
		node := &w.Nodes[i]
		if node.Namespace == set.Namespace || node.Status.OpenStack == nil || node.Status.OpenStack.Host == "" {
			continue
		}
		if other := w.SetOf(node); other != nil && other.Status.Cloud == set.Status.Cloud {
			byHost[node.Status.OpenStack.Host] = bearer{set: other, node: node.Name, held: node}
		}
	}
	for name := range bearers {
		short, _, _ := strings.Cut(name, ".")
		for _, host := range slices.Compact([]string{name, short}) {
			if b, there := byHost[host]; there {
				bearers[name] = append(bearers[name], b)
			}
		}
	}
}

// earlier orders nodes that want one name: who has it, then who was there first, then by set and node.
func earlier(a, b bearer) int {
	switch {
	case a.held != nil && b.held == nil:
		return -1
	case a.held == nil && b.held != nil:
		return 1
	}
	created := func(x bearer) int64 {
		if x.held != nil {
			return x.held.CreationTimestamp.Unix()
		}
		return x.set.CreationTimestamp.Unix()
	}
	return cmp.Or(cmp.Compare(created(a), created(b)), strings.Compare(a.set.Namespace, b.set.Namespace), strings.Compare(a.set.Name, b.set.Name), strings.Compare(a.node, b.node))
}

// wantedName is a node's host name with the domain of the control plane that it is to be on.
func wantedName(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, site network.Site) string {
	var on []v1alpha1.Address
	for _, wanted := range Section(set, node.Name).Networks {
		on = append(on, v1alpha1.Address{Network: wanted.Name})
	}
	return site.CanonicalName(node.Spec.HostName, on)
}

// Nameless are the names of the nodes that wait for a host name of their own.
func (w *World) Nameless(set *v1alpha1.NodeSet, site network.Site) map[string]bool {
	nodes := map[string]bool{}
	for _, clash := range w.NameClashes(set, site) {
		nodes[clash.Node] = true
	}
	return nodes
}
