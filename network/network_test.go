package network

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// site has an IPv4 control plane, internalapi (VLAN 20), tenant (VLAN 22, IPv6, jumbo), storage (no VLAN, jumbo) and a
// spine-leaf network with two subnets.
func site() v1alpha1.NetConfigSpec {
	return v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
		{Name: "ctlplane", DNSDomain: "ctlplane.example.com", MTU: 1500, Subnets: []v1alpha1.Subnet{{
			Name: "r7", CIDR: "192.168.122.0/24", Gateway: "192.168.122.1", Nameservers: []string{"192.168.122.80", "192.168.122.81"},
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "192.168.122.100", End: "192.168.122.120"}},
			Routes:           []v1alpha1.Route{{Destination: "10.8.0.0/16", Nexthop: "192.168.122.254"}},
		}}},
		{Name: "internalapi", DNSDomain: "internalapi.example.com", MTU: 1500, Subnets: []v1alpha1.Subnet{{
			Name: "r7", CIDR: "172.17.0.0/24", VLAN: new(int32(20)),
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "172.17.0.100", End: "172.17.0.250"}},
		}}},
		{Name: "tenant", MTU: 9000, Subnets: []v1alpha1.Subnet{{
			Name: "r7", CIDR: "fd00:22::/64", VLAN: new(int32(22)), Gateway: "fd00:22::1", Nameservers: []string{"192.168.122.80", "fd00:22::53"},
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "fd00:22::", End: "fd00:22::ffff"}},
		}}},
		{Name: "storage", MTU: 9000, Subnets: []v1alpha1.Subnet{{
			Name: "r7", CIDR: "172.18.0.0/24",
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "172.18.0.10", End: "172.18.0.250"}},
		}}},
		{Name: "leaf", Subnets: []v1alpha1.Subnet{{Name: "leaf0", CIDR: "10.0.0.0/24"}, {Name: "leaf1", CIDR: "10.0.1.0/24"}}},
	}}
}

// with returns the site with one subnet of ctlplane changed.
func with(change func(*v1alpha1.Subnet)) v1alpha1.NetConfigSpec {
	s := site()
	change(&s.Networks[0].Subnets[0])
	return s
}

// read is the site of a NetConfig, whatever is wrong with it.
func read(spec v1alpha1.NetConfigSpec) Site {
	s, _ := NewSite(spec)
	return s
}

func TestSubnetIsFound(t *testing.T) {
	if s, err := read(site()).Subnet("internalapi", ""); err != nil || s.Network.Name != "internalapi" || s.Prefix.String() != "172.17.0.0/24" {
		t.Errorf("%v %v", s, err)
	}
	cases := []struct{ network, subnet, want string }{
		{"intern", "", `networks[].name "intern" is not in the NetConfig, which has ctlplane, internalapi, tenant, storage, leaf: correct the name or add the network`},
		{"leaf", "", "networks[leaf].subnetName is empty, but the network has 2 subnets: name one of leaf0, leaf1"},
		{"ctlplane", "r8", `networks[ctlplane].subnetName "r8" is not in the NetConfig, whose network ctlplane has r7: correct the name or add the subnet`},
	}
	for _, c := range cases {
		_, err := read(site()).Subnet(c.network, c.subnet)
		if err == nil || err.Error() != c.want {
			t.Errorf("got %v", err)
		}
	}
	if _, err := (Site{}).Subnet("ctlplane", ""); err == nil || !strings.Contains(err.Error(), "which has none") {
		t.Error(err)
	}
}

func TestRoles(t *testing.T) {
	s := read(v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
		{Name: "Provisioning", ServiceNetwork: "ctlplane", DNSDomain: "example.com"}, {Name: "InternalApi", MTU: 9000, DNSDomain: "internal.example.com"},
	}})
	control, internal := s.Network("Provisioning"), s.Network("InternalApi")
	if !control.IsCtlplane() || internal.IsCtlplane() || internal.Role != "internalapi" {
		t.Error("the control plane is told by its role")
	}
	if control.MTU != 1500 || internal.MTU != 9000 {
		t.Error("MTU default")
	}
	held := []v1alpha1.Address{{Network: "InternalApi", Address: "172.17.0.5"}, {Network: "gone", Address: "10.0.0.1"}, {Network: "Provisioning", Subnet: "renamed since", Address: "192.168.122.5"}}
	if got := s.AddressOn("ctlplane", held); got != "192.168.122.5" {
		t.Errorf("the control plane's address is %q", got)
	}
	if got := s.AddressOn("tenant", held); got != "" {
		t.Errorf("an address on no network: %q", got)
	}
	for _, c := range []struct {
		name string
		held []v1alpha1.Address
		want string
	}{{"n0", held, "n0.example.com"}, {"n0", held[:2], "n0"}, {"n0.site", held, "n0.site"}} {
		if got := s.CanonicalName(c.name, c.held); got != c.want {
			t.Errorf("%s is called %s, not %s", c.name, got, c.want)
		}
	}
}

// What is malformed is refused to whoever looks it up, and costs nobody else anything.
func TestMalformedSubnetIsNobodys(t *testing.T) {
	s := read(with(func(s *v1alpha1.Subnet) { s.Routes[0].Nexthop = "10.0.0.1" }))
	if _, err := s.Subnet("ctlplane", "r7"); err == nil || err.Error() != "subnet r7 of network ctlplane: routes[0].nexthop 10.0.0.1 is outside 192.168.122.0/24: give an address inside" {
		t.Errorf("%v", err)
	}
	if _, err := s.Subnet("internalapi", "r7"); err != nil {
		t.Error(err)
	}
}

func BenchmarkNewSite(b *testing.B) {
	spec := site()
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := NewSite(spec); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func TestSiteProblems(t *testing.T) {
	cases := []struct {
		name string
		nets v1alpha1.NetConfigSpec
		want []string
	}{
		{"good", site(), nil},
		{"cidr", with(func(s *v1alpha1.Subnet) { s.CIDR = "192.168.122/24" }), []string{
			`subnet r7 of network ctlplane: cidr "192.168.122/24" is not a network: write it as 192.168.122.0/24 or fd00:122::/64`,
		}},
		{"mapped cidr", with(func(s *v1alpha1.Subnet) { s.CIDR = "::ffff:192.168.122.0/120" }), []string{
			`subnet r7 of network ctlplane: cidr "::ffff:192.168.122.0/120" is not a network: write it as 192.168.122.0/24 or fd00:122::/64`,
		}},
		{"host bits", with(func(s *v1alpha1.Subnet) { s.CIDR = "192.168.122.7/24" }), []string{
			"subnet r7 of network ctlplane: cidr 192.168.122.7/24 has bits set after the prefix: write it as 192.168.122.0/24",
		}},
		{"gateway", with(func(s *v1alpha1.Subnet) { s.Gateway = "192.168.123.1" }), []string{
			"subnet r7 of network ctlplane: gateway 192.168.123.1 is outside 192.168.122.0/24: give an address inside",
		}},
		{"gateway text", with(func(s *v1alpha1.Subnet) { s.Gateway = "router" }), []string{
			`subnet r7 of network ctlplane: gateway "router" is not an IP address: correct it`,
		}},
		{"ranges", with(func(s *v1alpha1.Subnet) {
			s.AllocationRanges = []v1alpha1.AllocationRange{
				{Start: "x", End: "192.168.122.10"}, {Start: "192.168.122.10", End: "192.168.123.10"}, {Start: "192.168.122.20", End: "192.168.122.10"},
			}
		}), []string{
			`subnet r7 of network ctlplane: allocationRanges[0].start "x" is not an IP address: correct it`,
			"subnet r7 of network ctlplane: allocationRanges[1].end 192.168.123.10 is outside 192.168.122.0/24: give an address inside",
			"subnet r7 of network ctlplane: allocationRanges[2] ends at 192.168.122.10, before its start 192.168.122.20: swap them",
		}},
		{"lists", with(func(s *v1alpha1.Subnet) {
			s.ExcludeAddresses = []string{"fe80::1%eth0"}
			s.Routes = []v1alpha1.Route{{Destination: "10.0.0.1", Nexthop: "10.0.0.1"}, {Destination: "::/0", Nexthop: "192.168.122.1"}}
			s.Nameservers = []string{"dns.example.com"}
		}), []string{
			`subnet r7 of network ctlplane: excludeAddresses[0] "fe80::1%eth0" is not an IP address: correct it`,
			`subnet r7 of network ctlplane: routes[0].destination "10.0.0.1" is not a network of the subnet's IP version: write it as 10.0.0.0/8 or fd00::/8`,
			"subnet r7 of network ctlplane: routes[0].nexthop 10.0.0.1 is outside 192.168.122.0/24: give an address inside",
			`subnet r7 of network ctlplane: routes[1].destination "::/0" is not a network of the subnet's IP version: write it as 10.0.0.0/8 or fd00::/8`,
			`subnet r7 of network ctlplane: nameservers[0] "dns.example.com" is not an IP address: correct it`,
		}},
		{"vlan", with(func(s *v1alpha1.Subnet) { s.VLAN = new(int32(4095)) }), []string{
			"subnet r7 of network ctlplane: vlan 4095 is no tag: give one of 1 to 4094, or leave it out",
		}},
		{"names", v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
			{Name: "ctlplane", Subnets: []v1alpha1.Subnet{{Name: "a", CIDR: "10.0.0.0/24"}, {Name: "a", CIDR: "10.0.1.0/24"}}}, {Name: "ctlplane", ServiceNetwork: "tenant"},
		}}, []string{
			"two subnets of network ctlplane are called a: rename one", "two networks are called ctlplane: rename one",
		}},
		{"overlap", v1alpha1.NetConfigSpec{Networks: append(site().Networks, v1alpha1.Network{Name: "x", Subnets: []v1alpha1.Subnet{{Name: "s", CIDR: "192.168.0.0/16"}}})}, []string{
			"subnet s of network x: cidr 192.168.0.0/16 overlaps 192.168.122.0/24 of subnet r7 of network ctlplane: one address would belong to both; change one",
		}},
		{"no control plane", v1alpha1.NetConfigSpec{Networks: site().Networks[1:]}, []string{
			"no network is the control plane: name one ctlplane, or set its serviceNetwork to ctlplane",
		}},
		{"two control planes", v1alpha1.NetConfigSpec{Networks: append(site().Networks, v1alpha1.Network{Name: "mgmt", ServiceNetwork: "ctlplane"})}, []string{
			"networks ctlplane and mgmt are both the control plane: keep serviceNetwork ctlplane on one",
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			_, problems := NewSite(c.nets)
			for _, err := range problems {
				got = append(got, err.Error())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
