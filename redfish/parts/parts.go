// Package parts holds what a BMC tells of its server, in our words: every field optional, and a list of what is missing and
// why. Metal3 puts it into HardwareDetails. It is pure.
package parts

// Inventory is what one BMC told. Empty fields were not told; Missing says why where that is known.
type Inventory struct {
	Manufacturer, Model, Serial, SKU, UUID, HostName string
	// BIOS and BMC are firmware versions.
	BIOS, BMC string
	// Power is On, Off, PoweringOn or PoweringOff as Redfish has it; Health is OK, Warning or Critical, the worst of all parts.
	Power, Health string
	// MemoryMiB is the total: the system's own word, or else the sum of the modules.
	MemoryMiB   int
	CPUs        []CPU
	Modules     []Module
	NICs        []NIC
	Controllers []Controller
	Drives      []Drive
	// Accelerators are GPUs and their kind.
	Accelerators []CPU
	Missing      []Gap
}

// CPU is a processor.
type CPU struct {
	ID, Model string
	// Arch is x86_64, aarch64 or what the BMC calls it.
	Arch                string
	Cores, Threads, MHz int
	Health              string
}

// Module is a memory module; empty slots are left out.
type Module struct {
	ID, Serial, Part, Kind string
	MiB, MHz               int
	Health                 string
}

// NIC is a network interface.
type NIC struct {
	// ID names it in the BMC; the system that will run calls it otherwise.
	ID string
	// MAC in lower case with colons.
	MAC string
	// Mbps is 0 when it is not known; Link is LinkUp, LinkDown, NoLink or empty.
	Mbps   int
	Link   string
	Health string
}

// Controller is what drives are attached to.
type Controller struct{ ID, Model, Firmware, Health string }

// Drive is a disk.
type Drive struct {
	ID, Controller, Manufacturer, Model, Serial string
	// WWN is hexadecimal digits in lower case, without 0x.
	WWN   string
	Bytes int64
	// Media is HDD or SSD, Protocol SATA, SAS, NVMe and so on.
	Media, Protocol, Health string
}

// Gap is something that is not in the inventory.
type Gap struct {
	// Part it belongs to, such as memory.
	Part string
	// Reason names the resource or the field, and what was wrong with it.
	Reason string
}
