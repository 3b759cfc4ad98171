package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

const (
	namespace = "site"
	domain    = "example.com"
	authURL   = "https://keystone.example.com/v3"
	password  = "of-the-simulated-cloud"
	// writers is how many objects a user's apply makes at once.
	writers = 16
)

// services are the fifteen of an EDPM compute, in order.
func services() []string {
	return []string{
		"download-cache", "bootstrap", applies, "validate-network", "install-os", "configure-os", "ssh-known-hosts", "run-os", "reboot-os",
		"install-certs", "ovn", "neutron-metadata", "libvirt", starts, "telemetry",
	}
}

// playbook is the one of our collection that a service runs.
func playbook(service string) string { return "osp.edpm." + strings.ReplaceAll(service, "-", "_") }

func meta(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }

// shared is everything a set refers to. Each service has a Secret of so many bytes.
func shared(data int) ([]client.Object, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, err
	}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Secret{ObjectMeta: meta("login"), Data: map[string][]byte{corev1.SSHAuthPrivateKey: pem.EncodeToMemory(block)}},
		&corev1.Secret{ObjectMeta: meta("bmc"), Data: map[string][]byte{"username": []byte("admin"), "password": []byte("of-all-bmcs")}},
		&corev1.Secret{ObjectMeta: meta("clouds"), Data: map[string][]byte{"clouds.yaml": fmt.Appendf(nil, clouds, authURL, password)}},
		&v1alpha1.NetConfig{ObjectMeta: meta("site"), Spec: networks()},
	}
	for _, name := range services() {
		s := &v1alpha1.DataPlaneService{ObjectMeta: meta(name), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: playbook(name)}}
		s.Spec.DeployOnAllNodeSets = name == "ssh-known-hosts"
		s.Spec.DataSources = []v1alpha1.DataSource{{SecretRef: &v1alpha1.DataSourceRef{Name: "data-of-" + name}}}
		content := &corev1.Secret{ObjectMeta: meta("data-of-" + name), Data: map[string][]byte{"file": []byte(strings.Repeat("x", data))}}
		objects = append(objects, content, s)
	}
	return objects, nil
}

const clouds = `{clouds: {default: {auth: {auth_url: %q, username: admin, password: %q,
  user_domain_name: Default, project_name: admin, project_domain_name: Default}}}}`

// networks are five, as an OpenStack has them, each with room for 5,000 nodes.
func networks() (spec v1alpha1.NetConfigSpec) {
	for i, name := range []string{"ctlplane", "internalapi", "storage", "storagemgmt", "tenant"} {
		n := v1alpha1.Network{Name: name, Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: fmt.Sprintf("10.%d.0.0/16", i), AllocationRanges: []v1alpha1.AllocationRange{{Start: fmt.Sprintf("10.%d.1.0", i), End: fmt.Sprintf("10.%d.250.255", i)}},
		}}}
		if i == 0 {
			n.DNSDomain, n.Subnets[0].Gateway = domain, "10.0.0.1"
		} else {
			n.Subnets[0].VLAN = new(int32(20 + i))
		}
		spec.Networks = append(spec.Networks, n)
	}
	return spec
}

func host(i int) *metal3v1alpha1.BareMetalHost {
	h := &metal3v1alpha1.BareMetalHost{ObjectMeta: meta(fmt.Sprintf("server-%04d", i))}
	h.Labels = map[string]string{"rack": fmt.Sprintf("r%02d", i/40)}
	h.Spec.BMC = metal3v1alpha1.BMCDetails{Address: fmt.Sprintf("redfish-virtualmedia+https://172.31.%d.%d/redfish/v1/Systems/1", i/250, 1+i%250), CredentialsName: "bmc"}
	h.Spec.BootMACAddress = fmt.Sprintf("52:54:00:00:%02x:%02x", i/256, i%256)
	return h
}

func nodeSet(replicas int32) *v1alpha1.NodeSet {
	set := &v1alpha1.NodeSet{ObjectMeta: meta("compute"), Spec: v1alpha1.NodeSetSpec{
		Replicas: new(replicas), HostNameTemplate: "compute-%04d",
		Image: &v1alpha1.Image{URL: "http://192.0.2.100/image.qcow2", Checksum: strings.Repeat("0", 64)},
		NodeTemplate: v1alpha1.NodeTemplate{
			AnsibleSSHPrivateKeySecret: "login",
			Networks:                   []v1alpha1.NodeNetwork{{Name: "ctlplane", DefaultRoute: true}, {Name: "internalapi"}, {Name: "storage"}, {Name: "storagemgmt"}, {Name: "tenant"}},
		},
		Services: services(),
		OpenStack: &v1alpha1.OpenStackJoin{
			CloudsSecret: "clouds", Southbound: &v1alpha1.OVNSouthbound{Endpoints: []string{"tcp:192.0.2.200:6642"}}, AvailabilityZone: "a",
		},
	}}
	return set
}

// create makes objects, many at once.
func create[T client.Object](ctx context.Context, c client.Client, objects []T) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, obj := range objects {
		group.Go(func() error { return c.Create(ctx, obj) })
	}
	return group.Wait()
}
