package network

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// ovsBridge is an Open vSwitch bridge of the node to be.
type ovsBridge struct {
	spec  *v1alpha1.OVSBridge
	ports []ovsPort // its own port first
}

// ovsPort is a port of a bridge: a device, or a bond of several.
type ovsPort struct {
	name   string
	device *device // nil for a bond
	bond   *v1alpha1.OVSBond
	bonded []*device
	tag    int32
	trunks []int32
}

// ovsBridge adds a bridge, the port that is called like it and carries its networks, and its further ports.
func (l *layouter) ovsBridge(spec *v1alpha1.OVSBridge) error {
	field := fmt.Sprintf("networkConfig.ovsBridges[%s]", spec.Name)
	bridge := &ovsBridge{spec: spec}
	own, err := l.add(&device{kind: kindOVSInterface, name: spec.Name, bridge: bridge, asked: spec.MTU}, field)
	if err != nil {
		return err
	}
	bridge.ports = append(bridge.ports, ovsPort{name: spec.Name, device: own})
	l.devices = append(l.devices, &device{kind: kindOVSBridge, name: spec.Name, bridge: bridge})
	for i := range spec.Ports {
		port, err := l.ovsPort(&spec.Ports[i], fmt.Sprintf("%s.ports[%s]", field, spec.Ports[i].Name))
		if err != nil {
			return err
		}
		bridge.ports = append(bridge.ports, port)
	}
	return l.carry(own, load{field: field, untagged: spec.Networks, tagged: spec.VLANs, names: spec.VLANNames, ip: spec.IP})
}

func (l *layouter) ovsPort(spec *v1alpha1.OVSPort, field string) (ovsPort, error) {
	port := ovsPort{name: spec.Name, tag: spec.Tag, trunks: spec.Trunks, bond: spec.Bond}
	var err error
	switch {
	case spec.Bond != nil:
		for i := range spec.Bond.Ports {
			one := &spec.Bond.Ports[i]
			d, err := l.ovsCard(one.Name, one.MAC, one.Card, one.DPDK, fmt.Sprintf("%s.bond.ports[%s]", field, one.Name))
			if err != nil {
				return port, err
			}
			port.bonded = append(port.bonded, d)
		}
		l.usedBy[spec.Name] = field
	case spec.Patch != nil:
		port.device, err = l.add(&device{kind: kindOVSInterface, name: spec.Name, patch: spec.Patch.Peer}, field)
	case spec.MAC == "" && spec.Card == nil && spec.DPDK == nil && l.called(spec.Name) != nil:
		port.device = l.called(spec.Name)
	default:
		port.device, err = l.ovsCard(spec.Name, spec.MAC, spec.Card, spec.DPDK, field)
	}
	return port, err
}

// ovsCard adds a card, or one that DPDK drives.
func (l *layouter) ovsCard(name, mac string, card *v1alpha1.Card, dpdk *v1alpha1.DPDKPort, field string) (*device, error) {
	if dpdk != nil {
		return l.add(&device{kind: kindOVSInterface, name: name, dpdk: dpdk, pci: dpdk.PCIAddress}, field)
	}
	if mac == "" && card == nil {
		d, err := l.ethernetCard(&v1alpha1.Ethernet{Name: name}, field)
		if err != nil {
			return nil, err
		}
		return l.add(d, field)
	}
	d, err := l.portCard(name, mac, card, field)
	if err != nil {
		return nil, err
	}
	return l.add(d, field)
}

// setMTU lets every port carry the largest of what the bridge carries.
func (b *ovsBridge) setMTU() {
	var largest int32
	for _, p := range b.ports {
		if p.device != nil {
			largest = max(largest, p.device.mtu)
		}
	}
	for _, p := range b.ports {
		if p.device != nil && p.device.bridge == nil && p.device.patch == "" && p.device.asked == 0 {
			p.device.mtu = max(p.device.mtu, largest)
		}
		for _, d := range p.bonded {
			d.mtu = max(d.mtu, largest)
		}
	}
}

// nmBridge is the bridge section of nmstate.
func (b *ovsBridge) nmBridge() map[string]any {
	options := map[string]any{"fail-mode": "standalone"}
	if b.spec.FailMode == v1alpha1.OVSSecure {
		options["fail-mode"] = "secure"
	}
	if b.spec.Datapath == v1alpha1.OVSUserspace {
		options["datapath"] = "netdev"
	}
	ports := make([]any, len(b.ports))
	for i := range b.ports {
		ports[i] = b.ports[i].nmPort()
	}
	// OVN joins bridges to its own with patch ports, which nmstate would take away.
	return map[string]any{"options": options, "port": ports, "allow-extra-patch-ports": true}
}

func (p *ovsPort) nmPort() map[string]any {
	out := map[string]any{"name": p.name}
	if p.bond != nil {
		ports := make([]any, len(p.bonded))
		for i, d := range p.bonded {
			ports[i] = map[string]any{"name": d.name}
		}
		bond := map[string]any{"mode": "active-backup", "port": ports}
		if p.bond.Mode != "" {
			bond["mode"] = p.bond.Mode
		}
		setPositive(bond, "bond-updelay", p.bond.UpDelay)
		setPositive(bond, "bond-downdelay", p.bond.DownDelay)
		out["link-aggregation"] = bond
	}
	if p.tag != 0 {
		out["vlan"] = map[string]any{"mode": "access", "tag": int64(p.tag)}
	}
	if len(p.trunks) > 0 {
		tags := make([]any, len(p.trunks))
		for i, tag := range p.trunks {
			tags[i] = map[string]any{"id": int64(tag)}
		}
		out["vlan"] = map[string]any{"mode": "trunk", "trunk-tags": tags}
	}
	return out
}

func setPositive(into map[string]any, key string, value int32) {
	if value > 0 {
		into[key] = int64(value)
	}
}

// nmDPDK is the dpdk section of an interface.
func nmDPDK(p *v1alpha1.DPDKPort) map[string]any {
	out := map[string]any{"devargs": p.PCIAddress}
	setPositive(out, "rx-queue", p.RxQueues)
	setPositive(out, "n_rxq_desc", p.RxDescriptors)
	setPositive(out, "n_txq_desc", p.TxDescriptors)
	return out
}

// nmOVSDB is what Open vSwitch itself is told.
func nmOVSDB(c *v1alpha1.OVSDPDK) map[string]any {
	config := map[string]any{"dpdk-init": "true"}
	set := func(key, value string) {
		if value != "" {
			config[key] = value
		}
	}
	set("pmd-cpu-mask", c.PMDCPUMask)
	set("dpdk-lcore-mask", c.LcoreMask)
	memory := make([]string, len(c.SocketMemory))
	for i, mib := range c.SocketMemory {
		memory[i] = strconv.Itoa(int(mib))
	}
	set("dpdk-socket-mem", strings.Join(memory, ","))
	if c.MemoryChannels > 0 {
		set("dpdk-extra", fmt.Sprintf("-n %d", c.MemoryChannels))
	}
	if c.VhostPostcopy != "" {
		set("vhost-postcopy-support", strconv.FormatBool(c.VhostPostcopy == v1alpha1.SwitchOn))
	}
	return map[string]any{"other_config": config}
}
