package plan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/openstack"
)

// Adoption is what a pre-provisioned node must be like before the set's services run on it, as far as the set's objects
// tell: what a service will find missing in them is that service's to say. keystone is the URL that the Secret of
// spec.openstack names, "" for none, and now is the time the node's clock is held against.
func (s *Set) Adoption(node *v1alpha1.DataPlaneNode, keystone string, now time.Time) adoption.Wanted {
	cloud := s.controlPlane(keystone)
	set := s.NodeSet
	w := adoption.Wanted{
		HostName: CanonicalName(node, s.Site), Now: now,
		Architecture: set.Spec.Hosts.Requirements.CPU.Arch, MinFreeGiB: set.Spec.Adoption.MinFreeGiB,
		Southbound: cloud.Southbound, Transport: cloud.Transport,
		Encapsulation: encapIP(set, node, s.Site), BridgeMappings: bridgeMappings(set, node),
	}
	types := s.serviceTypes()
	for _, name := range set.Spec.Services {
		w.Services = append(w.Services, cmp.Or(types[name], name))
	}
	for _, a := range node.Spec.Networks {
		w.Addresses = append(w.Addresses, a.Address)
	}
	w.Emulation = allowed(set, node, "edpm_nova_allow_qemu")
	var arguments string
	decode(set, node, "edpm_kernel_args", &arguments)
	w.KernelArguments = strings.Fields(arguments)
	var repositories []repository
	decode(set, node, "edpm_bootstrap_repos", &repositories)
	w.Endpoints = endpoints(w.Services, repositories, cloud)
	return w
}

// decode reads an Ansible variable that the user gave. One that is absent, a template or of another form leaves into
// alone: its role judges it.
func decode(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, name string, into any) {
	raw := variable(set, node, name)
	if len(raw) == 0 || bytes.Contains(raw, []byte("{{")) {
		return
	}
	_ = json.Unmarshal(raw, into)
}

// allowed reports whether a switch among the Ansible variables is on, in any form that Ansible takes for true. A template
// may be on: its role judges it.
func allowed(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, name string) bool {
	text := strings.ToLower(strings.Trim(string(variable(set, node, name)), `"`))
	return strings.Contains(text, "{{") || slices.Contains([]string{"true", "yes", "on", "y", "t", "1"}, text)
}

// repository is an entry of edpm_bootstrap_repos.
type repository struct{ Name, URL string }

// endpoints are what the services connect to. Repositories are needed by the first of them already.
func endpoints(services []string, repositories []repository, cloud openstack.ControlPlane) []adoption.Endpoint {
	var all []adoption.Endpoint
	add := func(name, address string, early bool) {
		known := slices.ContainsFunc(all, func(e adoption.Endpoint) bool { return e.Address == address })
		if address != "" && !known && len(all) < maxEndpoints {
			all = append(all, adoption.Endpoint{Name: name, Address: address, Early: early})
		}
	}
	for _, r := range repositories {
		add("package repository "+r.Name, hostPort(r.URL), true)
	}
	if slices.Contains(services, "ovn") {
		for _, s := range cloud.Southbound {
			_, address, _ := strings.Cut(s, ":")
			add("OVN's southbound database", address, false)
		}
	}
	if slices.Contains(services, "nova") {
		add("Keystone", hostPort(cloud.Keystone), false)
		for _, address := range cloud.Transport {
			add("Nova's message bus", address, false)
		}
	}
	if slices.Contains(services, "neutron-metadata") {
		add("Nova's metadata service", cloud.Metadata, false)
	}
	return all
}

// maxEndpoints bounds how many connections a node is asked to try.
const maxEndpoints = 64

// hostPort is where a URL points; "" for one that is none.
func hostPort(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	ports := map[string]string{"http": "80", "https": "443"}
	if port := cmp.Or(u.Port(), ports[u.Scheme]); port != "" {
		return net.JoinHostPort(u.Hostname(), port)
	}
	return ""
}

// controlPlane puts together what spec.openstack and the services' files say. The set's own word wins, then RHOSO's
// objects (ovncontroller-config, nova-cell1-compute-config), then openstack-control-plane.
func (s *Set) controlPlane(keystone string) openstack.ControlPlane {
	var c, described openstack.ControlPlane
	for i := range s.Services {
		data := s.Services[i].Data
		for line := range strings.Lines(string(data["ovsdb-config"])) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "ovn-remote" {
				c.Southbound = strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(" ,\"'\n", r) })
			}
		}
		if found := transportLine().FindSubmatch(data["01-nova.conf"]); found != nil {
			c.Transport = openstack.Buses(string(found[1]))
		}
		if text := data["control-plane.yaml"]; len(text) > 0 {
			described = openstack.ParseControlPlane(text)
		}
	}
	if join := s.NodeSet.Spec.OpenStack; join != nil {
		if join.Southbound != nil {
			c.Southbound = join.Southbound.Endpoints
		}
		c.Keystone = keystone
	}
	c.Keystone, c.Metadata = cmp.Or(c.Keystone, described.Keystone), described.Metadata
	if len(c.Southbound) == 0 {
		c.Southbound = described.Southbound
	}
	if len(c.Transport) == 0 {
		c.Transport = described.Transport
	}
	return c
}

func transportLine() *regexp.Regexp {
	return regexp.MustCompile(`(?m)^[ \t]*transport_url[ \t]*[=:][ \t]*(\S+)`)
}
