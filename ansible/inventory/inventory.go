// Package inventory builds the Ansible inventory of a node set.
//
// It is pure. Variable names are RHOSO 18's (openstack-operator
// internal/dataplane/inventory.go), so that edpm-ansible's roles find what
// they expect. Precedence, lowest first: the login defaults and
// nodeTemplate.ansible.ansibleVars (group variables), the node's own login and
// ansibleVars (host variables), what is computed. A user's variable may not say
// otherwise than a computed one, except for DNS servers and search domains. A
// user's values keep the type and spelling they were written with, and Ansible
// evaluates the templates in them; every other text is data and reaches Ansible
// as such.
package inventory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// Host is one node.
type Host struct {
	// Name of the DataPlaneNode.
	Name string
	// Vars are JSON values; numbers of users are json.Number, and texts of users Template.
	Vars map[string]any
}

// Inventory is one group of hosts.
type Inventory struct {
	// Group is the NodeSet's name.
	Group string
	// GroupVars hold for every host.
	GroupVars map[string]any
	// Hosts, sorted by name.
	Hosts []Host
}

// Node is what is known of a DataPlaneNode.
type Node struct {
	// Name of the DataPlaneNode, and its host name.
	Name, HostName string
	// Addresses it holds.
	Addresses []v1alpha1.Address
	// Section of the NodeSet; zero for nodes made from the template alone.
	Section v1alpha1.NodeSection
	// NMState is its rendered network, NetworkHash the hash of it; nil and empty while it cannot be rendered.
	NMState     map[string]any
	NetworkHash string
	// HostKeys are its public SSH host keys in authorized_keys form.
	HostKeys []string
}

// Set is a NodeSet and what was decided for its nodes.
type Set struct {
	// Name of the NodeSet.
	Name string
	// Template of its nodes.
	Template v1alpha1.NodeTemplate
	// Services in run order.
	Services []string
	// ServiceTypes by service name; a service that is not in it is its own type.
	ServiceTypes map[string]string
	// Site is the networks of the namespace.
	Site network.Site
	// Nodes of the set, in any order.
	Nodes []Node
	// KnownHosts are all nodes of the namespace, as KnownHosts gives them.
	KnownHosts []KnownHost
}

// Build makes the inventory. A node that has neither an ansibleHost nor a ctlplane address has no ansible_host: it is
// listed, but must not be run on. An error is the template's: it holds for every node. A node with a problem of its own is
// left out and told by name. Both name field and remedy: what Check refuses, a variable that is not JSON or says otherwise
// than the NetConfig, a network that the NetConfig does not have.
func Build(s Set) (inv Inventory, problems map[string]error, err error) {
	shared, err := userVars(s.Template.Ansible)
	if err != nil {
		return Inventory{}, nil, fmt.Errorf("spec.nodeTemplate.%w", err)
	}
	inv = Inventory{Group: s.Name}
	if inv.GroupVars, err = groupVars(&s, shared); err != nil {
		return Inventory{}, nil, fmt.Errorf("spec.nodeTemplate.%w", err)
	}
	problems = map[string]error{}
	for i := range s.Nodes {
		name := s.Nodes[i].Name
		vars, err := hostVars(&s, &s.Nodes[i], shared)
		if err != nil {
			problems[name] = err
			continue
		}
		inv.Hosts = append(inv.Hosts, Host{Name: name, Vars: vars})
	}
	slices.SortFunc(inv.Hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	return inv, problems, nil
}

// Limit keeps only the named nodes. Variables are shared with i.
func (i Inventory) Limit(nodes map[string]bool) Inventory {
	out := Inventory{Group: i.Group, GroupVars: i.GroupVars}
	for _, h := range i.Hosts {
		if nodes[h.Name] {
			out.Hosts = append(out.Hosts, h)
		}
	}
	return out
}
