package network

import (
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// mainTable is the routing table that decides where no rule says otherwise (rtnetlink(7)).
const mainTable = 254

// nmstate renders the devices as an nmstate document. Field names: https://nmstate.io/devel/yaml_api.html (nmstate 2.x).
// Values are those a JSON decoder may give, so that the document can be copied and compared as such.
func nmstate(config *v1alpha1.NetworkConfig, devices []*device, atts []*attachment) map[string]any {
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
	routes := nmRoutes(atts)
	if config != nil {
		routes = append(routes, configRoutes(config.Routes, devices)...)
		if rules := configRules(config.Rules); len(rules) > 0 {
			doc["route-rules"] = map[string]any{"config": rules}
		}
		if config.OVSDPDK != nil {
			doc["ovs-db"] = nmOVSDB(config.OVSDPDK)
		}
	}
	if len(routes) > 0 {
		doc["routes"] = map[string]any{"config": routes}
	}
	return doc
}

func nmInterface(d *device, none map[string]any) map[string]any {
	out := map[string]any{"name": d.name, "type": string(d.kind), "state": "up"}
	if d.kind == kindOVSBridge {
		out["bridge"] = d.bridge.nmBridge()
		return out
	}
	if d.patch != "" {
		out["patch"] = map[string]any{"peer": d.patch}
		return out
	}
	out["mtu"], out["ipv4"], out["ipv6"] = int64(d.mtu), nmAddresses(d, ipv4, none), nmAddresses(d, ipv6, none)
	switch d.kind {
	case kindEthernet:
		nmCard(out, d)
	case kindBond:
		out["link-aggregation"] = map[string]any{"mode": d.mode, "options": nmBondOptions(d.options), "port": texts(deviceNames(d.ports))}
	case kindVLAN:
		out["vlan"] = map[string]any{"base-iface": d.base.name, "id": int64(d.tag)}
	case kindVRF:
		delete(out, "mtu")
		out["vrf"] = map[string]any{"port": texts(deviceNames(d.ports)), "route-table-id": d.table}
	case kindOVSInterface:
		if d.dpdk != nil {
			out["dpdk"] = nmDPDK(d.dpdk)
		}
	case kindDummy, kindLoopback, kindOVSBridge:
	}
	return out
}

// nmCard says how a card is found, and what is special to it.
func nmCard(out map[string]any, d *device) {
	switch {
	case d.mac != "":
		// Without the identifier nmstate would set this MAC on whatever card bears the name.
		out["mac-address"], out["identifier"] = d.mac, "mac-address"
	case d.pci != "":
		out["pci-address"], out["identifier"] = d.pci, "pci-address"
	}
	if d.sriov == nil {
		return
	}
	virtual := make([]any, len(d.sriov.VFs))
	for i, f := range d.sriov.VFs {
		one := map[string]any{"id": int64(f.ID)}
		if f.MAC != "" {
			one["mac-address"] = strings.ToUpper(f.MAC)
		}
		setSwitch(one, "trust", f.Trust)
		setSwitch(one, "spoof-check", f.SpoofCheck)
		setPositive(one, "vlan-id", f.VLAN)
		setPositive(one, "max-tx-rate", f.MaxTxRate)
		virtual[i] = one
	}
	functions := map[string]any{"total-vfs": int64(d.sriov.TotalVFs)}
	if len(virtual) > 0 {
		functions["vfs"] = virtual
	}
	out["ethernet"] = map[string]any{"sr-iov": functions}
	setSwitch(out, "accept-all-mac-addresses", d.sriov.Promiscuous)
}

func setSwitch(into map[string]any, key string, s v1alpha1.Switch) {
	if s != "" {
		into[key] = s == v1alpha1.SwitchOn
	}
}

func deviceNames(devices []*device) []string {
	out := make([]string, len(devices))
	for i, d := range devices {
		out[i] = d.name
	}
	return out
}

// linkMonitorMillis is how often a bond looks at its links, the value the kernel's bonding.rst recommends to start with.
const linkMonitorMillis = 100

// nmBondOptions writes a bond's options as the kernel names them.
func nmBondOptions(o *v1alpha1.BondOptions) map[string]any {
	if o == nil {
		return map[string]any{"miimon": int64(linkMonitorMillis)}
	}
	out := map[string]any{}
	for name, value := range map[string]*int32{
		"miimon": o.MIIMon, "updelay": o.UpDelay, "downdelay": o.DownDelay, "ad_actor_sys_prio": o.ADActorSysPrio, "ad_user_port_key": o.ADUserPortKey,
		"min_links": o.MinLinks, "arp_interval": o.ARPInterval, "arp_missed_max": o.ARPMissedMax, "num_grat_arp": o.NumGratARP, "resend_igmp": o.ResendIGMP,
		"packets_per_slave": o.PacketsPerSlave, "lp_interval": o.LPInterval,
	} {
		if value != nil {
			out[name] = int64(*value)
		}
	}
	for name, value := range map[string]string{
		"lacp_rate": o.LACPRate, "xmit_hash_policy": o.XmitHashPolicy, "ad_select": o.ADSelect, "ad_actor_system": o.ADActorSystem, "primary": o.Primary,
		"primary_reselect": o.PrimaryReselect, "fail_over_mac": o.FailOverMAC, "arp_validate": o.ARPValidate, "arp_all_targets": o.ARPAllTargets,
		"all_slaves_active": o.AllSlavesActive, "arp_ip_target": strings.Join(o.ARPIPTarget, ","),
	} {
		if value != "" {
			out[name] = value
		}
	}
	setSwitch(out, "use_carrier", o.UseCarrier)
	setSwitch(out, "lacp_active", o.LACPActive)
	setSwitch(out, "tlb_dynamic_lb", o.TLBDynamicLB)
	if len(o.NSIP6Target) > 0 {
		out["ns_ip6_target"] = texts(o.NSIP6Target)
	}
	if o.MIIMon == nil && o.ARPInterval == nil {
		out["miimon"] = int64(linkMonitorMillis)
	}
	return out
}

// nmRoutes are the routes of the networks. An address that stands alone has none: no nexthop is on its link.
func nmRoutes(atts []*attachment) []any {
	var out []any
	for _, a := range atts {
		if a.device.ip.Prefix == v1alpha1.PrefixHost {
			continue
		}
		for _, r := range a.routes {
			route := map[string]any{
				"destination":        r.Destination.String(),
				"next-hop-address":   r.Nexthop.String(),
				"next-hop-interface": a.device.name,
			}
			if a.device.vrf != nil {
				route["table-id"] = a.device.vrf.table
			}
			out = append(out, route)
		}
	}
	return out
}

// configRoutes are the layout's own routes. One over an interface of a VRF is in the VRF's table unless it says otherwise.
func configRoutes(routes []v1alpha1.InterfaceRoute, devices []*device) []any {
	out := make([]any, len(routes))
	for i := range routes {
		r := &routes[i]
		one := map[string]any{"destination": r.Destination}
		table := r.Table
		for _, d := range devices {
			if d.name == r.Interface && d.vrf != nil && table == 0 {
				table = d.vrf.table
			}
		}
		if table != 0 {
			one["table-id"] = table
		}
		if r.Metric != nil {
			one["metric"] = *r.Metric
		}
		setText(one, "next-hop-interface", r.Interface)
		setText(one, "next-hop-address", r.Nexthop)
		setText(one, "source", r.Source)
		setText(one, "route-type", strings.ToLower(string(r.Type)))
		setPositive(one, "weight", r.Weight)
		out[i] = one
	}
	return out
}

func configRules(rules []v1alpha1.RouteRule) []any {
	out := make([]any, len(rules))
	for i := range rules {
		r := &rules[i]
		one := map[string]any{"priority": int64(r.Priority), "route-table": r.Table}
		setText(one, "ip-from", r.From)
		setText(one, "ip-to", r.To)
		setText(one, "iif", r.IIF)
		if r.FWMark != 0 {
			one["fwmark"] = r.FWMark
		}
		if r.From == "" && r.To == "" {
			one["family"] = "ipv4"
			if r.Family != "" {
				one["family"] = strings.ToLower(r.Family)
			}
		}
		out[i] = one
	}
	return out
}

func setText(into map[string]any, key, value string) {
	if value != "" {
		into[key] = value
	}
}

func texts(in []string) []any {
	out := make([]any, len(in))
	for i, s := range in {
		out[i] = s
	}
	return out
}
