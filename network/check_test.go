package network

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// documentOf reads YAML as the renderer makes documents.
func documentOf(t *testing.T, text string) map[string]any {
	t.Helper()
	var raw any
	if err := yaml.Unmarshal([]byte(text), &raw); err != nil {
		t.Fatal(err)
	}
	filled, err := substituted(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	doc, ok := filled.(map[string]any)
	if !ok {
		t.Fatalf("%v is no document", filled)
	}
	return doc
}

const static4 = "ipv4: {enabled: true, address: [{ip: 192.0.2.5, prefix-length: 24}]}"

// None of these documents is taken by the kernel, NetworkManager or Open vSwitch, or none as it is meant. About two thirds of them pass
// nmstatectl gc of 2.2.62.
func TestDocumentRefused(t *testing.T) {
	cases := []struct{ name, document, want string }{
		{"unknown part", "{interfaces: [], capture: {}}", "capture is no part of a network"},
		{"no list", "{interfaces: {a: b}}", "interfaces is no list of mappings"},
		{"no name", "interfaces: [{type: ethernet}]", "interfaces[0] has no name"},
		{"unknown type", "interfaces: [{name: a, type: ethernt}]", `interfaces[a].type "ethernt" is not one of bond, dummy`},
		{"MAC", "interfaces: [{name: a, type: ethernet, mac-address: not-a-mac}]", "interfaces[a].mac-address not-a-mac is no MAC address"},
		{"MAC of digits", "interfaces: [{name: a, type: ethernet, mac-address: 525400000001}]", "interfaces[a].mac-address 525400000001 is no MAC address: correct it, and put it in quotes"},
		{"long name", "interfaces: [{name: enp129s0f0np0.20, type: ethernet}]", "interfaces[enp129s0f0np0.20].name is no interface name: it must have at most 15"},
		{"blank", "interfaces: [{name: a b, type: ethernet}]", "interfaces[a b].name"},
		{"colon", "interfaces: [{name: 'eth0:1', type: ethernet}]", "interfaces[eth0:1].name"},
		{"twice", "interfaces: [{name: a, type: ethernet}, {name: a, type: bond}]", "interfaces[a] is given twice"},
		{"tag", "interfaces: [{name: a, type: ethernet}, {name: v, type: vlan, vlan: {base-iface: a, id: 5000}}]", "interfaces[v].vlan.id 5000 is no tag"},
		{"absent base", "interfaces: [{name: v, type: vlan, vlan: {base-iface: a, id: 5}}]", `interfaces[v].vlan.base-iface "a" is not among the interfaces`},
		{"tag twice", "interfaces: [{name: a, type: ethernet}, {name: v, type: vlan, vlan: {base-iface: a, id: 5}}, {name: w, type: vlan, vlan: {base-iface: a, id: 5}}]", "interfaces[v] and interfaces[w] both have tag 5 on a"},
		{"VLAN's MTU", "interfaces: [{name: a, type: ethernet, mtu: 1500}, {name: v, type: vlan, mtu: 9000, vlan: {base-iface: a, id: 5}}]", "interfaces[v].mtu 9000 is larger than the 1500 of a below it"},
		{"absent port", "interfaces: [{name: b, type: bond, link-aggregation: {mode: active-backup, port: [a]}}]", "interfaces[b]: port a is not among the interfaces"},
		{"port of two", "interfaces: [{name: a, type: ethernet}, {name: b, type: bond, link-aggregation: {mode: active-backup, port: [a]}}, {name: c, type: linux-bridge, bridge: {port: [{name: a}]}}]", "interfaces[a] is a port of b and of c"},
		{"port twice", "interfaces: [{name: a, type: ethernet}, {name: b, type: bond, link-aggregation: {mode: active-backup, port: [a, a]}}]", "interfaces[a] is a port of b and of b"},
		{"port with an address", "interfaces: [{name: a, type: ethernet, " + static4 + "}, {name: b, type: bond, link-aggregation: {mode: active-backup, port: [a]}}]", "interfaces[a] is a port of b and has addresses"},
		{"port of itself", "interfaces: [{name: b, type: bond, link-aggregation: {mode: active-backup, port: [b]}}]", "interfaces[b] is a port of itself"},
		{"loop", "interfaces: [{name: b, type: bond, link-aggregation: {mode: active-backup, port: [v]}}, {name: v, type: vlan, vlan: {base-iface: b, id: 5}}]", "lies on itself"},
		{"OVS interface of no bridge", "interfaces: [{name: a, type: ovs-interface}]", "interfaces[a] is an OVS interface, but no bridge has it"},
		{"OVS bond of one", "interfaces: [{name: a, type: ethernet}, {name: b, type: ovs-bridge, bridge: {port: [{name: x, link-aggregation: {mode: balance-slb, port: [{name: a}]}}]}}]", "interfaces[b]: bond x has fewer than two ports"},
		{"DPDK in the kernel", "interfaces: [{name: a, type: ovs-interface, dpdk: {devargs: '0000:18:00.0'}}, {name: b, type: ovs-bridge, bridge: {port: [{name: a}]}}]", "interfaces[b] has the DPDK port a, but forwards in the kernel"},
		{"patch of one side", "interfaces: [{name: a, type: ovs-interface, patch: {peer: c}}, {name: b, type: ovs-bridge, bridge: {port: [{name: a}]}}]", "interfaces[a].patch.peer c is no patch port whose peer is a"},
		{"virtual function beyond", "interfaces: [{name: a, type: ethernet, ethernet: {sr-iov: {total-vfs: 2, vfs: [{id: 2}]}}}]", "interfaces[a] has 2 virtual functions, but sets up number 2"},
		{"VRF in the main table", "interfaces: [{name: r, type: vrf, vrf: {port: [], route-table-id: 254}}]", "interfaces[r].vrf.route-table-id 254 is no table of its own"},
		{"VRFs of one table", "interfaces: [{name: r, type: vrf, vrf: {port: [], route-table-id: 9}}, {name: s, type: vrf, vrf: {port: [], route-table-id: 9}}]", "interfaces[r] and interfaces[s] both have routing table 9"},
		{"bond without a mode", "interfaces: [{name: b, type: bond, link-aggregation: {port: []}}]", "interfaces[b].link-aggregation.mode is missing"},
		{"bond without ports", "interfaces: [{name: b, type: bond, link-aggregation: {mode: active-backup, port: []}}]", "interfaces[b].link-aggregation has no ports"},
		{"LACP option elsewhere", bondOf("active-backup", "lacp_rate: fast"), "interfaces[b]: mode active-backup does not take lacp_rate, but only 802.3ad"},
		{"ARP monitor with LACP", bondOf("802.3ad", "arp_interval: 100"), "interfaces[b]: mode 802.3ad does not take arp_interval, but only balance-rr"},
		{"primary elsewhere", bondOf("802.3ad", "primary: a"), "interfaces[b]: mode 802.3ad does not take primary"},
		{"primary that is no port", bondOf("active-backup", "primary: z"), "interfaces[b]: primary z is none of its ports a"},
		{"two monitors", bondOf("active-backup", "miimon: 100, arp_interval: 100, arp_ip_target: 192.0.2.1"), "interfaces[b]: miimon and arp_interval are both set"},
		{"nobody to ask", bondOf("active-backup", "arp_interval: 100"), "interfaces[b]: arp_interval is set without an address to ask"},
		{"delay without monitor", bondOf("active-backup", "updelay: 100, arp_interval: 100, arp_ip_target: 192.0.2.1"), "interfaces[b]: updelay needs miimon"},
		{"delay between looks", bondOf("active-backup", "downdelay: 150, miimon: 100"), "interfaces[b]: downdelay 150 is no multiple of miimon 100"},
		{"address twice", "interfaces: [{name: a, type: ethernet, " + static4 + "}, {name: b, type: ethernet, " + static4 + "}]", "interfaces[a] and interfaces[b] both have address 192.0.2.5"},
		{"address of the other family", "interfaces: [{name: a, type: ethernet, ipv6: {enabled: true, address: [{ip: 192.0.2.5, prefix-length: 24}]}}]", "is of the other family"},
		{"address that is none", "interfaces: [{name: a, type: ethernet, ipv4: {enabled: true, address: [{ip: 192.0.2.5, prefix-length: 33}]}}]", "interfaces[a].ipv4.address: 192.0.2.5 with prefix-length 33 is no address"},
		{"multicast", "interfaces: [{name: a, type: ethernet, ipv4: {enabled: true, address: [{ip: 224.0.0.5, prefix-length: 24}]}}]", "224.0.0.5 is none that an interface can have"},
		{"not enabled", "interfaces: [{name: a, type: ethernet, ipv4: {enabled: false, address: [{ip: 192.0.2.5, prefix-length: 24}]}}]", "interfaces[a].ipv4 has addresses, but is not enabled"},
		{"IPv6 on a small link", "interfaces: [{name: a, type: ethernet, mtu: 1000, ipv6: {enabled: true}}]", "interfaces[a].mtu 1000 is below the 1280 that IPv6 needs"},
		{"route over nothing", routeOf("destination: 10.0.0.0/8, next-hop-address: 192.0.2.1, next-hop-interface: z"), `routes.config[0].next-hop-interface "z" is not among the interfaces`},
		{"route with host bits", routeOf("destination: 10.0.0.1/8, next-hop-address: 192.0.2.1, next-hop-interface: a"), "routes.config[0].destination 10.0.0.1/8 has bits set after the prefix"},
		{"nexthop on no link", routeOf("destination: 10.0.0.0/8, next-hop-address: 198.51.100.1, next-hop-interface: a"), "routes.config[0]: nexthop 198.51.100.1 is on no network of a"},
		{"nexthop is the node", routeOf("destination: 10.0.0.0/8, next-hop-address: 192.0.2.5, next-hop-interface: a"), "routes.config[0] has the node's own address 192.0.2.5 as nexthop"},
		{"families", routeOf("destination: 10.0.0.0/8, next-hop-address: 'fe80::1', next-hop-interface: a"), "destination 10.0.0.0/8 and nexthop fe80::1 are of two families"},
		{"family that the interface has not", routeOf("destination: '2001:db8::/32', next-hop-address: 'fe80::1', next-hop-interface: a"), "routes.config[0] leads over a, which has no addresses of IPv6"},
		{"two default routes", routeOf("destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a}, {destination: 0.0.0.0/0, next-hop-address: 192.0.2.2, next-hop-interface: a"), "routes.config[0] and routes.config[1] are both a default route of one family and table"},
		{"one of two with a weight", routeOf("destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a, weight: 1}, {destination: 0.0.0.0/0, next-hop-address: 192.0.2.2, next-hop-interface: a"), "are both a default route"},
		{"a learnt one beside", "{interfaces: [{name: a, type: ethernet, " + static4 + "}, {name: d, type: ethernet, ipv4: {enabled: true, dhcp: true}}], routes: {config: [{destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a}]}}", "interfaces[d].ipv4 (learnt from the network) and routes.config[0] are both a default route"},
		{"VRF's route in the main table", "{interfaces: [{name: a, type: ethernet, " + static4 + "}, {name: r, type: vrf, vrf: {port: [a], route-table-id: 9}}], routes: {config: [{destination: 10.0.0.0/8, next-hop-address: 192.0.2.1, next-hop-interface: a}]}}", "routes.config[0] leads over a, whose VRF has routing table 9, but is in table 254"},
		{"rule of two families", "{interfaces: [], route-rules: {config: [{ip-from: 10.0.0.0/8, ip-to: '2001:db8::/32', route-table: 9}]}}", "route-rules.config[0]: ip-from and ip-to are of two families"},
		{"rule of nobody", "{interfaces: [], route-rules: {config: [{iif: z, route-table: 9}]}}", "route-rules.config[0].iif z is not among the interfaces"},
		{"server without its family", "{interfaces: [{name: a, type: ethernet, " + static4 + "}], dns-resolver: {config: {server: ['2001:db8::53']}}}", "dns-resolver.config.server 2001:db8::53 is IPv6, but no interface has that family"},
		{"servers mixed", "{interfaces: [{name: a, type: ethernet, ipv4: {enabled: true}, ipv6: {enabled: true}}], dns-resolver: {config: {server: [192.0.2.53, '2001:db8::53', 192.0.2.54]}}}", "192.0.2.54 stands in the middle of the other family's"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if err := checkDocument(documentOf(t, c.document)); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), ":") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func bondOf(mode, options string) string {
	return "interfaces: [{name: a, type: ethernet}, {name: b, type: bond, link-aggregation: {mode: " + mode + ", options: {" + options + "}, port: [a]}}]"
}

func routeOf(route string) string {
	return "{interfaces: [{name: a, type: ethernet, " + static4 + "}], routes: {config: [{" + route + "}]}}"
}

// What is right although it looks like what is refused.
func TestDocumentAccepted(t *testing.T) {
	for name, document := range map[string]string{
		"bridge and its port":         "interfaces: [{name: b, type: ovs-bridge, bridge: {port: [{name: b}]}}, {name: b, type: ovs-interface, " + static4 + "}]",
		"default routes by metric":    routeOf("destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a, metric: 1}, {destination: 0.0.0.0/0, next-hop-address: 192.0.2.2, next-hop-interface: a, metric: 2"),
		"default routes by weight":    routeOf("destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a, weight: 1}, {destination: 0.0.0.0/0, next-hop-address: 192.0.2.2, next-hop-interface: a, weight: 1"),
		"default routes by table":     routeOf("destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a}, {destination: 0.0.0.0/0, next-hop-address: 192.0.2.2, next-hop-interface: a, table-id: 9"),
		"blackhole beside a default":  routeOf("destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a}, {destination: 0.0.0.0/0, route-type: blackhole"),
		"nexthop made on link":        routeOf("destination: 198.51.100.1/32, next-hop-interface: a}, {destination: 10.0.0.0/8, next-hop-address: 198.51.100.1, next-hop-interface: a"),
		"a learnt one that is not":    "{interfaces: [{name: a, type: ethernet, " + static4 + "}, {name: d, type: ethernet, ipv4: {enabled: true, dhcp: true, auto-gateway: false}}], routes: {config: [{destination: 0.0.0.0/0, next-hop-address: 192.0.2.1, next-hop-interface: a}]}}",
		"address of a VRF's port":     "interfaces: [{name: a, type: ethernet, " + static4 + "}, {name: r, type: vrf, vrf: {port: [a], route-table-id: 9}}]",
		"one tag on two cards":        "interfaces: [{name: a, type: ethernet}, {name: c, type: ethernet}, {name: v, type: vlan, vlan: {base-iface: a, id: 5}}, {name: w, type: vlan, vlan: {base-iface: c, id: 5}}]",
		"servers of one, then other":  "{interfaces: [{name: a, type: ethernet, ipv4: {enabled: true}, ipv6: {enabled: true}}], dns-resolver: {config: {server: ['2001:db8::53', 192.0.2.53]}}}",
		"ARP monitor instead of link": bondOf("active-backup", "arp_interval: 100, arp_ip_target: 192.0.2.1, arp_validate: all"),
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkDocument(documentOf(t, document)); err != nil {
				t.Error(err)
			}
		})
	}
}

// layoutOf renders networkConfig on the guide's cards and the tests' site.
func layoutOf(t *testing.T, config string, change func(*RenderInput)) (Rendered, error) {
	t.Helper()
	in := RenderInput{HostName: "n", Site: read(site()), NICs: guideCards(), Addresses: addresses()[1:2]}
	in.Addresses[0].DefaultRoute = true
	if err := yaml.UnmarshalStrict([]byte(config), &in.Config); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&in)
	}
	return Render(in)
}

func TestLayoutRefused(t *testing.T) {
	cases := []struct{ name, config, want string }{
		{"static address where there is to be none", "ethernets: [{name: eno1, networks: [ctlplane], ip: {ipv4: None}}]", "interface eno1 is to have no addresses of IPv4, but has 192.168.122.100/24"},
		{"default route of an address that stands alone", "dummies: [{name: lo, networks: [ctlplane]}]", "networks[ctlplane].defaultRoute is true, but interface lo has its address alone"},
		{"malformed address", "ethernets: [{name: eno1, networks: [ctlplane], ip: {addresses: [10.0.0.1]}}]", `networkConfig.ethernets[eno1].ip.addresses[0] "10.0.0.1" is no address with its prefix length`},
		{"name for a network that is not tagged", "ethernets: [{name: eno1, networks: [ctlplane], vlanNames: {tenant: t0}}]", "networkConfig.ethernets[eno1].vlanNames names tenant, which is not among the vlans"},
		{"VRF of nothing", "{ethernets: [{name: eno1, networks: [ctlplane]}], vrfs: [{name: r, table: 9, ports: [x]}]}", "networkConfig.vrfs[r].ports[0] x is no interface of the layout"},
		{"card that nobody has", "ethernets: [{name: eno1, card: {model: x}, networks: [ctlplane]}]", "networkConfig.ethernets[eno1].card asks for interface 0 of those that fit, but the host has 0 (of eno1 0x8086 0x1521 10 Gbit/s"},
		{"one card twice", "{ethernets: [{name: eno1, networks: [ctlplane]}], ovsBridges: [{name: br0, ports: [{name: x, mac: nic0}]}]}", "networkConfig.ethernets[eno1] and networkConfig.ovsBridges[br0].ports[x] both use interface 52:54:00:00:00:01"},
		{"one PCI address twice", `{ethernets: [{name: a, card: {pciAddress: "0000:18:00.0"}, networks: [ctlplane]}, {name: b, card: {pciAddress: "0000:18:00.0"}}]}`, "both use interface 0000:18:00.0"},
		{"active cards count from 1", "{nicNumbering: Active, ethernets: [{name: a, mac: nic0, networks: [ctlplane]}]}", "networkConfig.ethernets[a].mac nic0: the host has 4 active interfaces, nic1 (eno1) to nic4 (ens1f1np1)"},
		{"what the document says", "{ethernets: [{name: eno1, networks: [ctlplane], mtu: 1500}], routes: [{destination: 10.0.0.0/8, nexthop: 10.9.9.9, interface: eno1}]}", "node n: networkConfig: routes.config[2]: nexthop 10.9.9.9 is on no network of eno1"},
		{"no mapping", "nmstate: []", "networkConfig.nmstate is no mapping"},
		{"unknown value", "nmstate: {interfaces: [{name: $(eno)}]}", "networkConfig.nmstate: interfaces: [0]: name: $(eno) stands for nothing the node has (it has ctlplane_cidr, ctlplane_gateway_ip, ctlplane_ip, ctlplane_mtu, hostname, nic0_mac"},
		{"address nowhere", "nmstate: {interfaces: []}", "networkConfig.nmstate gives address 192.168.122.100 of network ctlplane to no interface: write $(ctlplane_ip) where it belongs"},
		{"verbatim is checked", "nmstate: {interfaces: [{name: a, type: ethernet, mtu: 1500, ipv4: {enabled: true, address: [{ip: $(ctlplane_ip), prefix-length: 24}]}}], capture: {}}", "networkConfig: capture is no part"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := layoutOf(t, c.config, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestValuesInDocuments: a text that is a value alone becomes it, one that holds values stays a text.
func TestValuesInDocuments(t *testing.T) {
	got, err := substituted(map[string]any{"a": "$(n)", "b": "x$(n)$$$(s)", "c": []any{1.0, 1.5, true, nil}}, map[string]any{"n": int64(7), "s": "y"})
	if diff := cmp.Diff(map[string]any{"a": int64(7), "b": "x7$y", "c": []any{int64(1), 1.5, true, nil}}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

// TestNodesCards: what a node calls nicN goes before what is counted, by MAC or by name, inspected or not.
func TestNodesCards(t *testing.T) {
	const config = "ethernets: [{name: up0, mac: nic1, networks: [ctlplane]}]"
	mac := func(names map[string]v1alpha1.NICReference, nics []hardware.NIC) string {
		t.Helper()
		r, err := layoutOf(t, config, func(in *RenderInput) { in.NICNames, in.NICs = names, nics })
		if err != nil {
			return err.Error()
		}
		return text(sections(r.NMState, "interfaces")[0], "mac-address")
	}
	for _, c := range []struct {
		named v1alpha1.NICReference
		nics  []hardware.NIC
		want  string
	}{
		{"52:54:00:00:00:0A", guideCards(), "52:54:00:00:00:0a"},
		{"ens1f1np1", guideCards(), "52:54:00:00:00:0b"},
		{"52:54:00:00:00:0A", nil, "52:54:00:00:00:0a"},
		{"eth9", guideCards(), "node n: networkConfig.ethernets[up0].mac nic1 (nics: eth9): the host has no such interface (it has eno1 52:54:00:00:00:01"},
	} {
		if got := mac(map[string]v1alpha1.NICReference{"nic1": c.named}, c.nics); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: got %q", c.named, got)
		}
	}
	if got := mac(nil, guideCards()); got != "52:54:00:00:00:02" {
		t.Errorf("counted: %q", got)
	}
}

// TestActiveCards: as os-net-config counts.
func TestActiveCards(t *testing.T) {
	nic := func(name string, gbps int) hardware.NIC { return hardware.NIC{Name: name, SpeedGbps: gbps} }
	var got []string
	for _, n := range activeNICs(sortNICs([]hardware.NIC{nic("ens1", 25), nic("eno2", 10), nic("eth10", 1), nic("eno1", 0), nic("eth9", 1), nic("p1p1", 1)})) {
		got = append(got, n.Name)
	}
	if diff := cmp.Diff([]string{"eno2", "eth9", "eth10", "ens1", "p1p1"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestOneTagOneInterface: networks of both families with one tag share the interface, whatever carries it.
func TestOneTagOneInterface(t *testing.T) {
	spec := site()
	spec.Networks[2].Subnets[0].VLAN = new(int32(20))
	for _, config := range []string{
		"ethernets: [{name: eno1, networks: [ctlplane], vlans: [internalapi, tenant]}]",
		"ovsBridges: [{name: br-ex, ports: [{name: eno1}], networks: [ctlplane], vlans: [internalapi, tenant]}]",
	} {
		r, err := layoutOf(t, config, func(in *RenderInput) { in.Site, in.Addresses = read(spec), addresses() })
		if err != nil {
			t.Fatal(err)
		}
		if a, b := bearer(r, "172.17.0.100"), bearer(r, "fd00:22::100"); a != b || !strings.HasSuffix(a, ".20") {
			t.Errorf("%s: on %s and %s", config, a, b)
		}
	}
	_, err := layoutOf(t, "ethernets: [{name: eno1, networks: [ctlplane], vlans: [internalapi, tenant], vlanNames: {internalapi: a, tenant: b}}]",
		func(in *RenderInput) { in.Site, in.Addresses = read(spec), addresses() })
	if err == nil || !strings.Contains(err.Error(), "is called b, but another network with tag 20 on eno1 has called it a: give both one name") {
		t.Error(err)
	}
}

// TestFirstBootUnderBridges: until configure-network has run, the control plane is on what lies below its bridge.
func TestFirstBootUnderBridges(t *testing.T) {
	tagged := with(func(s *v1alpha1.Subnet) { s.VLAN = new(int32(10)) })
	cases := []struct{ config, link, vlan string }{
		{"ovsBridges: [{name: br-ex, ports: [{name: eno1}], networks: [ctlplane]}]", "eno1", ""},
		{"ovsBridges: [{name: br-ex, ports: [{name: eno1}], vlans: [ctlplane]}]", "eno1.10", "eno1"},
		{"ovsBridges: [{name: br-ex, ports: [{name: b, bond: {ports: [{name: eno1, mac: nic0}, {name: eno2, mac: nic1}]}}], networks: [ctlplane]}]", "eno1", ""},
		{`{ethernets: [{name: p, card: {pciAddress: "0000:18:00.0"}}, {name: eno2, networks: [ctlplane]}]}`, "eno2", ""},
	}
	for _, c := range cases {
		r, err := layoutOf(t, c.config, func(in *RenderInput) { in.Site = read(tagged) })
		if err != nil {
			t.Fatal(err)
		}
		var data metadata
		if err := json.Unmarshal(r.NetworkData, &data); err != nil {
			t.Fatalf("%s: %v", c.config, err)
		}
		last := data.Links[len(data.Links)-1]
		if r.AtFirstBoot || len(data.Networks) != 1 || data.Networks[0].Link != c.link || last.VLANLink != c.vlan {
			t.Errorf("%s: %v\n%s", c.config, r.AtFirstBoot, r.NetworkData)
		}
	}
	for config, want := range map[string]bool{
		"ethernets: [{name: eno1, networks: [ctlplane]}]":                                                                                 true,
		"ethernets: [{name: eno1, networks: [ctlplane]}, {name: eno2, ip: {ipv4: DHCP}}]":                                                 false,
		"{ethernets: [{name: eno1, networks: [ctlplane]}], dummies: [{name: d, ip: {addresses: [10.0.0.1/32]}}]}":                         false,
		"ethernets: [{name: eno1, networks: [ctlplane], sriov: {totalVFs: 2}}]":                                                           false,
		"ethernets: [{name: eno1, networks: [ctlplane], vlans: [internalapi], vlanNames: {internalapi: api0}}]":                           false,
		"ethernets: [{name: eno1, networks: [ctlplane], vlans: [internalapi], vlanNames: {internalapi: eno1.20}}]":                        true,
		"ovsBridges: [{name: br0, datapath: Userspace, ports: [{name: d0, dpdk: {pciAddress: \"0000:18:00.0\"}}], networks: [ctlplane]}]": false,
	} {
		r, err := layoutOf(t, config, func(in *RenderInput) {
			if strings.Contains(config, "internalapi") {
				in.Addresses = addresses()[:2]
			}
		})
		if err != nil || r.AtFirstBoot != want {
			t.Errorf("%s: %v %v", config, r.AtFirstBoot, err)
		}
		if strings.Contains(config, "Userspace") && r.NetworkData != nil {
			t.Errorf("DPDK is no card of the kernel's: %s", r.NetworkData)
		}
	}
}

// TestBondOptions: every option of a bond reaches the document under the kernel's name.
func TestBondOptions(t *testing.T) {
	n := func(v int32) *int32 { return &v }
	options := v1alpha1.BondOptions{
		MIIMon: n(50), UpDelay: n(100), DownDelay: n(150), UseCarrier: "On", LACPRate: "fast", LACPActive: "Off", XmitHashPolicy: "layer3+4", ADSelect: "count",
		ADActorSysPrio: n(5), ADActorSystem: "00:00:00:00:00:01", ADUserPortKey: n(6), MinLinks: n(1), Primary: "a", PrimaryReselect: "better", FailOverMAC: "active",
		ARPInterval: n(7), ARPIPTarget: []string{"192.0.2.1", "192.0.2.2"}, NSIP6Target: []string{"fe80::1"}, ARPValidate: "all", ARPAllTargets: "any", ARPMissedMax: n(2),
		NumGratARP: n(3), ResendIGMP: n(4), PacketsPerSlave: n(0), LPInterval: n(8), TLBDynamicLB: "On", AllSlavesActive: "delivered",
	}
	want := map[string]any{
		"miimon": int64(50), "updelay": int64(100), "downdelay": int64(150), "use_carrier": true, "lacp_rate": "fast", "lacp_active": false, "xmit_hash_policy": "layer3+4",
		"ad_select": "count", "ad_actor_sys_prio": int64(5), "ad_actor_system": "00:00:00:00:00:01", "ad_user_port_key": int64(6), "min_links": int64(1), "primary": "a",
		"primary_reselect": "better", "fail_over_mac": "active", "arp_interval": int64(7), "arp_ip_target": "192.0.2.1,192.0.2.2", "ns_ip6_target": []any{"fe80::1"},
		"arp_validate": "all", "arp_all_targets": "any", "arp_missed_max": int64(2), "num_grat_arp": int64(3), "resend_igmp": int64(4), "packets_per_slave": int64(0),
		"lp_interval": int64(8), "tlb_dynamic_lb": true, "all_slaves_active": "delivered",
	}
	if diff := cmp.Diff(want, nmBondOptions(&options)); diff != "" {
		t.Error(diff)
	}
	data, err := json.Marshal(options)
	var fields map[string]any
	if err != nil || json.Unmarshal(data, &fields) != nil || len(fields) != len(want) {
		t.Errorf("%d of %d options are rendered: %v", len(want), len(fields), err)
	}
	if got := nmBondOptions(&v1alpha1.BondOptions{ARPInterval: n(100)}); got["miimon"] != nil {
		t.Errorf("links are looked at beside ARP: %v", got)
	}
}

// FuzzVerbatim renders documents of any shape.
func FuzzVerbatim(f *testing.F) {
	f.Add(`{"interfaces": [{"name": "a", "type": "ethernet", "ipv4": {"enabled": true, "address": [{"ip": "$(ctlplane_ip)", "prefix-length": "$(ctlplane_cidr)"}]}}]}`)
	f.Add(`{"interfaces": [{"name": "a", "type": "bond", "link-aggregation": {"port": [1, "a"], "options": []}}, {"name": "b", "type": "ovs-bridge", "bridge": {"port": [{"name": "b"}, 3]}}], "routes": {"config": [{"destination": "::/0"}]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		in := RenderInput{HostName: "n", Site: read(site()), NICs: fourNICs(), Addresses: addresses()[1:2], Config: &v1alpha1.NetworkConfig{NMState: &apiextensionsv1.JSON{Raw: []byte(text)}}}
		r, err := Render(in)
		if err != nil && (!strings.HasPrefix(err.Error(), "node n: ") || strings.Contains(err.Error(), "%!")) {
			t.Errorf("%q", err)
		}
		if err == nil && bearer(r, "192.168.122.100") == "" {
			t.Errorf("the control plane is nowhere: %v", r.NMState)
		}
	})
}
