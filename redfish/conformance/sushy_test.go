package conformance

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/rackplane/rackplane/redfish/parts"
	"github.com/rackplane/rackplane/test/assets"
)

const (
	fakeSystem    = "6f4a1ce8-2a31-4c55-9d0b-0a2b1a4b9a01"
	libvirtSystem = "6695eb01-f6a4-8304-79aa-97f2502e193f" // the one machine of libvirt's test hypervisor

	user, password = "admin", "letmein-7"
)

// sushyTools runs sushy-tools 2.2.0 with a driver's configuration (Python) and returns where.
func sushyTools(t *testing.T, driver string) string {
	t.Helper()
	var tree assets.Tree
	if _, err := tree.Build(t.Context(), "deps.sh", "bmc"); err != nil {
		t.Fatal(err)
	}
	venv, err := tree.Build(t.Context(), "bmc/venv.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	digest, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("SUSHY_EMULATOR_AUTH_FILE = %q\nSUSHY_EMULATOR_STATE_DIR = %q\n%s", filepath.Join(dir, "htpasswd"), dir, driver)
	for name, text := range map[string]string{"htpasswd": user + ":" + string(digest) + "\n", "sushy.conf": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := freePort(t)
	// With threads and keep-alive, as a BMC: a request each would hide a client that dials anew.
	run(t, dir, []string{"SUSHY_EMULATOR_CONFIG=" + filepath.Join(dir, "sushy.conf")}, filepath.Join(venv, "bin", "gunicorn"),
		"--bind", address, "--workers", "1", "--threads", "4", "--keep-alive", "30", "sushy_tools.emulator.main:app")
	waitFor(t, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/redfish/v1/", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
	return address
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// run starts a program that ends with the test.
func run(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Log(string(text))
		}
		_ = log.Close()
	})
}

func waitFor(t *testing.T, ready func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := ready(ctx)
	for ; err != nil && ctx.Err() == nil; err = ready(ctx) {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSushyToolsFake: power, boot and media of sushy-tools' fake driver, whose power changes take a second.
func TestSushyToolsFake(t *testing.T) {
	images := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("an image")) }))
	defer images.Close()
	address := sushyTools(t, fmt.Sprintf(`SUSHY_EMULATOR_FAKE_DRIVER = True
SUSHY_EMULATOR_FAKE_SYSTEMS = [{"uuid": %q, "name": "node", "power_state": "Off", "nics": [{"mac": "00:5c:52:31:3a:9c", "ip": "172.22.0.100"}]}]
`, fakeSystem))
	s := Subject{
		Address: "redfish+http://" + address + "/redfish/v1/Systems/" + fakeSystem, User: user, Password: password, Images: images.URL,
		Poke: func() { time.Sleep(100 * time.Millisecond) },
	}
	Suite(t, s)
	got := s.inventory(t)
	if len(got.NICs) != 1 || got.NICs[0].MAC != "00:5c:52:31:3a:9c" || !strings.Contains(fmt.Sprint(got.Missing), "Processors") {
		t.Errorf("%+v", got)
	}
}

// TestSushyToolsLibvirt: the inventory of a machine that libvirt knows: what cannot be had is told and costs nothing else.
func TestSushyToolsLibvirt(t *testing.T) {
	address := sushyTools(t, "SUSHY_EMULATOR_LIBVIRT_URI = \"test:///default\"\n")
	s := Subject{Address: "redfish+http://" + address + "/redfish/v1/Systems/" + libvirtSystem, User: user, Password: password}
	got := s.inventory(t)
	told := fmt.Sprint(got.Missing)
	if details := parts.Metal3(got); details.CPU.Count != 2 || details.CPU.Arch != "x86_64" || details.RAMMebibytes != 8192 {
		t.Errorf("%+v", got)
	}
	for _, want := range []string{"{memory ", "{storage "} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not told in %s", want, told)
		}
	}
}

func (s Subject) inventory(t *testing.T) parts.Inventory {
	t.Helper()
	b, server, _ := s.Login(t)
	defer func() { _ = b.Close(t.Context()) }()
	got, err := server.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}
