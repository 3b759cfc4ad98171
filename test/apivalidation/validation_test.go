package apivalidation

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// Minimal valid objects; each test case changes one of them.
var minimal = map[string]string{
	"NodeSet": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: rack7, namespace: default}
spec:
  replicas: 1
  hostNameTemplate: r7-n%02d
  image: {url: "https://images.example.com/edpm.qcow2", checksum: "https://images.example.com/edpm.qcow2.sha256"}
  nodeTemplate: {ansibleSSHPrivateKeySecret: rack7-ssh}
`,
	"PreProvisioned": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: old, namespace: default}
spec:
  preProvisioned: true
  nodes:
    compute-0: {ansible: {ansibleHost: 192.168.122.100}, sshHostKeys: ["ssh-ed25519 AAAA"]}
  nodeTemplate: {ansibleSSHPrivateKeySecret: old-ssh}
`,
	"DataPlaneNode": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneNode
metadata: {name: r7-n00, namespace: default}
spec: {hostName: r7-n00}
`,
	"DataPlaneService": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneService
metadata: {name: bootstrap, namespace: default}
spec: {playbook: osp.edpm.bootstrap}
`,
	"DataPlaneDeployment": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneDeployment
metadata: {name: rack7-1, namespace: default}
spec: {nodeSet: rack7}
`,
	"AddressBlock": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: AddressBlock
metadata: {name: 10.0.0.0-24, namespace: default}
spec: {cidr: 10.0.0.0/24, holders: [{address: 10.0.0.10, node: r7-n00, uid: a, state: Held}]}
`,
	"HostClaimPolicy": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: HostClaimPolicy
metadata: {name: lend, namespace: default}
spec: {namespaces: [openstack]}
`,
	"BareMetalHost": `
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: h, namespace: default}
spec: {online: false}
`,
	"NetConfig": `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NetConfig
metadata: {name: site, namespace: default}
spec:
  networks:
  - name: ctlplane
    subnets: [{name: r7, cidr: 192.168.122.0/24}]
`,
}

// object returns the minimal object of that name with the changes merged in: maps are merged, null removes, all else replaces.
func object(t *testing.T, name, changes string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(minimal[name]), &u.Object); err != nil {
		t.Fatal(err)
	}
	var patch map[string]any
	if err := yaml.Unmarshal([]byte(changes), &patch); err != nil {
		t.Fatal(err)
	}
	merge(u.Object, patch)
	return u
}

func merge(into, patch map[string]any) {
	for key, value := range patch {
		inner, ok := value.(map[string]any)
		have, both := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case ok && both:
			merge(have, inner)
		case ok:
			into[key] = maps.Clone(inner)
		default:
			into[key] = value
		}
	}
}

func newClient(t *testing.T) client.Client {
	t.Helper()
	c, err := client.New(cluster.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create asks the API server for a full check that stores nothing.
func create(t *testing.T, c client.Client, u *unstructured.Unstructured) error {
	t.Helper()
	return c.Create(t.Context(), u, client.DryRunAll, client.FieldValidation("Strict"))
}

func TestAccepted(t *testing.T) {
	c := newClient(t)
	cases := map[string][2]string{
		"sample of the design":         {"NodeSet", sampleNodeSet},
		"policy with a selector":       {"HostClaimPolicy", "spec: {hostSelector: {matchLabels: {rack: r7}, matchExpressions: [{key: bad, operator: DoesNotExist}]}}"},
		"network sample":               {"NetConfig", sampleNetConfig},
		"no nodes yet":                 {"NodeSet", "spec: {replicas: 0}"},
		"explicit nodes only":          {"NodeSet", "spec: {replicas: null, hostNameTemplate: null, nodes: {gpu-0: {bmhLabelSelector: {gpu: a100}}}}"},
		"name of 40 characters":        {"NodeSet", "metadata: {name: " + strings.Repeat("a", 40) + "}"},
		"any JSON as a variable":       {"NodeSet", "spec: {nodeTemplate: {ansible: {ansibleVars: {a: 1, b: [x, {c: null}], d: true, e: 1.5}}}}"},
		"IPv6 subnet":                  {"NetConfig", `spec: {networks: [{name: ctlplane, subnets: [{name: r7, cidr: "fd00::/64", gateway: "fd00::1", allocationRanges: [{start: "fd00::10", end: "fd00::ff"}]}]}]}`},
		"role instead of a playbook":   {"DataPlaneService", "spec: {playbook: null, role: osp.edpm.edpm_bootstrap}"},
		"contents instead of playbook": {"DataPlaneService", "spec: {playbook: null, playbookContents: '- hosts: all'}"},
		"data sources":                 {"DataPlaneService", "spec: {dataSources: [{secretRef: {name: a}}, {configMapRef: {name: b, optional: true}}]}"},
	}
	for name, fragment := range guideBlocks(t) {
		cases["guide: "+name] = fragment
	}
	for name := range minimal {
		cases["minimal "+name] = [2]string{name, ""}
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := create(t, c, object(t, tc[0], tc[1])); err != nil {
				t.Error(err)
			}
		})
	}
}

// guideBlocks are the layouts that the user guide shows, and their site.
func guideBlocks(t *testing.T) map[string][2]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/guide.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][2]string{}
	for _, m := range regexp.MustCompile("(?s)<!-- (site|layout: [a-z0-9-]+) -->\n```yaml\n(.*?)```\n").FindAllStringSubmatch(string(text), -1) {
		fragment := "  " + strings.ReplaceAll(strings.TrimSpace(m[2]), "\n", "\n  ")
		out[m[1]] = [2]string{"NodeSet", "spec:\n nodeTemplate:\n" + fragment}
		if m[1] == "site" {
			out[m[1]] = [2]string{"NetConfig", "spec:\n" + fragment}
		}
	}
	if len(out) < 12 {
		t.Fatalf("the guide shows %d layouts", len(out))
	}
	return out
}

// refusal is a change of a minimal object that must be refused with all these words.
type refusal struct {
	name, object, changes string
	want                  []string
}

func checkRefused(t *testing.T, cases []refusal) {
	t.Helper()
	c := newClient(t)
	for _, tc := range cases {
		t.Run(tc.object+"/"+tc.name, func(t *testing.T) {
			err := create(t, c, object(t, tc.object, tc.changes))
			if err == nil {
				t.Fatal("accepted")
			}
			if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Errorf("refused as %s: %v", apierrors.ReasonForError(err), err)
			}
			assertSays(t, err, tc.want)
		})
	}
}

func assertSays(t *testing.T, err error, words []string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is missing in: %v", word, err)
		}
	}
}

func TestNodeSetRefused(t *testing.T) {
	checkRefused(t, []refusal{
		{"neither replicas nor nodes", "NodeSet", "spec: {replicas: null, hostNameTemplate: null}", []string{"set spec.replicas (with spec.hostNameTemplate), spec.nodes, or both"}},
		{"empty nodes", "NodeSet", "spec: {replicas: null, nodes: {}}", []string{"set spec.replicas"}},
		{"replicas without template", "NodeSet", "spec: {hostNameTemplate: null}", []string{"spec.replicas needs spec.hostNameTemplate, for example"}},
		{"no image", "NodeSet", "spec: {image: null}", []string{"spec.image is required unless spec.preProvisioned is true: name the image"}},
		{"negative replicas", "NodeSet", "spec: {replicas: -1}", []string{"spec.replicas", "greater than or equal to 0"}},
		{"huge replicas", "NodeSet", "spec: {replicas: 5001}", []string{"spec.replicas", "less than or equal to 5000"}},
		{"replicas of the wrong type", "NodeSet", "spec: {replicas: three}", []string{"spec.replicas", "must be of type integer"}},
		{"template without a verb", "NodeSet", "spec: {hostNameTemplate: compute}", []string{"spec.hostNameTemplate", "should match"}},
		{"template with two verbs", "NodeSet", "spec: {hostNameTemplate: c%d-%d}", []string{"spec.hostNameTemplate"}},
		{"template that is no name", "NodeSet", "spec: {hostNameTemplate: Compute_%d}", []string{"spec.hostNameTemplate"}},
		{"template too long", "NodeSet", "spec: {hostNameTemplate: " + strings.Repeat("a", 60) + "%d}", []string{"spec.hostNameTemplate", "may not be more than 50"}},
		{"node name that is none", "NodeSet", "spec: {nodes: {Gpu_0: {}}}", []string{"spec.nodes", "lower-case letters, digits and dashes", "Gpu_0"}},
		{"host name that is none", "NodeSet", "spec: {nodes: {gpu-0: {hostName: Gpu.}}}", []string{"spec.nodes[gpu-0]", "hostName must be a lower-case DNS name"}},
		{"name too long", "NodeSet", "metadata: {name: " + strings.Repeat("a", 41) + "}", []string{"metadata.name of a NodeSet is at most 40 characters"}},
		{"image not over HTTP", "NodeSet", `spec: {image: {url: "file:///etc/shadow"}}`, []string{"spec.image.url", "must be a URL, http or https"}},
		{"image without checksum", "NodeSet", "spec: {image: {checksum: null}}", []string{"spec.image.checksum: Required value"}},
		{"empty checksum", "NodeSet", `spec: {image: {checksum: ""}}`, []string{"spec.image.checksum"}},
		{"unsafe checksum type", "NodeSet", "spec: {image: {checksumType: md5}}", []string{"spec.image.checksumType", `"sha256", "sha512", "auto"`}},
		{"unknown format", "NodeSet", "spec: {image: {format: vmdk}}", []string{"spec.image.format", `"qcow2", "raw"`}},
		{"no SSH key", "NodeSet", "spec: {nodeTemplate: {ansibleSSHPrivateKeySecret: null}}", []string{"spec.nodeTemplate.ansibleSSHPrivateKeySecret: Required value"}},
		{"service twice", "NodeSet", "spec: {services: [a, b, a]}", []string{"spec.services lists a service twice: remove the second one"}},
		{"empty service name", "NodeSet", `spec: {services: [""]}`, []string{"spec.services[0]"}},
		{"unknown policy", "NodeSet", "spec: {deployment: {policy: Sometimes}}", []string{"spec.deployment.policy", `"Auto", "Manual"`}},
		{"port out of range", "NodeSet", "spec: {nodeTemplate: {ansible: {ansiblePort: 70000}}}", []string{"ansiblePort", "65535"}},
		{"negative memory", "NodeSet", "spec: {hosts: {requirements: {memory: {minGiB: -1}}}}", []string{"spec.hosts.requirements.memory.minGiB"}},
		{"variables of the wrong type", "NodeSet", "spec: {nodeTemplate: {ansible: {ansibleVars: [a]}}}", []string{"ansibleVars", "must be of type object"}},
		{"network without a name", "NodeSet", "spec: {nodeTemplate: {networks: [{subnetName: r7}]}}", []string{"spec.nodeTemplate.networks[0].name: Required value"}},
		{"bond of unknown mode", "NodeSet", "spec: {nodeTemplate: {networkConfig: {bonds: [{name: bond0, ports: [{mac: nic0}], mode: lacp}]}}}", []string{"bonds[0].mode", `"802.3ad"`}},
		{"bond without ports", "NodeSet", "spec: {nodeTemplate: {networkConfig: {bonds: [{name: bond0, ports: []}]}}}", []string{"bonds[0].ports"}},
		{"bond twice", "NodeSet", "spec: {nodeTemplate: {networkConfig: {bonds: [{name: b, ports: [{mac: nic0}]}, {name: b, ports: [{mac: nic1}]}]}}}", []string{"bonds[1]", "Duplicate value"}},
		{"interface name too long", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ethernets: [{name: abcdefghijklmnop}]}}}", []string{"ethernets[0].name", "15"}},
		{"bond port name that is none", "NodeSet", `spec: {nodeTemplate: {networkConfig: {bonds: [{name: b, ports: [{name: "a/b", mac: nic0}]}]}}}`, []string{"ports[0].name", "should match"}},
		{"MAC that is none", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ethernets: [{name: eth0, mac: first}]}}}", []string{"ethernets[0].mac", "should match"}},
		{"bond port MAC that is none", "NodeSet", `spec: {nodeTemplate: {networkConfig: {bonds: [{name: b, ports: [{mac: "00:11"}]}]}}}`, []string{"ports[0].mac", "should match"}},
		{"a document beside a layout", "NodeSet", "spec: {nodeTemplate: {networkConfig: {nmstate: {interfaces: []}, ethernets: [{name: eth0}]}}}", []string{"networkConfig.nmstate is the whole layout: remove the other fields"}},
		{"card by two marks", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ethernets: [{name: eth0, mac: nic0, card: {model: x}}]}}}", []string{"an ethernet is picked by mac or by card: remove one"}},
		{"card by nothing", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ethernets: [{name: eth0, card: {index: 1}}]}}}", []string{"a card is picked by pciAddress, or by model and minGbps"}},
		{"PCI address that is none", "NodeSet", `spec: {nodeTemplate: {networkConfig: {ethernets: [{name: eth0, card: {pciAddress: "18:00.0"}}]}}}`, []string{"card.pciAddress", "should match"}},
		{"port of nothing", "NodeSet", "spec: {nodeTemplate: {networkConfig: {bonds: [{name: b, ports: [{name: eth0}]}]}}}", []string{"a port is picked by mac or by card: give one of the two"}},
		{"bond option of no such value", "NodeSet", "spec: {nodeTemplate: {networkConfig: {bonds: [{name: b, ports: [{mac: nic0}], options: {lacpRate: quick}}]}}}", []string{"options.lacpRate", `"slow", "fast"`}},
		{"unknown bond option", "NodeSet", "spec: {nodeTemplate: {networkConfig: {bonds: [{name: b, ports: [{mac: nic0}], options: {speed: 1}}]}}}", []string{"unknown field", "options.speed"}},
		{"OVS port of two kinds", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ovsBridges: [{name: br0, ports: [{name: p, mac: nic0, patch: {peer: q}}]}]}}}", []string{"a port is one of mac, card, bond, patch and dpdk"}},
		{"OVS port with tag and trunks", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ovsBridges: [{name: br0, ports: [{name: p, tag: 5, trunks: [6]}]}]}}}", []string{"a port has a tag or trunks: remove one"}},
		{"OVS bond of one port", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ovsBridges: [{name: br0, ports: [{name: p, bond: {ports: [{name: a, mac: nic0}]}}]}]}}}", []string{"bond.ports", "at least 2"}},
		{"OVS bond port of two kinds", "NodeSet", `spec: {nodeTemplate: {networkConfig: {ovsBridges: [{name: br0, ports: [{name: p, bond: {ports: [{name: a}, {name: b, mac: nic1}]}}]}]}}}`, []string{"a port of a bond is one of mac, card and dpdk"}},
		{"address without a prefix", "NodeSet", "spec: {nodeTemplate: {networkConfig: {dummies: [{name: lo, ip: {addresses: [10.0.0.1]}}]}}}", []string{"ip.addresses", "each address must be written with its prefix length"}},
		{"VRF in the main table", "NodeSet", "spec: {nodeTemplate: {networkConfig: {vrfs: [{name: r, table: 254, ports: [eth0]}]}}}", []string{"tables 253 to 255 are the system's"}},
		{"route that leads nowhere and somewhere", "NodeSet", "spec: {nodeTemplate: {networkConfig: {routes: [{destination: 10.0.0.0/8, type: Blackhole, interface: eth0}]}}}", []string{"a route leads over an interface, or has a type that leads nowhere"}},
		{"blackhole with a nexthop", "NodeSet", "spec: {nodeTemplate: {networkConfig: {routes: [{destination: 10.0.0.0/8, type: Blackhole, nexthop: 10.0.0.1}]}}}", []string{"a route that leads nowhere has neither nexthop nor weight"}},
		{"rule about everything", "NodeSet", "spec: {nodeTemplate: {networkConfig: {rules: [{priority: 5, table: 9}]}}}", []string{"a rule needs from, to, fwMark or iif"}},
		{"VLAN name that is none", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ethernets: [{name: eth0, vlans: [a], vlanNames: {a: \"x y\"}}]}}}", []string{"vlanNames", "should match"}},
		{"card of a node that is none", "NodeSet", `spec: {nodes: {gpu-0: {nics: {nic0: "52-54-00-00-00-01"}}}}`, []string{"nics.nic0", "should match"}},
		{"misspelt field", "NodeSet", "spec: {replica: 1}", []string{`unknown field "spec.replica"`}},
	})
}

func TestPreProvisionedRefused(t *testing.T) {
	checkRefused(t, []refusal{
		{"with replicas", "PreProvisioned", "spec: {replicas: 1, hostNameTemplate: c%d}", []string{"a preProvisioned set lists its nodes in spec.nodes; remove spec.replicas"}},
		{"with an image", "PreProvisioned", `spec: {image: {url: "https://a/b", checksum: c}}`, []string{"a preProvisioned set is not imaged; remove spec.image"}},
		{"without address", "PreProvisioned", "spec: {nodes: {compute-0: {ansible: null}}}", []string{"a preProvisioned node needs ansible.ansibleHost"}},
		{"without host keys", "PreProvisioned", "spec: {nodes: {compute-0: {sshHostKeys: null}}}", []string{"a preProvisioned node needs sshHostKeys", "ssh-keyscan"}},
		{"with no host key", "PreProvisioned", "spec: {nodes: {compute-0: {sshHostKeys: []}}}", []string{"spec.nodes.compute-0.sshHostKeys", "at least 1"}},
	})
}

func TestNetConfigRefused(t *testing.T) {
	withCIDR := func(fields string) string {
		return "spec: {networks: [{name: ctlplane, subnets: [{name: r7, " + fields + "}]}]}"
	}
	checkRefused(t, []refusal{
		{"no networks", "NetConfig", "spec: {networks: []}", []string{"spec.networks", "at least 1"}},
		{"network twice", "NetConfig", "spec: {networks: [{name: a, subnets: [{name: s, cidr: 10.0.0.0/8}]}, {name: a, subnets: [{name: s, cidr: 10.0.0.0/8}]}]}", []string{"spec.networks[1]", "Duplicate value"}},
		{"network name that is none", "NetConfig", `spec: {networks: [{name: "a b", subnets: [{name: s, cidr: 10.0.0.0/8}]}]}`, []string{"spec.networks[0].name", "must begin with a letter"}},
		{"no subnets", "NetConfig", "spec: {networks: [{name: a, subnets: []}]}", []string{"spec.networks[0].subnets"}},
		{"MTU too small", "NetConfig", "spec: {networks: [{name: a, mtu: 500, subnets: [{name: s, cidr: 10.0.0.0/8}]}]}", []string{"spec.networks[0].mtu", "1280"}},
		{"MTU too big", "NetConfig", "spec: {networks: [{name: a, mtu: 65536, subnets: [{name: s, cidr: 10.0.0.0/8}]}]}", []string{"spec.networks[0].mtu", "9216"}},
		{"CIDR that is none", "NetConfig", withCIDR("cidr: 192.168.122.0"), []string{"subnets[0]", "cidr must be a network such as 192.168.122.0/24"}},
		{"CIDR with host bits", "NetConfig", withCIDR("cidr: 192.168.122.7/24"), []string{"subnets[0]", "not an address in it: write 192.168.122.0/24"}},
		{"CIDR out of range", "NetConfig", withCIDR("cidr: 192.168.122.0/33"), []string{"cidr must be a network"}},
		{"gateway outside", "NetConfig", withCIDR("cidr: 192.168.122.0/24, gateway: 192.168.123.1"), []string{"gateway must be an address inside cidr"}},
		{"gateway that is none", "NetConfig", withCIDR("cidr: 192.168.122.0/24, gateway: router"), []string{"gateway must be an address inside cidr"}},
		{"range outside", "NetConfig", withCIDR("cidr: 192.168.122.0/24, allocationRanges: [{start: 192.168.122.10, end: 192.168.123.10}]"), []string{"allocationRanges must start and end inside cidr"}},
		{"range that is none", "NetConfig", withCIDR("cidr: 192.168.122.0/24, allocationRanges: [{start: first, end: last}]"), []string{"allocationRanges must start and end inside cidr"}},
		{"VLAN out of range", "NetConfig", withCIDR("cidr: 192.168.122.0/24, vlan: 4095"), []string{"vlan", "4094"}},
		{"excluded twice", "NetConfig", withCIDR("cidr: 192.168.122.0/24, excludeAddresses: [192.168.122.5, 192.168.122.5]"), []string{"excludeAddresses[1]", "Duplicate value"}},
		{"too many subnets", "NetConfig", "spec: {networks: [{name: a, subnets: [" + strings.Repeat("{name: s, cidr: 10.0.0.0/8},", 65) + "]}]}", []string{"subnets", "at most 64"}},
	})
}

func TestServiceDeploymentAndNodeRefused(t *testing.T) {
	checkRefused(t, []refusal{
		{"nothing to run", "DataPlaneService", "spec: {playbook: null}", []string{"set one of spec.playbook, spec.playbookContents or spec.role"}},
		{"playbook as an option", "DataPlaneService", "spec: {playbook: --version}", []string{"spec.playbook", "should match"}},
		{"playbook as a path", "DataPlaneService", "spec: {playbook: ../../etc/x.yml}", []string{"spec.playbook", "should match"}},
		{"role as a path", "DataPlaneService", "spec: {playbook: null, role: /tmp/x}", []string{"spec.role", "should match"}},
		{"huge contents", "DataPlaneService", "spec: {playbookContents: " + strings.Repeat("a", 65537) + "}", []string{"spec.playbookContents", "65536"}},
		{"data source without reference", "DataPlaneService", "spec: {dataSources: [{}]}", []string{"spec.dataSources[0]", "set exactly one of secretRef and configMapRef"}},
		{"data source with two", "DataPlaneService", "spec: {dataSources: [{secretRef: {name: a}, configMapRef: {name: a}}]}", []string{"spec.dataSources[0]", "set exactly one"}},
		{"data source without a name", "DataPlaneService", "spec: {dataSources: [{secretRef: {}}]}", []string{"spec.dataSources[0].secretRef.name: Required value"}},
		{"no time for a task", "DataPlaneService", "spec: {taskTimeoutSeconds: -1}", []string{"spec.taskTimeoutSeconds", "greater than or equal to 1"}},
		{"a task longer than its run", "DataPlaneService", "spec: {taskTimeoutSeconds: 9000}", []string{"raise spec.runTimeoutSeconds or lower spec.taskTimeoutSeconds"}},
		{"no NodeSet", "DataPlaneDeployment", "spec: {nodeSet: null}", []string{"spec.nodeSet: Required value"}},
		{"empty NodeSet", "DataPlaneDeployment", `spec: {nodeSet: ""}`, []string{"spec.nodeSet", "at least 1"}},
		{"too many nodes", "DataPlaneDeployment", "spec: {nodes: [" + strings.Repeat("a,", 5001) + "]}", []string{"spec.nodes", "at most 5000"}},
		{"no host name", "DataPlaneNode", "spec: {hostName: null}", []string{"spec.hostName: Required value"}},
		{"host without UID", "DataPlaneNode", "spec: {host: {namespace: metal, name: h}}", []string{"spec.host.uid: Required value"}},
		{"network twice", "DataPlaneNode", "spec: {networks: [{network: a, subnet: s, address: 10.0.0.1}, {network: a, subnet: s, address: 10.0.0.2}]}", []string{"spec.networks[1]", "Duplicate value"}},
	})
}

func TestAddressBlockRefused(t *testing.T) {
	holder := func(is string) string { return "spec: {holders: [{" + is + "}]}" }
	checkRefused(t, []refusal{
		{"no block", "AddressBlock", "spec: {cidr: 10.0.0.0}", []string{"spec.cidr must be a block"}},
		{"an address of another block", "AddressBlock", holder("address: 10.0.1.10, node: n0, uid: a, state: Held"), []string{"an address that is not in spec.cidr"}},
		{"no address", "AddressBlock", holder("address: ten, node: n0, uid: a, state: Held"), []string{"must be an IP address"}},
		{"no UID", "AddressBlock", holder("address: 10.0.0.10, node: n0, state: Held"), []string{"spec.holders[0].uid: Required value"}},
		{"a state that is none", "AddressBlock", holder("address: 10.0.0.10, node: n0, uid: a, state: Lent"), []string{`supported values: "Held", "Leaving"`}},
		{"two holders of one address", "AddressBlock", "spec: {holders: [{address: 10.0.0.10, node: n0, uid: a, state: Held}, {address: 10.0.0.10, node: m0, uid: b, state: Held}]}", []string{"spec.holders[1]", "Duplicate value"}},
	})
}

func TestHostClaimPolicyRefused(t *testing.T) {
	selector := func(expression string) string {
		return "spec: {hostSelector: {matchExpressions: [{key: rack, " + expression + "}]}}"
	}
	checkRefused(t, []refusal{
		{"nobody", "HostClaimPolicy", "spec: {namespaces: []}", []string{"spec.namespaces", "at least 1"}},
		{"no list", "HostClaimPolicy", "spec: {namespaces: null}", []string{"spec.namespaces: Required value"}},
		{"twice", "HostClaimPolicy", "spec: {namespaces: [a, a]}", []string{"spec.namespaces[1]", "Duplicate value"}},
		{"everybody", "HostClaimPolicy", "spec: {namespaces: ['*']}", []string{"spec.namespaces", "there is no wildcard, list each"}},
		{"too many", "HostClaimPolicy", "spec: {namespaces: [" + strings.Repeat("a,", 257) + "]}", []string{"spec.namespaces", "at most 256"}},
		{"operator that is none", "HostClaimPolicy", selector("operator: Near, values: [r7]"), []string{"hostSelector.matchExpressions: use In or NotIn"}},
		{"no values", "HostClaimPolicy", selector("operator: In"), []string{"hostSelector.matchExpressions: use In or NotIn with values"}},
		{"values too many", "HostClaimPolicy", selector("operator: Exists, values: [r7]"), []string{"Exists or DoesNotExist without"}},
	})
}

func TestImmutable(t *testing.T) {
	c := newClient(t)
	namespace := cluster.Namespace(t, c)
	for _, tc := range []refusal{
		{"deployment", "DataPlaneDeployment", "spec: {nodes: [r7-n01]}", []string{"a DataPlaneDeployment (nodeSet, nodes, servicesOverride) cannot change: make a new one"}},
		{"block and holder of an address", "AddressBlock", "spec: {cidr: 10.0.0.0/23, holders: [{address: 10.0.0.10, node: r7-n01, uid: b, state: Held}]}", []string{"spec.cidr cannot change", "an address changes hands only by being taken out of spec.holders first"}},
		{"preProvisioned off", "PreProvisioned", `spec: {preProvisioned: null, image: {url: "https://a/b", checksum: c}}`, []string{"spec.preProvisioned cannot change: make a new NodeSet"}},
		{"preProvisioned on", "NodeSet", "spec: {preProvisioned: true, replicas: null, image: null, nodes: {a: {ansible: {ansibleHost: a}, sshHostKeys: [k]}}}", []string{"spec.preProvisioned cannot change: make a new NodeSet"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			stored := object(t, tc.object, "metadata: {namespace: "+namespace+"}")
			if err := c.Create(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
			next := object(t, tc.object, tc.changes)
			next.SetNamespace(namespace)
			next.SetResourceVersion(stored.GetResourceVersion())
			err := c.Update(t.Context(), next)
			if !apierrors.IsInvalid(err) {
				t.Fatalf("got %v", err)
			}
			assertSays(t, err, tc.want)
		})
	}
}

// TestMutable checks what users do every day after the first apply.
func TestMutable(t *testing.T) {
	c := newClient(t)
	namespace := cluster.Namespace(t, c)
	stored := object(t, "NodeSet", "metadata: {namespace: "+namespace+"}")
	if err := c.Create(t.Context(), stored); err != nil {
		t.Fatal(err)
	}
	for _, changes := range []string{"spec: {replicas: 40}", "spec: {services: [bootstrap]}", `spec: {image: {url: "https://images.example.com/next.qcow2"}}`} {
		merged := object(t, "NodeSet", changes)
		merged.SetNamespace(namespace)
		merged.SetResourceVersion(stored.GetResourceVersion())
		if err := c.Update(t.Context(), merged); err != nil {
			t.Errorf("%s: %v", changes, err)
			continue
		}
		stored = merged
	}
}

// The manifests of the design, without spread, waves and maxFailed, which this version does not have.
const sampleNodeSet = `
spec:
  replicas: 40
  hostNameTemplate: r7-n%02d
  hosts:
    namespace: metal
    selector: {matchLabels: {rack: r7}}
    requirements: {cpu: {arch: x86_64, minCount: 32}, memory: {minGiB: 256}, nics: {minCount: 2, minGbps: 25}}
  image: {url: "https://images.example.com/edpm.qcow2", checksum: "https://images.example.com/edpm.qcow2.sha256"}
  nodeTemplate:
    ansibleSSHPrivateKeySecret: rack7-ssh
    ansible: {ansibleUser: cloud-admin, ansibleVars: {edpm_ovn_bridge_mappings: ["datacentre:br-ex"]}}
    networks: [{name: ctlplane, subnetName: r7, defaultRoute: true}, {name: internalapi, subnetName: r7}, {name: tenant, subnetName: r7}]
    networkConfig: {bonds: [{name: bond0, ports: [{mac: nic0}, {mac: nic1}], mode: 802.3ad, networks: [ctlplane], vlans: [internalapi, tenant]}]}
  services: [bootstrap, configure-network, install-os, configure-os, ssh-known-hosts, run-os, install-certs, ovn, libvirt, nova]
  deployment: {policy: Auto}
`

const sampleNetConfig = `
spec:
  networks:
  - name: ctlplane
    dnsDomain: ctlplane.example.com
    subnets:
    - name: r7
      cidr: 192.168.122.0/24
      gateway: 192.168.122.1
      allocationRanges: [{start: 192.168.122.100, end: 192.168.122.250}]
      excludeAddresses: [192.168.122.107]
      routes: [{destination: 10.0.0.0/8, nexthop: 192.168.122.2}]
      nameservers: [192.168.122.80]
  - name: internalapi
    mtu: 9000
    subnets: [{name: r7, cidr: 172.17.0.0/24, vlan: 20, allocationRanges: [{start: 172.17.0.100, end: 172.17.0.250}]}]
  - name: tenant
    subnets: [{name: r7, cidr: 172.19.0.0/24, vlan: 22}]
`
