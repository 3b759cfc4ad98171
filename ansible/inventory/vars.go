package inventory

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// HostKeyAliasVar is the host variable with the name that the node's host keys are looked up under. A task delegated to
// another node sees that node's.
const HostKeyAliasVar = "rackplane_host_key_alias"

func groupVars(s Set) (map[string]any, error) {
	vars := login(s.Template.Ansible)
	vars["ansible_user"] = cmp.Or(s.Template.Ansible.AnsibleUser, v1alpha1.DefaultAnsibleUser)
	if err := addUserVars(vars, s.Template.Ansible.AnsibleVars); err != nil {
		return nil, fmt.Errorf("nodeTemplate.%w", err)
	}
	types := make([]string, len(s.Services))
	for i, name := range s.Services {
		types[i] = cmp.Or(s.ServiceTypes[name], name)
	}
	vars["edpm_nodeset_name"] = s.Name
	vars["edpm_services"] = list(s.Services)
	vars["edpm_service_types"] = list(types)
	vars["management_network"] = managementNetwork(s.Networks)
	vars["edpm_known_hosts"] = knownHosts(s.KnownHosts)
	maps.Copy(vars, networkNames(s.Networks, s.Template.Networks))
	return vars, nil
}

// hostVars are the node's own variables over what its addresses say.
func hostVars(s *Set, n *Node) (map[string]any, error) {
	vars := login(n.Section.Ansible)
	if err := addUserVars(vars, n.Section.Ansible.AnsibleVars); err != nil {
		return nil, err
	}
	if len(n.Section.Networks) > 0 {
		maps.Copy(vars, networkNames(s.Networks, n.Section.Networks))
	}
	if err := addNetworks(vars, s, n); err != nil {
		return nil, err
	}
	vars["canonical_hostname"] = network.CanonicalName(s.Networks, n.HostName, n.Addresses)
	vars[HostKeyAliasVar] = n.Name
	if n.Section.Ansible.AnsibleHost != "" {
		vars["ansible_host"] = n.Section.Ansible.AnsibleHost
	}
	if n.NMState != nil {
		vars["edpm_network_config_nmstate"] = n.NMState
		vars["edpm_network_config_hash"] = n.NetworkHash
	}
	return vars, nil
}

func login(o v1alpha1.AnsibleOptions) map[string]any {
	vars := map[string]any{}
	if o.AnsibleUser != "" {
		vars["ansible_user"] = o.AnsibleUser
	}
	if o.AnsiblePort != 0 {
		vars["ansible_port"] = int64(o.AnsiblePort)
	}
	return vars
}

// addUserVars decodes variables without touching their spelling.
func addUserVars(vars map[string]any, user map[string]apiextensionsv1.JSON) error {
	for _, name := range slices.Sorted(maps.Keys(user)) {
		v, err := decode(user[name].Raw)
		if err != nil {
			return fmt.Errorf("ansible.ansibleVars[%s] is not JSON: %w: correct the value", name, err)
		}
		vars[name] = v
	}
	return nil
}

func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the value")
	}
	return v, nil
}

// addNetworks adds what each address's network says, under the network's role (internalapi_ip, ...).
func addNetworks(vars map[string]any, s *Set, n *Node) error {
	var domains []string
	if _, domain, ok := strings.Cut(n.HostName, "."); ok {
		domains = append(domains, domain)
	}
	for _, a := range n.Addresses {
		net, sub, err := network.Lookup(s.Networks, a.Network, a.Subnet)
		if err != nil {
			return err
		}
		prefix, err := netip.ParsePrefix(sub.CIDR)
		if err != nil {
			return fmt.Errorf("subnet %s of network %s: cidr %q is not a network: correct it in the NetConfig", sub.Name, net.Name, sub.CIDR)
		}
		addNetwork(vars, a, net, sub, prefix)
		if net.DNSDomain != "" && !slices.Contains(domains, net.DNSDomain) {
			domains = append(domains, net.DNSDomain)
		}
		if network.IsCtlplane(net) {
			vars["ansible_host"] = a.Address
			setDefault(s, vars, "ctlplane_dns_nameservers", list(sub.Nameservers))
		}
	}
	setDefault(s, vars, "dns_search_domains", list(domains))
	return nil
}

func addNetwork(vars map[string]any, a v1alpha1.Address, net v1alpha1.Network, sub v1alpha1.Subnet, prefix netip.Prefix) {
	name := variable(network.ServiceNetwork(net))
	vars[name+"_ip"] = a.Address
	vars[name+"_cidr"] = int64(prefix.Bits())
	vars[name+"_mtu"] = int64(network.MTU(net))
	if sub.VLAN != nil {
		vars[name+"_vlan_id"] = int64(*sub.VLAN)
	}
	if sub.Gateway != "" {
		vars[name+"_gateway_ip"] = sub.Gateway
	}
	routes := make([]any, 0, len(sub.Routes)+1)
	for _, r := range sub.Routes {
		routes = append(routes, hostRoute(r.Destination, r.Nexthop))
	}
	if a.DefaultRoute && sub.Gateway != "" {
		destination := "0.0.0.0/0"
		if prefix.Addr().Is6() {
			destination = "::/0"
		}
		routes = append(routes, hostRoute(destination, sub.Gateway))
	}
	vars[name+"_host_routes"] = routes
}

func hostRoute(destination, nexthop string) map[string]any {
	return map[string]any{"destination": destination, "nexthop": nexthop}
}

// setDefault sets a host variable unless the user set it on the node or in the template: both lists are the site's to
// choose, and upstream's habit of overwriting them is a trap.
func setDefault(s *Set, vars map[string]any, name string, value any) {
	if _, ok := s.Template.Ansible.AnsibleVars[name]; ok {
		return
	}
	if _, ok := vars[name]; !ok {
		vars[name] = value
	}
}

// networkNames are the networks beside the control plane, and the role of each. RHOSO has the same map under two names.
func networkNames(nets v1alpha1.NetConfigSpec, wanted []v1alpha1.NodeNetwork) map[string]any {
	listed, roles := []any{}, map[string]any{}
	for _, w := range wanted {
		n, _, err := network.Lookup(nets, w.Name, w.SubnetName)
		if err != nil || network.IsCtlplane(n) { // a network that does not exist is the address plan's to report
			continue
		}
		listed = append(listed, w.Name)
		roles[w.Name] = network.ServiceNetwork(n)
	}
	return map[string]any{"nodeset_networks": listed, "networks_lower": roles, "network_servicenet_map": roles}
}

func managementNetwork(nets v1alpha1.NetConfigSpec) string {
	for _, n := range nets.Networks {
		if network.IsCtlplane(n) {
			return variable(network.ServiceNetwork(n))
		}
	}
	return v1alpha1.CtlplaneNetwork
}

// knownHosts are the hosts as edpm_ssh_known_hosts takes them. One whose names are all another node's too is left out.
func knownHosts(hosts []KnownHost) []any {
	out := make([]any, 0, len(hosts))
	for _, h := range hosts {
		if len(h.Names) > 0 {
			out = append(out, map[string]any{"names": list(h.Names), "key": h.Key})
		}
	}
	return out
}

// variable makes a name an Ansible variable may begin with: dashes are not allowed in them.
func variable(name string) string { return strings.ReplaceAll(name, "-", "_") }

func list(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}
