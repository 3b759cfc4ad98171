package openstack

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2/openstack/config/clouds"
	"golang.org/x/crypto/bcrypt"
)

func testSettings() settings {
	return settings{Address: netip.MustParseAddr("192.0.2.10"), Secrets: newSecrets(), Discovery: 10 * time.Second}
}

func TestSecretsDifferFromCloudToCloud(t *testing.T) {
	a, b := newSecrets(), newSecrets()
	if a.Keystone["nova"] == b.Keystone["nova"] || a.Rabbit["nova"] == b.Rabbit["nova"] || a.Fernet[1] == b.Fernet[1] {
		t.Error("two clouds share a secret")
	}
}

func TestPasswordHashes(t *testing.T) {
	hash, err := keystoneHash("secret")
	if err != nil {
		t.Fatal(err)
	}
	if err := bcrypt.CompareHashAndPassword([]byte(hash), []byte("secret")); err != nil {
		t.Errorf("keystone: %v", err)
	}
	salted, err := base64.StdEncoding.DecodeString(rabbitHash("secret"))
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256(append(bytes.Clone(salted[:4]), "secret"...))
	if !bytes.Equal(salted[4:], want[:]) {
		t.Error("rabbitmq: digest is not that of salt and password")
	}
}

func TestDescribe(t *testing.T) {
	s := testSettings()
	cloud, err := describe(s)
	if err != nil {
		t.Fatal(err)
	}
	auth, _, _, err := clouds.Parse(clouds.WithCloudName("default"), clouds.WithCloudsYAML(bytes.NewReader(cloud.CloudsYAML)))
	if err != nil {
		t.Fatal(err)
	}
	if auth.IdentityEndpoint != "http://192.0.2.10:5000/v3" || auth.Password != cloud.Passwords["admin"] {
		t.Errorf("clouds.yaml signs in at %s", auth.IdentityEndpoint)
	}
	for object, key := range map[string]string{
		"nova-cell1-compute-config":                 "01-nova.conf",
		"nova-metadata-neutron-config":              "05-nova-metadata.conf",
		"neutron-ovn-metadata-agent-neutron-config": "10-neutron-metadata.conf",
		"neutron-ovn-agent-neutron-config":          "10-neutron-ovn.conf",
		"ovncontroller-config":                      "ovsdb-config",
		"openstack-control-plane":                   "control-plane.yaml",
	} {
		if !strings.Contains(string(cloud.ComputeConfig[object][key]), "192.0.2.10") {
			t.Errorf("%s/%s does not name the control plane", object, key)
		}
	}
	nova := string(cloud.ComputeConfig["nova-cell1-compute-config"]["01-nova.conf"])
	if !strings.Contains(nova, "transport_url="+cloud.TransportURL+"\n") ||
		strings.Count(nova, "password = "+cloud.Passwords["nova"]+"\n") != 5 {
		t.Error("01-nova.conf lacks a credential")
	}
}

func TestFurnish(t *testing.T) {
	root := t.TempDir()
	var passwd strings.Builder
	for _, user := range []string{"root", "placement", "glance", "nova", "neutron", "mysql", "rabbitmq", "keystone"} {
		passwd.WriteString(user + ":x:0:0::/:/bin/sh\n")
	}
	for path, content := range map[string]string{"etc/passwd": passwd.String(), "var/lib/rabbitmq/x": ""} {
		if err := write(filepath.Join(root, path), []byte(content), owner{}); err != nil {
			t.Fatal(err)
		}
	}
	s := testSettings()
	if err := s.furnish(root); err != nil {
		t.Fatal(err)
	}
	sql, err := os.ReadFile(filepath.Join(root, "etc", "mysql", "rackplane.sql"))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(sql), "UPDATE keystone.password"); got != len(s.Secrets.Keystone) {
		t.Errorf("%d passwords are set, want %d", got, len(s.Secrets.Keystone))
	}
	for user, password := range s.Secrets.Keystone {
		if strings.Contains(string(sql), password) {
			t.Errorf("password of %s is in the statements", user)
		}
	}
	definitions, err := os.ReadFile(filepath.Join(root, "etc", "rabbitmq", "definitions.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(definitions) {
		t.Error("definitions.json is not JSON")
	}
	info, err := os.Stat(filepath.Join(root, "etc", "nova", "nova.conf.d", "10-cloud.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("nova's secrets have mode %v", info.Mode())
	}
}
