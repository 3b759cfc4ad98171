package network

import (
	"encoding/json"
	"net"
	"net/netip"
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

// networkData renders network_data.json; nil when a MAC is missing. whole reports whether it says all that the layout does.
func networkData(devices []*device, atts []*attachment) (data []byte, whole bool, err error) {
	out := metadata{Links: []metaLink{}, Networks: []metaNetwork{}, Services: []metaService{}}
	links, places, whole := firstBoot(devices, atts)
	ids := linkIDs(links)
	for _, d := range links {
		if d.mac == "" {
			return nil, false, nil
		}
		out.Links = append(out.Links, linkOf(d, ids))
	}
	for _, a := range atts {
		if on := places[a]; on != nil {
			out.Networks = append(out.Networks, networkOf(a, ids[on]))
		}
	}
	if !whole && len(out.Networks) == 0 && len(atts) > 0 {
		return nil, false, nil
	}
	servers, _ := resolver(atts)
	for _, s := range servers {
		out.Services = append(out.Services, metaService{Type: "dns", Address: s})
	}
	data, err = json.MarshalIndent(out, "", "  ")
	return data, whole, err
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
	case kindOVSBridge, kindOVSInterface, kindDummy, kindLoopback, kindVRF: // firstBoot leaves them out
	}
	return l
}

func networkOf(a *attachment, link string) metaNetwork {
	n := metaNetwork{
		ID: a.subnet.Network.Name, NetworkID: a.subnet.Network.Name, Link: link, Type: "ipv4",
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
