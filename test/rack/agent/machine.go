package agent

import "context"

// Machine is the hardware below the agent.
type Machine interface {
	// Inventory reports what the machine is made of. It must not change between calls of one boot.
	Inventory() Inventory
	// WriteImage replaces the contents of the system disk by the image in file, whose format is
	// a name qemu-img knows ("raw", "qcow2").
	WriteImage(ctx context.Context, file, format string) error
	// WriteConfigDrive keeps the ISO 9660 image iso for the system that boots from the disk. Empty removes it.
	WriteConfigDrive(ctx context.Context, iso []byte) error
	// Erase destroys the partition table and the config drive. Erasing an empty disk is not an error.
	Erase(ctx context.Context) error
	// PowerOff switches the machine off soon after it returns.
	PowerOff(ctx context.Context) error
}

// Inventory is what inspection reports, in the agent's own JSON
// (ironic-python-agent, hardware.py, HardwareManager.list_hardware_info).
type Inventory struct {
	Hostname     string      `json:"hostname"`
	BMCAddress   string      `json:"bmc_address"`
	BMCV6Address string      `json:"bmc_v6address"`
	Interfaces   []Interface `json:"interfaces"`
	Disks        []Disk      `json:"disks"`
	CPU          CPU         `json:"cpu"`
	Memory       Memory      `json:"memory"`
	Vendor       Vendor      `json:"system_vendor"`
	Boot         Boot        `json:"boot"`
}

// Interface is one network card. SpeedMbps is in megabits per second.
type Interface struct {
	Name       string  `json:"name"`
	MACAddress string  `json:"mac_address"`
	IPv4       *string `json:"ipv4_address"`
	IPv6       *string `json:"ipv6_address"`
	HasCarrier bool    `json:"has_carrier"`
	Vendor     string  `json:"vendor"`
	Product    string  `json:"product"`
	SpeedMbps  int     `json:"speed_mbps"`
	PCIAddress string  `json:"pci_address"`
	Driver     string  `json:"driver"`
}

// Disk is one block device. Size is in bytes.
type Disk struct {
	Name       string `json:"name"`
	Model      string `json:"model"`
	Size       int64  `json:"size"`
	Rotational bool   `json:"rotational"`
	WWN        string `json:"wwn"`
	Serial     string `json:"serial"`
	Vendor     string `json:"vendor"`
	HCTL       string `json:"hctl"`
	ByPath     string `json:"by_path"`
}

// CPU describes all processors together. Frequency is in MHz, as text; Count is in hardware threads.
type CPU struct {
	ModelName    string   `json:"model_name"`
	Frequency    string   `json:"frequency"`
	Count        int      `json:"count"`
	Architecture string   `json:"architecture"`
	Flags        []string `json:"flags"`
	SocketCount  int      `json:"socket_count"`
}

// Memory is the installed memory: Total in bytes, Physical in MiB.
type Memory struct {
	Total    int64 `json:"total"`
	Physical int   `json:"physical_mb"`
}

// Vendor names the maker of the machine.
type Vendor struct {
	ProductName  string   `json:"product_name"`
	SerialNumber string   `json:"serial_number"`
	Manufacturer string   `json:"manufacturer"`
	Firmware     Firmware `json:"firmware"`
}

// Firmware is the system firmware.
type Firmware struct {
	Vendor    string `json:"vendor"`
	Version   string `json:"version"`
	BuildDate string `json:"build_date"`
}

// Boot is how the agent itself was booted.
type Boot struct {
	CurrentBootMode string `json:"current_boot_mode"`
	PXEInterface    string `json:"pxe_interface"`
}
