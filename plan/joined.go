package plan

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/openstack/join"
)

// WantJoined is what a set asks its cloud to have of a node. serviceTypes are those of its services. It is pure.
func WantJoined(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, site network.Site, serviceTypes []string) join.Want {
	spec := set.Spec.OpenStack
	want := join.Want{
		Set: "NodeSet " + set.Namespace + "/" + set.Name, Chassis: spec.Southbound != nil,
		Zone: spec.AvailabilityZone, Aggregates: spec.Aggregates, Traits: spec.Traits,
	}
	canonical := CanonicalName(node, site)
	short, _, _ := strings.Cut(canonical, ".")
	want.Host.Names = slices.Compact([]string{canonical, short})
	if node.Status.OpenStack != nil {
		want.Host.Chassis = node.Status.OpenStack.Chassis
	}
	for _, serviceType := range serviceTypes {
		if agent := agentOf(serviceType); agent != "" && !slices.Contains(want.Agents, agent) {
			want.Agents = append(want.Agents, agent)
		}
	}
	if slices.Contains(serviceTypes, "ovn") {
		want.Host.EncapIP = encapIP(set, node, site)
		want.BridgeMappings = bridgeMappings(set, node)
	}
	return want
}

// agentOf is the binary of Neutron's agent that a service type brings; "" when it brings none.
func agentOf(serviceType string) string {
	switch serviceType {
	case "ovn":
		return "ovn-controller"
	case "neutron-metadata":
		return "neutron-ovn-metadata-agent"
	case "neutron-ovn":
		return "neutron-ovn-agent"
	}
	return ""
}

// ServiceTypes are the types of the set's services; a service that is not there is of its name's type.
func ServiceTypes(set *v1alpha1.NodeSet, known []v1alpha1.DataPlaneService) []string {
	var all []string
	for _, name := range set.Spec.Services {
		serviceType := name
		for i := range known {
			if known[i].Name == name && known[i].Spec.EDPMServiceType != "" {
				serviceType = known[i].Spec.EDPMServiceType
			}
		}
		all = append(all, serviceType)
	}
	return all
}

// networkAddress is a variable that says: my address on this network.
var networkAddress = regexp.MustCompile(`^\{\{\s*([a-z0-9]+)_ip\s*\}\}$`)

// encapIP is edpm_ovn_encap_ip, by default tenant_ip, else ctlplane_ip; "" when an expression hides it.
func encapIP(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, site network.Site) string {
	var given string
	if raw := variable(set, node, "edpm_ovn_encap_ip"); raw != nil && json.Unmarshal(raw, &given) == nil && given != "" {
		if match := networkAddress.FindStringSubmatch(given); match != nil {
			return site.AddressOn(match[1], node.Spec.Networks)
		}
		if strings.Contains(given, "{{") {
			return ""
		}
		return given
	}
	if tenant := site.AddressOn("tenant", node.Spec.Networks); tenant != "" {
		return tenant
	}
	return ControlPlaneAddress(node, site)
}

// bridgeMappings is edpm_ovn_bridge_mappings; nil when it is not set or an expression hides it.
func bridgeMappings(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) []string {
	raw := variable(set, node, "edpm_ovn_bridge_mappings")
	var list []string
	var text string
	switch {
	case raw == nil:
		return nil
	case json.Unmarshal(raw, &list) == nil:
	case json.Unmarshal(raw, &text) == nil:
		list = strings.Split(text, ",")
	}
	for i := range list {
		if list[i] = strings.TrimSpace(list[i]); strings.Contains(list[i], "{{") {
			return nil
		}
	}
	return slices.DeleteFunc(list, func(m string) bool { return m == "" })
}

// variable is an Ansible variable as the user gave it; nil when it is not given.
func variable(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, name string) []byte {
	if v, ok := set.Spec.Nodes[node.Name].Ansible.AnsibleVars[name]; ok {
		return v.Raw
	}
	return set.Spec.NodeTemplate.Ansible.AnsibleVars[name].Raw
}
