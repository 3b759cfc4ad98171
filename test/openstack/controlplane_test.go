//go:build e2eopenstack

package openstack

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/rackplane/rackplane/test/cgroup"
	"github.com/rackplane/rackplane/test/rack"
)

const (
	testBridge  = "cloud"
	testGateway = "192.168.140.1/24"
	testHost    = "192.168.140.10"
	testAddress = testHost + "/24"
)

func TestMain(m *testing.M) {
	rack.Isolate(context.Background(), func(ctx context.Context) error {
		return errors.Join(Prepare(ctx, Config{}), rack.Prepare(ctx, rack.Config{Profile: "compute"}))
	})
	os.Exit(m.Run())
}

// startCloud starts a control plane on a bridge that this test has an address on, and ends both with the test.
func startCloud(t *testing.T) *Cloud {
	t.Helper()
	lasting := context.WithoutCancel(t.Context())
	ip(t, "link", "add", testBridge, "type", "bridge")
	t.Cleanup(func() {
		if _, err := run(lasting, "", "ip", "link", "delete", testBridge); err != nil {
			t.Error(err)
		}
	})
	ip(t, "address", "add", testGateway, "dev", testBridge)
	ip(t, "link", "set", testBridge, "up")
	return startOn(t, testBridge, testAddress)
}

// startOn starts a control plane on a bridge, and ends it with the test.
func startOn(t *testing.T, bridge, address string) *Cloud {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	began := time.Now()
	cloud, err := Start(ctx, Config{
		Dir: t.TempDir(), Bridge: bridge, Address: netip.MustParsePrefix(address),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("control plane: up in %.0f s", time.Since(began).Seconds())
	t.Cleanup(func() {
		if err := cloud.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return cloud
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if _, err := run(t.Context(), "", "ip", args...); err != nil {
		t.Fatal(err)
	}
}

func TestControlPlane(t *testing.T) {
	t.Run("cloud", func(t *testing.T) {
		cloud := startCloud(t)
		t.Run("catalog", func(t *testing.T) { checkCatalog(t, cloud) })
		t.Run("ports", func(t *testing.T) { checkPorts(t) })
		t.Run("cells", func(t *testing.T) { checkCells(t, cloud) })
		t.Run("the image's password is refused", func(t *testing.T) { checkRefusal(t, cloud) })
	})
	checkNothingIsLeft(t)
}

// checkCatalog finds every service in Keystone's catalog at the cloud's own address.
func checkCatalog(t *testing.T, cloud *Cloud) {
	t.Helper()
	provider, where, err := cloud.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"identity", "placement", "image", "compute", "network"} {
		for _, seen := range []gophercloud.Availability{gophercloud.AvailabilityPublic, gophercloud.AvailabilityInternal} {
			url, err := provider.EndpointLocator(gophercloud.EndpointOpts{
				Type: service, Region: where.Region, Availability: seen,
			})
			if err != nil || !strings.HasPrefix(url, "http://"+testHost+":") {
				t.Errorf("%s endpoint of %s: %q, %v", seen, service, url, err)
			}
		}
	}
}

// checkPorts reaches what computes connect to: RabbitMQ, OVN's databases, Nova's metadata API.
func checkPorts(t *testing.T) {
	t.Helper()
	for _, port := range []string{"5672", "6641", "6642", "8775"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", net.JoinHostPort(testHost, port))
		if err != nil {
			t.Error(err)
			continue
		}
		_ = conn.Close()
	}
}

func checkCells(t *testing.T, cloud *Cloud) {
	t.Helper()
	cells, err := cloud.Output(t.Context(), "runuser", "-u", "nova", "--", "nova-manage", "cell_v2", "list_cells")
	if err != nil || !strings.Contains(cells, "cell0") || !strings.Contains(cells, "rabbit://nova:****@"+testHost+":5672/") {
		t.Errorf("cells: %v\n%s", err, cells)
	}
}

// checkRefusal proves that the image's own secret opens nothing.
func checkRefusal(t *testing.T, cloud *Cloud) {
	t.Helper()
	_, err := openstack.AuthenticatedClient(t.Context(), gophercloud.AuthOptions{
		IdentityEndpoint: cloud.AuthURL, Username: "admin", Password: "build", TenantName: "admin", DomainName: "Default",
	})
	if !gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		t.Errorf("the password of the image's build: %v", err)
	}
}

func checkNothingIsLeft(t *testing.T) {
	t.Helper()
	for _, left := range []string{"/run/netns/" + machineName, "/sys/class/net/v-" + machineName} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s is left", left)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "overlay "+os.TempDir()) {
		t.Errorf("an overlay is left mounted:\n%s", mounts)
	}
	own, err := cgroup.Own()
	if err != nil {
		t.Fatal(err)
	}
	if groups, err := filepath.Glob(own + "/machine-*"); err != nil || len(groups) > 0 {
		t.Errorf("control groups are left: %v %v", groups, err)
	}
}
