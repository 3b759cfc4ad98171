package network

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// maxName is the length of a Linux interface name (IFNAMSIZ less the final zero, include/uapi/linux/if.h).
const maxName = 15

type deviceKind string

const (
	kindEthernet deviceKind = "ethernet"
	kindBond     deviceKind = "bond"
	kindVLAN     deviceKind = "vlan"
)

// device is one interface of the node to be.
type device struct {
	kind  deviceKind
	name  string
	mac   string // lower case; empty when not known
	mtu   int32
	addrs []*attachment

	mode  string    // of a bond
	ports []*device // of a bond
	base  *device   // of a VLAN
	tag   int32     // of a VLAN
}

// layouter places attachments on devices.
type layouter struct {
	nics    []hardware.NIC
	bootMAC string
	atts    []*attachment
	devices []*device
	usedBy  map[string]string // field that has a device name or MAC
}

// layOut returns the devices: ethernets, then bonds, then VLANs, each in the order of the layout.
func layOut(in RenderInput, atts []*attachment) ([]*device, error) {
	l := &layouter{nics: sortNICs(in.NICs), bootMAC: strings.ToLower(in.BootMAC), atts: atts, usedBy: map[string]string{}}
	place := l.byDefault
	if in.Config != nil {
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
	l.setMTUs()
	slices.SortStableFunc(l.devices, func(a, b *device) int { return order(a) - order(b) })
	return l.devices, nil
}

func order(d *device) int {
	return slices.Index([]deviceKind{kindEthernet, kindBond, kindVLAN}, d.kind)
}

func (l *layouter) byConfig(config *v1alpha1.NetworkConfig) error {
	for _, e := range config.Ethernets {
		field := fmt.Sprintf("networkConfig.ethernets[%s]", e.Name)
		nic, err := l.ethernetNIC(e, field)
		if err != nil {
			return err
		}
		d, err := l.add(&device{kind: kindEthernet, name: e.Name, mac: nic.MAC}, field)
		if err != nil {
			return err
		}
		if err := l.carry(d, field, e.Networks, e.VLANs); err != nil {
			return err
		}
	}
	for _, b := range config.Bonds {
		if err := l.bond(b); err != nil {
			return err
		}
	}
	return nil
}

func (l *layouter) bond(b v1alpha1.Bond) error {
	field := fmt.Sprintf("networkConfig.bonds[%s]", b.Name)
	bond := &device{kind: kindBond, name: b.Name, mode: cmp.Or(b.Mode, "active-backup")}
	for i, port := range b.Ports {
		portField := fmt.Sprintf("%s.ports[%d]", field, i)
		nic, err := l.portNIC(port, portField)
		if err != nil {
			return err
		}
		d, err := l.add(&device{kind: kindEthernet, name: nic.Name, mac: nic.MAC}, portField)
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
	return l.carry(bond, field, b.Networks, b.VLANs)
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
	if err := l.carry(first, "the default layout", []string{l.atts[0].subnet.Network.Name}, nil); err != nil {
		return err
	}
	for _, a := range l.atts[1:] {
		on, networks, vlans := first, []string(nil), []string{a.subnet.Network.Name}
		if a.subnet.VLAN == 0 {
			if on, err = l.nextNIC(a.subnet.Network.Name); err != nil {
				return err
			}
			networks, vlans = vlans, nil
		}
		if err := l.carry(on, "the default layout", networks, vlans); err != nil {
			return err
		}
	}
	return nil
}

// likeliestFirst puts cards with a link before those without, where links are known at all, and before the others of those the card
// that reaches the control plane for certain: the one the host boots over, else the one it was inspected over.
func (l *layouter) likeliestFirst() []hardware.NIC {
	doubt := func(nic hardware.NIC) int {
		switch {
		case nic.SpeedGbps == 0 && slices.ContainsFunc(l.nics, func(o hardware.NIC) bool { return o.SpeedGbps > 0 }):
			return 4
		case nic.MAC != "" && nic.MAC == l.bootMAC:
			return 0
		case nic.Booted:
			return 1
		case nic.Addressed:
			return 2
		default:
			return 3
		}
	}
	sorted := slices.Clone(l.nics)
	slices.SortStableFunc(sorted, func(a, b hardware.NIC) int { return doubt(a) - doubt(b) })
	return sorted
}

// nextNIC adds the first interface that is not used yet.
func (l *layouter) nextNIC(network string) (*device, error) {
	for _, nic := range l.nics {
		if l.usedBy[nic.Name] == "" {
			return l.add(&device{kind: kindEthernet, name: nic.Name, mac: nic.MAC}, "the default layout")
		}
	}
	return nil, fmt.Errorf("no interface is left for network %s, which has no vlan (the host has %s): give its subnet a vlan in the NetConfig, or set networkConfig",
		network, names(l.nics, func(n hardware.NIC) string { return n.Name }))
}

// add registers a device under its name and, for hardware, its MAC.
func (l *layouter) add(d *device, field string) (*device, error) {
	if len(d.name) > maxName {
		return nil, fmt.Errorf("%s: interface name %s is longer than %d characters: shorten the name it is made from", field, d.name, maxName)
	}
	keys := []string{d.name}
	if d.kind == kindEthernet && d.mac != "" {
		keys = append(keys, d.mac)
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

// carry puts networks on the device: untagged ones on itself, tagged ones on VLAN devices above it.
func (l *layouter) carry(d *device, field string, untagged, tagged []string) error {
	for _, name := range untagged {
		if err := l.put(d, name, field+".networks"); err != nil {
			return err
		}
	}
	for _, name := range tagged {
		a, err := l.attached(name, field+".vlans")
		if err != nil {
			return err
		}
		if a.subnet.VLAN == 0 {
			return fmt.Errorf("%s.vlans lists %s, but %s has no vlan: set it in the NetConfig, or list it under networks", field, name, a.subnet)
		}
		tag := a.subnet.VLAN
		vlan := &device{kind: kindVLAN, name: l.vlanName(d.name, tag), mac: d.mac, base: d, tag: tag}
		if _, err := l.add(vlan, fmt.Sprintf("%s.vlans[%s]", field, name)); err != nil {
			return err
		}
		if err := l.put(vlan, name, field+".vlans"); err != nil {
			return err
		}
	}
	return nil
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

// setMTUs gives each device the MTU of its networks; a base and a bond's ports must carry the largest above them.
func (l *layouter) setMTUs() {
	for _, d := range l.devices {
		for _, a := range d.addrs {
			d.mtu = max(d.mtu, a.subnet.Network.MTU)
		}
	}
	for _, d := range l.devices {
		if d.base != nil {
			d.base.mtu = max(d.base.mtu, d.mtu)
		}
	}
	for _, d := range l.devices {
		d.mtu = cmp.Or(d.mtu, DefaultMTU)
		for _, port := range d.ports {
			port.mtu = d.mtu
		}
	}
}

// ethernetNIC finds the inspected interface an ethernet means. Without a MAC it is picked by name, and need not be known.
func (l *layouter) ethernetNIC(e v1alpha1.Ethernet, field string) (hardware.NIC, error) {
	if e.MAC != "" {
		return l.find(e.MAC, field+".mac")
	}
	for _, nic := range l.nics {
		if nic.Name == e.Name {
			return nic, nil
		}
	}
	return hardware.NIC{Name: e.Name}, nil
}

// portNIC finds the interface of a bond's port. Where nothing was inspected, a port with a name is picked by it.
func (l *layouter) portNIC(port v1alpha1.BondPort, field string) (hardware.NIC, error) {
	if len(l.nics) == 0 && port.Name != "" && strings.HasPrefix(port.MAC, "nic") {
		return hardware.NIC{Name: port.Name}, nil
	}
	nic, err := l.find(port.MAC, field+".mac")
	if err != nil {
		return nic, err
	}
	nic.Name = cmp.Or(port.Name, nic.Name)
	if nic.Name == "" {
		return nic, fmt.Errorf("%s.name is not set and the host's interfaces are not known: name the interface", field)
	}
	return nic, nil
}

// find picks an inspected interface by MAC or as nicN. A MAC is taken as written while nothing was inspected.
func (l *layouter) find(ref, field string) (hardware.NIC, error) {
	if index, ok := strings.CutPrefix(ref, "nic"); ok {
		i, err := strconv.Atoi(index)
		if err == nil && i >= 0 && i < len(l.nics) {
			return l.nics[i], nil
		}
		if len(l.nics) == 0 {
			return hardware.NIC{}, fmt.Errorf("%s %s: nothing is known of the node's interfaces: pick the interface by name or MAC address", field, ref)
		}
		return hardware.NIC{}, fmt.Errorf("%s %s: the host has %d interfaces, nic0 (%s) to nic%d (%s): use one of them",
			field, ref, len(l.nics), l.nics[0].Name, len(l.nics)-1, l.nics[len(l.nics)-1].Name)
	}
	mac := strings.ToLower(ref)
	for _, nic := range l.nics {
		if nic.MAC == mac {
			return nic, nil
		}
	}
	if len(l.nics) == 0 {
		return hardware.NIC{MAC: mac}, nil
	}
	return hardware.NIC{}, fmt.Errorf("%s %s: the host has no such interface (it has %s): correct it, or use nicN", field, ref,
		names(l.nics, func(n hardware.NIC) string { return n.Name + " " + n.MAC }))
}

// sortNICs orders interfaces by name, numbers in names by value (eth2 before eth10), each once: Metal3 lists an
// interface with an IPv4 and an IPv6 address twice.
func sortNICs(nics []hardware.NIC) []hardware.NIC {
	sorted := make([]hardware.NIC, len(nics))
	for i, nic := range nics {
		nic.MAC = strings.ToLower(nic.MAC)
		sorted[i] = nic
	}
	slices.SortFunc(sorted, func(a, b hardware.NIC) int {
		return cmp.Or(compareNatural(a.Name, b.Name), strings.Compare(a.MAC, b.MAC))
	})
	once := sorted[:0]
	for _, nic := range sorted {
		if last := len(once) - 1; last >= 0 && once[last].Name == nic.Name && once[last].MAC == nic.MAC {
			once[last] = merged(once[last], nic)
			continue
		}
		once = append(once, nic)
	}
	return once
}

// merged is one card of two entries: what is known of either is known of it.
func merged(a, b hardware.NIC) hardware.NIC {
	a.SpeedGbps = max(a.SpeedGbps, b.SpeedGbps)
	a.Booted, a.Addressed = a.Booted || b.Booted, a.Addressed || b.Addressed
	return a
}

func compareNatural(a, b string) int {
	for a != "" && b != "" {
		x, restA := chunk(a)
		y, restB := chunk(b)
		if c := compareChunks(x, y); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return strings.Compare(a, b)
}

// chunk cuts the leading run of digits or of other characters off s, which is not empty.
func chunk(s string) (head, rest string) {
	digit := isDigit(s[0])
	i := 1
	for i < len(s) && isDigit(s[i]) == digit {
		i++
	}
	return s[:i], s[i:]
}

func compareChunks(a, b string) int {
	if isDigit(a[0]) && isDigit(b[0]) {
		x, y := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y), strings.Compare(a, b))
	}
	return strings.Compare(a, b)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
