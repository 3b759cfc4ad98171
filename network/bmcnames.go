package network

import (
	"fmt"
	"strings"

	"github.com/rackplane/rackplane/provisioner/hardware"
)

// onLinux refuses a document that has an interface under a name that only the BMC gives it: what Redfish calls
// NIC.Integrated.1-1-1 is eno1 or something else once Linux runs.
// A name that is too long for Linux is known before.
func onLinux(document map[string]any, nics []hardware.NIC, err error) error {
	for _, nic := range nics {
		if err != nil && nic.Name != "" && !nic.OnLinux() && strings.Contains(err.Error(), "interface name "+nic.Name+" is longer") {
			return bmcName(nic)
		}
	}
	interfaces, _ := document["interfaces"].([]any)
	for _, i := range interfaces {
		one, _ := i.(map[string]any)
		for _, nic := range nics {
			if nic.Name != "" && one["name"] == nic.Name && !nic.OnLinux() {
				return bmcName(nic)
			}
		}
	}
	return nil
}

func bmcName(nic hardware.NIC) error {
	return fmt.Errorf("%s is what the BMC calls interface %s, and Linux calls it something else: name it in networkConfig.ethernets "+
		"(name as Linux has it, mac: %q), or have the agent inspect the host (BareMetalHost spec.inspectionMode: agent)", nic.Name, nic.MAC, nic.MAC)
}
