package network

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// The types below are network_data.json. Names: nova doc/api_schemas/network_data.json (OpenStack 2024.1).
type metadata struct {
	Links    []metaLink    `json:"links"`
	Networks []metaNetwork `json:"networks"`
	Services []metaService `json:"services"`
}

// metaLink carries name beside id: cloud-init takes a physical interface's name from it ("not in openstack spec yet, but
// we will support it", cloudinit/sources/helpers/openstack.py). It names bonds itself, bond0, bond1, ... in this order,
// and VLANs after their base. It needs vlan_mac_address on every VLAN.
type metaLink struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	Type       string   `json:"type"`
	MAC        string   `json:"ethernet_mac_address,omitempty"`
	MTU        int32    `json:"mtu"`
	BondLinks  []string `json:"bond_links,omitempty"`
	BondMode   string   `json:"bond_mode,omitempty"`
	BondMiimon int      `json:"bond_miimon,omitempty"`
	VLANLink   string   `json:"vlan_link,omitempty"`
	VLANID     int32    `json:"vlan_id,omitempty"`
	VLANMAC    string   `json:"vlan_mac_address,omitempty"`
}

type metaNetwork struct {
	ID        string      `json:"id"`
	NetworkID string      `json:"network_id"`
	Link      string      `json:"link"`
	Type      string      `json:"type"`
	Address   string      `json:"ip_address"`
	Netmask   string      `json:"netmask"`
	Routes    []metaRoute `json:"routes"`
}

type metaRoute struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

type metaService struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

// networkData renders network_data.json; nil when a MAC is missing.
func networkData(devices []*device, atts []*attachment) ([]byte, error) {
	out := metadata{Links: []metaLink{}, Networks: []metaNetwork{}, Services: []metaService{}}
	ids := linkIDs(devices)
	for _, d := range devices {
		if d.mac == "" {
			return nil, nil
		}
		if atFirstBoot(d, ids) {
			out.Links = append(out.Links, linkOf(d, ids))
		}
	}
	for _, a := range atts {
		if atFirstBoot(a.device, ids) {
			out.Networks = append(out.Networks, networkOf(a, ids))
		}
	}
	servers, _ := resolver(atts)
	for _, s := range servers {
		out.Services = append(out.Services, metaService{Type: "dns", Address: s})
	}
	return json.MarshalIndent(out, "", "  ")
}

// linkIDs are the links' names in the format. cloud-init makes a VLAN's name of its base's and the tag, so that the base of a
// control plane whose VLAN has a shortened name is called by the short one: else the name would be too long for Linux, or
// the VLAN that configure-network wants would be a second one of that tag, which Linux refuses.
func linkIDs(devices []*device) map[*device]string {
	ids := make(map[*device]string, len(devices))
	for _, d := range devices {
		ids[d] = d.name
	}
	for _, d := range devices {
		if d.kind == kindVLAN && carriesCtlplane(d) {
			if short, ok := strings.CutSuffix(d.name, fmt.Sprintf(".%d", d.tag)); ok {
				ids[d.base] = short
			}
		}
	}
	return ids
}

// atFirstBoot leaves out a VLAN that cloud-init would call otherwise: configure-network makes it, under its name.
func atFirstBoot(d *device, ids map[*device]string) bool {
	return d.kind != kindVLAN || d.name == fmt.Sprintf("%s.%d", ids[d.base], d.tag) || carriesCtlplane(d)
}

func carriesCtlplane(d *device) bool {
	return slices.ContainsFunc(d.addrs, func(a *attachment) bool { return a.subnet.Network.IsCtlplane() })
}

func linkOf(d *device, ids map[*device]string) metaLink {
	l := metaLink{ID: ids[d], Name: d.name, MTU: d.mtu}
	switch d.kind {
	case kindEthernet:
		l.Type, l.MAC = "phy", d.mac
	case kindBond:
		l.Type, l.MAC = "bond", d.mac
		l.BondMode, l.BondMiimon = d.mode, linkMonitorMillis
		for _, p := range d.ports {
			l.BondLinks = append(l.BondLinks, ids[p])
		}
	case kindVLAN:
		l.Type, l.VLANMAC = "vlan", d.mac
		l.VLANLink, l.VLANID = ids[d.base], d.tag
	}
	return l
}

func networkOf(a *attachment, ids map[*device]string) metaNetwork {
	n := metaNetwork{
		ID: a.subnet.Network.Name, NetworkID: a.subnet.Network.Name, Link: ids[a.device], Type: "ipv4",
		Address: a.address.String(), Netmask: netmask(a.subnet.Prefix), Routes: []metaRoute{},
	}
	if a.address.Is6() {
		n.Type = "ipv6"
	}
	for _, r := range a.routes {
		n.Routes = append(n.Routes, metaRoute{r.Destination.Addr().String(), netmask(r.Destination), r.Nexthop.String()})
	}
	return n
}

// netmask writes a prefix length as an address, as network_data.json does for both IP versions.
func netmask(p netip.Prefix) string {
	a, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen())) // both lengths are an address's
	return a.String()
}
