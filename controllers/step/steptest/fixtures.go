package steptest

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// Namespace of every fixture.
const Namespace = "site"

// HostKey is a public host key.
const HostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"

// Meta is the metadata of a fixture.
func Meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: Namespace, Name: name} }

// LoginSecret is rack-ssh, with a private key.
func LoginSecret(tb testing.TB) *corev1.Secret {
	tb.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "test")
	if err != nil {
		tb.Fatal(err)
	}
	return &corev1.Secret{ObjectMeta: Meta("rack-ssh"), Data: map[string][]byte{corev1.SSHAuthPrivateKey: pem.EncodeToMemory(block)}}
}

// NetConfig is site: ctlplane 192.168.0.0/20 and internalapi 172.17.0.0/20 on VLAN 20.
func NetConfig() *v1alpha1.NetConfig {
	vlan := int32(20)
	return &v1alpha1.NetConfig{ObjectMeta: Meta("site"), Spec: v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
		{Name: "ctlplane", DNSDomain: "example.com", Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: "192.168.0.0/20", Gateway: "192.168.0.1",
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "192.168.0.10", End: "192.168.15.250"}},
		}}},
		{Name: "internalapi", Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: "172.17.0.0/20", VLAN: &vlan,
			AllocationRanges: []v1alpha1.AllocationRange{{Start: "172.17.0.10", End: "172.17.15.250"}},
		}}},
	}}}
}

// Networks returns NetConfig as it is read.
func Networks() network.Site {
	site, problems := network.NewSite(NetConfig().Spec)
	if len(problems) > 0 {
		panic(problems[0]) // the fixture itself is wrong
	}
	return site
}

// Host is an inspected, available host.
func Host(name string) *metal3v1alpha1.BareMetalHost {
	h := &metal3v1alpha1.BareMetalHost{ObjectMeta: Meta(name)}
	h.Spec.BMC = metal3v1alpha1.BMCDetails{Address: "redfish-virtualmedia://" + name + "/redfish/v1/Systems/1", CredentialsName: "bmc"}
	h.Status.Provisioning.State = metal3v1alpha1.StateAvailable
	h.Status.HardwareDetails = &metal3v1alpha1.HardwareDetails{
		RAMMebibytes: 262144, CPU: metal3v1alpha1.CPU{Arch: "x86_64", Count: 32},
		NIC: []metal3v1alpha1.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01", SpeedGbps: 25}},
	}
	return h
}

// Services are the names of the services that Site has.
func Services() []string { return []string{"bootstrap", "network", "known"} }

// NodeSet is rack: as many nodes n0, n1, ... as asked for, with all services.
func NodeSet(replicas int32) *v1alpha1.NodeSet {
	return &v1alpha1.NodeSet{ObjectMeta: Meta("rack"), Spec: v1alpha1.NodeSetSpec{
		Replicas: &replicas, HostNameTemplate: "n%d",
		Image: &v1alpha1.Image{URL: "http://192.0.2.100/image.qcow2", Checksum: "0123456789abcdef"},
		NodeTemplate: v1alpha1.NodeTemplate{
			AnsibleSSHPrivateKeySecret: "rack-ssh",
			Networks:                   []v1alpha1.NodeNetwork{{Name: "ctlplane", DefaultRoute: true}, {Name: "internalapi"}},
		},
		Services: Services(),
	}}
}

// Site is everything a user applies beside a NodeSet, with so many hosts h0, h1, ...; "known" is a global service.
func Site(tb testing.TB, hosts int) []client.Object {
	tb.Helper()
	objects := []client.Object{LoginSecret(tb), NetConfig()}
	for i := range hosts {
		objects = append(objects, Host(fmt.Sprintf("h%d", i)))
	}
	for _, name := range Services() {
		s := &v1alpha1.DataPlaneService{ObjectMeta: Meta(name), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: "osp.edpm." + name}}
		s.Spec.DeployOnAllNodeSets = name == "known"
		objects = append(objects, s)
	}
	return objects
}

// Vars are Ansible variables, from a JSON object.
func Vars(object string) map[string]apiextensionsv1.JSON {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(object), &raw); err != nil {
		panic(err) // the test's own text
	}
	vars := make(map[string]apiextensionsv1.JSON, len(raw))
	for name, value := range raw {
		vars[name] = apiextensionsv1.JSON{Raw: value}
	}
	return vars
}
