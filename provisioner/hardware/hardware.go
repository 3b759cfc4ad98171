// Package hardware holds what is known of a server's parts. It is pure.
package hardware

import (
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
)

// Details are what inspection found.
type Details struct {
	// Arch as Ironic reports it, for example x86_64.
	Arch string
	// CPUs is the number of logical processors.
	CPUs int
	// MemoryMiB is the RAM in MiB.
	MemoryMiB int
	// NICs are the interfaces as reported; an interface with two addresses may be listed twice.
	NICs []NIC
	// LargestDiskGiB is the size of the largest disk in GiB, rounded down.
	LargestDiskGiB int
}

// NIC is one network interface.
type NIC struct {
	// Name as the inspection system saw it.
	Name string
	// Model as reported, usually vendor and device; empty when not known.
	Model string
	// MAC in lower case with colons.
	MAC string
	// SpeedGbps in Gbit/s; 0 means unknown, or no link.
	SpeedGbps int
	// Booted means that the server booted over it (PXE) when it was inspected, Addressed that it had an address then.
	Booted, Addressed bool
}

// FromMetal3 reads inspected hardware; nil stays nil.
func FromMetal3(d *metal3v1alpha1.HardwareDetails) *Details {
	if d == nil {
		return nil
	}
	hw := &Details{Arch: d.CPU.Arch, CPUs: d.CPU.Count, MemoryMiB: d.RAMMebibytes}
	for _, n := range d.NIC {
		hw.NICs = append(hw.NICs, NIC{
			Name: n.Name, Model: n.Model, MAC: strings.ToLower(n.MAC), SpeedGbps: n.SpeedGbps, Booted: n.PXE, Addressed: n.IP != "",
		})
	}
	for _, disk := range d.Storage {
		hw.LargestDiskGiB = max(hw.LargestDiskGiB, int(disk.SizeBytes/metal3v1alpha1.GibiByte))
	}
	return hw
}
