package ironic

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/inventory"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner"
)

// Inventory implements provisioner.Provisioner.
func (c *Client) Inventory(ctx context.Context, host provisioner.HostID) (metal3v1alpha1.HardwareDetails, error) {
	api, err := c.api(ctx)
	if err != nil {
		return metal3v1alpha1.HardwareDetails{}, err
	}
	data, err := nodes.GetInventory(ctx, api, nodeName(host)).Extract()
	if err != nil {
		return metal3v1alpha1.HardwareDetails{}, c.classify(err)
	}
	extra, err := data.PluginData.AsStandardData()
	if err != nil {
		extra = inventory.StandardPluginData{} // only adds to what the inventory says
	}
	found := hardware(data.Inventory, extra)
	makePlain(&found)
	return found, nil
}

// makePlain puts what cannot be shown out of the texts of an inventory: the server said them, and of LLDP whoever is at the
// other end of a cable. Texts that can be shown stay to the letter, blanks included: they are compared with others.
func makePlain(h *metal3v1alpha1.HardwareDetails) {
	texts := []*string{
		&h.SystemVendor.Manufacturer, &h.SystemVendor.ProductName, &h.SystemVendor.SerialNumber, &h.Hostname,
		&h.Firmware.BIOS.Date, &h.Firmware.BIOS.Vendor, &h.Firmware.BIOS.Version, &h.CPU.Arch, &h.CPU.Model,
	}
	for i := range h.NIC {
		n := &h.NIC[i]
		texts = append(texts, &n.Name, &n.Model, &n.MAC, &n.IP, &n.PCIAddress)
		if n.LLDP != nil {
			texts = append(texts, &n.LLDP.SwitchID, &n.LLDP.PortID, &n.LLDP.SwitchSystemName)
		}
	}
	for i := range h.Storage {
		s := &h.Storage[i]
		texts = append(texts, &s.Name, &s.Vendor, &s.Model, &s.SerialNumber, &s.HCTL, &s.WWN, &s.WWNVendorExtension, &s.WWNWithExtension)
		for j := range s.AlternateNames {
			texts = append(texts, &s.AlternateNames[j])
		}
	}
	for i := range h.CPU.Flags {
		texts = append(texts, &h.CPU.Flags[i])
	}
	for _, text := range texts {
		if strings.ContainsFunc(*text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			*text = line.Of(*text)
		}
	}
}

// hardware puts Ironic's inventory (ironic 39.0.0, doc/source/admin/inspection/inventory.rst) in Metal3's words.
func hardware(i inventory.InventoryType, extra inventory.StandardPluginData) metal3v1alpha1.HardwareDetails {
	vendor := i.SystemVendor
	return metal3v1alpha1.HardwareDetails{
		SystemVendor: metal3v1alpha1.HardwareSystemVendor{
			Manufacturer: vendor.Manufacturer, ProductName: vendor.ProductName, SerialNumber: vendor.SerialNumber,
		},
		Firmware: metal3v1alpha1.Firmware{BIOS: metal3v1alpha1.BIOS{
			Date: vendor.Firmware.BuildDate, Vendor: vendor.Firmware.Vendor, Version: vendor.Firmware.Version,
		}},
		RAMMebibytes: i.Memory.PhysicalMb,
		CPU:          cpu(i.CPU),
		NIC:          nics(i, extra),
		Storage:      disks(i.Disks),
		Hostname:     i.Hostname,
	}
}

func cpu(c inventory.CPUType) metal3v1alpha1.CPU {
	megahertz, err := strconv.ParseFloat(c.Frequency, 64)
	if err != nil {
		megahertz = 0 // the agent may not know it
	}
	flags := slices.Clone(c.Flags)
	slices.Sort(flags)
	return metal3v1alpha1.CPU{
		Arch: c.Architecture, Model: c.ModelName, Count: c.Count, Flags: flags,
		ClockMegahertz: metal3v1alpha1.ClockSpeed(megahertz),
	}
}

// nics are sorted by name; one with two addresses appears once per address, as in Metal3.
func nics(i inventory.InventoryType, extra inventory.StandardPluginData) []metal3v1alpha1.NIC {
	var out []metal3v1alpha1.NIC
	for _, port := range i.Interfaces {
		nic := metal3v1alpha1.NIC{
			Name: port.Name, MAC: strings.ToLower(port.MACAddress), SpeedGbps: port.SpeedMbps / 1000, PCIAddress: port.PCIAddress,
			Model: strings.TrimSpace(port.Vendor + " " + port.Product),
			PXE:   extra.AllInterfaces[port.Name].PXEEnabled || strings.EqualFold(i.Boot.PXEInterface, port.MACAddress),
			LLDP:  lldp(extra.ParsedLLDP[port.Name]),
		}
		addresses := slices.DeleteFunc([]string{port.IPV4Address, port.IPV6Address}, func(a string) bool { return a == "" })
		if len(addresses) == 0 {
			addresses = []string{""}
		}
		for _, a := range addresses {
			nic.IP = a
			out = append(out, nic)
		}
	}
	slices.SortStableFunc(out, func(a, b metal3v1alpha1.NIC) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// lldp reads what the parse-lldp inspection hook left (ironic 39.0.0, ironic/drivers/modules/inspector/hooks/parse_lldp.py).
func lldp(parsed inventory.ParsedLLDP) *metal3v1alpha1.LLDP {
	l := metal3v1alpha1.LLDP{
		SwitchID: text(parsed, "switch_chassis_id"), PortID: text(parsed, "switch_port_id"), SwitchSystemName: text(parsed, "switch_system_name"),
	}
	if l == (metal3v1alpha1.LLDP{}) {
		return nil
	}
	return &l
}

func disks(found []inventory.RootDiskType) []metal3v1alpha1.Storage {
	out := make([]metal3v1alpha1.Storage, 0, len(found))
	for _, d := range found {
		s := metal3v1alpha1.Storage{
			Name: d.Name, Rotational: d.Rotational, Type: diskType(d), SizeBytes: metal3v1alpha1.Capacity(d.Size),
			Vendor: d.Vendor, Model: d.Model, SerialNumber: d.Serial, HCTL: d.Hctl,
			WWN: d.Wwn, WWNVendorExtension: d.WwnVendorExtension, WWNWithExtension: d.WwnWithExtension,
		}
		if d.ByPath != "" {
			s.AlternateNames = []string{d.Name, d.ByPath}
			s.Name = d.ByPath
		}
		out = append(out, s)
	}
	return out
}

func diskType(d inventory.RootDiskType) metal3v1alpha1.DiskType {
	switch {
	case strings.HasPrefix(d.Name, "/dev/nvme"):
		return metal3v1alpha1.NVME
	case d.Rotational:
		return metal3v1alpha1.HDD
	default:
		return metal3v1alpha1.SSD
	}
}
