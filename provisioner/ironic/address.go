package ironic

import (
	"github.com/rackplane/rackplane/provisioner/bmc"
)

// scheme is how Ironic drives the BMCs of one address scheme.
type scheme struct {
	driver string
	// iface holds the interfaces that differ from the driver's defaults.
	iface interfaces
}

type interfaces struct{ boot, bios, management, power, raid, vendor string }

// schemes holds those of bmc.Schemes (ironic 39.0.0, doc/source/admin/drivers).
func schemes() map[string]scheme {
	redfish := func(boot string) scheme { return scheme{driver: "redfish", iface: interfaces{boot: boot}} }
	idrac := func(boot string) scheme {
		const own = "idrac-redfish"
		return scheme{driver: "idrac", iface: interfaces{boot: boot, bios: own, management: own, power: own, raid: own, vendor: own}}
	}
	ipmi := scheme{driver: "ipmi", iface: interfaces{boot: "ipxe", raid: "no-raid"}}
	return map[string]scheme{
		"redfish":              redfish("ipxe"),
		"ilo5-redfish":         redfish("ipxe"),
		"redfish-virtualmedia": redfish("redfish-virtual-media"),
		"ilo5-virtualmedia":    redfish("redfish-virtual-media"),
		"redfish-uefihttp":     redfish("redfish-https"),
		"idrac-redfish":        idrac("ipxe"),
		"idrac-virtualmedia":   idrac("idrac-redfish-virtual-media"),
		"ipmi":                 ipmi,
		"libvirt":              ipmi,
	}
}

// access is a BMC and how Ironic drives it.
type access struct {
	bmc.Address
	scheme
}

// parseAddress reads spec.bmc.address; errors are those of bmc.Parse.
func parseAddress(address string) (access, error) {
	parsed, err := bmc.Parse(address)
	return access{Address: parsed, scheme: schemes()[parsed.Scheme]}, err
}

// driverInfo is how Ironic reaches the BMC (ironic 39.0.0, ironic/drivers/modules/redfish/utils.py and ipmitool.py).
func (a access) driverInfo(b bmc.Access) map[string]any {
	if a.IPMI {
		return map[string]any{
			"ipmi_address": a.Host, "ipmi_port": a.Port, "ipmi_priv_level": a.Privilege,
			"ipmi_username": b.Username.Reveal(), "ipmi_password": b.Password.Reveal(),
		}
	}
	info := map[string]any{
		"redfish_address":  a.Endpoint(),
		"redfish_username": b.Username.Reveal(), "redfish_password": b.Password.Reveal(),
		"redfish_verify_ca": !b.Insecure,
	}
	if a.Path != "" {
		info["redfish_system_id"] = a.Path
	}
	return info
}
