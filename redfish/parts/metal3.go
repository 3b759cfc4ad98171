package parts

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/line"
)

// Metal3 returns an inventory as a BareMetalHost's status and HardwareData hold it, sorted. What Metal3 has no field for is
// left out; a BMC names NICs and drives its own way, not as Linux will, so names serve people and MAC, serial and WWN
// choose.
func Metal3(i Inventory) metal3v1alpha1.HardwareDetails {
	h := metal3v1alpha1.HardwareDetails{
		SystemVendor: metal3v1alpha1.HardwareSystemVendor{Manufacturer: Text(i.Manufacturer), ProductName: Text(i.Model), SerialNumber: Text(i.Serial)},
		Firmware:     metal3v1alpha1.Firmware{BIOS: metal3v1alpha1.BIOS{Version: Text(i.BIOS)}},
		RAMMebibytes: i.MemoryMiB,
		Hostname:     Text(i.HostName),
	}
	for _, c := range i.CPUs {
		h.CPU.Arch, h.CPU.Model = cmp.Or(h.CPU.Arch, Text(c.Arch)), cmp.Or(h.CPU.Model, Text(c.Model))
		h.CPU.Count += max(c.Threads, c.Cores)
		h.CPU.ClockMegahertz = max(h.CPU.ClockMegahertz, metal3v1alpha1.ClockSpeed(c.MHz))
	}
	for _, n := range i.NICs {
		h.NIC = append(h.NIC, metal3v1alpha1.NIC{Name: Text(n.ID), MAC: n.MAC, SpeedGbps: n.Mbps / 1000})
	}
	for _, d := range i.Drives {
		h.Storage = append(h.Storage, metal3v1alpha1.Storage{
			Name: Text(d.ID), Rotational: d.Media == "HDD", Type: diskType(d), SizeBytes: metal3v1alpha1.Capacity(d.Bytes),
			Vendor: Text(d.Manufacturer), Model: Text(d.Model), SerialNumber: Text(d.Serial), WWN: worldWide(d.WWN),
		})
	}
	slices.SortStableFunc(h.NIC, func(a, b metal3v1alpha1.NIC) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.MAC, b.MAC))
	})
	slices.SortStableFunc(h.Storage, func(a, b metal3v1alpha1.Storage) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.SerialNumber, b.SerialNumber))
	})
	return h
}

// worldWide is a WWN as udev writes it.
func worldWide(wwn string) string {
	if wwn == "" {
		return ""
	}
	return "0x" + wwn
}

func diskType(d Drive) metal3v1alpha1.DiskType {
	switch {
	case d.Protocol == "NVMe":
		return metal3v1alpha1.NVME
	case d.Media == "HDD":
		return metal3v1alpha1.HDD
	case d.Media == "SSD":
		return metal3v1alpha1.SSD
	default:
		return ""
	}
}

// Text returns what a BMC said as it may be shown: to the letter where every letter can be.
func Text(said string) string {
	if strings.ContainsFunc(said, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return line.Of(said)
	}
	return said
}

// MAC returns an address in lower case with colons; empty when it is none, or one no card has (all zeros, all ones).
func MAC(said string) string {
	mac := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(said), "-", ":"))
	if !regexp.MustCompile(`^([0-9a-f]{2}:){5}[0-9a-f]{2}$`).MatchString(mac) || mac == "00:00:00:00:00:00" || mac == "ff:ff:ff:ff:ff:ff" {
		return ""
	}
	return mac
}

// WWN returns the hexadecimal digits of a world wide name as BMCs write it (0x, colons, capitals, naa. before it); empty
// when it is none.
func WWN(said string) string {
	w := strings.ToLower(strings.NewReplacer(":", "", "-", "", " ", "").Replace(said))
	for _, prefix := range []string{"naa.", "eui.", "0x"} {
		w = strings.TrimPrefix(w, prefix)
	}
	if strings.Trim(w, "0123456789abcdef") != "" || strings.Trim(w, "0") == "" {
		return ""
	}
	return w
}

// Arch returns a processor architecture as Metal3 and Ironic call it.
func Arch(redfish, instructionSet string) string {
	switch {
	case redfish == "x86" && (instructionSet == "" || instructionSet == "x86-64"):
		return "x86_64"
	case redfish == "ARM" && (instructionSet == "" || instructionSet == "ARM-A64"):
		return "aarch64"
	default:
		return Text(cmp.Or(instructionSet, redfish))
	}
}
