package network

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"net/netip"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// maxName is the length of a Linux interface name (IFNAMSIZ less the final zero, include/uapi/linux/if.h).
const maxName = 15

// deviceKind is nmstate's word for a kind of interface.
type deviceKind string

const (
	kindEthernet     deviceKind = "ethernet"
	kindBond         deviceKind = "bond"
	kindOVSBridge    deviceKind = "ovs-bridge"
	kindOVSInterface deviceKind = "ovs-interface"
	kindVLAN         deviceKind = "vlan"
	kindDummy        deviceKind = "dummy"
	kindLoopback     deviceKind = "loopback"
	kindVRF          deviceKind = "vrf"
)

// device is one interface of the node to be.
type device struct {
	kind  deviceKind
	name  string
	mac   string // lower case; empty when not known
	pci   string // of a card that is found by it
	mtu   int32
	asked int32 // the MTU that was asked for; 0 for the largest of what it carries
	addrs []*attachment
	own   []netip.Prefix // addresses beside those of networks
	ip    v1alpha1.Addressing
	vrf   *device // it belongs to

	mode    string                // of a bond
	options *v1alpha1.BondOptions // of a bond
	ports   []*device             // of a bond or VRF
	base    *device               // of a VLAN
	tag     int32                 // of a VLAN
	sriov   *v1alpha1.SRIOV       // of a card
	table   int64                 // of a VRF
	bridge  *ovsBridge            // of an OVS bridge, or that an internal port belongs to
	patch   string                // peer of a patch port
	dpdk    *v1alpha1.DPDKPort
}

// layouter places attachments on devices.
type layouter struct {
	nics    []hardware.NIC
	named   map[string]v1alpha1.NICReference // nicN of this node
	active  bool                             // nicN counts as os-net-config does
	bootMAC string
	atts    []*attachment
	devices []*device
	usedBy  map[string]string // field that has a device name or MAC
}

// layOut returns the devices by kind, each kind in the order of the layout.
func layOut(in RenderInput, atts []*attachment) ([]*device, error) {
	l := &layouter{
		nics: sortNICs(in.NICs), named: in.NICNames, bootMAC: strings.ToLower(in.BootMAC), atts: atts, usedBy: map[string]string{},
	}
	place := l.byDefault
	if in.Config != nil {
		l.active = in.Config.NICNumbering == v1alpha1.NICsActive
		place = func() error { return l.byConfig(in.Config) }
	}
	if err := place(); err != nil {
		return nil, err
	}
	for _, a := range atts {
		if a.device == nil {
			return nil, fmt.Errorf("networkConfig places network %s nowhere: add it to the networks or vlans of an ethernet or bond", a.subnet.Network.Name)
		}
	}
	for _, d := range l.devices {
		if err := d.addressed(); err != nil {
			return nil, err
		}
	}
	l.setMTUs()
	slices.SortStableFunc(l.devices, func(a, b *device) int { return order(a) - order(b) })
	return l.devices, nil
}

func order(d *device) int {
	return slices.Index([]deviceKind{kindEthernet, kindBond, kindOVSBridge, kindOVSInterface, kindVLAN, kindDummy, kindLoopback, kindVRF}, d.kind)
}

func (l *layouter) byConfig(config *v1alpha1.NetworkConfig) error {
	for i := range config.Ethernets {
		if err := l.ethernet(&config.Ethernets[i]); err != nil {
			return err
		}
	}
	for i := range config.Bonds {
		if err := l.bond(&config.Bonds[i]); err != nil {
			return err
		}
	}
	for i := range config.OVSBridges {
		if err := l.ovsBridge(&config.OVSBridges[i]); err != nil {
			return err
		}
	}
	for i := range config.Dummies {
		if err := l.dummy(&config.Dummies[i]); err != nil {
			return err
		}
	}
	for i := range config.VRFs {
		if err := l.vrf(&config.VRFs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *layouter) ethernet(e *v1alpha1.Ethernet) error {
	field := fmt.Sprintf("networkConfig.ethernets[%s]", e.Name)
	card, err := l.ethernetCard(e, field)
	if err != nil {
		return err
	}
	card.asked, card.sriov = e.MTU, e.SRIOV
	d, err := l.add(card, field)
	if err != nil {
		return err
	}
	return l.carry(d, load{field: field, untagged: e.Networks, tagged: e.VLANs, names: e.VLANNames, ip: e.IP})
}

func (l *layouter) bond(b *v1alpha1.Bond) error {
	field := fmt.Sprintf("networkConfig.bonds[%s]", b.Name)
	bond := &device{kind: kindBond, name: b.Name, mode: cmp.Or(b.Mode, "active-backup"), options: b.Options, asked: b.MTU}
	for i := range b.Ports {
		portField := fmt.Sprintf("%s.ports[%d]", field, i)
		card, err := l.portCard(b.Ports[i].Name, b.Ports[i].MAC, b.Ports[i].Card, portField)
		if err != nil {
			return err
		}
		d, err := l.add(card, portField)
		if err != nil {
			return err
		}
		bond.ports = append(bond.ports, d)
	}
	if len(bond.ports) > 0 {
		bond.mac = bond.ports[0].mac
	}
	if _, err := l.add(bond, field); err != nil {
		return err
	}
	return l.carry(bond, load{field: field, untagged: b.Networks, tagged: b.VLANs, names: b.VLANNames, ip: b.IP})
}

func (l *layouter) dummy(spec *v1alpha1.Dummy) error {
	field := fmt.Sprintf("networkConfig.dummies[%s]", spec.Name)
	d := &device{kind: kindDummy, name: spec.Name}
	if spec.Name == "lo" {
		d.kind, d.mtu, d.asked = kindLoopback, loopbackMTU, loopbackMTU
		d.own = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}
	}
	if _, err := l.add(d, field); err != nil {
		return err
	}
	ip := v1alpha1.Addressing{Prefix: v1alpha1.PrefixHost}
	if spec.IP != nil {
		ip = *spec.IP
		ip.Prefix = cmp.Or(ip.Prefix, v1alpha1.PrefixHost)
	}
	return l.carry(d, load{field: field, untagged: spec.Networks, ip: &ip})
}

// loopbackMTU is what the kernel gives the loopback interface (drivers/net/loopback.c).
const loopbackMTU = 65536

func (l *layouter) vrf(spec *v1alpha1.VRF) error {
	field := fmt.Sprintf("networkConfig.vrfs[%s]", spec.Name)
	v := &device{kind: kindVRF, name: spec.Name, table: spec.Table}
	for i, name := range spec.Ports {
		port := l.called(name)
		if port == nil {
			return fmt.Errorf("%s.ports[%d] %s is no interface of the layout: add it there, or correct the name", field, i, name)
		}
		port.vrf = v
		v.ports = append(v.ports, port)
	}
	_, err := l.add(v, field)
	return err
}

// called finds the interface of that name that can carry addresses; nil when there is none.
func (l *layouter) called(name string) *device {
	for _, d := range l.devices {
		if d.name == name && d.kind != kindOVSBridge {
			return d
		}
	}
	return nil
}

// byDefault puts ctlplane untagged on the card the host boots over, each network with a VLAN tagged on it, and each other
// one untagged on the next card.
func (l *layouter) byDefault() error {
	if len(l.atts) == 0 {
		return nil
	}
	if len(l.nics) == 0 {
		return errors.New("networkConfig is not set and nothing is known of the node's interfaces: list them in networkConfig.ethernets by name")
	}
	if !l.atts[0].subnet.Network.IsCtlplane() {
		return errors.New("networks has no control-plane network: add the NetConfig's ctlplane network, or set networkConfig")
	}
	l.nics = l.likeliestFirst()
	first, err := l.nextNIC(l.atts[0].subnet.Network.Name)
	if err != nil {
		return err
	}
	const field = "the default layout"
	if err := l.carry(first, load{field: field, untagged: []string{l.atts[0].subnet.Network.Name}}); err != nil {
		return err
	}
	for _, a := range l.atts[1:] {
		on, what := first, load{field: field, tagged: []string{a.subnet.Network.Name}}
		if a.subnet.VLAN == 0 {
			if on, err = l.nextNIC(a.subnet.Network.Name); err != nil {
				return err
			}
			what.untagged, what.tagged = what.tagged, nil
		}
		if err := l.carry(on, what); err != nil {
			return err
		}
	}
	return nil
}

// add registers a device under its name and, for hardware, its MAC and PCI address.
func (l *layouter) add(d *device, field string) (*device, error) {
	if len(d.name) > maxName {
		return nil, fmt.Errorf("%s: interface name %s is longer than %d characters: shorten the name it is made from", field, d.name, maxName)
	}
	keys := []string{d.name}
	if d.kind == kindEthernet && d.mac != "" {
		keys = append(keys, d.mac)
	}
	if d.pci != "" {
		keys = append(keys, d.pci)
	}
	for _, key := range keys {
		if other := l.usedBy[key]; other != "" {
			return nil, fmt.Errorf("%s and %s both use interface %s: remove one", other, field, key)
		}
		l.usedBy[key] = field
	}
	l.devices = append(l.devices, d)
	return d, nil
}

// load is what goes on a device.
type load struct {
	field            string
	untagged, tagged []string
	names            map[string]v1alpha1.InterfaceName // of the tagged ones' interfaces
	ip               *v1alpha1.Addressing
}

// carry puts networks on the device: untagged ones on itself, tagged ones on VLAN devices above it.
func (l *layouter) carry(d *device, c load) error {
	if err := d.give(c.ip, c.field); err != nil {
		return err
	}
	for _, name := range c.untagged {
		if err := l.put(d, name, c.field+".networks"); err != nil {
			return err
		}
	}
	for name := range c.names {
		if !slices.Contains(c.tagged, name) {
			return fmt.Errorf("%s.vlanNames names %s, which is not among the vlans: add it there, or remove the name", c.field, name)
		}
	}
	for _, name := range c.tagged {
		a, err := l.attached(name, c.field+".vlans")
		if err != nil {
			return err
		}
		if a.subnet.VLAN == 0 {
			return fmt.Errorf("%s.vlans lists %s, but %s has no vlan: set it in the NetConfig, or list it under networks", c.field, name, a.subnet)
		}
		vlan, err := l.vlan(d, a.subnet.VLAN, string(c.names[name]), fmt.Sprintf("%s.vlans[%s]", c.field, name))
		if err != nil {
			return err
		}
		if err := l.put(vlan, name, c.field+".vlans"); err != nil {
			return err
		}
	}
	return nil
}

// vlan returns the device of that tag on base, which networks of one tag share: Linux allows one. name is the wanted one, if any.
func (l *layouter) vlan(base *device, tag int32, name, field string) (*device, error) {
	for _, d := range l.devices {
		if d.tag != tag || (d.base != base && (d.bridge == nil || d.bridge != base.bridge)) {
			continue
		}
		if name != "" && name != d.name {
			return nil, fmt.Errorf("%s is called %s, but another network with tag %d on %s has called it %s: give both one name", field, name, tag, base.name, d.name)
		}
		return d, nil
	}
	name = cmp.Or(name, l.vlanName(base.name, tag))
	if base.bridge != nil {
		port, err := l.add(&device{kind: kindOVSInterface, name: name, bridge: base.bridge, tag: tag}, field)
		if err == nil {
			base.bridge.ports = append(base.bridge.ports, ovsPort{name: name, device: port, tag: tag})
		}
		return port, err
	}
	return l.add(&device{kind: kindVLAN, name: name, mac: base.mac, base: base, tag: tag}, field)
}

// longestTag is how much of a VLAN's name a dot and the longest tag take.
const longestTag = len(".4094")

// vlanName is BASE.TAG. A base that is too long for it is shortened, to what none of the host's cards begins with as well.
func (l *layouter) vlanName(base string, tag int32) string {
	name := fmt.Sprintf("%s.%d", base, tag)
	if len(name) <= maxName {
		return name
	}
	short := base[:maxName-longestTag]
	if slices.ContainsFunc(l.nics, func(nic hardware.NIC) bool { return nic.Name != base && strings.HasPrefix(nic.Name, short) }) {
		short = fmt.Sprintf("%s%06x", base[:maxName-longestTag-6], crc32.ChecksumIEEE([]byte(base))&0xffffff)
	}
	return fmt.Sprintf("%s.%d", short, tag)
}

func (l *layouter) put(d *device, network, field string) error {
	a, err := l.attached(network, field)
	if err != nil {
		return err
	}
	if a.device != nil {
		return fmt.Errorf("%s lists %s, which %s carries already: remove one", field, network, a.device.name)
	}
	a.device = d
	d.addrs = append(d.addrs, a)
	return nil
}

func (l *layouter) attached(network, field string) (*attachment, error) {
	for _, a := range l.atts {
		if a.subnet.Network.Name == network {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%s lists %s, on which the node has no address: add it to networks, or remove it here", field, network)
}

// setMTUs gives each device the MTU of its networks; what is below another must carry the largest above it.
func (l *layouter) setMTUs() {
	for _, d := range l.devices {
		d.mtu = max(d.mtu, d.asked)
		for _, a := range d.addrs {
			if d.asked == 0 {
				d.mtu = max(d.mtu, a.subnet.Network.MTU)
			}
		}
	}
	for _, d := range l.devices {
		if d.kind == kindOVSBridge {
			d.bridge.setMTU()
		}
	}
	for _, d := range l.devices {
		if d.base != nil && d.base.asked == 0 {
			d.base.mtu = max(d.base.mtu, d.mtu)
		}
	}
	for _, d := range l.devices {
		d.mtu = cmp.Or(d.mtu, DefaultMTU)
		if d.kind == kindBond {
			for _, port := range d.ports {
				port.mtu = d.mtu
			}
		}
	}
}
