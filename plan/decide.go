package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// Decision is what was decided for the nodes of one set.
type Decision struct {
	// Nodes are the specs by node name. Services are as they were.
	Nodes map[string]v1alpha1.DataPlaneNodeSpec
	// NoHost are nodes of the set that get no host, by name.
	NoHost []claim.Unmet
	// NoAddress are addresses that nodes of the set want and do not get, by node.
	NoAddress []network.AddressProblem
	// Rendered are the networks by node, as Nodes name them by their hash and without network data, which nobody asks a set for.
	// One that cannot be rendered is not in it.
	Rendered map[string]network.Rendered
}

// Decide plans hosts over all sets and addresses over the set's namespace, and returns what concerns the set. It is
// pure. With an empty site the addresses stay as they are. An error means a malformed host selector.
func Decide(w World, set *v1alpha1.NodeSet, site network.Site) (Decision, error) {
	var once Memory
	return once.Decide(w, set, site)
}

// Decide decides what Decide does. Of Rendered it has only what it did not decide before, and its Nodes are good until the next
// decision: they are not to be changed.
func (m *Memory) Decide(w World, set *v1alpha1.NodeSet, site network.Site) (Decision, error) {
	m.begin(&w)
	hosts, err := m.planHosts(&w)
	if err != nil {
		*m = Memory{}
		return Decision{}, err
	}
	d := Decision{Rendered: map[string]network.Rendered{}}
	for _, u := range hosts.unmet {
		if node := w.Node(u.Node.Namespace, u.Node.Name); node != nil && IsMember(node, set) {
			d.NoHost = append(d.NoHost, u)
		}
	}
	m.decide(&d, question{&w, set, site}, hosts, m.planAddresses(&d, &w, set, site, hosts))
	return d, nil
}

// render decides the network that follows from a node's host and addresses. What keeps it from being rendered is told
// where the inventory is made, and by the node.
func (d *Decision) render(q question, node *v1alpha1.DataPlaneNode, spec *v1alpha1.DataPlaneNodeSpec) {
	spec.NetworkHash = ""
	planned := v1alpha1.DataPlaneNode{ObjectMeta: node.ObjectMeta, Spec: *spec}
	host := q.world.Host(spec.Host)
	if len(Unaddressed(q.set, &planned)) > 0 || (host == nil && !q.set.Spec.PreProvisioned) {
		return
	}
	if rendered, err := RenderNetwork(q.set, &planned, q.site, host); err == nil {
		rendered.NetworkData = nil
		spec.NetworkHash, d.Rendered[node.Name] = rendered.Hash, rendered
	}
}

// Reason is why the set is not planned completely; "" when it is.
func (d *Decision) Reason() string {
	switch {
	case len(d.NoHost) > 0:
		return v1alpha1.ReasonNoHost
	case len(d.NoAddress) == 0:
		return ""
	case slices.ContainsFunc(d.NoAddress, func(p network.AddressProblem) bool { return !p.Exhausted }):
		return v1alpha1.ReasonInvalidInput
	default:
		return v1alpha1.ReasonAddressExhausted
	}
}

// Message says which nodes are short of what and why. Nodes with the same reason are told together.
func (d *Decision) Message() string {
	var order []string
	nodes := map[string][]string{}
	add := func(node, message string) {
		if nodes[message] == nil {
			order = append(order, message)
		}
		nodes[message] = append(nodes[message], node)
	}
	for _, u := range d.NoHost {
		add(u.Node.Name, u.Message())
	}
	for _, a := range d.NoAddress {
		add(nameIn(a.Node), a.Message)
	}
	problems := make([]string, 0, len(order))
	for _, message := range order {
		problems = append(problems, fmt.Sprintf("%s: %s", line.Few(nodes[message]), message))
	}
	return Summary(problems)
}

// nameIn is the name in namespace/name.
func nameIn(node string) string { return node[strings.IndexByte(node, '/')+1:] }

// InForce reports whether a server may run with the node's addresses. Only of a node that was looked at, and has neither run
// nor been handed over its host, that is known not to be so: a status may be lost, and a file has none.
func (w *World) InForce(node *v1alpha1.DataPlaneNode) bool {
	host := w.Host(node.Spec.Host)
	return len(node.Status.Conditions) == 0 || HasRun(node) || (host != nil && host.HandedOverBy(OwnerOf(node)))
}

func (w *World) grantedTo(nodes map[network.Identity]bool) map[network.Identity][]netip.Addr {
	if w.Ledger == nil {
		return nil
	}
	return w.Ledger.GrantedTo(nodes)
}

func wantsOf(held []v1alpha1.Address) []v1alpha1.NodeNetwork {
	var wants []v1alpha1.NodeNetwork
	for _, a := range held {
		wants = append(wants, v1alpha1.NodeNetwork{Name: a.Network, SubnetName: a.Subnet})
	}
	return wants
}

// shown is how many problems a message lists before it counts the rest.
const shown = 5

// Summary joins problems to one line of bounded length, in the order given.
func Summary(problems []string) string {
	rest := len(problems) - shown
	text := strings.Join(problems[:min(shown, len(problems))], "; ")
	if rest > 0 {
		text += fmt.Sprintf("; and %d more", rest)
	}
	return text
}
