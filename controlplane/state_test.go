package controlplane

import (
	"bytes"
	"crypto/x509"
	"errors"
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
	added := map[string]bool{"ca-2.pem": true, "ca.crt": true, "etcd-ca-2.pem": true, "etcd-ca.crt": true}
	for name := range leaves {
		added[name] = true
	}
	for _, tc := range []struct {
		name string
		do   func(t *testing.T, k *pki, clock *clocktesting.FakePassiveClock)
		want map[string]bool
	}{
		{"nothing happened", func(*testing.T, *pki, *clocktesting.FakePassiveClock) {}, map[string]bool{}},
		{"eight months later", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(0, 8, -5)) }, map[string]bool{}},
		{"nine months later", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(0, 9, 0)) }, leaves},
		{"nine years later", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(9, 0, 0)) }, added},
		{"clock a year behind", func(_ *testing.T, _ *pki, c *clocktesting.FakePassiveClock) { c.SetTime(c.Now().AddDate(-1, 0, 0)) }, map[string]bool{}},
		{"another listen address", func(_ *testing.T, k *pki, _ *clocktesting.FakePassiveClock) { k.listen = "192.0.2.7" }, map[string]bool{"apiserver.pem": true}},
		{"torn certificate", func(t *testing.T, k *pki, _ *clocktesting.FakePassiveClock) {
			t.Helper()
			if err := os.Truncate(k.file(certAdmin), 300); err != nil {
				t.Fatal(err)
			}
		}, map[string]bool{"admin.pem": true}},
		{"lost signing key", func(t *testing.T, k *pki, _ *clocktesting.FakePassiveClock) {
			t.Helper()
			if err := os.Remove(k.signingKey()); err != nil {
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

// TestAuthorityIsNeverMadeAnewOverAnother: what cannot be read stops the start, says what to do, and stays as it is.
func TestAuthorityIsNeverMadeAnewOverAnother(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"torn":       func(path string) error { return os.Truncate(path, 300) },
		"empty":      func(path string) error { return os.Truncate(path, 0) },
		"missing":    os.Remove,
		"unreadable": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		for _, file := range []string{"ca.pem", "etcd-ca.pem"} {
			t.Run(name+" "+file, func(t *testing.T) {
				k, _ := newPKI(t)
				ensure(t, k)
				path := filepath.Join(k.dir, file)
				if err := harm(path); err != nil {
					t.Fatal(err)
				}
				bundle, err := os.ReadFile(k.bundle(authorityAPI))
				if err != nil {
					t.Fatal(err)
				}
				err = k.ensureAuthorities()
				if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "from a backup") || !strings.Contains(err.Error(), "remove the folder "+k.dir) {
					t.Errorf("%v", err)
				}
				if after, err := os.ReadFile(k.bundle(authorityAPI)); err != nil || !bytes.Equal(bundle, after) {
					t.Errorf("the bundle changed, %v", err)
				}
			})
		}
	}
}

// member is someone with a copy of a kubeconfig, who stays as they are whatever becomes of the files.
type member struct {
	trusts *x509.CertPool
	cert   *x509.Certificate
}

func join(t *testing.T, k pki) member {
	t.Helper()
	bundle, err := os.ReadFile(k.bundle(authorityAPI))
	if err != nil {
		t.Fatal(err)
	}
	admin, err := readIdentity(k.file(certAdmin))
	if err != nil {
		t.Fatal(err)
	}
	m := member{x509.NewCertPool(), admin.cert}
	m.trusts.AppendCertsFromPEM(bundle)
	return m
}

// visit has the member and the server verify each other.
func (m member) visit(k pki) error {
	serving, err := readIdentity(k.file(certServing))
	if err != nil {
		return err
	}
	_, server := serving.cert.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: m.trusts, CurrentTime: k.clock.Now()})
	bundle, err := os.ReadFile(k.bundle(authorityAPI))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, client := m.cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: k.clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return errors.Join(server, client)
}

// TestClockThatJumpsLocksNobodyOut starts and renews under wrong clocks; once the clock is right again, every kubeconfig
// that was copied before works, and the certificate of nobody was shortened.
func TestClockThatJumpsLocksNobodyOut(t *testing.T) {
	for name, jumps := range map[string][]time.Duration{
		"a year ahead":          {365 * 24 * time.Hour},
		"a year behind":         {-365 * 24 * time.Hour},
		"ahead, behind, ahead":  {365 * 24 * time.Hour, -365 * 24 * time.Hour, 2 * 365 * 24 * time.Hour},
		"seven years ahead":     {7 * 365 * 24 * time.Hour},
		"thirty years ahead":    {30 * 365 * 24 * time.Hour},
		"to 1970 and far ahead": {-60 * 365 * 24 * time.Hour, 60 * 365 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			k, clock := newPKI(t)
			ensure(t, k)
			right := clock.Now()
			early := join(t, k)
			for _, jump := range jumps {
				clock.SetTime(right.Add(jump))
				ensure(t, k)
				if err := join(t, k).visit(k); err != nil {
					t.Errorf("%s off, with the files of now: %v", jump, err)
				}
			}
			clock.SetTime(right.Add(time.Hour))
			ensure(t, k)
			if err := early.visit(k); err != nil {
				t.Errorf("the early kubeconfig: %v", err)
			}
			if now := join(t, k); now.cert.NotAfter.Before(early.cert.NotAfter) {
				t.Errorf("shortened from %s to %s", early.cert.NotAfter, now.cert.NotAfter)
			}
			before := contents(t, k)
			ensure(t, k)
			if diff := cmp.Diff(map[string]bool{}, changed(before, contents(t, k))); diff != "" {
				t.Errorf("it goes on renewing: %s", diff)
			}
		})
	}
}

// TestNothingIsIssuedByAnImpossibleClock: the hourly renewal under a clock of 1970 writes nothing.
func TestNothingIsIssuedByAnImpossibleClock(t *testing.T) {
	k, clock := newPKI(t)
	ensure(t, k)
	before := contents(t, k)
	clock.SetTime(time.Unix(0, 0))
	if err := k.ensureCertificates(); !errors.Is(err, errNoneValid) {
		t.Errorf("%v", err)
	}
	if diff := cmp.Diff(before, contents(t, k)); diff != "" {
		t.Error("files changed")
	}
}

// TestAuthoritiesOverlap follows twelve years of a site that restarts every month: a kubeconfig works for as long as the
// certificate in it, also over the change of authorities.
func TestAuthoritiesOverlap(t *testing.T) {
	k, clock := newPKI(t)
	ensure(t, k)
	members := []member{join(t, k)}
	signers := map[string]bool{}
	for range 12 * 12 {
		clock.SetTime(clock.Now().AddDate(0, 1, 0))
		ensure(t, k)
		for _, m := range members {
			if err := m.visit(k); err != nil && clock.Now().Before(m.cert.NotAfter) {
				t.Fatalf("%s: a kubeconfig that ends at %s: %v", clock.Now(), m.cert.NotAfter, err)
			}
		}
		members = append(members, join(t, k))
		signer, err := k.signer(authorityAPI)
		if err != nil {
			t.Fatal(err)
		}
		signers[signer.cert.SerialNumber.String()] = true
	}
	if known, err := k.authorities(authorityAPI); err != nil || len(known) != 2 || len(signers) != 2 {
		t.Errorf("%d authorities, %d of which signed, %v; want 2", len(known), len(signers), err)
	}
}

func TestStartIsRefusedWhileTheClockIsBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "etcd", "wal")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := clocktesting.NewFakePassiveClock(now)
	c := Config{Dir: dir, Clock: clock}
	dated := func(at time.Time) {
		t.Helper()
		for _, p := range []string{path, filepath.Dir(path), dir} {
			if err := os.Chtimes(p, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for written, want := range map[time.Time]string{now: "", now.Add(9 * time.Minute): "", now.AddDate(-1, 0, 0): "", now.AddDate(1, 0, 0): "--accept-clock"} {
		dated(written)
		if err := c.checkClock(); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("written at %s: %v", written, err)
		}
	}
	dated(now.AddDate(1, 0, 0))
	c.AcceptClock = true
	if err := c.checkClock(); err != nil {
		t.Error(err)
	}
	c.AcceptClock = false
	if err := c.checkClock(); err != nil {
		t.Errorf("after it was accepted once: %v", err)
	}
	c.Built = now.AddDate(0, 1, 0)
	if err := c.checkClock(); err == nil || !strings.Contains(err.Error(), "was built at 2030-02-01") {
		t.Errorf("before the program was built: %v", err)
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
