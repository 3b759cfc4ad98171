package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

func on(network string, change ...func(*v1alpha1.NodeNetwork)) v1alpha1.NodeNetwork {
	n := v1alpha1.NodeNetwork{Name: network}
	for _, f := range change {
		f(&n)
	}
	return n
}

func fixed(ip string) func(*v1alpha1.NodeNetwork) {
	return func(n *v1alpha1.NodeNetwork) { n.FixedIP = ip }
}

func held(network, address string) v1alpha1.Address {
	return v1alpha1.Address{Network: network, Subnet: "r7", Address: address}
}

// addressesOf writes a plan as "node network=address" lines, then the problems.
func addressesOf(p AddressPlan) []string {
	var out []string
	for node, list := range p.Addresses {
		for _, a := range list {
			out = append(out, fmt.Sprintf("%s %s=%s", node, a.Network, a.Address))
		}
	}
	slices.Sort(out)
	for _, u := range p.Unmet {
		out = append(out, fmt.Sprintf("%s %s! %s", u.Node, u.Network, u.Message))
	}
	return out
}

func TestPlanAddresses(t *testing.T) {
	two := with(func(s *v1alpha1.Subnet) { s.AllocationRanges[0].End = "192.168.122.101" })
	ctl := []v1alpha1.NodeNetwork{on("ctlplane")}
	cases := []struct {
		name    string
		nets    v1alpha1.NetConfigSpec
		holders []Holder
		want    []string
	}{
		{"lowest first, in the order of names", site(), []Holder{{Node: "e/b", Wants: ctl}, {Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("tenant"), on("ctlplane")}}}, []string{
			"e/a ctlplane=192.168.122.100", "e/a tenant=fd00:22::2", "e/b ctlplane=192.168.122.101",
		}},
		{"held stays, its gap is filled", site(), []Holder{
			{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.101")}}, {Node: "e/b", Wants: ctl}, {Node: "e/c", Wants: ctl},
		}, []string{
			"e/a ctlplane=192.168.122.101", "e/b ctlplane=192.168.122.100", "e/c ctlplane=192.168.122.102",
		}},
		{
			"held outside the ranges and excluded now stays",
			with(func(s *v1alpha1.Subnet) { s.ExcludeAddresses = []string{"192.168.122.7", "192.168.122.100"} }),
			[]Holder{{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.7")}}, {Node: "e/b", Wants: ctl}},
			[]string{
				"e/a ctlplane=192.168.122.7", "e/b ctlplane=192.168.122.101",
			},
		},
		{"held outside the cidr, or now the gateway, moves before a server runs with it", site(), []Holder{
			{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.1.7")}, Planned: true},
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.1")}, Planned: true},
			{Node: "e/c", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "nonsense")}, Planned: true},
		}, []string{
			"e/a ctlplane=192.168.122.100", "e/b ctlplane=192.168.122.101", "e/c ctlplane=192.168.122.102",
		}},
		{"in force stays, whatever is asked for now", site(), []Holder{
			{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.1.7")}},
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.1")}},
			{Node: "e/c", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.9"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.100")}},
			{Node: "e/d", Wants: ctl},
		}, []string{
			"e/a ctlplane=192.168.1.7", "e/b ctlplane=192.168.122.1", "e/c ctlplane=192.168.122.100", "e/d ctlplane=192.168.122.101",
			"e/a ctlplane! node e/a holds address 192.168.1.7, which is outside 192.168.122.0/24 of subnet r7 of network ctlplane: take the change back, or delete the node, so that it comes back with another address",
			"e/b ctlplane! node e/b holds address 192.168.122.1, which is the gateway, network or broadcast address of subnet r7 of network ctlplane: take the change back, or delete the node, so that it comes back with another address",
			"e/c ctlplane! node e/c holds address 192.168.122.100, which is not networks[ctlplane].fixedIP 192.168.122.9: take the change back, or delete the node, so that it comes back with another address",
		}},
		{"in force in another subnet stays, and moves where it is told to answer", site(), []Holder{
			{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{{Network: "ctlplane", Subnet: "r8", Address: "10.8.0.4"}}},
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.50")}, AnsibleHost: "192.168.122.51"},
		}, []string{
			"e/a ctlplane=10.8.0.4", "e/b ctlplane=192.168.122.51",
			"e/a ctlplane! node e/a holds address 10.8.0.4, which is outside 192.168.122.0/24 of subnet r7 of network ctlplane: take the change back, or delete the node, so that it comes back with another address",
		}},
		{"held twice goes to the first", site(), []Holder{
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.105")}},
			{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.105")}},
		}, []string{
			"e/a ctlplane=192.168.122.105", "e/b ctlplane=192.168.122.100",
		}},
		{"fixed, even outside the ranges", site(), []Holder{
			{Node: "e/a", Wants: ctl},
			{Node: "e/b", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.100"))}},
			{Node: "e/c", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.9"))}},
		}, []string{
			"e/a ctlplane=192.168.122.101", "e/b ctlplane=192.168.122.100", "e/c ctlplane=192.168.122.9",
		}},
		{"fixed replaces held", site(), []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.9"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.100")}, Planned: true},
		}, []string{
			"e/a ctlplane=192.168.122.9",
		}},
		{"a chain of moves", site(), []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.8"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.7")}, Planned: true},
			{Node: "e/b", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.9"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.8")}, Planned: true},
		}, []string{
			"e/a ctlplane=192.168.122.8", "e/b ctlplane=192.168.122.9",
		}},
		{"two cannot swap at once", site(), []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.9"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.8")}, Planned: true},
			{Node: "e/b", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.8"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.9")}, Planned: true},
		}, []string{
			"e/a ctlplane=192.168.122.8", "e/b ctlplane=192.168.122.9",
			"e/a ctlplane! networks[ctlplane].fixedIP 192.168.122.9 of node e/a is held by node e/b: choose another address for one of them",
			"e/b ctlplane! networks[ctlplane].fixedIP 192.168.122.8 of node e/b is held by node e/a: choose another address for one of them",
		}},
		{"fixed clashes with held: both keep what they have", site(), []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.101"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.100")}, Planned: true},
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.101")}, Planned: true},
			{Node: "e/c", Wants: ctl},
		}, []string{
			"e/a ctlplane=192.168.122.100", "e/b ctlplane=192.168.122.101", "e/c ctlplane=192.168.122.102",
			"e/a ctlplane! networks[ctlplane].fixedIP 192.168.122.101 of node e/a is held by node e/b: choose another address for one of them",
		}},
		{"bad fixed", site(), []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.1"))}},
			{Node: "e/b", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("10.0.0.1"))}},
			{Node: "e/c", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("host"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.100")}},
		}, []string{
			"e/c ctlplane=192.168.122.100",
			"e/a ctlplane! networks[ctlplane].fixedIP 192.168.122.1 is the gateway, network or broadcast address of subnet r7 of network ctlplane: choose another",
			"e/b ctlplane! networks[ctlplane].fixedIP 10.0.0.1 is outside 192.168.122.0/24: give an address inside",
			`e/c ctlplane! networks[ctlplane].fixedIP "host" is not an IP address: correct it`,
		}},
		{"pre-provisioned is where it answers", site(), []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane"), on("internalapi")}, AnsibleHost: "192.168.122.50"},
			{Node: "e/b", Wants: ctl, AnsibleHost: "node.example.com"},
			{Node: "e/c", Wants: ctl, AnsibleHost: "192.168.122.50"},
			{Node: "e/d", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.60"))}, AnsibleHost: "10.9.9.9"},
			{Node: "e/e", Wants: ctl, AnsibleHost: "192.168.122.1"},
		}, []string{
			"e/a ctlplane=192.168.122.50", "e/a internalapi=172.17.0.100", "e/b ctlplane=192.168.122.100", "e/d ctlplane=192.168.122.60", "e/e ctlplane=192.168.122.101",
			"e/c ctlplane! ansible.ansibleHost 192.168.122.50 of node e/c is held by node e/a: choose another address for one of them",
		}},
		{"exhausted", two, []Holder{{Node: "e/a", Wants: ctl}, {Node: "e/b", Wants: ctl}, {Node: "e/c", Wants: ctl}}, []string{
			"e/a ctlplane=192.168.122.100", "e/b ctlplane=192.168.122.101",
			"e/c ctlplane! subnet r7 of network ctlplane has no free address in 192.168.122.100-192.168.122.101: widen allocationRanges in the NetConfig",
		}},
		{"no ranges", site(), []Holder{{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("leaf", func(n *v1alpha1.NodeNetwork) { n.SubnetName = "leaf1" })}}}, []string{
			"e/a leaf! subnet leaf1 of network leaf has no allocationRanges: add some in the NetConfig, or give networks[leaf].fixedIP",
		}},
		{"a misnamed network or a broken subnet loses nothing", with(func(s *v1alpha1.Subnet) { s.Name, s.Gateway = "r7b", "x" }), []Holder{
			{
				Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", func(n *v1alpha1.NodeNetwork) { n.SubnetName = "r7" }), on("gone")},
				Held: []v1alpha1.Address{held("ctlplane", "192.168.122.100"), held("gone", "10.1.1.1")},
			},
			{Node: "e/b", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.100"))}},
		}, []string{
			"e/a ctlplane=192.168.122.100", "e/a gone=10.1.1.1",
			`e/a ctlplane! networks[ctlplane].subnetName "r7" is not in the NetConfig, whose network ctlplane has r7b: correct the name or add the subnet`,
			`e/a gone! networks[].name "gone" is not in the NetConfig, which has ctlplane, internalapi, tenant, storage, leaf: correct the name or add the network`,
			`e/b ctlplane! subnet r7b of network ctlplane: gateway "x" is not an IP address: correct it`,
		}},
		{"another subnet is another address", site(), []Holder{{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{{Network: "ctlplane", Subnet: "r6", Address: "192.168.122.110"}}, Planned: true}}, []string{
			"e/a ctlplane=192.168.122.100",
		}},
		{"listed twice", site(), []Holder{{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane"), on("ctlplane")}}}, []string{
			"e/a ctlplane=192.168.122.100", "e/a ctlplane! networks lists ctlplane twice: remove one",
		}},
		{"point to point has no network address", with(func(s *v1alpha1.Subnet) {
			*s = v1alpha1.Subnet{Name: "r7", CIDR: "10.0.0.0/31", AllocationRanges: []v1alpha1.AllocationRange{{Start: "10.0.0.0", End: "10.0.0.1"}}}
		}), []Holder{{Node: "e/a", Wants: ctl}, {Node: "e/b", Wants: ctl}}, []string{"e/a ctlplane=10.0.0.0", "e/b ctlplane=10.0.0.1"}},
		{"ranges skip what is reserved, whatever their order", with(func(s *v1alpha1.Subnet) {
			*s = v1alpha1.Subnet{
				Name: "r7", CIDR: "10.0.0.0/29", Gateway: "10.0.0.2", ExcludeAddresses: []string{"10.0.0.4"},
				AllocationRanges: []v1alpha1.AllocationRange{{Start: "10.0.0.4", End: "10.0.0.7"}, {Start: "10.0.0.0", End: "10.0.0.3"}},
			}
		}), []Holder{{Node: "e/a", Wants: ctl}, {Node: "e/b", Wants: ctl}, {Node: "e/c", Wants: ctl}, {Node: "e/d", Wants: ctl}, {Node: "e/e", Wants: ctl}}, []string{
			"e/a ctlplane=10.0.0.1", "e/b ctlplane=10.0.0.3", "e/c ctlplane=10.0.0.5", "e/d ctlplane=10.0.0.6",
			"e/e ctlplane! subnet r7 of network ctlplane has no free address in 10.0.0.4-10.0.0.7, 10.0.0.0-10.0.0.3: widen allocationRanges in the NetConfig",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, addressesOf(PlanAddresses(read(c.nets), c.holders))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlannedAddressIsComplete(t *testing.T) {
	wants := []v1alpha1.NodeNetwork{on("ctlplane", func(n *v1alpha1.NodeNetwork) { n.DefaultRoute = true })}
	plan := PlanAddresses(read(site()), []Holder{{Node: "e/a", Wants: wants}, {Node: "e/b"}})
	want := map[string][]v1alpha1.Address{"e/a": {{Network: "ctlplane", Subnet: "r7", Address: "192.168.122.100", DefaultRoute: true}}, "e/b": nil}
	if diff := cmp.Diff(want, plan.Addresses); diff != "" {
		t.Error(diff)
	}
	for _, u := range PlanAddresses(read(with(func(s *v1alpha1.Subnet) { s.AllocationRanges = nil })), []Holder{{Node: "e/a", Wants: wants}}).Unmet {
		if !u.Exhausted {
			t.Error("not marked as exhausted")
		}
	}
}

// drawHolders draws holders on a tight site, with held and fixed addresses that may clash.
func drawHolders(t *rapid.T) []Holder {
	address := func(label string) string {
		return fmt.Sprintf("192.168.122.%d", rapid.IntRange(95, 125).Draw(t, label))
	}
	var holders []Holder
	for i := range rapid.IntRange(0, 25).Draw(t, "holders") {
		h := Holder{Node: fmt.Sprintf("e/n%02d", i)}
		for _, name := range []string{"ctlplane", "internalapi", "tenant", "leaf", "gone"} {
			if !rapid.Bool().Draw(t, "wants") {
				continue
			}
			n := v1alpha1.NodeNetwork{Name: name}
			if name == "ctlplane" && rapid.IntRange(0, 4).Draw(t, "is fixed") == 0 {
				n.FixedIP = address("fixed")
			}
			h.Wants = append(h.Wants, n)
		}
		if rapid.Bool().Draw(t, "holds") {
			h.Held = append(h.Held, v1alpha1.Address{Network: "ctlplane", Subnet: "r7", Address: address("held")})
		}
		if rapid.IntRange(0, 4).Draw(t, "pre-provisioned") == 0 {
			h.AnsibleHost = address("answers on")
		}
		if rapid.Bool().Draw(t, "planned") {
			h.Planned = true
		}
		holders = append(holders, h)
	}
	return holders
}

func TestAddressesAreUniqueAndInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]string{}
		for node, list := range PlanAddresses(read(site()), drawHolders(t)).Addresses {
			for _, a := range list {
				if other := seen[a.Address]; other != "" {
					t.Fatalf("%s and %s both get %s", other, node, a.Address)
				}
				seen[a.Address] = node
				s, err := read(site()).Subnet(a.Network, a.Subnet)
				if err != nil || !s.Prefix.Contains(netip.MustParseAddr(a.Address)) || a.Address == s.Gateway.String() {
					t.Fatalf("%s gets %+v", node, a)
				}
			}
		}
	})
}

func TestAddressesDoNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders := drawHolders(t)
		want := PlanAddresses(read(site()), holders)
		if diff := cmp.Diff(want, PlanAddresses(read(site()), rapid.Permutation(holders).Draw(t, "shuffled"))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAppliedAddressesRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders := drawHolders(t)
		first := PlanAddresses(read(site()), holders)
		for i := range holders {
			holders[i].Held = first.Addresses[holders[i].Node]
		}
		if diff := cmp.Diff(first, PlanAddresses(read(site()), holders)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestNewHolderMovesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		holders := drawHolders(t)
		first := PlanAddresses(read(site()), holders)
		for i := range holders {
			holders[i].Held = first.Addresses[holders[i].Node]
		}
		second := PlanAddresses(read(site()), append(holders, Holder{Node: "a/first", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.100"))}}))
		delete(second.Addresses, "a/first")
		if diff := cmp.Diff(first.Addresses, second.Addresses); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzSubnet: whatever a subnet says, nothing panics, and an address that is given out lies inside its cidr.
func FuzzSubnet(f *testing.F) {
	f.Add("192.168.122.0/24", "192.168.122.1", "192.168.122.100", "192.168.122.110", "192.168.122.101", "10.0.0.0/8")
	f.Add("fd00::/64", "fd00::1", "fd00::", "fd00::ffff:ffff:ffff:ffff", "fd00::2", "::/0")
	f.Add("0.0.0.0/0", "", "0.0.0.0", "255.255.255.255", "", "")
	f.Add("::ffff:1.2.3.0/120", "1.2.3.4", "::ffff:1.2.3.4", "1.2.3.5", "fe80::1%eth0", "1.2.3.4/33")
	f.Add("10.0.0.0/32", "10.0.0.0", "10.0.0.0", "10.0.0.0", "10.0.0.0", "x")
	f.Fuzz(func(t *testing.T, cidr, gateway, start, end, excluded, destination string) {
		nets := v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{{Name: "ctlplane", Subnets: []v1alpha1.Subnet{{
			Name: "s", CIDR: cidr, Gateway: gateway, AllocationRanges: []v1alpha1.AllocationRange{{Start: start, End: end}},
			ExcludeAddresses: []string{excluded}, Routes: []v1alpha1.Route{{Destination: destination, Nexthop: gateway}},
		}}}}}
		site, errs := NewSite(nets)
		plan := PlanAddresses(site, []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{{Name: "ctlplane"}}, AnsibleHost: start},
			{Node: "e/b", Wants: []v1alpha1.NodeNetwork{{Name: "ctlplane", FixedIP: end}}},
		})
		for _, err := range errs {
			if !strings.Contains(err.Error(), ":") {
				t.Errorf("no remedy: %v", err)
			}
		}
		for node, list := range plan.Addresses {
			for _, a := range list {
				if len(errs) > 0 {
					t.Fatalf("%s gets %s of an invalid subnet: %v", node, a.Address, errs)
				}
				if got := netip.MustParseAddr(a.Address); !netip.MustParsePrefix(cidr).Contains(got) || a.Address == gateway {
					t.Fatalf("%s gets %s of %s", node, a.Address, cidr)
				}
			}
		}
	})
}

func BenchmarkPlanAddresses1000x3(b *testing.B) {
	nets := site()
	for i, r := range []v1alpha1.AllocationRange{
		{Start: "192.168.0.0", End: "192.168.255.255"}, {Start: "172.16.0.0", End: "172.16.255.255"}, {Start: "fd00:22::", End: "fd00:22::ffff"},
	} {
		cidr := netip.PrefixFrom(netip.MustParseAddr(r.Start), 16)
		nets.Networks[i].Subnets[0] = v1alpha1.Subnet{Name: "r7", CIDR: cidr.Masked().String(), AllocationRanges: []v1alpha1.AllocationRange{r}}
	}
	s := read(nets)
	wants := []v1alpha1.NodeNetwork{{Name: "ctlplane"}, {Name: "internalapi"}, {Name: "tenant"}}
	var fresh []Holder
	for i := range 1000 {
		fresh = append(fresh, Holder{Node: fmt.Sprintf("e/n%04d", i), Wants: wants})
	}
	first := PlanAddresses(s, fresh)
	if len(first.Unmet) > 0 {
		b.Fatal(first.Unmet[0])
	}
	settled := slices.Clone(fresh)
	for i := range settled {
		settled[i].Held = first.Addresses[settled[i].Node]
	}
	for name, holders := range map[string][]Holder{"fresh": fresh, "held": settled} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				PlanAddresses(s, holders)
			}
		})
	}
}

// TestUndoneChangesMoveNobody: a cidr that is mistyped and put right leaves servers that run where they are, in any order.
func TestUndoneChangesMoveNobody(t *testing.T) {
	ctl := []v1alpha1.NodeNetwork{on("ctlplane")}
	servers := []Holder{
		{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.101")}},
		{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.100")}},
	}
	mistyped := with(func(s *v1alpha1.Subnet) {
		s.CIDR, s.Gateway, s.AllocationRanges = "192.168.112.0/24", "192.168.112.1", []v1alpha1.AllocationRange{{Start: "192.168.112.100", End: "192.168.112.110"}}
	})
	for _, step := range []struct {
		nets v1alpha1.NetConfigSpec
		told int
	}{{mistyped, 2}, {site(), 0}} {
		plan := PlanAddresses(read(step.nets), servers)
		if len(plan.Unmet) != step.told {
			t.Errorf("told %v, want %d", plan.Unmet, step.told)
		}
		for i := range servers {
			if diff := cmp.Diff(servers[i].Held, plan.Addresses[servers[i].Node]); diff != "" {
				t.Errorf("%s moves (-held +planned):\n%s", servers[i].Node, diff)
			}
		}
	}
}
