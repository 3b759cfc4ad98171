package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
)

// Desired are the nodes a set should have, in the order of their names: those of replicas and the explicit ones,
// each with its host name. They carry neither host nor addresses.
func Desired(set *v1alpha1.NodeSet) []v1alpha1.DataPlaneNode {
	sections := make(map[string]v1alpha1.NodeSection, len(set.Spec.Nodes))
	if set.Spec.Replicas != nil {
		for i := range int(*set.Spec.Replicas) {
			sections[fmt.Sprintf(set.Spec.HostNameTemplate, i)] = v1alpha1.NodeSection{}
		}
	}
	maps.Copy(sections, set.Spec.Nodes)
	nodes := make([]v1alpha1.DataPlaneNode, 0, len(sections))
	for name, section := range sections {
		node := v1alpha1.DataPlaneNode{Spec: v1alpha1.DataPlaneNodeSpec{HostName: cmp.Or(section.HostName, name)}}
		node.Namespace, node.Name = set.Namespace, name
		node.Labels = map[string]string{v1alpha1.NodeSetLabel: set.Name}
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b v1alpha1.DataPlaneNode) int { return line.Natural(a.Name, b.Name) })
	return nodes
}

// Section is what the set says of one node, the template's defaults filled in.
func Section(set *v1alpha1.NodeSet, node string) v1alpha1.NodeSection {
	section := set.Spec.Nodes[node]
	template := &set.Spec.NodeTemplate
	if len(section.Networks) == 0 {
		section.Networks = template.Networks
	}
	if section.NetworkConfig == nil {
		section.NetworkConfig = template.NetworkConfig
	}
	section.Ansible.AnsibleUser = cmp.Or(section.Ansible.AnsibleUser, template.Ansible.AnsibleUser, v1alpha1.DefaultAnsibleUser)
	section.Ansible.AnsiblePort = cmp.Or(section.Ansible.AnsiblePort, template.Ansible.AnsiblePort, sshPort)
	section.HostName = cmp.Or(section.HostName, node)
	return section
}

const sshPort = 22

// HostKeys are the public host keys a node must answer with: the pinned ones of a pre-provisioned node, else the
// one that was made for it. Empty while there is none.
func HostKeys(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) []string {
	if set.Spec.PreProvisioned {
		return set.Spec.Nodes[node.Name].SSHHostKeys
	}
	if node.Status.SSHHostKey == "" {
		return nil
	}
	return []string{node.Status.SSHHostKey}
}

// Login is where and as whom a node is logged in to.
type Login struct {
	Address string
	Port    int32
	User    string
}

// LoginOf is how to reach a node: ansibleHost if given, else its control-plane address. ok is false while it has none.
func LoginOf(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, site network.Site) (login Login, ok bool) {
	section := Section(set, node.Name)
	login = Login{Address: section.Ansible.AnsibleHost, Port: section.Ansible.AnsiblePort, User: section.Ansible.AnsibleUser}
	if login.Address == "" {
		login.Address = ControlPlaneAddress(node, site)
	}
	return login, login.Address != ""
}

// NoLogin says what a node lacks that cannot be logged in to.
func NoLogin(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) string {
	return fmt.Sprintf("NodeSet %s: node %s has neither ansible.ansibleHost nor an address on the control-plane network: add one", set.Name, node.Name)
}

// ControlPlaneAddress returns the node's address on the site's control-plane network; "" while it has none.
func ControlPlaneAddress(node *v1alpha1.DataPlaneNode, site network.Site) string {
	return site.AddressOn(v1alpha1.CtlplaneNetwork, node.Spec.Networks)
}

// Unaddressed are the networks the node wants and holds no address on, in the order it wants them.
func Unaddressed(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) []string {
	var missing []string
	for _, want := range Section(set, node.Name).Networks {
		held := slices.ContainsFunc(node.Spec.Networks, func(a v1alpha1.Address) bool { return a.Network == want.Name })
		if !held {
			missing = append(missing, want.Name)
		}
	}
	return missing
}

// CanonicalName returns the host name with the domain of the node's control-plane network, unless it has a domain already.
func CanonicalName(node *v1alpha1.DataPlaneNode, site network.Site) string {
	return site.CanonicalName(node.Spec.HostName, node.Spec.Networks)
}

// Finished reports whether a deployment has ended, well or not.
func Finished(d *v1alpha1.DataPlaneDeployment) bool {
	ready := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && (ready.Status == metav1.ConditionTrue || ready.Reason == v1alpha1.ReasonFailed)
}

// Begun reports whether a deployment has taken its inputs, which it keeps to its end.
func Begun(d *v1alpha1.DataPlaneDeployment) bool {
	return d.Status.InputsSecret != "" || len(d.Status.Runs) > 0
}

// HasRun reports whether the node's server is known to have run: it was provisioned, or has results.
func HasRun(node *v1alpha1.DataPlaneNode) bool {
	return len(node.Status.Services) > 0 || meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionProvisioned)
}

// MayRun reports whether services may run on the node: it answers, and one that was there before has been looked at.
func MayRun(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) bool {
	return meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionProvisioned) && Adopted(set, node)
}

// Adopted reports whether nothing that was found on the node holds its services back; always so on bare metal.
// A look that was made for what the node was to be before does not count: more may be wanted of it now.
func Adopted(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) bool {
	if !set.Spec.PreProvisioned {
		return true
	}
	c := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionAdoptable)
	return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == node.Generation
}
