package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

// document is an nmstate document as it is read to be checked. What is not what it should be reads as nothing.
type document struct {
	root       map[string]any
	interfaces []map[string]any
	kernel     map[string]map[string]any // by name, those the kernel knows: all but OVS bridges
	prefixes   []interfacePrefix
}

// interfacePrefix is an address of an interface.
type interfacePrefix struct {
	name   string
	prefix netip.Prefix
}

func readDocument(root map[string]any) *document {
	d := &document{root: root, interfaces: sections(root, "interfaces"), kernel: map[string]map[string]any{}}
	for _, one := range d.interfaces {
		if name := text(one, "name"); text(one, "type") != string(kindOVSBridge) && d.kernel[name] == nil {
			d.kernel[name] = one
		}
		for _, family := range []string{"ipv4", "ipv6"} {
			for _, entry := range sections(section(one, family), "address") {
				if p, ok := parsePrefix(entry); ok {
					d.prefixes = append(d.prefixes, interfacePrefix{text(one, "name"), p})
				}
			}
		}
	}
	return d
}

// checkDocument refuses what nmstate takes offline and the kernel, NetworkManager or Open vSwitch does not, and what would leave the
// node without a way: it looks at what was rendered, whoever wrote it. Each message names the interface, the cause and the remedy.
func checkDocument(root map[string]any) error {
	d := readDocument(root)
	for _, check := range []func() error{
		d.checkShape, d.checkNames, d.checkVLANs, d.checkPorts, d.checkLoops, d.checkBonds, d.checkOVS, d.checkSRIOV, d.checkAddresses,
		d.checkVRFs, d.checkRoutes, d.checkDefaultRoutes, d.checkRules, d.checkResolver,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// knownKinds are nmstate's types of interfaces (2.2) that configure-network can make.
func knownKinds() []string {
	return []string{"bond", "dummy", "ethernet", "linux-bridge", "loopback", "mac-vlan", "ovs-bridge", "ovs-interface", "veth", "vlan", "vrf", "vxlan"}
}

func (d *document) checkShape() error {
	for key := range d.root {
		if !slices.Contains([]string{"interfaces", "routes", "route-rules", "dns-resolver", "ovs-db", "ovn"}, key) {
			return fmt.Errorf("%s is no part of a network that configure-network makes: remove it", key)
		}
	}
	if all, ok := d.root["interfaces"].([]any); !ok || len(all) != len(d.interfaces) {
		return errors.New("interfaces is no list of mappings: write each interface as one")
	}
	for i, one := range d.interfaces {
		if text(one, "name") == "" {
			return fmt.Errorf("interfaces[%d] has no name: give it one", i)
		}
		if kind := text(one, "type"); !slices.Contains(knownKinds(), kind) {
			return fmt.Errorf("interfaces[%s].type %q is not one of %s: correct it", text(one, "name"), kind, strings.Join(knownKinds(), ", "))
		}
		if mac := text(one, "mac-address"); one["mac-address"] != nil && !isMAC(mac) {
			return fmt.Errorf("interfaces[%s].mac-address %v is no MAC address: correct it, and put it in quotes", text(one, "name"), one["mac-address"])
		}
	}
	return nil
}

func isMAC(s string) bool {
	if len(s) != len("00:00:00:00:00:00") {
		return false
	}
	for i, c := range s {
		if (i%3 == 2) != (c == ':') || (c != ':' && !strings.ContainsRune("0123456789abcdefABCDEF", c)) {
			return false
		}
	}
	return true
}

func (d *document) checkNames() error {
	seen := map[string]bool{}
	for _, one := range d.interfaces {
		name, key := text(one, "name"), text(one, "name")
		if len(name) > maxName || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == ':' || unicode.IsSpace(r) }) {
			return fmt.Errorf("interfaces[%s].name is no interface name: it must have at most %d characters, without slashes, colons and blanks", name, maxName)
		}
		if text(one, "type") == string(kindOVSBridge) {
			key = "bridge " + name // and the port that is called like it
		}
		if seen[key] {
			return fmt.Errorf("interfaces[%s] is given twice: merge the two", name)
		}
		seen[key] = true
	}
	return nil
}

func (d *document) checkVLANs() error {
	taken := map[string]string{}
	for _, one := range d.of(kindVLAN) {
		name, vlan := text(one, "name"), section(one, "vlan")
		tag, ok := number(vlan, "id")
		if !ok || tag < 1 || tag > maxVLAN {
			return fmt.Errorf("interfaces[%s].vlan.id %v is no tag: give one of 1 to %d", name, vlan["id"], maxVLAN)
		}
		base := text(vlan, "base-iface")
		below := d.kernel[base]
		if below == nil {
			return fmt.Errorf("interfaces[%s].vlan.base-iface %q is not among the interfaces: describe it too, or correct the name", name, base)
		}
		key := fmt.Sprintf("%s %d", base, tag)
		if other := taken[key]; other != "" {
			return fmt.Errorf("interfaces[%s] and interfaces[%s] both have tag %d on %s, where Linux allows one: merge the two", other, name, tag, base)
		}
		taken[key] = name
		mine, _ := number(one, "mtu")
		if theirs, ok := number(below, "mtu"); ok && mine > theirs {
			return fmt.Errorf("interfaces[%s].mtu %d is larger than the %d of %s below it, which the kernel refuses: make that larger", name, mine, theirs, base)
		}
	}
	return nil
}

// of are the interfaces of a kind.
func (d *document) of(kind deviceKind) []map[string]any {
	return slices.DeleteFunc(slices.Clone(d.interfaces), func(one map[string]any) bool { return text(one, "type") != string(kind) })
}

// portsOf are the names of the interfaces that another one holds.
func portsOf(one map[string]any) []string {
	all := slices.Concat(textList(section(one, "link-aggregation"), "port"), textList(section(one, "vrf"), "port"))
	for _, port := range sections(section(one, "bridge"), "port") {
		if bonded := sections(section(port, "link-aggregation"), "port"); len(bonded) > 0 {
			for _, b := range bonded {
				all = append(all, text(b, "name"))
			}
			continue
		}
		all = append(all, text(port, "name"))
	}
	return all
}

func (d *document) checkPorts() error {
	holder := map[string]string{}
	for _, one := range d.interfaces {
		name, kind := text(one, "name"), text(one, "type")
		for _, port := range portsOf(one) {
			held := d.kernel[port]
			if held == nil {
				return fmt.Errorf("interfaces[%s]: port %s is not among the interfaces: describe it too, or correct the name", name, port)
			}
			if port == name && kind != string(kindOVSBridge) {
				return fmt.Errorf("interfaces[%s] is a port of itself: remove it there", name)
			}
			if other, ok := holder[port]; ok {
				return fmt.Errorf("interfaces[%s] is a port of %s and of %s: keep one", port, other, name)
			}
			holder[port] = name
			if kind != string(kindVRF) && text(held, "type") != string(kindOVSInterface) && hasAddresses(held) {
				return fmt.Errorf("interfaces[%s] is a port of %s and has addresses, which ports cannot have: move them to %s", port, name, name)
			}
		}
	}
	for _, one := range d.of(kindOVSInterface) {
		if name := text(one, "name"); holder[name] == "" {
			return fmt.Errorf("interfaces[%s] is an OVS interface, but no bridge has it as a port: add it to one", name)
		}
	}
	return nil
}

func hasAddresses(one map[string]any) bool {
	return section(one, "ipv4")["enabled"] == true || section(one, "ipv6")["enabled"] == true
}

// checkLoops refuses interfaces that lie on themselves.
func (d *document) checkLoops() error {
	state := map[string]int{} // 1 while it is being looked at, 2 afterwards
	var visit func(one map[string]any) error
	visit = func(one map[string]any) error {
		name := text(one, "type") + " " + text(one, "name")
		switch state[name] {
		case 1:
			return fmt.Errorf("interfaces[%s] lies on itself, by ports and VLANs: take one of them away", text(one, "name"))
		case 2:
			return nil
		}
		state[name] = 1
		for _, below := range append(portsOf(one), text(section(one, "vlan"), "base-iface")) {
			if b := d.kernel[below]; b != nil && text(b, "type") != string(kindOVSInterface) {
				if err := visit(b); err != nil {
					return err
				}
			}
		}
		state[name] = 2
		return nil
	}
	for _, one := range d.interfaces {
		if err := visit(one); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) checkOVS() error {
	for _, one := range d.of(kindOVSBridge) {
		name, bridge := text(one, "name"), section(one, "bridge")
		userspace := text(section(bridge, "options"), "datapath") == "netdev"
		for _, port := range sections(bridge, "port") {
			if bond := section(port, "link-aggregation"); len(bond) > 0 && len(sections(bond, "port")) < 2 {
				return fmt.Errorf("interfaces[%s]: bond %s has fewer than two ports, which Open vSwitch refuses: give it two, or make it a plain port", name, text(port, "name"))
			}
			if tag, ok := number(section(port, "vlan"), "tag"); ok && (tag < 0 || tag > maxVLAN) {
				return fmt.Errorf("interfaces[%s]: tag %d of port %s is none: give one of 1 to %d", name, tag, text(port, "name"), maxVLAN)
			}
		}
		for _, port := range portsOf(one) {
			if len(section(d.kernel[port], "dpdk")) > 0 && !userspace {
				return fmt.Errorf("interfaces[%s] has the DPDK port %s, but forwards in the kernel: set its datapath to userspace (netdev)", name, port)
			}
		}
	}
	for _, one := range d.of(kindOVSInterface) {
		name, peer := text(one, "name"), text(section(one, "patch"), "peer")
		if peer != "" && text(section(d.kernel[peer], "patch"), "peer") != name {
			return fmt.Errorf("interfaces[%s].patch.peer %s is no patch port whose peer is %s: give each the other as its peer", name, peer, name)
		}
	}
	return nil
}

func (d *document) checkSRIOV() error {
	for _, one := range d.interfaces {
		virtual := section(section(one, "ethernet"), "sr-iov")
		total, ok := number(virtual, "total-vfs")
		for _, f := range sections(virtual, "vfs") {
			if id, _ := number(f, "id"); ok && id >= total {
				return fmt.Errorf("interfaces[%s] has %d virtual functions, but sets up number %d: they count from 0", text(one, "name"), total, id)
			}
		}
	}
	return nil
}

func (d *document) checkVRFs() error {
	tables := map[int64]string{}
	for _, one := range d.of(kindVRF) {
		name := text(one, "name")
		table, ok := number(section(one, "vrf"), "route-table-id")
		if !ok || table < 1 || (table >= 253 && table <= 255) {
			return fmt.Errorf("interfaces[%s].vrf.route-table-id %v is no table of its own: give another number", name, section(one, "vrf")["route-table-id"])
		}
		if other := tables[table]; other != "" {
			return fmt.Errorf("interfaces[%s] and interfaces[%s] both have routing table %d: give each its own", other, name, table)
		}
		tables[table] = name
	}
	return nil
}

func section(m map[string]any, key string) map[string]any {
	s, _ := m[key].(map[string]any)
	return s
}

func sections(m map[string]any, key string) []map[string]any {
	list, _ := m[key].([]any)
	out := make([]map[string]any, 0, len(list))
	for _, one := range list {
		if s, ok := one.(map[string]any); ok {
			out = append(out, s)
		}
	}
	return out
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

func textList(m map[string]any, key string) []string {
	list, _ := m[key].([]any)
	out := make([]string, 0, len(list))
	for _, one := range list {
		if s, ok := one.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func number(m map[string]any, key string) (int64, bool) {
	n, ok := m[key].(int64)
	return n, ok
}
