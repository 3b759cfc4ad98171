package plan

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

const described = `
keystone: {auth_url: "https://keystone.example.com/v3"}
nova: {transport_url: "rabbit://nova:pa%40ss@192.0.2.6:5672,nova:x@192.0.2.5/nova"}
metadata: {host: 192.0.2.7}
ovn: {southbound: ["tcp:192.0.2.5:6642", "tcp:[2001:db8::1]:6642"]}
`

// adopting is a set of one node with the services ovn and nova and the given files.
func adopting(vars string, files map[string]string) (Set, *v1alpha1.DataPlaneNode) {
	node := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: "site", Name: "a"}}
	node.Spec = v1alpha1.DataPlaneNodeSpec{HostName: "a", Networks: []v1alpha1.Address{
		{Network: "ctlplane", Subnet: "s", Address: "192.0.2.50"}, {Network: "tenant", Subnet: "s", Address: "198.51.100.50"},
	}}
	set := &v1alpha1.NodeSet{ObjectMeta: metav1.ObjectMeta{Namespace: "site", Name: "rack"}}
	set.Spec.PreProvisioned, set.Spec.Services = true, []string{"ovn", "custom", "neutron-metadata"}
	set.Spec.NodeTemplate.Ansible.AnsibleVars = map[string]apiextensionsv1.JSON{}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(vars), &raw); err != nil {
		panic(err) // the test's own text
	}
	for name, value := range raw {
		set.Spec.NodeTemplate.Ansible.AnsibleVars[name] = apiextensionsv1.JSON{Raw: value}
	}
	data := map[string][]byte{}
	for name, content := range files {
		data[name] = []byte(content)
	}
	site, _ := network.NewSite(v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{{Name: "ctlplane", DNSDomain: "example.com"}, {Name: "tenant"}}})
	return Set{
		NodeSet:  set,
		Site:     site,
		Services: []rollout.Service{{Name: "ovn", Type: "ovn", Data: data}, {Name: "custom", Type: "nova", Data: data}},
	}, node
}

func TestAdoptionOfADescribedCloud(t *testing.T) {
	t.Parallel()
	now := time.Unix(1, 0)
	set, node := adopting(`{
		"edpm_ovn_bridge_mappings": ["datacentre:br-ex"], "edpm_nova_allow_qemu": true, "edpm_kernel_args": "hugepages=8 iommu=pt",
		"edpm_bootstrap_repos": [{"name": "main", "url": "http://192.0.2.1/repo", "suites": ["./"]}, {"name": "far", "url": "{{ mirror }}"}]
	}`, map[string]string{"control-plane.yaml": described})
	got := set.Adoption(node, "", now)
	want := adoption.Wanted{
		HostName: "a.example.com", Now: now, Services: []string{"ovn", "nova", "neutron-metadata"}, Addresses: []string{"192.0.2.50", "198.51.100.50"},
		Encapsulation: "198.51.100.50", BridgeMappings: []string{"datacentre:br-ex"}, Emulation: true, KernelArguments: []string{"hugepages=8", "iommu=pt"},
		Southbound: []string{"tcp:192.0.2.5:6642", "tcp:[2001:db8::1]:6642"}, Transport: []string{"192.0.2.5:5672", "192.0.2.6:5672"},
	}
	if diff := cmp.Diff(want, got, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Endpoints" }, cmp.Ignore())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEndpointsOfACloud(t *testing.T) {
	t.Parallel()
	// One variable that is a template hides itself, not the others.
	set, node := adopting(`{"edpm_bootstrap_repos": [{"name": "main", "url": "http://192.0.2.1/repo"}], "edpm_kernel_args": 7}`, map[string]string{"control-plane.yaml": described})
	got := set.Adoption(node, "", time.Unix(1, 0))
	want := []adoption.Endpoint{
		{Name: "package repository main", Address: "192.0.2.1:80", Early: true},
		{Name: "OVN's southbound database", Address: "192.0.2.5:6642"},
		{Name: "OVN's southbound database", Address: "[2001:db8::1]:6642"},
		{Name: "Keystone", Address: "keystone.example.com:443"},
		{Name: "Nova's message bus", Address: "192.0.2.5:5672"},
		{Name: "Nova's message bus", Address: "192.0.2.6:5672"},
		{Name: "Nova's metadata service", Address: "192.0.2.7:8775"},
	}
	if diff := cmp.Diff(want, got.Endpoints); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	set.NodeSet.Spec.Services = []string{"bootstrap"}
	if got = set.Adoption(node, "", time.Unix(1, 0)); len(got.Endpoints) != 1 {
		t.Errorf("base services connect to %v", got.Endpoints)
	}
}

func TestASwitchInAnyForm(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{`true`: true, `"true"`: true, `"Yes"`: true, `1`: true, `"{{ emulated }}"`: true, `false`: false, `"no"`: false, `null`: false} {
		set, node := adopting(`{"edpm_nova_allow_qemu": `+raw+`}`, nil)
		if got := set.Adoption(node, "", time.Unix(1, 0)); got.Emulation != want {
			t.Errorf("%s: %v", raw, got.Emulation)
		}
	}
}

func TestAnEmptyTransportIsNotTheNextLine(t *testing.T) {
	t.Parallel()
	set, node := adopting(`{}`, map[string]string{"01-nova.conf": "[DEFAULT]\ntransport_url =\nconnection=mysql://nova:secret@192.0.2.9/nova\n"})
	if got := set.Adoption(node, "", time.Unix(1, 0)); got.Transport != nil {
		t.Errorf("%v", got.Transport)
	}
}

func TestRHOSOsObjectsAndTheSetsOwnWordWin(t *testing.T) {
	t.Parallel()
	set, node := adopting(`{}`, map[string]string{
		"control-plane.yaml": described,
		"ovsdb-config":       "ovn-remote: \"ssl:203.0.113.1:6642,ssl:203.0.113.2:6642\"\novn-encap-type: geneve\n",
		"01-nova.conf":       "[DEFAULT]\n# transport_url = rabbit://no\ntransport_url=rabbit://default:secret@203.0.113.5:5671/?ssl=1\n",
	})
	got := set.Adoption(node, "", time.Unix(1, 0))
	if diff := cmp.Diff([]string{"ssl:203.0.113.1:6642", "ssl:203.0.113.2:6642"}, got.Southbound); diff != "" {
		t.Errorf("%s", diff)
	}
	if diff := cmp.Diff([]string{"203.0.113.5:5671"}, got.Transport); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(got)
	for _, word := range []string{"secret", "pa%40ss", "default:"} {
		if err != nil || strings.Contains(string(text), word) {
			t.Errorf("credentials in %s, %v", text, err)
		}
	}
}
