//go:build e2eopenstack

package openstack

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/api"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/test/login"
	"github.com/rackplane/rackplane/test/rack"
)

// TestConformance holds the product's view of clouds against this one and a compute that was joined by hand: neither
// the roles nor the engine take part.
func TestConformance(t *testing.T) {
	host := startHost(t)
	cloud := startOn(t, "ctlplane", "192.168.122.10/24")
	host.join(t, cloud)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	err := poll(ctx, time.Second, func(ctx context.Context) error {
		known, err := cloud.Computes(ctx)
		if err == nil && (len(known) != 1 || known[0].Service != "up" || known[0].Hypervisor != "up" || known[0].Chassis == "") {
			err = fmt.Errorf("computes: %+v", known)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	access, err := openstack.ParseClouds(cloud.CloudsYAML, nil, "default")
	if err != nil {
		t.Fatal(err)
	}
	access.Source = "Secret cloud-admin"
	access.Southbound = openstack.SouthboundAccess{Source: "spec.openstack.southbound", Endpoints: cloud.SBConnection}
	subject := openstacktest.Subject{
		// Nova waits a minute for a dead compute's answer before it disables its service (rpc_response_timeout).
		Cloud: api.New(clock.RealClock{}, 2*time.Minute, nil), Access: access,
		Host: openstack.Host{Names: []string{host.Name}, EncapIP: host.Address.String()},
		Silent: func(access openstack.Access) openstack.Access {
			access.AuthURL = "http://" + net.JoinHostPort(rack.Gateway, "9") + "/v3"
			return access
		},
		Stop:   func(t *testing.T) { t.Helper(); host.run(t, nil, "sudo systemctl stop nova-compute") },
		Start:  func(t *testing.T) { t.Helper(); host.run(t, nil, "sudo systemctl start nova-compute") },
		Unique: "CONFORMANCE",
		Pause:  func() { time.Sleep(time.Second) }, Patience: 150,
	}
	openstacktest.Conformance(t, subject)
	// As when the power is cut: nobody signs off.
	host.run(t, nil, "sudo systemctl mask --runtime nova-compute ovn-controller && sudo systemctl kill --signal=KILL nova-compute ovn-controller")
	openstacktest.Departure(t, subject)
}

// computeHost is a host of the rack with a compute's packages.
type computeHost struct {
	*rack.Host

	key ssh.Signer
}

func startHost(t *testing.T) computeHost {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rack.Start(t.Context(), rack.Config{
		Dir: shortDir(t), Hosts: rack.DefaultHosts(1), Profile: "compute", Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		PreProvisioned: &rack.PreProvisioned{AuthorizedKey: string(ssh.MarshalAuthorizedKey(key.PublicKey()))},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return computeHost{Host: r.Hosts[0], key: key}
}

// shortDir is a directory whose path leaves room for the names of sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rack-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// join hands the control plane's files to the host and runs testdata/join.sh there.
func (h computeHost) join(t *testing.T, cloud *Cloud) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join("testdata", "join.sh"))
	if err != nil {
		t.Fatal(err)
	}
	var files bytes.Buffer
	archive := tar.NewWriter(&files)
	add := func(name string, content []byte) {
		if err := archive.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	add("join.sh", script)
	for object, keys := range cloud.ComputeConfig {
		for key, content := range keys {
			add(object+"/"+key, content)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	h.run(t, files.Bytes(), "sudo mkdir /root/config && sudo tar --extract --directory=/root/config")
	h.run(t, nil, fmt.Sprintf("sudo bash /root/config/join.sh /root/config %s %s", h.Name, h.Address))
}

// run executes a command on the host, which may still be booting.
func (h computeHost) run(t *testing.T, input []byte, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	host := login.Login{Address: h.Address.String(), Key: h.key, HostKey: h.HostKey}
	if _, err := host.FeedWithin(ctx, 3*time.Minute, input, command); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}
