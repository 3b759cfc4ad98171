//go:build e2eguest

package e2e

import (
	"testing"
	"time"
)

// TestGuest makes a virtual machine, which has a kernel of its own, a compute of a real cloud.
func TestGuest(t *testing.T) {
	out := demoWithin(t, 100*time.Minute, "--openstack", "--mode", "guest", "--limit", "60m")
	expect(t, out,
		`^  server-0: service up, hypervisor up, tunnels at 172\.17\.0\.20, mappings datacentre:br-ex, chassis \S+; \d+ processors`,
		`^  guest-0 on server-0\S* is ACTIVE; its console says OVN gave it 10\.11\.12\.\d+, as Neutron does$`,
		`^  openvswitch +\d+`,    // of the kernel's modules
		`^  system@ovs-system:$`, // its datapath
		`^ +port \d+: tap\S+$`,   // with the server's card
		`^nothing changed on any node and no daemon restarted$`,
		`^demo: 1/1 computes serve the cloud after \d+s$`,
	)
}
