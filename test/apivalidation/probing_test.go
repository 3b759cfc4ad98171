package apivalidation

import (
	"fmt"
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
)

const template = `{{ lookup(''pipe'', ''id'') }}`

// networks are the changes of a NetConfig for a control plane with these fields.
func networks(fields string) string {
	return "spec: {networks: [{name: ctlplane, " + fields + "subnets: [{name: r7, cidr: 192.168.122.0/24}]}]}"
}

func subnet(fields string) string {
	return "spec: {networks: [{name: ctlplane, subnets: [{name: r7, cidr: 192.168.122.0/24, " + fields + "}]}]}"
}

func ansible(fields string) string { return "spec: {nodeTemplate: {ansible: {" + fields + "}}}" }

func node(fields string) string { return "spec: {nodes: {gpu-0: {" + fields + "}}}" }

func image(url string) string { return fmt.Sprintf("spec: {image: {url: %q}}", url) }

func openstack(fields string) string {
	return "spec: {openstack: {cloudsSecret: clouds, " + fields + "}}"
}

// probing are values that somebody might write, each with words of the answer. The API server refuses most; what it cannot
// tell the engine names, in the words that rackplane plan has too.
func probing() []refusal {
	vars := func(name, value string) string { return ansible("ansibleVars: {" + name + ": " + value + "}") }
	long := strings.Repeat("a", 200)
	return []refusal{
		{"user with a newline", "NodeSet", ansible(`ansibleUser: "root\nx"`), []string{"ansibleUser must be a user name"}},
		{"user as an option", "NodeSet", ansible("ansibleUser: -oProxyCommand=id"), []string{"ansibleUser must be a user name"}},
		{"user as a template", "NodeSet", ansible("ansibleUser: '" + template + "'"), []string{"ansibleUser must be a user name"}},
		{"address with a star", "NodeSet", ansible("ansibleHost: '*'"), []string{"ansibleHost must be an IP address or a DNS name"}},
		{"address as an option", "NodeSet", ansible("ansibleHost: -oProxyCommand=id"), []string{"ansibleHost must be"}},
		{"address as a template", "NodeSet", node("ansible: {ansibleHost: '" + template + "'}"), []string{"ansibleHost must be"}},
		{"two addresses in one", "NodeSet", node("ansible: {ansibleHost: '192.0.2.1,192.0.2.2'}"), []string{"ansibleHost must be"}},
		{"address and key in two lines", "NodeSet", node(`ansible: {ansibleHost: "a\n* ssh-ed25519 AAAA"}`), []string{"ansibleHost must be"}},
		{"address with a port", "NodeSet", node("ansible: {ansibleHost: '[192.0.2.1]:22'}"), []string{"ansibleHost must be"}},
		{"address out of range", "NodeSet", node("ansible: {ansibleHost: 256.0.0.1}"), []string{"ansibleHost must be"}},
		{"address as a number", "NodeSet", node("ansible: {ansibleHost: '2130706433'}"), []string{"ansibleHost must be"}},
		{"address in hex", "NodeSet", node("ansible: {ansibleHost: '0x7f000001'}"), []string{"ansibleHost must be"}},
		{"address with empty labels", "NodeSet", node("ansible: {ansibleHost: a..b}"), []string{"ansibleHost must be"}},
		{"address of a long label", "NodeSet", node("ansible: {ansibleHost: " + long + "}"), []string{"ansibleHost must be"}},
		{"port of the wrong type", "NodeSet", ansible("ansiblePort: ssh"), []string{"ansiblePort", "integer"}},
		{"port 0", "NodeSet", ansible("ansiblePort: 0"), []string{"ansiblePort", "greater than or equal to 1"}},
		{"connection", "NodeSet", vars("ansible_connection", "local"), []string{"NodeSet default/rack7: spec.nodeTemplate.ansible.ansibleVars[ansible_connection] is Ansible's own", "remove it"}},
		{"SSH arguments", "NodeSet", vars("ansible_ssh_common_args", "-o ProxyCommand=id"), []string{"ansibleVars[ansible_ssh_common_args] is Ansible's own", "remove it"}},
		{"interpreter", "NodeSet", vars("ansible_python_interpreter", "/tmp/x"), []string{"ansibleVars[ansible_python_interpreter] is Ansible's own"}},
		{"another interpreter", "NodeSet", vars("ansible_perl_interpreter", "/tmp/x"), []string{"ansibleVars[ansible_perl_interpreter] is Ansible's own"}},
		{"host as a variable", "NodeSet", vars("ansible_host", "192.0.2.1"), []string{"ansibleVars[ansible_host] is not for variables: set ansible.ansibleHost"}},
		{"become with another program", "NodeSet", vars("ansible_become_method", "/tmp/x"), []string{"ansibleVars[ansible_become_method]", "leave it out, or set it to"}},
		{"magic name", "NodeSet", node("ansible: {ansibleVars: {inventory_hostname: x}}"), []string{"spec.nodes[gpu-0].ansible.ansibleVars[inventory_hostname] is Ansible's own: rename it"}},
		{"known hosts as a variable", "NodeSet", vars("edpm_known_hosts", "[]"), []string{"ansibleVars[edpm_known_hosts] is set by Rackplane alone: remove it"}},
		{"alias as a variable", "NodeSet", vars("rackplane_host_key_alias", "x"), []string{"is set by Rackplane alone"}},
		{"variable that is no name", "NodeSet", vars(`"{{ x }}"`, "1"), []string{`ansibleVars["{{ x }}"] is no variable's name`}},
		{"host name with empty labels", "NodeSet", node("hostName: a..b"), []string{"hostName must be a lower-case DNS name"}},
		{"host name of a long label", "NodeSet", node("hostName: " + long), []string{"hostName must be", "at most 63"}},
		{"host name with a newline", "NodeSet", node(`hostName: "a\nb"`), []string{"hostName must be"}},
		{"host name as a template", "NodeSet", node("hostName: '" + template + "'"), []string{"hostName must be"}},
		{"node called localhost", "NodeSet", "spec: {nodes: {localhost: {}}}", []string{"localhost", "rename the node in spec.nodes"}},
		{"set called all", "NodeSet", "metadata: {name: all}", []string{"rename the NodeSet"}},
		{"host key that is none", "NodeSet", node("sshHostKeys: [garbage]"), []string{"sshHostKeys[0]", "ssh-ed25519"}},
		{"host key in two lines", "NodeSet", node(`sshHostKeys: ["ssh-ed25519 AAAA\n* ssh-rsa BBBB"]`), []string{"sshHostKeys[0]"}},
		{"host key with a marker", "NodeSet", node(`sshHostKeys: ["@cert-authority ssh-ed25519 AAAA"]`), []string{"sshHostKeys[0]"}},
		{"host key of bad base64", "NodeSet", node(`sshHostKeys: ["ssh-ed25519 AAAA"]`), []string{"spec.nodes[gpu-0].sshHostKeys[0] is no public host key: give it as in /etc/ssh"}},
		{"image with a password", "NodeSet", image("https://user:password@images.example.com/a"), []string{"image.url holds a user name or password", "serve the image without"}},
		{"image with a password that holds a slash", "NodeSet", image("https://user:1/word@images.example.com/a"), []string{"spec.image.url holds a user name or password", "an @ in the path is written as %40"}},
		{"image at a metadata address", "NodeSet", image("http://169.254.169.254/latest/meta-data"), []string{"image.url names a link-local or metadata address: name the image server"}},
		{"image at an IPv6 metadata address", "NodeSet", image("http://[fd00:ec2::254]/latest"), []string{"image.url names a link-local or metadata address"}},
		{"image at a spelt-out metadata address", "NodeSet", image("http://[fd00:0ec2::254]/latest"), []string{"spec.image.url names the link-local or metadata address fd00:0ec2::254: name the image server"}},
		{"image at a mapped metadata address", "NodeSet", image("http://[::ffff:169.254.169.254]/"), []string{"image.url names a link-local or metadata address"}},
		{"image at a number", "NodeSet", image("http://2852039166/"), []string{"NodeSet default/rack7: spec.image.url names the host", "neither an IP address nor a DNS name"}},
		{"image with spaces", "NodeSet", image("https://a.example.com/b c"), []string{"image.url"}},
		{"image with a newline", "NodeSet", image("https://a.example.com/\n"), []string{"image.url"}},
		{"image as a template", "NodeSet", image("{{ x }}"), []string{"image.url must be a URL"}},
		{"checksum with a password", "NodeSet", `spec: {image: {checksum: "https://u:p@a.example.com/sum"}}`, []string{"image.checksum holds a user name or password"}},
		{"checksum that is none", "NodeSet", "spec: {image: {checksum: none}}", []string{"image.checksum must be hexadecimal, or the URL"}},
		{"Secret by a path", "NodeSet", "spec: {nodeTemplate: {ansibleSSHPrivateKeySecret: ../other/key}}", []string{"ansibleSSHPrivateKeySecret is not the name of a Secret"}},
		{"service by a path", "NodeSet", "spec: {services: [../x]}", []string{"spec.services lists what is not the name of a DataPlaneService"}},
		{"network twice", "NodeSet", "spec: {nodeTemplate: {networks: [{name: a}, {name: a}]}}", []string{"networks[1]", "Duplicate value"}},
		{"network by a template", "NodeSet", "spec: {nodeTemplate: {networks: [{name: '" + template + "'}]}}", []string{"networks[0].name", "must begin with a letter"}},
		{"fixed address that is none", "NodeSet", node("networks: [{name: a, fixedIP: first}]"), []string{"fixedIP must be an IP address"}},
		{"labels that are none", "NodeSet", node("bmhLabelSelector: {'a b': c}"), []string{"spec.nodes[gpu-0].bmhLabelSelector", "correct it"}},
		{"selector that is none", "NodeSet", "spec: {hosts: {selector: {matchExpressions: [{key: a, operator: Near}]}}}", []string{"spec.hosts.selector", "correct it"}},
		{"MAC with dashes", "NodeSet", "spec: {nodeTemplate: {networkConfig: {ethernets: [{name: eth0, mac: 52-54-00-12-34-56}]}}}", []string{"ethernets[0].mac", "should match"}},
		{"architecture as an option", "NodeSet", "spec: {hosts: {requirements: {cpu: {arch: --help}}}}", []string{"cpu.arch must be"}},
		{"memory beyond numbers", "NodeSet", "spec: {hosts: {requirements: {memory: {minGiB: 99999999999}}}}", []string{"minGiB"}},
		{"southbound with a template", "NodeSet", openstack("southbound: {endpoints: ['tcp:{{ x }}:6642']}"), []string{"southbound.endpoints", "are each tcp:ADDRESS:PORT"}},
		{"zone with control characters", "NodeSet", openstack(`availabilityZone: "a\e[2J"`), []string{"availabilityZone must be a name"}},
		{"aggregate with a newline", "NodeSet", openstack(`aggregates: ["a\nb"]`), []string{"aggregates must be names"}},

		{"domain with empty labels", "NetConfig", networks("dnsDomain: a..b, "), []string{"dnsDomain must be a lower-case DNS name"}},
		{"domain of a long label", "NetConfig", networks("dnsDomain: " + long + ", "), []string{"dnsDomain must be", "at most 63"}},
		{"domain as a template", "NetConfig", networks("dnsDomain: '" + template + "', "), []string{"dnsDomain must be"}},
		{"role as a template", "NetConfig", networks("serviceNetwork: '" + template + "', "), []string{"serviceNetwork", "must begin with a letter"}},
		{"network of digits", "NetConfig", "spec: {networks: [{name: 10g, subnets: [{name: a, cidr: 10.0.0.0/8}]}]}", []string{"spec.networks[0].name", "must begin with a letter"}},
		{"two control planes", "NetConfig", "spec: {networks: [{name: ctlplane, subnets: [{name: a, cidr: 10.0.0.0/8}]}, {name: b, serviceNetwork: CtlPlane, subnets: [{name: a, cidr: 11.0.0.0/8}]}]}", []string{"two networks are the control plane: keep"}},
		{"no control plane", "NetConfig", "spec: {networks: [{name: a, subnets: [{name: a, cidr: 10.0.0.0/8}]}]}", []string{"no network is the control plane: name one ctlplane"}},
		{"range backwards", "NetConfig", subnet("allocationRanges: [{start: 192.168.122.20, end: 192.168.122.10}]"), []string{"allocationRanges[0] ends at 192.168.122.10, before its start", "swap them"}},
		{"subnets that overlap", "NetConfig", "spec: {networks: [{name: ctlplane, subnets: [{name: a, cidr: 10.0.0.0/8}, {name: b, cidr: 10.1.0.0/16}]}]}", []string{"overlaps", "change one"}},
		{"nameserver that is none", "NetConfig", subnet("nameservers: [dns.example.com]"), []string{"nameservers must be IP addresses"}},
		{"route to nowhere", "NetConfig", subnet("routes: [{destination: everywhere, nexthop: 192.168.122.1}]"), []string{"a route's destination must be a network"}},
		{"route through a name", "NetConfig", subnet("routes: [{destination: 10.0.0.0/8, nexthop: router}]"), []string{"a route's nexthop must be an IP address"}},
		{"route through a stranger", "NetConfig", subnet("routes: [{destination: 10.0.0.0/8, nexthop: 10.0.0.1}]"), []string{"routes[0].nexthop 10.0.0.1 is outside 192.168.122.0/24: give an address inside"}},
		{"excluded that is none", "NetConfig", subnet("excludeAddresses: [all]"), []string{"excludeAddresses[0]"}},
		{"excluded outside", "NetConfig", subnet("excludeAddresses: [10.0.0.1]"), []string{"excludeAddresses[0] 10.0.0.1 is outside"}},
		{"VLAN 0", "NetConfig", subnet("vlan: 0"), []string{"vlan", "greater than or equal to 1"}},
		{"subnet as a path", "NetConfig", "spec: {networks: [{name: ctlplane, subnets: [{name: ../a, cidr: 10.0.0.0/8}]}]}", []string{"the name of a subnet must"}},

		{"service type as a path", "DataPlaneService", "spec: {edpmServiceType: ../../x}", []string{"edpmServiceType names a folder"}},
		{"service type as a template", "DataPlaneService", "spec: {edpmServiceType: '" + template + "'}", []string{"edpmServiceType names a folder"}},
		{"Secret of another namespace", "DataPlaneService", "spec: {dataSources: [{secretRef: {name: other/a}}]}", []string{"is not the name of a Secret or ConfigMap"}},
		{"set as an option", "DataPlaneDeployment", "spec: {nodeSet: --all}", []string{"nodeSet is not the name of a NodeSet"}},
		{"node as a pattern", "DataPlaneDeployment", "spec: {nodes: ['*:!a']}", []string{"spec.nodes[0]", "should match"}},
		{"service as a template", "DataPlaneDeployment", "spec: {servicesOverride: ['" + template + "']}", []string{"spec.servicesOverride[0]"}},
		{"host name as an option", "DataPlaneNode", "spec: {hostName: -x}", []string{"hostName must be"}},
		{"address that is none", "DataPlaneNode", "spec: {networks: [{network: a, subnet: b, address: '*'}]}", []string{"address must be an IP address"}},

		{"BMC address with a password", "BareMetalHost", `spec: {bmc: {address: "redfish://admin:hunter2@192.0.2.1/redfish/v1/Systems/1", credentialsName: a}}`, []string{"holds a user name or password", "spec.bmc.credentialsName"}},
		{"BMC address with a newline", "BareMetalHost", `spec: {bmc: {address: "redfish://192.0.2.1/\nx", credentialsName: a}}`, []string{"spaces or control characters"}},
		{"image of a host with a password", "BareMetalHost", `spec: {image: {url: "https://u:hunter2@a.example.com/b", checksum: c}}`, []string{"BareMetalHost default/h: spec: image.url holds a user name or password"}},
		{"image of a host at a metadata address", "BareMetalHost", `spec: {image: {url: "http://169.254.169.254/a", checksum: c}}`, []string{"image.url names the link-local or metadata address 169.254.169.254"}},
	}
}

// TestProbingValuesAreRefused: each is refused by the API server, or accepted and named by the engine.
func TestProbingValuesAreRefused(t *testing.T) {
	c := newClient(t)
	for _, tc := range probing() {
		t.Run(tc.object+"/"+tc.name, func(t *testing.T) {
			u := object(t, tc.object, tc.changes)
			err := create(t, c, u)
			if err != nil && !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) {
				t.Fatalf("refused as %s: %v", apierrors.ReasonForError(err), err)
			}
			if err == nil {
				err = named(t, u)
			}
			if err == nil {
				t.Fatal("neither refused nor named")
			}
			assertSays(t, err, tc.want)
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a password is told: %v", err)
			}
		})
	}
}

// named is what the engine says of an object that the API server takes; nil when it says nothing.
func named(t *testing.T, u *unstructured.Unstructured) error {
	t.Helper()
	var problems []string
	switch u.GetKind() {
	case "NodeSet":
		set := typed(t, u, &v1alpha1.NodeSet{})
		world := plan.NewWorld([]v1alpha1.NodeSet{*set}, nil, nil)
		problems = world.SpecProblems(set, network.Site{})
	case "NetConfig":
		_, wrong := network.NewSite(typed(t, u, &v1alpha1.NetConfig{}).Spec)
		for _, err := range wrong {
			problems = append(problems, err.Error())
		}
	case "BareMetalHost":
		host := typed(t, u, &metal3v1alpha1.BareMetalHost{})
		if _, err := bmc.Parse(host.Spec.BMC.Address); host.Spec.BMC.Address != "" && err != nil {
			problems = append(problems, err.Error())
		}
		if i := host.Spec.Image; i != nil {
			if err := provisioner.CheckImage(provisioner.Image{URL: i.URL, Checksum: i.Checksum}); err != nil {
				problems = append(problems, fmt.Sprintf("BareMetalHost %s/%s: spec: %v", host.Namespace, host.Name, err))
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%s", strings.Join(problems, "; "))
}

func typed[T any](t *testing.T, u *unstructured.Unstructured, into T) T {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// TestLegalValuesStayLegal: what looks odd and is right.
func TestLegalValuesStayLegal(t *testing.T) {
	c := newClient(t)
	for _, tc := range []refusal{
		{name: "root", object: "NodeSet", changes: ansible("ansibleUser: root")},
		{name: "directory user", object: "NodeSet", changes: ansible("ansibleUser: ops.admin@example.com")},
		{name: "IPv6 address", object: "NodeSet", changes: ansible("ansibleHost: 'fd00:0:0::0007'")},
		{name: "DNS name in capitals", object: "NodeSet", changes: ansible("ansibleHost: Compute-0.Example.COM")},
		{name: "name that ends like a number", object: "NodeSet", changes: ansible("ansibleHost: compute-0.rack7")},
		{name: "become", object: "NodeSet", changes: ansible("ansibleVars: {ansible_become: true, ansible_become_user: root, ansible_become_method: sudo}")},
		{name: "template in a variable", object: "NodeSet", changes: ansible("ansibleVars: {edpm_ovn_encap_ip: '{{ tenant_ip }}', gather_facts: false}")},
		{name: "full host name", object: "NodeSet", changes: node("hostName: gpu-0.example.com, ansible: {ansibleHost: 192.0.2.1}")},
		{name: "image by address and port", object: "NodeSet", changes: image("http://192.168.122.1:8080/images/a%40b%20c.qcow2?x=1")},
		{name: "image over IPv6", object: "NodeSet", changes: image("http://[fd00:122::1]:8080/a.qcow2")},
		{name: "checksum in hex", object: "NodeSet", changes: "spec: {image: {checksum: " + strings.Repeat("0f", 32) + "}}"},
		{name: "southbound over IPv6", object: "NodeSet", changes: openstack("southbound: {endpoints: ['tcp:[fd00::1]:6642', 'tcp:ovn.example.com:6642']}, availabilityZone: Zone 1 ü")},
		{name: "names of RHOSO", object: "NetConfig", changes: "spec: {networks: [{name: CtlPlane, subnets: [{name: subnet1, cidr: 10.0.0.0/24}]}, {name: storageMgmt, serviceNetwork: storage-mgmt, dnsDomain: storagemgmt.example.com, subnets: [{name: subnet1, cidr: 10.0.1.0/24}]}]}"},
		{name: "host", object: "BareMetalHost", changes: `spec: {bmc: {address: "redfish-virtualmedia://[fd00::1]/redfish/v1/Systems/1", credentialsName: a}, image: {url: "https://a.example.com/b", checksum: "https://a.example.com/b.sha256"}}`},
	} {
		t.Run(tc.object+"/"+tc.name, func(t *testing.T) {
			u := object(t, tc.object, tc.changes)
			if err := create(t, c, u); err != nil {
				t.Error(err)
			}
			if err := named(t, u); err != nil {
				t.Error(err)
			}
		})
	}
}
