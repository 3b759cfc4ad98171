package network

import (
	"fmt"
	"slices"
	"strings"
)

// firstBoot is what network_data.json can say of a layout: cards, bonds and VLANs with the node's addresses. Of a layout with
// more than that it is the control plane alone, on what lies below its interface, so that configure-network can reach the node
// and make the rest. whole reports whether it is all of the layout.
func firstBoot(devices []*device, atts []*attachment) (links []*device, places map[*attachment]*device, whole bool) {
	places = map[*attachment]*device{}
	if !slices.ContainsFunc(devices, beyondFirstBoot) {
		ids := linkIDs(devices)
		for _, d := range devices {
			if atFirstBoot(d, ids) {
				links = append(links, d)
			}
		}
		for _, a := range atts {
			if atFirstBoot(a.device, ids) {
				places[a] = a.device
			}
		}
		return links, places, len(links) == len(devices)
	}
	for _, a := range atts {
		if !a.subnet.Network.IsCtlplane() {
			continue
		}
		if below := lowest(a.device); below != nil {
			places[a] = below
			links = append(links, below)
			if below.base != nil {
				links = append([]*device{below.base}, links...)
			}
		}
	}
	for _, d := range slices.Clone(links) {
		if d.kind == kindBond {
			links = append(slices.Clone(d.ports), links...)
		}
	}
	return links, places, false
}

// beyondFirstBoot reports whether the format or cloud-init's reading of it has no word for what the device is.
func beyondFirstBoot(d *device) bool {
	switch d.kind {
	case kindEthernet, kindBond, kindVLAN:
		return d.learns(ipv4) || d.learns(ipv6) || len(d.own) > 0 || d.vrf != nil || d.sriov != nil || d.options != nil || d.pci != ""
	case kindOVSBridge, kindOVSInterface, kindDummy, kindLoopback, kindVRF:
		return true
	}
	return true
}

// lowest is the card, bond or VLAN that an interface's frames leave over; nil when there is none that the kernel drives. A VLAN
// that is a port of a bridge becomes one on the card.
func lowest(d *device) *device {
	if d.bridge == nil {
		if d.kind == kindEthernet || d.kind == kindBond || d.kind == kindVLAN {
			return d
		}
		return nil
	}
	for i := range d.bridge.ports {
		p := &d.bridge.ports[i]
		below := p.device
		if p.bond != nil && len(p.bonded) > 0 {
			below = p.bonded[0]
		}
		if below == nil || below.bridge != nil || below.kind == kindOVSInterface {
			continue
		}
		if d.tag == 0 || p.tag == d.tag {
			return below
		}
		return &device{kind: kindVLAN, name: fmt.Sprintf("%s.%d", below.name, d.tag), mac: below.mac, mtu: d.mtu, base: below, tag: d.tag, addrs: d.addrs}
	}
	return nil
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
