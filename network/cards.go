package network

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// ethernetCard finds the card an ethernet means. Without any mark it is picked by name, and need not be known.
func (l *layouter) ethernetCard(e *v1alpha1.Ethernet, field string) (*device, error) {
	d := &device{kind: kindEthernet, name: e.Name}
	if e.MAC != "" || e.Card != nil {
		nic, pci, err := l.pick(e.MAC, e.Card, field)
		d.mac, d.pci = nic.MAC, pci
		return d, err
	}
	for _, nic := range l.nics {
		if nic.Name == e.Name {
			d.mac = nic.MAC
			break
		}
	}
	return d, nil
}

// portCard finds the card of a port. Where nothing was inspected, a port with a name is picked by it.
func (l *layouter) portCard(name, mac string, card *v1alpha1.Card, field string) (*device, error) {
	d := &device{kind: kindEthernet, name: name}
	if len(l.nics) == 0 && name != "" && strings.HasPrefix(mac, "nic") && l.named[mac] == "" {
		return d, nil
	}
	nic, pci, err := l.pick(mac, card, field)
	if err != nil {
		return nil, err
	}
	d.name, d.mac, d.pci = cmp.Or(name, nic.Name), nic.MAC, pci
	if d.name == "" {
		return nil, fmt.Errorf("%s.name is not set and the host's interfaces are not known: name the interface", field)
	}
	return d, nil
}

// pick finds a card by MAC, nicN or other marks; one that is found by its PCI address is not known otherwise.
func (l *layouter) pick(mac string, card *v1alpha1.Card, field string) (hardware.NIC, string, error) {
	if card == nil {
		nic, err := l.find(mac, field+".mac")
		return nic, "", err
	}
	if card.PCIAddress != "" {
		return hardware.NIC{}, card.PCIAddress, nil
	}
	var fit []hardware.NIC
	for _, nic := range l.nics {
		if (card.Model == "" || nic.Model == card.Model) && nic.SpeedGbps >= int(card.MinGbps) {
			fit = append(fit, nic)
		}
	}
	if int(card.Index) < len(fit) {
		return fit[card.Index], "", nil
	}
	return hardware.NIC{}, "", fmt.Errorf("%s.card asks for interface %d of those that fit, but the host has %d (of %s): correct it", field, card.Index, len(fit),
		names(l.nics, func(n hardware.NIC) string {
			return strings.TrimSpace(fmt.Sprintf("%s %s %d Gbit/s", n.Name, n.Model, n.SpeedGbps))
		}))
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

// find picks an inspected interface by MAC or as nicN, where what the node calls so goes before what is counted. A MAC is
// taken as written while nothing was inspected.
func (l *layouter) find(ref, field string) (hardware.NIC, error) {
	if mine := string(l.named[ref]); mine != "" {
		if i := slices.IndexFunc(l.nics, func(n hardware.NIC) bool { return n.Name == mine }); i >= 0 {
			return l.nics[i], nil
		}
		if !strings.Contains(mine, ":") {
			if len(l.nics) == 0 {
				return hardware.NIC{Name: mine}, nil
			}
			return hardware.NIC{}, l.unknown(field, ref+" (nics: "+mine+")")
		}
		ref = mine
	}
	if index, ok := strings.CutPrefix(ref, "nic"); ok {
		return l.counted(index, field)
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
	return hardware.NIC{}, l.unknown(field, ref)
}

func (l *layouter) unknown(field, ref string) error {
	return fmt.Errorf("%s %s: the host has no such interface (it has %s): correct it, or use nicN", field, ref,
		names(l.nics, func(n hardware.NIC) string { return n.Name + " " + n.MAC }))
}

// counted picks the card of that number.
func (l *layouter) counted(number, field string) (hardware.NIC, error) {
	if len(l.nics) == 0 {
		return hardware.NIC{}, fmt.Errorf("%s nic%s: nothing is known of the node's interfaces: pick the interface by name or MAC address", field, number)
	}
	list, first, which := l.nics, 0, "interfaces"
	if l.active {
		list, first, which = activeNICs(l.nics), 1, "active interfaces"
	}
	i, err := strconv.Atoi(number)
	if i -= first; err == nil && i >= 0 && i < len(list) {
		return list[i], nil
	}
	last := len(list) - 1
	return hardware.NIC{}, fmt.Errorf("%s nic%s: the host has %d %s, nic%d (%s) to nic%d (%s): use one of them",
		field, number, len(list), which, first, list[0].Name, last+first, list[last].Name)
}

// activeNICs are the cards as os-net-config counts them (os_net_config/utils.py, ordered_active_nics): those with a link, which on
// the board begin. Where no link is known, all count.
func activeNICs(nics []hardware.NIC) []hardware.NIC {
	onBoard := func(n hardware.NIC) bool {
		return slices.ContainsFunc([]string{"em", "eth", "eno"}, func(p string) bool { return strings.HasPrefix(n.Name, p) })
	}
	up := slices.DeleteFunc(slices.Clone(nics), func(n hardware.NIC) bool { return n.SpeedGbps == 0 })
	if len(up) == 0 {
		up = slices.Clone(nics)
	}
	slices.SortStableFunc(up, func(a, b hardware.NIC) int {
		switch {
		case onBoard(a) == onBoard(b):
			return 0
		case onBoard(a):
			return -1
		default:
			return 1
		}
	})
	return up
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
		return cmp.Or(line.Natural(a.Name, b.Name), strings.Compare(a.MAC, b.MAC))
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
