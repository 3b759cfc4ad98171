package network

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// RenderInput is one node.
type RenderInput struct {
	// HostName of the node; errors begin with it.
	HostName string
	// Config lays networks out on interfaces; nil means ctlplane untagged on the card the host boots over, every other network
	// tagged on it, and networks without a VLAN untagged on the next cards, those with a link first.
	Config *v1alpha1.NetworkConfig
	// Site the addresses belong to.
	Site Site
	// Addresses of the node.
	Addresses []v1alpha1.Address
	// NICs as inspected, in any order; empty for nodes that were not inspected.
	NICs []hardware.NIC
	// BootMAC of the card the host boots over, in lower case; empty when not known.
	BootMAC string
	// NICNames are the node's cards as the layout calls them, nicN to MAC or inspected name, before any that are counted.
	NICNames map[string]v1alpha1.NICReference
}

// Rendered is a node's network.
type Rendered struct {
	// NMState is the document as plain JSON values (nmstate 2.x, https://nmstate.io/devel/api.html).
	NMState map[string]any
	// NetworkData is OpenStack's network_data.json (nova doc/api_schemas/network_data.json) in what cloud-init 22.4 reads
	// of it (cloudinit/sources/helpers/openstack.py, convert_net_json). Nil when an interface's MAC is not known: the
	// format finds interfaces by it.
	NetworkData []byte
	// AtFirstBoot reports whether NetworkData is the whole network, so that a server which was booted with it has it.
	AtFirstBoot bool
	// Hash identifies NMState: the first 16 hex characters of the SHA-256 of its JSON.
	Hash string
}

// Render lays the node's addresses out. Every address must be placed by the layout, and every network the layout names
// must have an address. Errors name node, field and remedy.
func Render(in RenderInput) (Rendered, error) {
	r, err := render(in)
	if named := onLinux(r.NMState, in.NICs, err); named != nil {
		err = named
	}
	if err != nil {
		return Rendered{}, fmt.Errorf("node %s: %w", in.HostName, err)
	}
	return r, nil
}

func render(in RenderInput) (Rendered, error) {
	atts, err := attachments(in.Site, in.Addresses)
	if err != nil {
		return Rendered{}, err
	}
	if in.Config != nil && in.Config.NMState != nil {
		doc, err := verbatim(in, atts)
		if err != nil {
			return Rendered{}, err
		}
		return finished(doc, Rendered{})
	}
	devices, err := layOut(in, atts)
	if err != nil {
		return Rendered{}, err
	}
	if err := askable(devices, atts); err != nil {
		return Rendered{}, err
	}
	var out Rendered
	if out.NetworkData, out.AtFirstBoot, err = networkData(devices, atts); err != nil {
		return Rendered{}, fmt.Errorf("network_data: %w", err)
	}
	return finished(nmstate(in.Config, devices, atts), out)
}

// finished checks the document and gives it its hash.
func finished(doc map[string]any, out Rendered) (Rendered, error) {
	if err := checkDocument(doc); err != nil {
		return Rendered{}, fmt.Errorf("networkConfig: %w", err)
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return Rendered{}, fmt.Errorf("network document: %w", err)
	}
	sum := sha256.Sum256(data)
	out.NMState, out.Hash = doc, hex.EncodeToString(sum[:])[:16]
	return out, nil
}

// attachment is one address with what its subnet says.
type attachment struct {
	subnet  *Subnet
	address netip.Addr
	routes  []Route
	device  *device // that carries it
}

// attachments resolves addresses, the control plane first, then in the given order.
func attachments(site Site, addresses []v1alpha1.Address) ([]*attachment, error) {
	atts := make([]*attachment, 0, len(addresses))
	defaults := map[bool]string{} // by "is IPv4": the network that has the default route
	for _, a := range addresses {
		att, err := attach(site, a)
		if err != nil {
			return nil, err
		}
		if a.DefaultRoute {
			if other := defaults[att.address.Is4()]; other != "" {
				return nil, fmt.Errorf("networks[%s].defaultRoute and networks[%s].defaultRoute are both true: keep one", other, a.Network)
			}
			defaults[att.address.Is4()] = a.Network
		}
		atts = append(atts, att)
	}
	slices.SortStableFunc(atts, func(a, b *attachment) int { return rank(a) - rank(b) })
	return atts, nil
}

func rank(a *attachment) int {
	if a.subnet.Network.IsCtlplane() {
		return 0
	}
	return 1
}

func attach(site Site, a v1alpha1.Address) (*attachment, error) {
	s, err := site.Subnet(a.Network, a.Subnet)
	if err != nil {
		return nil, err
	}
	addr, err := s.Inside(a.Address)
	if err != nil {
		return nil, fmt.Errorf("address on %s: %w", s, err)
	}
	if !a.DefaultRoute {
		return &attachment{subnet: s, address: addr, routes: s.Routes}, nil
	}
	first, ok := s.DefaultRoute()
	if !ok {
		return nil, fmt.Errorf("networks[%s].defaultRoute is true, but %s has no gateway: set its gateway in the NetConfig, or remove defaultRoute", a.Network, s)
	}
	return &attachment{subnet: s, address: addr, routes: append([]Route{first}, s.Routes...)}, nil
}

// askable refuses a nameserver of a family in which the node has no address: it could never be asked, and nmstate and
// NetworkManager both refuse it on the node, when it is too late.
func askable(devices []*device, atts []*attachment) error {
	has := func(f family) bool {
		return slices.ContainsFunc(devices, func(d *device) bool { return d.kind != kindLoopback && (d.learns(f) || len(d.static(f)) > 0) })
	}
	for _, a := range atts {
		for _, ns := range a.subnet.Nameservers {
			if !has(familyIn(ns)) {
				return fmt.Errorf("nameserver %s of %s is %s, but none of the node's addresses is: take it out of the NetConfig, or give the node a network of that family",
					ns, a.subnet, familyOf(ns))
			}
		}
	}
	return nil
}

func familyOf(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// resolver is the nameservers and search domains of all attachments, each once, the control plane's first. Servers are
// grouped by family, that of the first one before the other: nmstate refuses them mixed.
func resolver(atts []*attachment) (servers, domains []string) {
	var other []string
	first := netip.Addr{}
	for _, a := range atts {
		for _, ns := range a.subnet.Nameservers {
			if !first.IsValid() {
				first = ns
			}
			list := &servers
			if ns.Is4() != first.Is4() {
				list = &other
			}
			if text := ns.String(); !slices.Contains(*list, text) {
				*list = append(*list, text)
			}
		}
		if d := a.subnet.Network.DNSDomain; d != "" && !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return append(servers, other...), domains
}
