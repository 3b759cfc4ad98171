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

// Template is text of a user's variable: Ansible evaluates what templates it holds. Text of any other type is data.
type Template string

// userVars are a user's variables, none of which may be refused.
func userVars(o v1alpha1.AnsibleOptions) (map[string]any, error) {
	if errs := Check(o); len(errs) > 0 {
		return nil, errs[0]
	}
	return decodeAll(o.AnsibleVars)
}

func groupVars(s *Set, user map[string]any) (map[string]any, error) {
	types := make([]string, len(s.Services))
	for i, name := range s.Services {
		types[i] = cmp.Or(s.ServiceTypes[name], name)
	}
	vars := login(s.Template.Ansible)
	vars["ansible_user"] = cmp.Or(s.Template.Ansible.AnsibleUser, v1alpha1.DefaultAnsibleUser)
	vars["edpm_nodeset_name"] = s.Name
	vars["edpm_services"] = list(s.Services)
	vars["edpm_service_types"] = list(types)
	vars["management_network"] = v1alpha1.CtlplaneNetwork // by its role, as the variables are
	vars[knownHostsVar] = knownHosts(s.KnownHosts)
	maps.Copy(vars, networkNames(s.Site, s.Template.Networks))
	return over(user, vars)
}

// hostVars are the node's own variables and what its addresses say. shared are the template's.
func hostVars(s *Set, n *Node, shared map[string]any) (map[string]any, error) {
	own := "spec.nodes[" + n.Name + "]."
	user, err := userVars(n.Section.Ansible)
	if err != nil {
		return nil, fmt.Errorf("%s%w", own, err)
	}
	if err := network.CheckName(n.HostName); err != nil {
		return nil, fmt.Errorf("node %s: hostName %w", n.Name, err)
	}
	vars := login(n.Section.Ansible)
	if len(n.Section.Networks) > 0 {
		maps.Copy(vars, networkNames(s.Site, n.Section.Networks))
	}
	if err := addNetworks(vars, s, n); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.Name, err)
	}
	vars["canonical_hostname"] = s.Site.CanonicalName(n.HostName, n.Addresses)
	vars[HostKeyAliasVar] = n.Name
	if n.Section.Ansible.AnsibleHost != "" {
		vars["ansible_host"] = shortest(n.Section.Ansible.AnsibleHost)
	}
	if n.NMState != nil {
		vars["edpm_network_config_nmstate"] = n.NMState
		vars["edpm_network_config_hash"] = n.NetworkHash
	}
	if err := agree(shared, vars); err != nil {
		return nil, fmt.Errorf("node %s: spec.nodeTemplate.%w", n.Name, err)
	}
	if vars, err = over(user, vars); err != nil {
		return nil, fmt.Errorf("%s%w", own, err)
	}
	return vars, nil
}

// shortest is an address in the form that programs look it up in; other names stay as they are.
func shortest(host string) string {
	if a, err := network.ParseAddress(host); err == nil {
		return a.String()
	}
	return host
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

// over returns computed variables over a user's that agree with them.
func over(user, computed map[string]any) (map[string]any, error) {
	if err := agree(user, computed); err != nil {
		return nil, err
	}
	vars := make(map[string]any, len(user)+len(computed))
	maps.Copy(vars, user)
	maps.Copy(vars, computed)
	return vars, nil
}

// agree refuses a user's variable that says otherwise than what is computed under its name: it would have no effect.
func agree(user, computed map[string]any) error {
	var other []string
	for name, value := range computed {
		if said, both := user[name]; both && spelled(said) != spelled(value) {
			other = append(other, name)
		}
	}
	if len(other) == 0 {
		return nil
	}
	name := slices.Min(other)
	return fmt.Errorf("ansible.ansibleVars[%s] says otherwise than the networks and services of the NodeSet do (%.200s): remove it, or correct those",
		name, spelled(computed[name]))
}

// spelled is a value as JSON; a scalar as its text, so that "24" is 24.
func spelled(v any) string {
	switch v := v.(type) {
	case []any, map[string]any:
		text, err := json.Marshal(v)
		if err != nil {
			return err.Error()
		}
		return string(text)
	default:
		return fmt.Sprint(v)
	}
}

// decodeAll decodes variables without touching their spelling.
func decodeAll(user map[string]apiextensionsv1.JSON) (map[string]any, error) {
	vars := make(map[string]any, len(user))
	for _, name := range slices.Sorted(maps.Keys(user)) {
		v, err := decode(user[name].Raw)
		if err != nil {
			return nil, fmt.Errorf("ansible.ansibleVars[%s] is not JSON: %w: correct the value", name, err)
		}
		vars[name] = templates(v)
	}
	return vars, nil
}

// templates marks the texts of a user's value. Ansible evaluates no mapping's keys.
func templates(v any) any {
	switch v := v.(type) {
	case string:
		return Template(v)
	case []any:
		for i := range v {
			v[i] = templates(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = templates(v[key])
		}
	}
	return v
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
	roles := map[string]string{}
	if _, domain, ok := strings.Cut(n.HostName, "."); ok {
		domains = append(domains, domain)
	}
	for _, a := range n.Addresses {
		sub, err := s.Site.Subnet(a.Network, a.Subnet)
		if err != nil {
			return err
		}
		net := sub.Network
		role := variable(net.Role)
		if other := roles[role]; other != "" {
			return fmt.Errorf("networks %s and %s have one role, %s, and so the same variables: take one of them from the node's networks, or give one another serviceNetwork", other, net.Name, role)
		}
		roles[role] = net.Name
		addNetwork(vars, role, a, sub)
		if net.DNSDomain != "" && !slices.Contains(domains, net.DNSDomain) {
			domains = append(domains, net.DNSDomain)
		}
		if net.IsCtlplane() {
			vars["ansible_host"] = a.Address
			setDefault(s, n, vars, "ctlplane_dns_nameservers", spelledOut(sub.Nameservers))
		}
	}
	setDefault(s, n, vars, "dns_search_domains", domains)
	return nil
}

func addNetwork(vars map[string]any, name string, a v1alpha1.Address, sub *network.Subnet) {
	vars[name+"_ip"] = a.Address
	vars[name+"_cidr"] = int64(sub.Prefix.Bits())
	vars[name+"_mtu"] = int64(sub.Network.MTU)
	if sub.VLAN != 0 {
		vars[name+"_vlan_id"] = int64(sub.VLAN)
	}
	if sub.Gateway.IsValid() {
		vars[name+"_gateway_ip"] = sub.Gateway.String()
	}
	routes := make([]any, 0, len(sub.Routes)+1)
	for _, r := range sub.Routes {
		routes = append(routes, hostRoute(r))
	}
	if r, ok := sub.DefaultRoute(); ok && a.DefaultRoute {
		routes = append(routes, hostRoute(r))
	}
	vars[name+"_host_routes"] = routes
}

func hostRoute(r network.Route) map[string]any {
	return map[string]any{"destination": r.Destination.String(), "nexthop": r.Nexthop.String()}
}

func spelledOut(addresses []netip.Addr) []string {
	texts := make([]string, len(addresses))
	for i, a := range addresses {
		texts[i] = a.String()
	}
	return texts
}

// setDefault sets a host variable unless the user set it on the node or in the template: both lists are the site's to
// choose, and upstream's habit of overwriting them is a trap.
func setDefault(s *Set, n *Node, vars map[string]any, name string, values []string) {
	_, inTemplate := s.Template.Ansible.AnsibleVars[name]
	_, onNode := n.Section.Ansible.AnsibleVars[name]
	if !inTemplate && !onNode {
		vars[name] = list(values)
	}
}

// networkNames are the networks beside the control plane, and the role of each. RHOSO has the same map under two names.
func networkNames(site network.Site, wanted []v1alpha1.NodeNetwork) map[string]any {
	listed, roles := []any{}, map[string]any{}
	for _, w := range wanted {
		sub, err := site.Subnet(w.Name, w.SubnetName)
		if err != nil || sub.Network.IsCtlplane() { // a network that does not exist is the address plan's to report
			continue
		}
		listed = append(listed, w.Name)
		roles[w.Name] = sub.Network.Role
	}
	return map[string]any{"nodeset_networks": listed, "networks_lower": roles, "network_servicenet_map": roles}
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
