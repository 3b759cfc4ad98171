//go:build e2eopenstack

package e2e

import (
	"testing"
	"time"
)

// TestOpenStack makes nodes computes of a real cloud, puts everything in their way that a user can, and leaves nothing.
func TestOpenStack(t *testing.T) {
	out := demoWithin(t, 45*time.Minute, "--openstack", "--faults", "--limit", "30m")
	expect(t, out,
		`^\+ r7-n00 +openstack/server-0 `, // planned
		`^  r7-n00: service up, hypervisor up, tunnels at 172\.17\.0\.\d+, mappings datacentre:br-ex, chassis \S+; \d+ processors`,
		`^  server-2: service up, hypervisor up, tunnels at 172\.17\.0\.20, `,
		`^  guest-\d on \S*r7-n01\S* is ACTIVE; its console says OVN gave it 10\.11\.12\.\d+, as Neutron does$`,
		`^nothing changed on any node and no daemon restarted$`,
		`^r7-n01 after \d+s: .*nova-compute`,
		`^r7-n01 ready again after \d+s$`,
		`^demo: \d+ faults of the cloud told, isolated and survived$`,
		`nova-compute .* server-2\S* .* enabled .* up `, // of `openstack compute service list`
		`^demo: 3/3 computes serve the cloud after \d+s$`,
		`^r7-n01: .*servers are on host r7-n01\S* \(guest-\d`, // it waits for them before it leaves
		`^r7-n01 has left Nova, Placement and OVN; its host server-\d is off and free$`,
	)
}
