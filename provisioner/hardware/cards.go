package hardware

import (
	"net"
	"net/netip"
	"regexp"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
)

// linuxName is how Linux and systemd name interfaces of servers (systemd.net-naming-scheme(7), biosdevname); BMCs write
// NIC.Integrated.1-1-1, NIC1, 1 or a MAC address.
var linuxName = regexp.MustCompile(`^[a-z][a-zA-Z0-9_]*$`)

// OnLinux reports whether the name is one that Linux gave, and not the BMC's.
func (n NIC) OnLinux() bool { return linuxName.MatchString(n.Name) }

// OfNode reads inspected hardware as FromMetal3 does, without interfaces that carry no network of the node: the BMC's own card,
// and what has no Ethernet address, such as a Fibre Channel port. bootMAC is spec.bootMACAddress, whose card always counts.
func OfNode(found *metal3v1alpha1.HardwareDetails, bootMAC string) *Details {
	if found == nil {
		return nil
	}
	own := *found
	own.NIC = nil
	for i := range found.NIC {
		n := &found.NIC[i]
		boots := n.PXE || (bootMAC != "" && strings.EqualFold(n.MAC, bootMAC))
		if isEthernet(n.MAC) && (boots || !ofBMC(found.NIC, n)) {
			own.NIC = append(own.NIC, *n)
		}
	}
	return FromMetal3(&own)
}

// isEthernet reports a MAC address of 6 bytes, or none: WWNs have 8, InfiniBand's addresses 20.
func isEthernet(mac string) bool {
	parsed, err := net.ParseMAC(mac)
	return mac == "" || err != nil || len(parsed) == 6
}

// overUSB is how a network card on USB is named.
var overUSB = regexp.MustCompile(`^(usb[0-9]|en[a-zA-Z0-9]*u[0-9]|enx[0-9a-f]{12}$|idrac|bmc[0-9])`)

// ofBMC reports whether the interface is the BMC's own card, by which the host's system talks to it: on USB without a speed,
// or with an address that is good on one link only and no card that Linux could name. One interface is listed once per address.
func ofBMC(all []metal3v1alpha1.NIC, n *metal3v1alpha1.NIC) bool {
	linkLocal := false
	for i := range all {
		a, err := netip.ParseAddr(all[i].IP)
		linkLocal = linkLocal || (err == nil && all[i].MAC == n.MAC && all[i].Name == n.Name && a.Is4() && a.IsLinkLocalUnicast())
	}
	usb := overUSB.MatchString(n.Name)
	return (usb && (n.SpeedGbps == 0 || linkLocal)) || (linkLocal && n.Model == "" && n.SpeedGbps == 0)
}
