package controlplane

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// helperDir makes the test binary a process that starts a control plane in that directory and waits to be killed.
const helperDir = "RACKPLANE_TEST_CONTROLPLANE_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(helperDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	p, err := Start(context.Background(), Config{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.etcd.cmd.Process.Pid, p.kube.cmd.Process.Pid)
	select {}
}

func startIn(t *testing.T, dir string) *ControlPlane {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := time.Now()
	p, err := Start(ctx, Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("started in %s", time.Since(before).Round(10*time.Millisecond))
	t.Cleanup(func() {
		if err := p.Stop(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
	return p
}

func clientFor(t *testing.T, cfg *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStartKeepsDataAndAddress(t *testing.T) {
	dir := t.TempDir()
	first := startIn(t, dir)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kept"}, StringData: map[string]string{"a": "b"}}
	if err := clientFor(t, first.RESTConfig()).Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("a second instance on the same directory: %v", err)
	}
	before, err := os.ReadFile(first.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.Err(); err != nil {
		t.Errorf("after Stop: %v", err)
	}

	second := startIn(t, dir)
	after, err := os.ReadFile(second.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("the kubeconfig changed over a restart")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", second.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	var got corev1.Secret
	if err := clientFor(t, cfg).Get(t.Context(), client.ObjectKeyFromObject(secret), &got); err != nil || string(got.Data["a"]) != "b" {
		t.Errorf("the Secret did not survive the restart: %v, %v", got.Data, err)
	}
	assertPrivate(t, dir)
	assertNobodyElse(t, second)
}

func assertPrivate(t *testing.T, dir string) {
	t.Helper()
	for _, pattern := range []string{"kubeconfig", "lock", "pki/*", "ports.json", "log/*"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %o", path, info.Mode().Perm())
			}
		}
	}
}

// assertNobodyElse asks the API and etcd without a client certificate.
func assertNobodyElse(t *testing.T, p *ControlPlane) {
	t.Helper()
	cfg := rest.AnonymousClientConfig(p.RESTConfig())
	for _, path := range []string{"/api", "/readyz", "/version"} {
		hc, err := rest.HTTPClientFor(cfg)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Get(p.api.url() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("anonymous GET %s: %s", path, resp.Status)
		}
	}
	etcd := rest.CopyConfig(cfg)
	etcd.CAFile = p.pki.bundle(authorityEtcd)
	hc, err := rest.HTTPClientFor(etcd)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := readPorts(filepath.Join(p.api.dir, "ports.json"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := hc.Get(fmt.Sprintf("https://127.0.0.1:%d/version", ports.Etcd))
	if err == nil {
		resp.Body.Close()
		t.Errorf("etcd answered without a client certificate: %s", resp.Status)
	}
	// The API's administrator is nobody to etcd: it has an authority of its own.
	etcd.CertFile, etcd.KeyFile = p.pki.file(certAdmin), p.pki.file(certAdmin)
	if hc, err = rest.HTTPClientFor(etcd); err != nil {
		t.Fatal(err)
	}
	if resp, err = hc.Get(fmt.Sprintf("https://127.0.0.1:%d/version", ports.Etcd)); err == nil {
		resp.Body.Close()
		t.Errorf("etcd answered the API's administrator: %s", resp.Status)
	}
}

func TestKilledEngineLeavesNoOrphanAndResumes(t *testing.T) {
	dir := t.TempDir()
	helper := exec.CommandContext(t.Context(), os.Args[0])
	helper.Env = append(os.Environ(), helperDir+"="+dir)
	helper.Stderr = os.Stderr
	out, err := helper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the helper did not start: %v", err)
	}
	if err := helper.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = helper.Wait() // killed: its error says nothing
	startIn(t, dir)
	for field := range strings.FieldsSeq(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
			t.Errorf("process %d outlived its parent: %v", pid, err)
		}
	}
}

func TestDoneWhenAChildDies(t *testing.T) {
	p := startIn(t, t.TempDir())
	if err := p.etcd.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("not done 10 seconds after etcd was killed")
	}
	if err := p.Err(); err == nil || !strings.Contains(err.Error(), "etcd ended by itself (signal: killed)") {
		t.Errorf("cause: %v", err)
	}
}

func TestInstallCRDs(t *testing.T) {
	p := startIn(t, t.TempDir())
	for range 2 {
		before := time.Now()
		if err := InstallCRDs(t.Context(), p.RESTConfig()); err != nil {
			t.Fatal(err)
		}
		t.Logf("installed in %s", time.Since(before).Round(time.Millisecond))
	}
}

func TestInstallCRDsLeavesAForeignMetal3Alone(t *testing.T) {
	p := startIn(t, t.TempDir())
	c := clientFor(t, p.RESTConfig())
	foreign, err := readCRD("crd/metal3/metal3.io_baremetalhosts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	foreign.SetLabels(map[string]string{"clusterctl.cluster.x-k8s.io": ""})
	if err := c.Create(t.Context(), foreign); err != nil {
		t.Fatal(err)
	}
	if err := InstallCRDs(t.Context(), p.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	seen := foreign.DeepCopy()
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(foreign), seen); err != nil {
		t.Fatal(err)
	}
	if seen.GetGeneration() != foreign.GetGeneration() || seen.GetLabels()[managedByLabel] != "" {
		t.Errorf("changed: generation %d, labels %v", seen.GetGeneration(), seen.GetLabels())
	}
}
