package network

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fourNICs are in no order; eno10 comes after eno2, and eno1 is listed for each of its two addresses.
func fourNICs() []hardware.NIC {
	return []hardware.NIC{
		{Name: "eno10", MAC: "52:54:00:00:00:10"},
		{Name: "eno2", MAC: "52:54:00:00:00:02"},
		{Name: "eno1", MAC: "52:54:00:00:00:01"},
		{Name: "eno1", MAC: "52:54:00:00:00:01"},
		{Name: "ens3f0np0", MAC: "52:54:00:AA:00:03"},
	}
}

func addresses() []v1alpha1.Address {
	return []v1alpha1.Address{
		held("internalapi", "172.17.0.100"),
		{Network: "ctlplane", Subnet: "r7", Address: "192.168.122.100", DefaultRoute: true},
		held("tenant", "fd00:22::100"),
	}
}

func port(mac string) v1alpha1.BondPort { return v1alpha1.BondPort{MAC: mac} }

func goldenCases() map[string]RenderInput {
	six := site()
	six.Networks[0].Subnets[0] = v1alpha1.Subnet{
		Name: "r7", CIDR: "fd00:122::/64", Gateway: "fd00:122::1", Nameservers: []string{"fd00:122::53"},
		Routes: []v1alpha1.Route{{Destination: "fd00:8::/32", Nexthop: "fd00:122::fe"}},
	}
	return map[string]RenderInput{
		"default": {
			HostName: "r7-n00", Site: read(site()), NICs: fourNICs(), Addresses: append(addresses(), held("storage", "172.18.0.10")),
		},
		"bond": {
			HostName: "r7-n00", Site: read(site()), NICs: fourNICs(), Addresses: addresses(),
			Config: &v1alpha1.NetworkConfig{Bonds: []v1alpha1.Bond{{
				Name: "bond0", Ports: []v1alpha1.BondPort{port("nic0"), port("nic1")}, Mode: "802.3ad",
				Networks: []string{"ctlplane"}, VLANs: []string{"internalapi", "tenant"},
			}}},
		},
		"ethernets": {
			HostName: "r7-n00", Site: read(site()), NICs: fourNICs(), Addresses: append(addresses(), held("storage", "172.18.0.10")),
			Config: &v1alpha1.NetworkConfig{
				Ethernets: []v1alpha1.Ethernet{
					{Name: "mgmt0", MAC: "52:54:00:aa:00:03", Networks: []string{"ctlplane"}},
					{Name: "eno2", VLANs: []string{"internalapi"}},
				},
				Bonds: []v1alpha1.Bond{{
					Name: "bond0", Ports: []v1alpha1.BondPort{{MAC: "nic2"}, {MAC: "nic0", Name: "port1"}}, Networks: []string{"storage"}, VLANs: []string{"tenant"},
				}},
			},
		},
		"preprovisioned": {
			HostName: "old-0", Site: read(site()), Addresses: addresses(),
			Config: &v1alpha1.NetworkConfig{
				Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}}},
				Bonds:     []v1alpha1.Bond{{Name: "bond0", Ports: []v1alpha1.BondPort{{Name: "eth1", MAC: "nic1"}}, VLANs: []string{"internalapi", "tenant"}}},
			},
		},
		"ipv6": {
			HostName: "r7-n00", Site: read(six), NICs: fourNICs(),
			Addresses: []v1alpha1.Address{{Network: "ctlplane", Subnet: "r7", Address: "fd00:122::100", DefaultRoute: true}},
		},
	}
}

func TestRender(t *testing.T) {
	for name, in := range goldenCases() {
		t.Run(name, func(t *testing.T) {
			got, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			doc, err := yaml.Marshal(map[string]any{"hash": got.Hash, "nmstate": got.NMState})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".nmstate.yaml", doc)
			if got.NetworkData != nil {
				golden(t, name+".network_data.json", append(got.NetworkData, '\n'))
			} else if name != "preprovisioned" {
				t.Error("no network_data although all MACs are known")
			}
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (go test -update writes it anew):\n%s", path, diff)
	}
}

func TestRenderRefuses(t *testing.T) {
	layout := func(c v1alpha1.NetworkConfig) func(*RenderInput) {
		return func(in *RenderInput) { in.Config = &c }
	}
	ethernets := func(list ...v1alpha1.Ethernet) func(*RenderInput) {
		return layout(v1alpha1.NetworkConfig{Ethernets: list})
	}
	bonds := func(list ...v1alpha1.Bond) func(*RenderInput) {
		return layout(v1alpha1.NetworkConfig{Bonds: list})
	}
	all := []string{"internalapi", "tenant"}
	cases := []struct {
		name   string
		change func(*RenderInput)
		want   string
	}{
		{"unknown network", func(in *RenderInput) { in.Addresses[0].Network = "x" }, `networks[].name "x" is not in the NetConfig`},
		{"malformed subnet", func(in *RenderInput) { in.Site = read(with(func(s *v1alpha1.Subnet) { s.CIDR = "x" })) }, `cidr "x" is not a network`},
		{"foreign address", func(in *RenderInput) { in.Addresses[0].Address = "10.0.0.1" }, "address on subnet r7 of network internalapi: 10.0.0.1 is outside 172.17.0.0/24"},
		{
			"default route without gateway", func(in *RenderInput) { in.Addresses[0].DefaultRoute, in.Addresses[1].DefaultRoute = true, false },
			"networks[internalapi].defaultRoute is true, but subnet r7 of network internalapi has no gateway: set its gateway in the NetConfig, or remove defaultRoute",
		},
		{"two default routes", func(in *RenderInput) {
			in.Addresses[0].DefaultRoute = true
			other := site()
			other.Networks[1].Subnets[0].Gateway = "172.17.0.1"
			in.Site = read(other)
		}, "networks[internalapi].defaultRoute and networks[ctlplane].defaultRoute are both true: keep one"},
		{
			"not inspected", func(in *RenderInput) { in.NICs = nil },
			"networkConfig is not set and nothing is known of the node's interfaces: list them in networkConfig.ethernets by name",
		},
		{"no control plane", func(in *RenderInput) { in.Addresses = in.Addresses[:1] }, "networks has no control-plane network"},
		{
			"no interface left", func(in *RenderInput) {
				in.NICs = in.NICs[:1]
				in.Addresses = append(in.Addresses, held("storage", "172.18.0.10"))
			},
			"no interface is left for network storage, which has no vlan (the host has eno10): give its subnet a vlan in the NetConfig, or set networkConfig",
		},
		{
			"nicN beyond", ethernets(v1alpha1.Ethernet{Name: "eth0", MAC: "nic4"}),
			"networkConfig.ethernets[eth0].mac nic4: the host has 4 interfaces, nic0 (eno1) to nic3 (ens3f0np0): use one of them",
		},
		{
			"nicN without inspection", func(in *RenderInput) { in.NICs = nil; ethernets(v1alpha1.Ethernet{Name: "eth0", MAC: "nic0"})(in) },
			"networkConfig.ethernets[eth0].mac nic0: nothing is known of the node's interfaces: pick the interface by name or MAC address",
		},
		{
			"unknown MAC", ethernets(v1alpha1.Ethernet{Name: "eth0", MAC: "52:54:00:FF:FF:FF"}),
			"networkConfig.ethernets[eth0].mac 52:54:00:FF:FF:FF: the host has no such interface (it has eno1 52:54:00:00:00:01, eno2 52:54:00:00:00:02, eno10 52:54:00:00:00:10, ens3f0np0 52:54:00:aa:00:03): correct it, or use nicN",
		},
		{"nameless port", func(in *RenderInput) {
			in.NICs = nil
			bonds(v1alpha1.Bond{Name: "bond0", Ports: []v1alpha1.BondPort{port("52:54:00:00:00:01")}})(in)
		}, "networkConfig.bonds[bond0].ports[0].name is not set and the host's interfaces are not known: name the interface"},
		{"unknown port", bonds(v1alpha1.Bond{Name: "bond0", Ports: []v1alpha1.BondPort{port("nic9")}}), "networkConfig.bonds[bond0].ports[0].mac nic9: the host has 4"},
		{
			"one name twice", ethernets(v1alpha1.Ethernet{Name: "eth0"}, v1alpha1.Ethernet{Name: "eth0"}),
			"networkConfig.ethernets[eth0] and networkConfig.ethernets[eth0] both use interface eth0: remove one",
		},
		{"one MAC twice", layout(v1alpha1.NetworkConfig{
			Ethernets: []v1alpha1.Ethernet{{Name: "eth0", MAC: "nic0"}}, Bonds: []v1alpha1.Bond{{Name: "bond0", Ports: []v1alpha1.BondPort{port("nic0")}}},
		}), "networkConfig.ethernets[eth0] and networkConfig.bonds[bond0].ports[0] both use interface 52:54:00:00:00:01: remove one"},
		{
			"bond named as a port", bonds(v1alpha1.Bond{Name: "eno1", Ports: []v1alpha1.BondPort{port("nic0")}}),
			"networkConfig.bonds[eno1].ports[0] and networkConfig.bonds[eno1] both use interface eno1: remove one",
		},
		{
			"network without address", ethernets(v1alpha1.Ethernet{Name: "eno1", Networks: []string{"storage"}}),
			"networkConfig.ethernets[eno1].networks lists storage, on which the node has no address: add it to networks, or remove it here",
		},
		{
			"VLAN without address", ethernets(v1alpha1.Ethernet{Name: "eno1", VLANs: []string{"storage"}}),
			"networkConfig.ethernets[eno1].vlans lists storage, on which the node has no address",
		},
		{
			"VLAN without tag", ethernets(v1alpha1.Ethernet{Name: "eno1", VLANs: []string{"ctlplane"}}),
			"networkConfig.ethernets[eno1].vlans lists ctlplane, but subnet r7 of network ctlplane has no vlan: set it in the NetConfig, or list it under networks",
		},
		{"nameserver of no family", func(in *RenderInput) {
			in.Addresses = in.Addresses[:2]
			in.Site = read(with(func(s *v1alpha1.Subnet) { s.Nameservers = append(s.Nameservers, "2001:db8::53") }))
		}, "nameserver 2001:db8::53 of subnet r7 of network ctlplane is IPv6, but none of the node's addresses is: take it out of the NetConfig, or give the node a network of that family"},
		{
			"placed twice", ethernets(v1alpha1.Ethernet{Name: "eno1", Networks: []string{"internalapi"}, VLANs: []string{"internalapi"}}),
			"networkConfig.ethernets[eno1].vlans lists internalapi, which eno1 carries already: remove one",
		},
		{"placed twice by bonds", bonds(
			v1alpha1.Bond{Name: "bond0", Ports: []v1alpha1.BondPort{port("nic0")}, VLANs: all},
			v1alpha1.Bond{Name: "bond1", Ports: []v1alpha1.BondPort{port("nic1")}, Networks: all}), "networkConfig.bonds[bond1].networks lists internalapi, which bond0.20 carries already: remove one"},
		{
			"placed nowhere", ethernets(v1alpha1.Ethernet{Name: "eno1", VLANs: all}),
			"networkConfig places network ctlplane nowhere: add it to the networks or vlans of an ethernet or bond",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := RenderInput{HostName: "r7-n00", Site: read(site()), NICs: fourNICs(), Addresses: addresses()}
			c.change(&in)
			_, err := Render(in)
			if err == nil || !strings.HasPrefix(err.Error(), "node r7-n00: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestFirstCard: without networkConfig the control plane goes on the card that reaches it, networks without a VLAN on others.
func TestFirstCard(t *testing.T) {
	nic := func(name, mac string, gbps int) hardware.NIC {
		return hardware.NIC{Name: name, MAC: mac, SpeedGbps: gbps}
	}
	down, fast, other := nic("eno1", "52:54:00:00:0a:01", 0), nic("ens1f0np0", "52:54:00:00:0a:02", 25), nic("ens1f1np1", "52:54:00:00:0a:03", 25)
	booted, addressed := other, other
	booted.Booted, addressed.Addressed = true, true
	cases := []struct {
		name string
		nics []hardware.NIC
		boot string
		want []string // that carry ctlplane, then storage
	}{
		{"no link on the first", []hardware.NIC{down, fast, other}, "", []string{fast.Name, other.Name}},
		{"boot MAC, however it is written", []hardware.NIC{down, fast, other}, "52:54:00:00:0A:03", []string{other.Name, fast.Name}},
		{"boot card without a link", []hardware.NIC{down, fast, other}, down.MAC, []string{fast.Name, other.Name}},
		{"PXE seen", []hardware.NIC{down, fast, booted}, "", []string{other.Name, fast.Name}},
		{"an address seen, in the second entry of the card", []hardware.NIC{down, other, fast, addressed}, "", []string{other.Name, fast.Name}},
		{"boot MAC before PXE", []hardware.NIC{down, fast, booted}, fast.MAC, []string{fast.Name, other.Name}},
		{"links not known", []hardware.NIC{nic("eth1", "52:54:00:00:0a:04", 0), nic("eth0", "52:54:00:00:0a:05", 0)}, "", []string{"eth0", "eth1"}},
		{"links not known, boot MAC is", []hardware.NIC{nic("eth1", "52:54:00:00:0a:04", 0), nic("eth0", "52:54:00:00:0a:05", 0)}, "52:54:00:00:0a:04", []string{"eth1", "eth0"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := RenderInput{HostName: "n", Site: read(site()), NICs: c.nics, BootMAC: c.boot, Addresses: append(addresses()[1:2], held("storage", "172.18.0.10"))}
			got, err := Render(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, []string{bearer(got, "192.168.122.100"), bearer(got, "172.18.0.10")}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// bearer is the interface that carries an address.
func bearer(r Rendered, address string) string {
	for _, one := range readDocument(r.NMState).prefixes {
		if one.prefix.Addr().String() == address {
			return one.name
		}
	}
	return ""
}

// TestLongNames: a VLAN's name fits whatever its card is called, depends on nothing but the host's cards, and is the one that
// cloud-init makes where the network is up before configure-network.
func TestLongNames(t *testing.T) {
	render := func(spec v1alpha1.NetConfigSpec, cards ...string) Rendered {
		t.Helper()
		in := RenderInput{HostName: "n", Site: read(spec), Addresses: addresses()}
		for i, name := range cards {
			in.NICs = append(in.NICs, hardware.NIC{Name: name, MAC: fmt.Sprintf("52:54:00:00:00:%02x", i)})
		}
		in.Config = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: cards[0], VLANs: []string{"internalapi", "tenant"}}}}
		if spec.Networks[0].Subnets[0].VLAN == nil {
			in.Config.Ethernets[0].Networks = []string{"ctlplane"}
		} else {
			in.Config.Ethernets[0].VLANs = append(in.Config.Ethernets[0].VLANs, "ctlplane")
		}
		r, err := Render(in)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := render(site(), "enp129s0f0np0", "enp130s0f0np0")
	if a, b := bearer(r, "172.17.0.100"), bearer(r, "fd00:22::100"); a != "enp129s0f0.20" || b != "enp129s0f0.22" {
		t.Errorf("called %s and %s", a, b)
	}
	if strings.Contains(string(r.NetworkData), `"vlan"`) {
		t.Errorf("cloud-init would call these VLANs enp129s0f0np0.20:\n%s", r.NetworkData)
	}
	r = render(site(), "enp129s0f0np0", "enp129s0f0np1")
	name := bearer(r, "172.17.0.100")
	if len(name) > maxName || !strings.HasPrefix(name, "enp1") || strings.HasPrefix(name, "enp129s0f0") || !strings.HasSuffix(name, ".20") {
		t.Errorf("two ports of one function: called %s", name)
	}
	tagged := with(func(s *v1alpha1.Subnet) { s.VLAN = new(int32(4094)) })
	r = render(tagged, "enp129s0f0np0")
	if got := bearer(r, "192.168.122.100"); got != "enp129s0f0.4094" {
		t.Errorf("the control plane is on %s", got)
	}
	var first metadata
	if err := json.Unmarshal(r.NetworkData, &first); err != nil {
		t.Fatal(err)
	}
	for _, link := range first.Links {
		if link.Type == "vlan" && link.VLANID == 4094 && link.VLANLink != "enp129s0f0" {
			t.Errorf("cloud-init would call it %s.4094", link.VLANLink)
		}
		if link.Type == "phy" && (link.ID != "enp129s0f0" || link.Name != "enp129s0f0np0") {
			t.Errorf("the card is %s, %s", link.ID, link.Name)
		}
	}
}

// TestServersByFamily: nmstate refuses servers of one family in the middle of those of the other.
func TestServersByFamily(t *testing.T) {
	spec := site()
	spec.Networks[2].Subnets[0].Nameservers = []string{"fd00:22::53", "192.168.122.90", "fd00:22::54"}
	in := RenderInput{HostName: "n", Site: read(spec), NICs: fourNICs(), Addresses: addresses()}
	got, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	want := []any{"192.168.122.80", "192.168.122.81", "192.168.122.90", "fd00:22::53", "fd00:22::54"}
	if diff := cmp.Diff(want, section(section(got.NMState, "dns-resolver"), "config")["server"]); diff != "" {
		t.Error(diff)
	}
}

func TestNothingToLayOut(t *testing.T) {
	got, err := Render(RenderInput{HostName: "n", Site: read(site())})
	if diff := cmp.Diff(map[string]any{"interfaces": []any{}}, got.NMState); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestLiteralMACWithoutInspection(t *testing.T) {
	in := RenderInput{
		HostName: "n", Site: read(site()), Addresses: addresses()[1:2],
		Config: &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", MAC: "52:54:00:AB:00:01", Networks: []string{"ctlplane"}}}},
	}
	got, err := Render(in)
	if err != nil || !strings.Contains(string(got.NetworkData), `"52:54:00:ab:00:01"`) {
		t.Errorf("%s %v", got.NetworkData, err)
	}
}

func TestInterfacesAreOrderedAsPeopleCount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := []string{"", "a", "enp1s0", "enp1s0f0", "enp1s0f1", "enp2s0", "enp10s0", "eth01", "eth1", "eth2", "eth10", "eth10a"}
		var nics []hardware.NIC
		for _, name := range rapid.Permutation(want).Draw(t, "shuffled") {
			nics = append(nics, hardware.NIC{Name: name, MAC: "x"})
		}
		var got []string
		for _, nic := range sortNICs(nics) {
			got = append(got, nic.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestRenderDoesNotDependOnOrder: neither inspection's nor the plan's order may change a node's hash.
func TestRenderDoesNotDependOnOrder(t *testing.T) {
	in := goldenCases()["bond"]
	want, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		shuffled := in
		shuffled.NICs = rapid.Permutation(in.NICs).Draw(t, "NICs")
		got, err := Render(shuffled)
		if err != nil || got.Hash != want.Hash {
			t.Fatalf("%v %v", got.Hash, err)
		}
	})
}

// TestDocumentIsPlainJSON: whoever copies or compares the document expects what a JSON decoder gives.
func TestDocumentIsPlainJSON(t *testing.T) {
	got, err := Render(goldenCases()["default"])
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(got.NMState)
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := yaml.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || !slices.Equal(data, again) {
		t.Errorf("%s\n%s\n%v", data, again, err)
	}
}

func BenchmarkRender(b *testing.B) {
	in := goldenCases()["bond"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Render(in); err != nil {
			b.Fatal(err)
		}
	}
}

// TestNamesOfABMCStayThere: the name by which Redfish knows an interface is put on none of Linux.
func TestNamesOfABMCStayThere(t *testing.T) {
	in := RenderInput{
		HostName: "n", Site: read(site()), Addresses: addresses()[1:2],
		NICs: []hardware.NIC{{Name: "NIC.Integrated.1-1-1", MAC: "52:54:00:00:00:01"}, {Name: "NIC4", MAC: "52:54:00:00:00:02"}},
	}
	bond := func(name string) *v1alpha1.NetworkConfig {
		return &v1alpha1.NetworkConfig{Bonds: []v1alpha1.Bond{{Name: "bond0", Ports: []v1alpha1.BondPort{{Name: name, MAC: "nic1"}}, Networks: []string{"ctlplane"}}}}
	}
	for _, config := range []*v1alpha1.NetworkConfig{nil, bond("")} {
		in.Config = config
		if _, err := Render(in); err == nil || !strings.Contains(err.Error(), "spec.inspectionMode: agent") || !strings.Contains(err.Error(), "networkConfig.ethernets") {
			t.Errorf("the name of a BMC is refused with the remedy, not: %v", err)
		}
	}
	in.Config = bond("eno2")
	got, err := Render(in)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := json.Marshal(got.NMState)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(doc); strings.Contains(text, "NIC") || !strings.Contains(text, "eno2") {
		t.Errorf("the port has the name that the user gave it: %s", text)
	}
}
