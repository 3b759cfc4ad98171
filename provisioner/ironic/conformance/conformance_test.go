package conformance_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/provisioner/ironic"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/test/rack"
)

func TestMain(m *testing.M) {
	rack.Isolate(context.Background(), func(ctx context.Context) error { return rack.Prepare(ctx, rack.Config{}) })
	os.Exit(m.Run())
}

// testLog sends the rack's log to the test's.
type testLog struct {
	t      *testing.T
	powers *powers
}

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	if _, name, power := strings.Cut(string(p), "host powers "); power {
		_, name, _ = strings.Cut(name, "host=")
		name, _, _ = strings.Cut(strings.TrimSpace(name), " ")
		l.powers.mu.Lock()
		l.powers.changes[name]++
		l.powers.mu.Unlock()
	}
	return len(p), nil
}

// powered is how often the server was switched on or off so far.
func (l testLog) powered(name string) int {
	l.powers.mu.Lock()
	defer l.powers.mu.Unlock()
	return l.powers.changes[name]
}

// powers counts what was logged of servers' power, by server.
type powers struct {
	mu      sync.Mutex
	changes map[string]int
}

func startRack(t *testing.T) (*rack.Rack, testLog) {
	t.Helper()
	dir, log := t.TempDir(), testLog{t: t, powers: &powers{changes: map[string]int{}}}
	r, err := rack.Start(t.Context(), rack.Config{
		Dir: dir, Hosts: rack.DefaultHosts(4), Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if text, err := os.ReadFile(dir + "/log/ironic.log"); err == nil {
				t.Logf("%s", text[max(0, len(text)-8000):])
			}
		}
		if err := r.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return r, log
}

func wantOf(r *rack.Rack, n int) provisioner.Want {
	h := r.Hosts[n]
	return provisioner.Want{
		Host: provisioner.HostID{Namespace: "metal", Name: h.Name, UID: provisionertest.AnyUID(n)},
		BMC: bmc.Access{
			Address: h.BMCAddress, Username: secret.Value(h.BMCUsername), Password: secret.Value(h.BMCPassword),
			CredentialsName: "bmc", CredentialsVersion: "1",
		},
		BootMAC: h.BootMAC, BootMode: metal3v1alpha1.UEFI, Architecture: "x86_64", Online: true,
		Image: &provisioner.Image{URL: r.Image.URL, Checksum: r.Image.ChecksumURL, Format: r.Image.Format},
		Drive: provisioner.ConfigDrive{
			MetaData: "{role: test}", UserData: "#cloud-config\n{}\n", NetworkData: `{"links": [], "networks": [], "services": []}`,
		},
	}
}

func TestIronicConforms(t *testing.T) {
	r, _ := startRack(t)
	client, err := ironic.New(ironic.Config{Endpoint: r.IronicURL})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("suite", func(t *testing.T) {
		provisionertest.Conformance(t, provisionertest.Subject{
			Provisioner:   client,
			Want:          func(n int) provisioner.Want { return wantOf(r, n) },
			WrongPassword: "surely not it",
			BadImage:      provisioner.Image{URL: r.Image.URL, Checksum: r.Image.WrongChecksumURL, Format: r.Image.Format},
			Pause:         func() { time.Sleep(500 * time.Millisecond) },
			Patience:      400,
		})
	})
}
