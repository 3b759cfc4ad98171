package plan

import (
	"maps"
	"slices"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// Set is a NodeSet with what its runs are made from.
type Set struct {
	NodeSet *v1alpha1.NodeSet
	// Site is the networks of the namespace; empty when there is a problem with them.
	Site network.Site
	// Rendered are networks that were rendered already, by node; others are when they are asked for.
	Rendered map[string]network.Rendered
	// Key logs in to the nodes.
	Key SSHKey
	// Cloud identifies the cloud that the set joins; empty when it joins none, or that cannot be told.
	Cloud string
	// Services in the order asked for, up to the first that has a problem: what comes after it builds on it.
	Services []rollout.Service
	// Problems a user has to put right, in a fixed order. Each is a fault.Missing or fault.Rejected.
	Problems []error
}

// SSHKey logs in to the nodes of a set.
type SSHKey struct {
	// Private is the key as the Secret holds it.
	Private []byte
	// Authorized are the public keys to install, in authorized_keys form.
	Authorized []string
}

// Usable reports whether anything can be run on the set's nodes at all: networks and login key are known.
func (s *Set) Usable() bool { return !s.Site.Empty() && len(s.Key.Private) > 0 }

// Inventory is the inventory of a set's nodes.
type Inventory struct {
	inventory.Inventory
	// KnownHosts are all nodes of the namespace that have an address and a host key.
	KnownHosts []inventory.KnownHost
	// Problems by node: it is not in the inventory until they are put right.
	Problems map[string]error
	// Undecided are nodes that it leaves out for now: what their networks are rendered from has changed since they were
	// decided.
	Undecided []string
}

// Limit returns the inventory with these nodes alone, and their host keys.
func (i Inventory) Limit(nodes map[string]bool) Inventory {
	out := Inventory{Inventory: i.Inventory.Limit(nodes), Problems: i.Problems, Undecided: i.Undecided}
	for _, h := range i.KnownHosts {
		if nodes[h.Node] {
			out.KnownHosts = append(out.KnownHosts, h)
		}
	}
	return out
}

// Inventory describes the nodes of the set that have their host, addresses and network. It is pure.
func (s *Set) Inventory(w *World) (Inventory, error) {
	out := Inventory{KnownHosts: w.knownHosts(s.NodeSet.Namespace, s.Site), Problems: map[string]error{}}
	in := inventory.Set{
		Name: s.NodeSet.Name, Template: s.NodeSet.Spec.NodeTemplate, Services: s.NodeSet.Spec.Services,
		ServiceTypes: s.serviceTypes(), Site: s.Site, KnownHosts: out.KnownHosts,
	}
	for _, node := range w.Members(s.NodeSet) {
		host := w.Host(node.Spec.Host)
		if !node.DeletionTimestamp.IsZero() || len(Unaddressed(s.NodeSet, node)) > 0 || (host == nil && !s.NodeSet.Spec.PreProvisioned) {
			continue
		}
		rendered, err := s.network(node, host)
		if err != nil {
			out.Problems[node.Name] = err
			continue
		}
		if rendered.Hash != node.Spec.NetworkHash {
			out.Undecided = append(out.Undecided, node.Name)
			continue
		}
		described := inventoryNode(s.NodeSet, node)
		described.NMState, described.NetworkHash = rendered.NMState, rendered.Hash
		in.Nodes = append(in.Nodes, described)
	}
	built, problems, err := inventory.Build(in)
	if err != nil {
		return Inventory{}, fault.Wrap(fault.Rejected, err, "NodeSet %s/%s", s.NodeSet.Namespace, s.NodeSet.Name)
	}
	out.Inventory = built
	for node, problem := range problems {
		out.Problems[node] = fault.Wrap(fault.Rejected, problem, "NodeSet %s/%s", s.NodeSet.Namespace, s.NodeSet.Name)
	}
	return out, nil
}

func (s *Set) serviceTypes() map[string]string {
	byName := make(map[string]string, len(s.Services))
	for _, service := range s.Services {
		byName[service.Name] = service.Type
	}
	return byName
}

// network is a node's network as it was decided, or else as it is rendered now.
func (s *Set) network(node *v1alpha1.DataPlaneNode, host *claim.Host) (network.Rendered, error) {
	if rendered, ok := s.Rendered[node.Name]; ok && rendered.Hash == node.Spec.NetworkHash {
		return rendered, nil
	}
	return RenderNetwork(s.NodeSet, node, s.Site, host)
}

// RenderNetwork renders a node's network. host is nil for pre-provisioned nodes. It is pure.
func RenderNetwork(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, site network.Site, host *claim.Host) (network.Rendered, error) {
	in := network.RenderInput{
		HostName: node.Spec.HostName, Config: Section(set, node.Name).NetworkConfig, Site: site, Addresses: node.Spec.Networks,
		NICNames: set.Spec.Nodes[node.Name].NICs,
	}
	if host != nil && host.Hardware != nil {
		in.NICs, in.BootMAC = host.Hardware.NICs, host.BootMAC
	}
	rendered, err := network.Render(in)
	return rendered, fault.Wrap(fault.Rejected, err, "DataPlaneNode %s/%s", node.Namespace, node.Name)
}

// knownHosts are the host keys of all nodes of the namespace that have an address and a key and are there to stay.
func (w *World) knownHosts(namespace string, site network.Site) []inventory.KnownHost {
	var nodes []inventory.Node
	for i := range w.Nodes {
		node := &w.Nodes[i]
		set := w.SetOf(node)
		if node.Namespace != namespace || set == nil || !node.DeletionTimestamp.IsZero() {
			continue
		}
		if _, ok := LoginOf(set, node, site); ok {
			nodes = append(nodes, inventoryNode(set, node))
		}
	}
	return inventory.KnownHosts(site, nodes)
}

func inventoryNode(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) inventory.Node {
	return inventory.Node{
		Name: node.Name, HostName: node.Spec.HostName, Addresses: node.Spec.Networks,
		Section: set.Spec.Nodes[node.Name], HostKeys: HostKeys(set, node),
	}
}

// NodeProblems are the nodes' problems in the order of their names.
func (i Inventory) NodeProblems() []error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(i.Problems)) {
		problems = append(problems, i.Problems[name])
	}
	return problems
}

// Has reports whether a node is in the inventory.
func (i Inventory) Has(node string) bool {
	return slices.ContainsFunc(i.Hosts, func(h inventory.Host) bool { return h.Name == node })
}
