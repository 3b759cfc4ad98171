package controlplane

import (
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

func newPKI(t *testing.T) (pki, *clocktesting.FakePassiveClock) {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	return pki{dir: filepath.Join(t.TempDir(), "pki"), clock: clock, listen: "127.0.0.1"}, clock
}

func ensure(t *testing.T, k pki) {
	t.Helper()
	if err := k.ensureAuthorities(); err != nil {
		t.Fatal(err)
	}
	if err := k.ensureCertificates(); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, k pki) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(k.dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func changed(before, after map[string]string) map[string]bool {
	names := map[string]bool{}
	for name := range after {
		if before[name] != after[name] {
			names[name] = true
		}
	}
	return names
}

func TestCertificatesAreRenewedOnlyWhenNeeded(t *testing.T) {
	leaves := map[string]bool{"admin.pem": true, "apiserver.pem": true, "apiserver-etcd-client.pem": true, "etcd.pem": true}
	all := map[string]bool{"ca.pem": true, "ca.crt": true, "etcd-ca.pem": true, "etcd-ca.crt": true}
	for name := range leaves {
		all[name] = true
	}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, k *pki, clock *clocktesting.FakePassiveClock)
		want map[string]bool
	}{
		{"nothing happened", func(*testing.T, *pki, *clocktesting.FakePassiveClock) {}, map[string]bool{}},
		{"eight months later", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(0, 8, -5)) }, map[string]bool{}},
		{"nine months later", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(0, 9, 0)) }, leaves},
		{"nine years later", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(9, 0, 0)) }, all},
		{"clock set back", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(0, -1, 0)) }, all},
		{"another listen address", func(_ *testing.T, k *pki, _ *clocktesting.FakePassiveClock) { k.listen = "192.0.2.7" }, map[string]bool{"apiserver.pem": true}},
		{"torn certificate", func(t *testing.T, k *pki, _ *clocktesting.FakePassiveClock) {
			t.Helper()
			if err := os.Truncate(k.file(certAdmin), 300); err != nil {
				t.Fatal(err)
			}
		}, map[string]bool{"admin.pem": true}},
		{"lost authority", func(t *testing.T, k *pki, _ *clocktesting.FakePassiveClock) {
			t.Helper()
			if err := os.Remove(k.file(authorityEtcd)); err != nil {
				t.Fatal(err)
			}
		}, map[string]bool{"etcd-ca.pem": true, "etcd-ca.crt": true, "etcd.pem": true, "apiserver-etcd-client.pem": true}},
		{"lost signing key", func(t *testing.T, k *pki, _ *clocktesting.FakePassiveClock) {
			t.Helper()
			if err := os.WriteFile(k.signingKey(), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, map[string]bool{"service-account.key": true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k, clock := newPKI(t)
			ensure(t, k)
			before := contents(t, k)
			tc.do(t, &k, clock)
			ensure(t, k)
			if diff := cmp.Diff(tc.want, changed(before, contents(t, k))); diff != "" {
				t.Errorf("renewed files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestServingCertificateNames(t *testing.T) {
	k, clock := newPKI(t)
	k.listen = "192.0.2.7"
	ensure(t, k)
	id, err := readIdentity(k.file(certServing))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := readIdentity(k.file(authorityAPI))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, name := range []string{"127.0.0.1", "::1", "192.0.2.7", serviceAddress, "localhost", "kubernetes.default.svc"} {
		opts := x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: clock.Now()}
		if _, err := id.cert.Verify(opts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := id.cert.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: roots, CurrentTime: clock.Now()}); err == nil {
		t.Error("the serving certificate serves any name")
	}
}

func TestPortsAreRememberedAndMoveOnlyWhenNobodyKnowsThem(t *testing.T) {
	c := Config{Dir: t.TempDir(), Listen: "127.0.0.1"}
	first, err := choosePorts(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if first.API == first.Etcd || first.Etcd == first.EtcdPeer || first.API < firstPort || first.API > lastPort {
		t.Errorf("chosen: %+v", first)
	}
	second, err := choosePorts(t.Context(), c)
	if err != nil || second != first {
		t.Errorf("remembered: %+v, %v, want %+v", second, err, first)
	}
	occupy(t, first.Etcd)
	third, err := choosePorts(t.Context(), c)
	if err != nil || third.Etcd == first.Etcd || third.API != first.API || third.EtcdPeer != first.EtcdPeer {
		t.Errorf("with etcd's port taken: %+v, %v, was %+v", third, err, first)
	}
	occupy(t, first.API)
	if _, err := choosePorts(t.Context(), c); err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("with the API's port taken: %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "ports.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := choosePorts(t.Context(), c); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("with a torn file: %v", err)
	}
}

func occupy(t *testing.T, port int) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	empty := t.TempDir()
	for _, tc := range []struct {
		name string
		c    Config
		want string
	}{
		{"no directory", Config{}, "--state-dir"},
		{"listen name", Config{Dir: empty, Listen: "localhost"}, `listen address "localhost" is not an IP address`},
		{"port", Config{Dir: empty, Port: 70000}, "port 70000 is out of range"},
		{"no binaries", Config{Dir: empty, Binaries: empty}, "run hack/kube-assets.sh"},
		{"directory is a file", Config{Dir: os.Args[0]}, "not a directory"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Start(t.Context(), tc.c); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q in it", err, tc.want)
			}
		})
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) != 0 {
		t.Errorf("refused starts left %v, %v", left, err)
	}
}

func TestStartWaitsForOrphans(t *testing.T) {
	dir := t.TempDir()
	orphan, err := lockChildren(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(200 * time.Millisecond)
		orphan.Close()
	}()
	next, err := lockChildren(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
}

func TestReachable(t *testing.T) {
	for listen, want := range map[string]string{"0.0.0.0": "127.0.0.1", "::": "::1", "192.0.2.7": "192.0.2.7", "::1": "::1"} {
		if got := reachable(listen); got != want {
			t.Errorf("reachable(%s) = %s, want %s", listen, got, want)
		}
	}
}
