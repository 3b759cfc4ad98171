package network

import "net/netip"

// nmstate renders the devices as an nmstate document. Field names: https://nmstate.io/devel/yaml_api.html (nmstate 2.x).
// Values are those a JSON decoder may give, so that the document can be copied and compared as such.
func nmstate(devices []*device, atts []*attachment) map[string]any {
	interfaces := make([]any, len(devices))
	none := map[string]any{"enabled": false} // shared: documents are never changed
	for i, d := range devices {
		interfaces[i] = nmInterface(d, none)
	}
	doc := map[string]any{"interfaces": interfaces}
	servers, domains := resolver(atts)
	if len(servers)+len(domains) > 0 {
		doc["dns-resolver"] = map[string]any{"config": map[string]any{"server": texts(servers), "search": texts(domains)}}
	}
	if routes := nmRoutes(atts); len(routes) > 0 {
		doc["routes"] = map[string]any{"config": routes}
	}
	return doc
}

func nmInterface(d *device, none map[string]any) map[string]any {
	out := map[string]any{
		"name":  d.name,
		"type":  string(d.kind),
		"state": "up",
		"mtu":   int64(d.mtu),
		"ipv4":  nmAddresses(d, netip.Addr.Is4, none),
		"ipv6":  nmAddresses(d, netip.Addr.Is6, none),
	}
	switch d.kind {
	case kindEthernet:
		if d.mac != "" {
			// Without the identifier nmstate would set this MAC on whatever card bears the name.
			out["mac-address"], out["identifier"] = d.mac, "mac-address"
		}
	case kindBond:
		ports := make([]string, len(d.ports))
		for i, p := range d.ports {
			ports[i] = p.name
		}
		out["link-aggregation"] = map[string]any{
			"mode":    d.mode,
			"options": map[string]any{"miimon": int64(linkMonitorMillis)},
			"port":    texts(ports),
		}
	case kindVLAN:
		out["vlan"] = map[string]any{"base-iface": d.base.name, "id": int64(d.tag)}
	}
	return out
}

// linkMonitorMillis is how often a bond looks at its links, the value the kernel's bonding.rst recommends to start with.
const linkMonitorMillis = 100

// nmAddresses is the device's ipv4 or ipv6 section: static addresses only, nothing learnt from the network. none
// is that of a family without addresses, which most are.
func nmAddresses(d *device, family func(netip.Addr) bool, none map[string]any) map[string]any {
	var list []any
	v6 := false
	for _, a := range d.addrs {
		if family(a.address) {
			list = append(list, map[string]any{"ip": a.address.String(), "prefix-length": int64(a.subnet.Prefix.Bits())})
			v6 = a.address.Is6()
		}
	}
	if len(list) == 0 {
		return none
	}
	out := map[string]any{"enabled": true, "dhcp": false, "address": list}
	if v6 {
		out["autoconf"] = false
	}
	return out
}

func nmRoutes(atts []*attachment) []any {
	var out []any
	for _, a := range atts {
		for _, r := range a.routes {
			out = append(out, map[string]any{
				"destination":        r.Destination.String(),
				"next-hop-address":   r.Nexthop.String(),
				"next-hop-interface": a.device.name,
			})
		}
	}
	return out
}

func texts(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}
