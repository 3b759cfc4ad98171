package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/test/openstack"
)

const (
	// lab is the namespace of the computes whose cloud is described by one Secret. Those in the other namespace
	// have the objects that RHOSO's operators make.
	lab = "lab"
	// described is that Secret.
	described = "openstack-control-plane"
	// cloudAddress is the control plane's on the rack's first network.
	cloudAddress = "192.168.122.10/24"
)

// startCloud boots the control plane on the rack's first network.
func (d *demo) startCloud(ctx context.Context, log *slog.Logger) error {
	dir := filepath.Join(d.dir, "cloud")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var err error
	d.cloud, err = openstack.Start(ctx, openstack.Config{
		Dir: dir, Bridge: "ctlplane", Address: netip.MustParsePrefix(cloudAddress), Log: log,
	})
	if err != nil {
		return fmt.Errorf("the cloud did not start: %w", err)
	}
	d.watch.lap("the cloud (MariaDB, RabbitMQ, Keystone, Placement, Glance, Nova, Neutron, OVN) up")
	return nil
}

// handOver gives both namespaces what their computes need to know of the cloud, and Rackplane an account in it.
func (d *demo) handOver(ctx context.Context) error {
	migration, err := migrationKey()
	if err != nil {
		return err
	}
	for _, namespace := range []string{namespace, lab} {
		objects := []any{
			secret(namespace, "cloud-admin", map[string][]byte{"clouds.yaml": d.cloud.CloudsYAML}),
			secret(namespace, "nova-migration-ssh-key", migration),
		}
		path, err := d.writeObjects(namespace, "cloud", append(objects, d.computeConfig(namespace)...))
		if err != nil {
			return err
		}
		if err := apply(ctx, d.client, path, namespace); err != nil {
			return err
		}
	}
	return nil
}

// computeConfig is the cloud's part for one namespace: RHOSO's objects, or the description.
func (d *demo) computeConfig(namespace string) []any {
	var objects []any
	for name, data := range d.cloud.ComputeConfig {
		switch {
		case (name == described) != (namespace == lab):
		case name == "ovncontroller-config":
			objects = append(objects, configMap(namespace, name, data))
		default:
			objects = append(objects, secret(namespace, name, data))
		}
	}
	return objects
}

func secret(namespace, name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: data,
	}
}

func configMap(namespace, name string, data map[string][]byte) *corev1.ConfigMap {
	text := map[string]string{}
	for key, value := range data {
		text[key] = string(value)
	}
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: text,
	}
}

// writeObjects writes a manifest beside the others, where the user can read it and `rackplane plan` does.
func (d *demo) writeObjects(namespace, name string, objects []any) (string, error) {
	var b bytes.Buffer
	for _, object := range objects {
		data, err := yaml.Marshal(object)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "---\n%s", data)
	}
	dir := filepath.Join(d.manifests(), namespace)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+".yaml")
	return path, os.WriteFile(path, b.Bytes(), 0o600)
}

// migrationKey is the key pair with which computes move servers to each other.
func migrationKey() (map[string][]byte, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "nova")
	if err != nil {
		return nil, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"ssh-privatekey": pem.EncodeToMemory(block), "ssh-publickey": ssh.MarshalAuthorizedKey(key)}, nil
}

// tables prints what the cloud's own tools say about its computes.
func (d *demo) tables(ctx context.Context) error {
	for _, command := range []string{
		"openstack compute service list", "openstack hypervisor list", "openstack resource provider list",
		"openstack network agent list", "openstack server list --long -c Name -c Status -c Networks -c Host", "ovn-sbctl show",
	} {
		if err := d.table(ctx, command); err != nil {
			return err
		}
	}
	known, err := d.cloud.Computes(ctx)
	if err != nil {
		return err
	}
	up := 0
	for _, c := range known {
		if c.Service == "up" && c.Hypervisor == "up" {
			up++
		}
	}
	if up != d.computes() {
		return fmt.Errorf("%d computes are up, want %d", up, d.computes())
	}
	d.say("\ndemo: %d/%d computes serve the cloud after %.0fs", up, d.computes(), d.watch.seconds())
	return nil
}

// table prints what a command of the cloud's own tools says.
func (d *demo) table(ctx context.Context, command string) error {
	d.say("\n$ %s", command)
	argv := strings.Fields(command)
	if argv[0] == "openstack" {
		argv = append([]string{argv[0], "--os-cloud", "default"}, argv[1:]...)
	}
	out, err := d.cloud.Output(ctx, argv...)
	if err != nil {
		return err
	}
	d.say("%s", out)
	return nil
}
