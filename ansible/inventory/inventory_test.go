package inventory

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

var update = flag.Bool("update", false, "write the golden files anew")

func nets() network.Site {
	site, _ := network.NewSite(spec())
	return site
}

func spec() v1alpha1.NetConfigSpec {
	return v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
		{Name: "ctlplane", DNSDomain: "ctlplane.example.com", Subnets: []v1alpha1.Subnet{{
			Name: "r7", CIDR: "192.168.122.0/24", Gateway: "192.168.122.1", Nameservers: []string{"192.168.122.80"},
			Routes: []v1alpha1.Route{{Destination: "10.8.0.0/16", Nexthop: "192.168.122.254"}},
		}}},
		{Name: "InternalApi", DNSDomain: "internalapi.example.com", MTU: 9000, Subnets: []v1alpha1.Subnet{{Name: "r7", CIDR: "172.17.0.0/24", VLAN: new(int32(20))}}},
		{Name: "leaf", ServiceNetwork: "storage-mgmt", Subnets: []v1alpha1.Subnet{{Name: "r7", CIDR: "fd00:19::/64", Gateway: "fd00:19::1"}}},
	}}
}

func raw(values map[string]string) map[string]apiextensionsv1.JSON {
	out := map[string]apiextensionsv1.JSON{}
	for k, v := range values {
		out[k] = apiextensionsv1.JSON{Raw: []byte(v)}
	}
	return out
}

func key(name string) string { return "ssh-ed25519 AAAAC3" + name + " root@" + name }

func set() Set {
	first := Node{
		Name: "r7-n00", HostName: "r7-n00", HostKeys: []string{key("n00")},
		Addresses: []v1alpha1.Address{
			{Network: "ctlplane", Subnet: "r7", Address: "192.168.122.100", DefaultRoute: true},
			{Network: "InternalApi", Subnet: "r7", Address: "172.17.0.100"},
		},
		NMState: map[string]any{"interfaces": []any{map[string]any{"name": "eno1", "mtu": int64(1500), "ipv4": map[string]any{"enabled": true}}}}, NetworkHash: "0123456789abcdef",
	}
	second := Node{
		Name: "old", HostName: "old.site.example.com", HostKeys: []string{key("old"), "garbage", "ssh-rsa AAAAB3 x"},
		Addresses: []v1alpha1.Address{
			{Network: "leaf", Subnet: "r7", Address: "fd00:19::7", DefaultRoute: true}, {Network: "ctlplane", Subnet: "r7", Address: "192.168.122.101"},
		},
		Section: v1alpha1.NodeSection{
			Networks: []v1alpha1.NodeNetwork{{Name: "ctlplane"}, {Name: "leaf"}},
			Ansible: v1alpha1.AnsibleOptions{
				AnsibleUser: "root", AnsibleHost: "10.0.0.7", AnsiblePort: 2222,
				AnsibleVars: raw(map[string]string{"edpm_sshd_allowed_ranges": `["10.0.0.0/8"]`, "ctlplane_ip": `"192.168.122.101"`, "dns_search_domains": `["mine"]`}),
			},
		},
	}
	nodes := []Node{first, second, {Name: "r7-n01", HostName: "r7-n01"}}
	return Set{
		Name: "rack7",
		Template: v1alpha1.NodeTemplate{
			Networks: []v1alpha1.NodeNetwork{{Name: "ctlplane"}, {Name: "InternalApi"}, {Name: "gone"}},
			Ansible: v1alpha1.AnsibleOptions{AnsiblePort: 22, AnsibleVars: raw(map[string]string{
				"edpm_sshd_allowed_ranges": `["192.168.122.0/24"]`, "edpm_ovn_bridge_mappings": `["datacentre:br-ex"]`,
				"mode": `"0600"`, "time": `"12:30"`, "yes": `"yes"`, "big": `12345678901234567890`, "rate": `1e5`, "half": `0.50`, "nothing": `null`, "on_": `true`,
				"nested": `{"a b": [1, {"x": "1_000"}], "0600": "10.0.0.1"}`, "management_network": `"ctlplane"`, "evaluated": `"{{ ctlplane_ip }}"`, "text": `"line\nline: #\u0007\u2028 é"`,
			})},
		},
		Services: []string{"bootstrap", "custom-nova"}, ServiceTypes: map[string]string{"custom-nova": "nova"},
		Site: nets(), Nodes: nodes, KnownHosts: KnownHosts(nets(), nodes),
	}
}

// build makes an inventory without problems.
func build(t interface {
	Helper()
	Fatal(args ...any)
}, s Set,
) Inventory {
	t.Helper()
	inv, problems, err := Build(s)
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	return inv
}

func TestInventoryYAML(t *testing.T) {
	inv := build(t, set())
	got, err := inv.YAML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "inventory.yaml")
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

// TestKnownHostsAreAddedToTheText: the text of an inventory that was written without host keys becomes the one with them, also where
// none is left or the inventory spreads none.
func TestKnownHostsAreAddedToTheText(t *testing.T) {
	inv, hosts := build(t, set()), set().KnownHosts
	nobody := Set{Name: "rack7", Site: nets()}
	silent := Inventory{Group: "rack7", GroupVars: map[string]any{"a": "edpm_known_hosts: []\n    edpm_known_hosts: []\n"}, Hosts: inv.Hosts}
	for name, c := range map[string]struct {
		inv   Inventory
		hosts []KnownHost
	}{"some": {inv, hosts}, "none": {build(t, nobody), nil}, "not spread": {silent, hosts}} {
		want, err := c.inv.YAML()
		if err != nil {
			t.Fatal(err)
		}
		bare, err := c.inv.WithoutKnownHosts().YAML()
		if err != nil {
			t.Fatal(err)
		}
		got, err := AddKnownHosts(bare, c.hosts)
		if diff := cmp.Diff(string(want), string(got)); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if has := bytes.Contains(bare, []byte("AAAAC3n00")); has {
			t.Errorf("%s: written without keys it has one", name)
		}
	}
}

func TestPrecedence(t *testing.T) {
	inv := build(t, set())
	old, n00, n01 := inv.Hosts[0].Vars, inv.Hosts[1].Vars, inv.Hosts[2].Vars
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"login default", inv.GroupVars["ansible_user"], "cloud-admin"},
		{"node's login", old["ansible_user"], "root"},
		{"node's port", old["ansible_port"], int64(2222)},
		{"node's variable", old["edpm_sshd_allowed_ranges"], []any{Template("10.0.0.0/8")}},
		{"what is computed is data though a user says it too", old["ctlplane_ip"], "192.168.122.101"},
		{"search domains are the user's", old["dns_search_domains"], []any{Template("mine")}},
		{"computed search domains", n00["dns_search_domains"], []any{"ctlplane.example.com", "internalapi.example.com"}},
		{"host is the ctlplane address", n00["ansible_host"], "192.168.122.100"},
		{"unless one is given", old["ansible_host"], "10.0.0.7"},
		{"no address, no host", n01["ansible_host"], nil},
		{"no rendered network", n01["edpm_network_config_nmstate"], nil},
		{"short name gets the domain", n00["canonical_hostname"], "r7-n00.ctlplane.example.com"},
		{"full name keeps its own", old["canonical_hostname"], "old.site.example.com"},
		{"without an address there is no domain", n01["canonical_hostname"], "r7-n01"},
		{"names follow the role", old["storage_mgmt_ip"], "fd00:19::7"},
		{"IPv6 default route", old["storage_mgmt_host_routes"], []any{map[string]any{"destination": "::/0", "nexthop": "fd00:19::1"}}},
		{"node's networks", old["nodeset_networks"], []any{"leaf"}},
		{"types", inv.GroupVars["edpm_service_types"], []any{"bootstrap", "nova"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestTemplateVariablesBeatComputedDNS(t *testing.T) {
	s := set()
	s.Template.Ansible.AnsibleUser = "stack"
	s.Template.Ansible.AnsibleVars["ctlplane_dns_nameservers"] = apiextensionsv1.JSON{Raw: []byte(`["9.9.9.9"]`)}
	inv := build(t, s)
	if _, computed := inv.Hosts[1].Vars["ctlplane_dns_nameservers"]; computed || inv.GroupVars["ansible_user"] != "stack" {
		t.Errorf("%v", inv)
	}
}

func TestManagementNetworkFallsBack(t *testing.T) {
	inv := build(t, Set{Name: "s"})
	if inv.GroupVars["management_network"] != "ctlplane" {
		t.Errorf("%v", inv)
	}
}

func TestBuildRefuses(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Set)
		node   string // whose own problem it is; "" is the set's
		want   string
	}{
		{"set's variable", func(s *Set) { s.Template.Ansible.AnsibleVars = raw(map[string]string{"x": "{"}) }, "", "spec.nodeTemplate.ansible.ansibleVars[x] is not JSON: unexpected EOF: correct the value"},
		{"node's variable", func(s *Set) { s.Nodes[1].Section.Ansible.AnsibleVars = raw(map[string]string{"x": "1 2"}) }, "old", "spec.nodes[old].ansible.ansibleVars[x] is not JSON: more follows after the value: correct the value"},
		{"network", func(s *Set) { s.Nodes[0].Addresses[0].Network = "x" }, "r7-n00", `node r7-n00: networks[].name "x" is not in the NetConfig`},
		{"cidr", func(s *Set) {
			wrong := spec()
			wrong.Networks[0].Subnets[0].CIDR = "x"
			s.Site, _ = network.NewSite(wrong)
		}, "r7-n00", `node r7-n00: subnet r7 of network ctlplane: cidr "x" is not a network: write it as`},
		{"set's login", func(s *Set) { s.Template.Ansible.AnsibleUser = "-oProxyCommand=x" }, "", "spec.nodeTemplate.ansible.ansibleUser"},
		{"node's address", func(s *Set) { s.Nodes[1].Section.Ansible.AnsibleHost = "*" }, "old", "spec.nodes[old].ansible.ansibleHost"},
		{
			"set's variable without effect on a node", func(s *Set) {
				s.Template.Ansible.AnsibleVars["internalapi_mtu"] = apiextensionsv1.JSON{Raw: []byte("1500")}
			}, "r7-n00",
			"node r7-n00: spec.nodeTemplate.ansible.ansibleVars[internalapi_mtu] says otherwise than the networks and services of the NodeSet do (9000): remove it",
		},
		{
			"node's variable without effect", func(s *Set) {
				s.Nodes[1].Section.Ansible.AnsibleVars["ctlplane_ip"] = apiextensionsv1.JSON{Raw: []byte(`"192.0.2.1"`)}
			}, "old",
			"spec.nodes[old].ansible.ansibleVars[ctlplane_ip] says otherwise than the networks and services of the NodeSet do (192.168.122.101): remove it",
		},
		{
			"group's variable without effect", func(s *Set) {
				s.Template.Ansible.AnsibleVars["management_network"] = apiextensionsv1.JSON{Raw: []byte(`"lan"`)}
			}, "",
			"spec.nodeTemplate.ansible.ansibleVars[management_network] says otherwise",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := set()
			c.change(&s)
			inv, problems, err := Build(s)
			if c.node != "" {
				if err != nil || slices.ContainsFunc(inv.Hosts, func(h Host) bool { return h.Name == c.node }) || len(inv.Hosts) == 0 {
					t.Errorf("%v; want the other nodes alone: %v", err, inv.Hosts)
				}
				err = problems[c.node]
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestNumbersAndTextsThatAreTheSameAgree: RHOSO manifests say "24" where the inventory says 24.
func TestNumbersAndTextsThatAreTheSameAgree(t *testing.T) {
	s := set()
	maps.Copy(s.Template.Ansible.AnsibleVars, raw(map[string]string{"internalapi_cidr": `"24"`, "internalapi_mtu": `9000`, "internalapi_host_routes": `[]`, "tenant_mtu": `1500`}))
	if got := build(t, s).Hosts[1].Vars["internalapi_cidr"]; got != int64(24) {
		t.Errorf("internalapi_cidr is %v", got)
	}
}

func TestForeignValueIsRefused(t *testing.T) {
	bad := map[string]any{"a": []any{map[string]any{"b": 1.5}}}
	for _, inv := range []Inventory{{Group: "g", GroupVars: bad}, {Group: "g", Hosts: []Host{{Name: "h", Vars: bad}}}} {
		if _, err := inv.YAML(); err == nil || !strings.Contains(err.Error(), "a: b: a variable holds a float64, which is no JSON value") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLimit(t *testing.T) {
	inv := build(t, set())
	got := inv.Limit(map[string]bool{"r7-n01": true, "old": true, "stranger": true})
	if len(got.Hosts) != 2 || got.Hosts[0].Name != "old" || got.Hosts[1].Name != "r7-n01" || got.Group != "rack7" || len(got.GroupVars) != len(inv.GroupVars) {
		t.Errorf("%+v", got)
	}
}

func TestKnownHosts(t *testing.T) {
	got := string(KnownHostsFile(KnownHosts(nets(), set().Nodes)))
	want := "old ssh-ed25519 AAAAC3old\n" +
		"old ssh-rsa AAAAB3\n" +
		"r7-n00 ssh-ed25519 AAAAC3n00\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestKnownNamesAreDecidedOnes: what is spread to nodes holds host names and allocated addresses, and no name of another node.
func TestKnownNamesAreDecidedOnes(t *testing.T) {
	held := func(address string) []v1alpha1.Address {
		return []v1alpha1.Address{{Network: "ctlplane", Subnet: "r7", Address: address}}
	}
	at := func(host string) v1alpha1.NodeSection {
		return v1alpha1.NodeSection{Ansible: v1alpha1.AnsibleOptions{AnsibleHost: host}}
	}
	nodes := []Node{
		{Name: "evil", HostName: "evil", HostKeys: []string{key("evil")}, Section: at("*")},
		{Name: "thief", HostName: "victim.ctlplane.example.com", HostKeys: []string{key("thief")}, Addresses: held("192.168.122.102"), Section: at("x\n* " + key("thief"))},
		{Name: "victim", HostName: "victim", HostKeys: []string{key("victim")}, Addresses: held("192.168.122.100")},
		{Name: "long", HostName: "long", HostKeys: []string{key("long")}, Addresses: []v1alpha1.Address{{Network: "leaf", Subnet: "r7", Address: "fd00:19:0:0::0007"}}},
		{Name: "twin", HostName: "a.example.com", HostKeys: []string{key("twin")}},
		{Name: "twin2", HostName: "a.example.com", HostKeys: []string{key("twin2")}},
	}
	got := map[string]string{}
	for _, k := range KnownHosts(nets(), nodes) {
		got[k.Node] = strings.Join(k.Names, " ")
	}
	want := map[string]string{
		"evil": "evil", "thief": "192.168.122.102", "victim": "192.168.122.100 victim", "long": "fd00:19::7 long", "twin": "", "twin2": "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, entry := range knownHosts(KnownHosts(nets(), nodes)) {
		if known, ok := entry.(map[string]any); !ok || cmp.Equal(known["names"], []any{}) {
			t.Error("a key is spread under no name")
		}
	}
}

func TestInventoryDoesNotDependOnOrder(t *testing.T) {
	s := set()
	want := build(t, s)
	rapid.Check(t, func(t *rapid.T) {
		shuffled := s
		shuffled.Nodes = rapid.Permutation(s.Nodes).Draw(t, "nodes")
		shuffled.KnownHosts = KnownHosts(nets(), shuffled.Nodes)
		got := build(t, shuffled)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// anyJSON draws a JSON value of some depth, with the strings and numbers that YAML 1.1 reads differently.
func anyJSON(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.String().AsAny(),
		rapid.SampledFrom([]any{"0600", "12345abc", "10.0.0.1", "52:54:00:aa:bb:cc", "1_000", "yes", "NO", "~", "", "null", "1e5", ".5", "0x10", "2026-01-01", "=", "<<", "- a", "{{ x }}", "a: b", "#", "\u0085\u2028\x00\x7f", "!!int 1"}),
		rapid.Map(rapid.StringMatching(`-?(0|[1-9]\d{0,25})(\.\d{1,20})?([eE][-+]?\d{1,3})?`), func(s string) any { return json.Number(s) }),
	}
	if depth > 0 {
		leaves = append(leaves, rapid.SliceOfN(anyJSON(depth-1), 0, 4).AsAny(), rapid.MapOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"y", "on", "null", "true", "e1", "a-b", "x_1", strings.Repeat("long key ", 200)})), anyJSON(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(leaves...)
}

// TestUserVariablesSurvive: what a user writes as JSON is what YAML 1.1 and 1.2 readers see, in type and spelling.
func TestUserVariablesSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value, err := json.Marshal(anyJSON(3).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		s := Set{Name: "s", Template: v1alpha1.NodeTemplate{Ansible: v1alpha1.AnsibleOptions{AnsibleVars: map[string]apiextensionsv1.JSON{"user": {Raw: value}}}}}
		inv := build(t, s)
		out, err := inv.YAML()
		if err != nil {
			t.Fatal(err)
		}
		var doc struct {
			S struct{ Vars map[string]yaml.Node }
		}
		if err := yaml.Unmarshal(out, &doc); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		user := doc.S.Vars["user"]
		got, err := json.Marshal(plain(t, &user))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(value) {
			t.Fatalf("wrote %s, read %s from\n%s", value, got, out)
		}
	})
}

// plain reads a YAML node as a YAML 1.1 reader would, and fails where 1.1 and 1.2 might differ.
func plain(t *rapid.T, n *yaml.Node) any {
	switch n.Kind {
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, plain(t, c))
		}
		return out
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			name, ok := plain(t, n.Content[i]).(string)
			if !ok {
				t.Fatalf("key %s is no string", n.Content[i].Value)
			}
			out[name] = plain(t, n.Content[i+1])
		}
		return out
	case yaml.DocumentNode, yaml.AliasNode, yaml.ScalarNode:
	}
	tagged := n.Style&yaml.TaggedStyle != 0
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return n.Value
	case integer.MatchString(n.Value) || yamlFloat.MatchString(n.Value) || (tagged && n.Tag == "!!float"):
		return json.Number(n.Value)
	case n.Value == "null":
		return nil
	case slices.Contains([]string{"true", "false"}, n.Value):
		return n.Value == "true"
	case plainKey.MatchString(n.Value) && !slices.Contains([]string{"y", "n", "yes", "no", "on", "off"}, n.Value):
		return n.Value
	}
	t.Fatalf("%q may mean several things", n.Value)
	return nil
}

// thousand is the set with 1,000 nodes.
func thousand() Set {
	s := set()
	s.Nodes = slices.Repeat(s.Nodes[:1], 1000)
	for i := range s.Nodes {
		s.Nodes[i].Name = fmt.Sprintf("n%04d", i)
	}
	s.KnownHosts = KnownHosts(s.Site, s.Nodes)
	return s
}

func BenchmarkBuild1000(b *testing.B) {
	s := thousand()
	b.ReportAllocs()
	for b.Loop() {
		build(b, s)
	}
}

func BenchmarkYAML1000(b *testing.B) {
	inv := build(b, thousand())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inv.YAML(); err != nil {
			b.Fatal(err)
		}
	}
}
