package network

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// FuzzRender renders any site and layout: it is rendered or refused by a message that names the node; what is rendered is
// JSON that holds every address of the node, and the same again.
func FuzzRender(f *testing.F) {
	f.Add(`{"networks": [{"name": "ctlplane", "dnsDomain": "example.com", "subnets": [{"name": "a", "cidr": "192.0.2.0/24", "gateway": "192.0.2.1", "dnsServers": ["192.0.2.2"],
		"routes": [{"destination": "198.51.100.0/24", "nexthop": "192.0.2.3"}]}]}, {"name": "internalapi", "mtu": 9000, "subnets": [{"name": "a", "cidr": "2001:db8::/64", "vlan": 20}]}]}`,
		`{"bonds": [{"name": "bond0", "ports": [{"mac": "52:54:00:00:00:01"}, {"mac": "nic1"}], "mode": "802.3ad", "networks": ["ctlplane"], "vlans": ["internalapi"]}]}`,
		`[{"network": "ctlplane", "subnet": "a", "address": "192.0.2.10", "defaultRoute": true}, {"network": "internalapi", "subnet": "a", "address": "2001:db8::10"}]`)
	f.Add(`{"networks": [{"name": "ctlplane", "subnets": [{"name": "a", "cidr": "::/0"}]}]}`, `null`, `[{"network": "ctlplane", "subnet": "a", "address": "::ffff:1.2.3.4"}]`)
	f.Add(`{"networks": [{"name": "ctlplane", "subnets": [{"name": "a", "cidr": "192.0.2.0/24", "gateway": "192.0.2.1", "vlan": 5}]}]}`,
		`{"ethernets": [{"name": "eth1", "mac": "nic1", "ip": {"ipv6": "SLAAC"}}], "ovsBridges": [{"name": "br-ex", "ports": [{"name": "eth0", "mac": "nic0", "trunks": [5]}], "vlans": ["ctlplane"], "vlanNames": {"ctlplane": "cp"}}],
		"dummies": [{"name": "lo", "ip": {"addresses": ["192.0.2.99/32"]}}], "vrfs": [{"name": "r", "table": 9, "ports": ["eth1"]}], "routes": [{"destination": "10.0.0.0/8", "nexthop": "192.0.2.7", "interface": "cp", "metric": 5}],
		"rules": [{"from": "10.0.0.0/8", "priority": 5, "table": 9}], "ovsDPDK": {"socketMemory": [1024]}}`,
		`[{"network": "ctlplane", "subnet": "a", "address": "192.0.2.10", "defaultRoute": true}]`)
	f.Fuzz(func(t *testing.T, nets, config, addresses string) {
		in := RenderInput{HostName: "n0", NICs: []hardware.NIC{{Name: "nic0", MAC: "52:54:00:00:00:01"}, {Name: "nic1", MAC: "52:54:00:00:00:02"}}}
		var spec v1alpha1.NetConfigSpec
		if json.Unmarshal([]byte(nets), &spec) != nil || json.Unmarshal([]byte(config), &in.Config) != nil || json.Unmarshal([]byte(addresses), &in.Addresses) != nil {
			return
		}
		var problems []error
		if in.Site, problems = NewSite(spec); in.Config != nil && len(problems) > 0 {
			in.Config = nil // half of the time, the default layout of a site that is not good
		}
		first, err := Render(in)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "node n0: ") || strings.Contains(err.Error(), "%!") {
				t.Errorf("%q", err)
			}
			return
		}
		again, err := Render(in)
		if diff := cmp.Diff(first, again); err != nil || diff != "" {
			t.Errorf("another time, another network: %v\n%s", err, diff)
		}
		document, err := json.Marshal(first.NMState)
		if err != nil || (first.NetworkData != nil && !json.Valid(first.NetworkData)) {
			t.Fatalf("%v, network data %q", err, first.NetworkData)
		}
		for _, a := range in.Addresses {
			if at, err := netip.ParseAddr(a.Address); err != nil || !strings.Contains(string(document), at.String()) {
				t.Errorf("address %s is not in %s", a.Address, document)
			}
		}
	})
}

// FuzzPlanAddresses gives out addresses of any site: none twice, and those given stay.
func FuzzPlanAddresses(f *testing.F) {
	f.Add(`{"networks": [{"name": "a", "subnets": [{"name": "a", "cidr": "192.0.2.0/29", "gateway": "192.0.2.1", "allocationRanges": [{"start": "192.0.2.2", "end": "192.0.2.9"}],
		"excludeAddresses": ["192.0.2.3"]}]}]}`, uint8(3))
	f.Add(`{"networks": [{"name": "a", "subnets": [{"name": "a", "cidr": "2001:db8::/64", "allocationRanges": [{"start": "2001:db8::2", "end": "2001:db8::1"}]}]}]}`, uint8(2))
	f.Fuzz(func(t *testing.T, site string, nodes uint8) {
		var nets v1alpha1.NetConfigSpec
		if json.Unmarshal([]byte(site), &nets) != nil || len(nets.Networks) == 0 {
			return
		}
		var holders []Holder
		for i := range nodes % 8 {
			h := Holder{Node: string('a' + rune(i))}
			for _, n := range nets.Networks {
				if n.Name != "" && !slices.ContainsFunc(h.Wants, func(w v1alpha1.NodeNetwork) bool { return w.Name == n.Name }) {
					h.Wants = append(h.Wants, v1alpha1.NodeNetwork{Name: n.Name})
				}
			}
			holders = append(holders, h)
		}
		plan := PlanAddresses(read(nets), holders)
		held := map[string]string{}
		for i := range holders {
			for _, a := range plan.Addresses[holders[i].Node] {
				if other := held[a.Address]; other != "" {
					t.Errorf("%s is given to %s and %s", a.Address, other, holders[i].Node)
				}
				held[a.Address] = holders[i].Node
			}
			holders[i].Held = plan.Addresses[holders[i].Node]
		}
		if diff := cmp.Diff(plan.Addresses, PlanAddresses(read(nets), holders).Addresses); diff != "" {
			t.Errorf("the next plan moves addresses (-before +after):\n%s", diff)
		}
	})
}
