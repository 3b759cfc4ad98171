package plan

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// World is what there is at one moment: all NodeSets, nodes and hosts, each sorted by namespace and name.
// Make one with NewWorld.
type World struct {
	NodeSets []v1alpha1.NodeSet
	Nodes    []v1alpha1.DataPlaneNode
	Hosts    []claim.Host
	// Ledger is who holds which address of the namespace that is planned; nil plans as if nothing had been given out but
	// what the nodes have.
	Ledger *network.Ledger
}

// Tenants are the nodes of a namespace as a Ledger knows them, with the addresses that they have.
func (w *World) Tenants(namespace string) []network.Tenant {
	var out []network.Tenant
	for i := range w.Nodes {
		if n := &w.Nodes[i]; n.Namespace == namespace {
			out = append(out, network.Tenant{Node: n.Name, UID: n.UID, Has: n.Spec.Networks})
		}
	}
	return out
}

// NewWorld sorts what there is, and tells hosts that serve nobody. It keeps the slices.
func NewWorld(sets []v1alpha1.NodeSet, nodes []v1alpha1.DataPlaneNode, hosts []claim.Host) World {
	w := World{NodeSets: sets, Nodes: nodes, Hosts: hosts}
	w.sort()
	for i := range w.Hosts {
		if h := &w.Hosts[i]; h.Consumer != nil && h.ConsumerKind == claim.OwnerKind {
			h.ConsumerGone = w.Node(h.Consumer.Namespace, h.Consumer.Name) == nil
		}
	}
	return w
}

// AddNode takes in a node that was made after the world was read.
func (w *World) AddNode(node v1alpha1.DataPlaneNode) {
	i, _ := w.search(node.Namespace, node.Name)
	w.Nodes = slices.Insert(w.Nodes, i, node)
}

// Node is the node of that name, to be changed in place; nil when there is none.
func (w *World) Node(namespace, name string) *v1alpha1.DataPlaneNode {
	i, ok := w.search(namespace, name)
	if !ok {
		return nil
	}
	return &w.Nodes[i]
}

func (w *World) search(namespace, name string) (int, bool) {
	return sort.Find(len(w.Nodes), func(i int) int {
		return cmp.Or(strings.Compare(namespace, w.Nodes[i].Namespace), strings.Compare(name, w.Nodes[i].Name))
	})
}

// sort compares by index: passed to a function, each node and host would be copied, and each copy moved to the heap.
func (w *World) sort() {
	sort.Slice(w.NodeSets, func(i, j int) bool { return before(&w.NodeSets[i].ObjectMeta, &w.NodeSets[j].ObjectMeta) })
	sort.Slice(w.Nodes, func(i, j int) bool { return before(&w.Nodes[i].ObjectMeta, &w.Nodes[j].ObjectMeta) })
	sort.Slice(w.Hosts, func(i, j int) bool { return byRef(w.Hosts[i].Ref, w.Hosts[j].Ref) < 0 })
}

func before(a, b *metav1.ObjectMeta) bool {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name)) < 0
}

// Members are the nodes of a set, those being deleted included, by name. They are the world's own, until one is added to it.
func (w *World) Members(set *v1alpha1.NodeSet) []*v1alpha1.DataPlaneNode {
	var members []*v1alpha1.DataPlaneNode
	for i := range w.Nodes {
		if IsMember(&w.Nodes[i], set) {
			members = append(members, &w.Nodes[i])
		}
	}
	return members
}

// IsMember reports whether the node belongs to the set.
func IsMember(node *v1alpha1.DataPlaneNode, set *v1alpha1.NodeSet) bool {
	return node.Namespace == set.Namespace && node.Labels[v1alpha1.NodeSetLabel] == set.Name
}

// SetOf is the set a node belongs to; nil when it is not there.
func (w *World) SetOf(node *v1alpha1.DataPlaneNode) *v1alpha1.NodeSet {
	for i := range w.NodeSets {
		if IsMember(node, &w.NodeSets[i]) {
			return &w.NodeSets[i]
		}
	}
	return nil
}

// Host is the host a reference names; nil when it is gone or was made anew.
func (w *World) Host(ref *v1alpha1.HostReference) *claim.Host {
	i, ok := w.hostIndex(ref)
	if !ok {
		return nil
	}
	return &w.Hosts[i]
}

// hostIndex is where the host is that a reference names.
func (w *World) hostIndex(ref *v1alpha1.HostReference) (int, bool) {
	if ref == nil {
		return 0, false
	}
	i, ok := sort.Find(len(w.Hosts), func(i int) int { return byRef(*ref, w.Hosts[i].Ref) })
	return i, ok && w.Hosts[i].Ref.UID == ref.UID
}

func byRef(a, b v1alpha1.HostReference) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), line.Natural(a.Name, b.Name))
}

// IsProblem reports whether err is something a user has to put right, not a failure to read.
func IsProblem(err error) bool {
	return fault.Is(err, fault.Missing) || fault.Is(err, fault.Rejected)
}
