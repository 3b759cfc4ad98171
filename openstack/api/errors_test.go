package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/api"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/wire"
	"github.com/rackplane/rackplane/wire/wiretest"
)

// wantFault sees the stage's cloud and checks what it fails with.
func (s *stage) wantFault(t *testing.T, kind fault.Kind, words ...string) {
	t.Helper()
	last := ""
	for range 2 {
		_, err := s.clouds.See(t.Context(), s.access, host("c0", ""))
		if !fault.Is(err, kind) {
			t.Fatalf("%s: %v, want %s", fault.KindOf(err), err, kind)
		}
		for _, word := range words {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("does not mention %q: %v", word, err)
			}
		}
		if strings.ContainsAny(err.Error(), "\n\r") || strings.Contains(err.Error(), "secret:") {
			t.Errorf("no message to show: %q", err)
		}
		if last != "" && err.Error() != last {
			t.Errorf("the same failure is told in two ways:\n%s\n%s", last, err)
		}
		last = err.Error()
		s.clock.Step(time.Minute)
	}
	t.Log(last)
}

// at lets the stage's Keystone be the handler.
func (s *stage) at(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s.access.AuthURL = server.URL + "/v3"
}

// certificate makes a CA's certificate, or one it signed, and its key as PEM.
func certificate(t *testing.T, until time.Time, parent *tls.Certificate, names ...string) (pair tls.Certificate, text, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(until.UnixNano()), Subject: pkix.Name{CommonName: "test"}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: names,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		}
	}
	signer, by := any(private), template
	if parent != nil {
		signer, by = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by, private.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if pair, err = tls.X509KeyPair([]byte(text), []byte(key)); err != nil {
		t.Fatal(err)
	}
	if pair.Leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return pair, text, key
}

// encrypted lets the stage's Keystone have the certificate.
func (s *stage) encrypted(t *testing.T, pair tls.Certificate) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	s.access.AuthURL = server.URL + "/v3"
}

func TestCertificates(t *testing.T) {
	later := time.Now().Add(24 * time.Hour)
	ca, caText, _ := certificate(t, later, nil)
	for name, c := range map[string]struct {
		until time.Time
		names []string
		ca    string
		words []string
	}{
		"expired":      {time.Now().Add(-24 * time.Hour), []string{"127.0.0.1"}, caText, []string{"it is valid from", "renew"}},
		"unknown CA":   {later, []string{"127.0.0.1"}, "", []string{"unknown authority", "ca.crt"}},
		"another name": {later, []string{"other.example.com"}, caText, []string{"127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			pair, _, _ := certificate(t, c.until, &ca, c.names...)
			s.encrypted(t, pair)
			s.access.CA = c.ca
			s.wantFault(t, fault.Denied, append(c.words, "certificate", s.access.Source)...)
		})
	}
	s := newStage(t)
	s.access.CA = "no PEM"
	s.wantFault(t, fault.Rejected, "ca.crt")
}

func TestKeystoneFaults(t *testing.T) {
	garbage := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, text)
		}
	}
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		kind    fault.Kind
		words   []string
	}{
		"a web page":    {garbage("<html>secret:</html>"), fault.Rejected, []string{"no OpenStack API", "auth_url"}},
		"nothing":       {garbage(""), fault.Rejected, []string{"no OpenStack API"}},
		"other JSON":    {garbage(`{"token": 7}`), fault.Rejected, nil},
		"not found":     {http.NotFound, fault.Rejected, []string{"auth_url"}},
		"a broken one":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, fault.Transient, []string{"502", "Bad Gateway"}},
		"a flood":       {wiretest.Flood(`{"versions": "`, 600<<20), fault.Rejected, []string{"it answers more than anything", "correct the address"}},
		"a hang-up":     {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, fault.Transient, []string{"does not answer"}},
		"a full moment": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }, fault.Transient, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.at(t, c.handler)
			s.wantFault(t, c.kind, c.words...)
		})
	}
}

func TestSlowKeystone(t *testing.T) {
	s := newStage(t)
	s.clouds = api.New(s.clock, 50*time.Millisecond, nil)
	release := make(chan struct{})
	s.at(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	s.wantFault(t, fault.Transient, "no answer in time", "http://127.0.0.1")
}

func TestCatalogWithoutRegion(t *testing.T) {
	s := newStage(t)
	s.access.Region = "Nowhere"
	s.wantFault(t, fault.Missing, "region Nowhere", "compute", "region_name")
}

func TestApplicationCredential(t *testing.T) {
	s := newStage(t)
	s.access.ApplicationCredentialID, s.access.ApplicationCredentialSecret = "0123", s.access.Password
	s.access.Username, s.access.Password, s.access.ProjectName = "", "", ""
	if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err != nil {
		t.Error(err)
	}
	s.access.ApplicationCredentialSecret = "wrong"
	s.wantFault(t, fault.Denied, "refuses the credentials")
}

func TestSouthboundFaults(t *testing.T) {
	closed := listen(t)
	closed.Close()
	for name, c := range map[string]struct {
		endpoint func(*testing.T, *stage) string
		kind     fault.Kind
		words    []string
	}{
		"wrong port": {func(*testing.T, *stage) string { return "tcp:" + closed.Addr().String() }, fault.Transient, []string{"connection refused", "southbound"}},
		"two wrong ports": {
			func(*testing.T, *stage) string {
				return "tcp:" + closed.Addr().String() + ",tcp:" + closed.Addr().String()
			}, fault.Transient, []string{"connection refused"},
		},
		"northbound": {func(t *testing.T, s *stage) string {
			t.Helper()
			l := listen(t)
			openstacktest.ServeSouthbound(t, l, "OVN_Northbound", s.Simulator)
			return "tcp:" + l.Addr().String()
		}, fault.Rejected, []string{"no database OVN_Southbound", "6642"}},
		"an HTTP server": {func(_ *testing.T, s *stage) string { return "tcp:" + strings.TrimPrefix(s.URL, "http://") }, fault.Transient, []string{"southbound"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.access.Southbound.Endpoints = c.endpoint(t, s)
			s.wantFault(t, c.kind, append(c.words, "spec.openstack.southbound.endpoints of NodeSet site/rack")...)
		})
	}
}

// TestSouthboundTLS uses certificates that name no host, as ovs-pki makes them.
func TestSouthboundTLS(t *testing.T) {
	later := time.Now().Add(24 * time.Hour)
	ca, caText, _ := certificate(t, later, nil)
	_, otherCA, _ := certificate(t, later.Add(time.Minute), nil)
	server, _, _ := certificate(t, later, &ca)
	_, text, key := certificate(t, later, &ca)
	_, stranger, strangerKey := certificate(t, later, nil)

	s := newStage(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(caText))
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12})
	openstacktest.ServeSouthbound(t, l, "OVN_Southbound", s.Simulator)
	s.Edit(func(w *openstacktest.World) { w.Start("c0", "192.0.2.10", "a:br-a", "b:br-b") })
	s.access.Southbound = openstack.SouthboundAccess{
		Source: s.access.Southbound.Source, Endpoints: "ssl:" + l.Addr().String(), Certificate: text, Key: secret.Value(key), CA: caText,
	}
	seen, err := s.clouds.See(t.Context(), s.access, host("c0", ""))
	if err != nil || len(seen.Chassis) != 1 || len(seen.Chassis[0].BridgeMappings) != 2 || seen.Chassis[0].EncapIPs[0] != "192.0.2.10" {
		t.Fatalf("%+v, %v", seen.Chassis, err)
	}
	good := s.access.Southbound
	s.access.Southbound.CA = otherCA
	s.wantFault(t, fault.Denied, "tlsSecret")
	s.access.Southbound = good
	s.access.Southbound.Certificate, s.access.Southbound.Key = stranger, secret.Value(strangerKey)
	for range 5 {
		_, err := s.clouds.See(t.Context(), s.access, host("c0", ""))
		if (!fault.Is(err, fault.Denied) && !fault.Is(err, fault.Transient)) || !strings.Contains(err.Error(), "tlsSecret") {
			t.Errorf("a stranger's certificate: %s: %v", fault.KindOf(err), err)
		}
		s.clock.Step(time.Minute)
	}
	s.access.Southbound.Key = "no PEM"
	s.wantFault(t, fault.Rejected, "tls.key")
}

// TestThousandNodesAskAsOne counts what a thousand nodes cost a cloud.
func TestThousandNodesAskAsOne(t *testing.T) {
	const nodes = 1000
	s := newStage(t)
	s.Edit(func(w *openstacktest.World) {
		for i := range nodes {
			w.Start(fmt.Sprintf("c%d", i), fmt.Sprintf("192.0.%d.%d", i/250, i%250))
		}
		w.Discover()
	})
	look := func() (calls int) {
		began := time.Now()
		for i := range nodes {
			seen, err := s.clouds.See(t.Context(), s.access, host(fmt.Sprintf("c%d", i), ""))
			if err != nil || len(seen.Providers) != 1 || seen.Providers[0].Usable["VCPU"] == 0 {
				t.Fatalf("c%d: %+v, %v", i, seen.Providers, err)
			}
		}
		for path, n := range s.Calls() {
			calls += n
			if n > 1 && !strings.HasSuffix(path, "os-hypervisors/detail") {
				t.Errorf("%s was asked %d times", path, n)
			}
		}
		t.Logf("%d calls for %d nodes in %s", calls, nodes, time.Since(began).Round(time.Millisecond))
		return calls
	}
	if calls := look(); calls > 2*nodes+17 {
		t.Errorf("%d calls at first, want login, lists, and two for each new node", calls)
	}
	s.clock.Step(30 * time.Second)
	if calls := look(); calls != 7 {
		t.Errorf("%d calls 30 s later, want 5 lists, one of 3 pages", calls)
	}
	if calls := look(); calls != 0 {
		t.Errorf("%d calls at once again, want none", calls)
	}
}

// TestWrongPasswordLocksNobodyOut counts the logins of many nodes with a wrong password, also with one that became wrong
// while a token was held: Keystone may lock a user out for a few of them. A Secret that changed is tried at once.
func TestWrongPasswordLocksNobodyOut(t *testing.T) {
	const logins = "POST /v3/auth/tokens"
	hour := func(s *stage) int {
		t.Helper()
		s.Calls()
		for range 360 {
			for range 5 {
				if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); !fault.Is(err, fault.Denied) {
					t.Fatal(err)
				}
			}
			action := openstack.Action{Verb: openstack.MakeAggregate, Aggregate: "a"}
			if err := s.clouds.Do(t.Context(), s.access, action); !fault.Is(err, fault.Denied) {
				t.Fatal(err)
			}
			s.clock.Step(10 * time.Second)
		}
		return s.Calls()[logins]
	}
	s := newStage(t)
	s.access.Password = "wrong"
	if n := hour(s); n != 3 {
		t.Errorf("%d logins in an hour, want 3", n)
	}
	s.access.Password = "secret"
	if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err != nil {
		t.Errorf("with the password corrected: %v", err)
	}
	s.Revoke()
	s.Answer(logins, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	s.clock.Step(time.Minute)
	refused := 0
	s.Answer(logins, func(w http.ResponseWriter, _ *http.Request) { refused++; w.WriteHeader(http.StatusUnauthorized) })
	hour(s)
	if refused != 3 {
		t.Errorf("%d logins in an hour with a token that ended, want 3", refused)
	}
}

// TestNoCredentialsGoElsewhere: nothing is sent to where Keystone redirects, nor to where a list goes on, and what is
// answered there is not shown.
func TestNoCredentialsGoElsewhere(t *testing.T) {
	heard := make(chan string, 10)
	internal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Method + " " + r.URL.Path + " " + r.Header.Get("X-Auth-Token")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error": {"message": "INTERNAL7"}}`)
	}))
	t.Cleanup(internal.Close)
	for _, what := range []string{"POST /v3/auth/tokens", "GET /compute/v2.1/os-services", "GET /placement/resource_providers"} {
		s := newStage(t)
		s.Answer(what, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, internal.URL+"/admin", http.StatusTemporaryRedirect)
		})
		_, err := s.clouds.See(t.Context(), s.access, host("c0", ""))
		if !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "not followed") || strings.Contains(err.Error(), "INTERNAL7") {
			t.Errorf("%s: %v", what, err)
		}
	}
	s := newStage(t)
	s.Answer("GET /compute/v2.1/os-hypervisors/detail", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("marker") != "" {
			fmt.Fprint(w, `{"hypervisors": []}`)
			return
		}
		fmt.Fprintf(w, `{"hypervisors": [{"id": "h"}], "hypervisors_links": [{"rel": "next", "href": %q}]}`, internal.URL+"/admin?marker=h")
	})
	if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err != nil {
		t.Error(err)
	}
	if len(heard) != 0 {
		t.Errorf("another host heard %s", <-heard)
	}
}

// TestReach: without leave nothing of the engine's own machine is asked, neither as Keystone nor from the catalog nor as a
// southbound database.
func TestReach(t *testing.T) {
	reach, err := wire.NewReach(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	s.clouds = api.New(s.clock, 5*time.Second, reach)
	s.wantFault(t, fault.Denied, "127.0.0.1", "the engine's own machine", "--cloud-endpoints", s.access.Source)
	if calls := s.Calls(); len(calls) != 0 {
		t.Errorf("asked: %v", calls)
	}
	keystone, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, elsewhere := range []string{"catalog", "southbound"} {
		s := newStage(t)
		if reach, err = wire.NewReach([]string{"127.0.0.1"}, nil); err != nil {
			t.Fatal(err)
		}
		s.clouds = api.New(s.clock, 5*time.Second, reach)
		if elsewhere == "southbound" {
			s.access.Southbound.Endpoints = "tcp:[::1]:6642"
		} else {
			s.Elsewhere("http://[::1]:" + keystone.Port())
		}
		s.wantFault(t, fault.Denied, "::1", "--cloud-endpoints")
	}
}

// TestFloodsCostNoMemory has every service in turn, and the southbound database in every place of an answer, send 600 MiB.
func TestFloodsCostNoMemory(t *testing.T) {
	const size, most = 600 << 20, 16 << 20
	look := func(t *testing.T, s *stage, want string) {
		t.Helper()
		wiretest.Cheap(t, most, func() {
			if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v", err)
			}
		})
	}
	const flood, nonsense = "it answers more than anything that is expected there: correct the address", "what answers is no OVSDB server"
	for what, head := range map[string]string{
		"POST /v3/auth/tokens": `{"token": {"x": "`, "GET /compute/v2.1/os-services": `{"services": [{"id": "`,
		"GET /placement/resource_providers": `{"resource_providers": [{"name": "`, "GET /network/v2.0/agents": `{"agents": [{"id": "`,
	} {
		t.Run(what, func(t *testing.T) {
			s := newStage(t)
			s.Answer(what, wiretest.Flood(head, size))
			look(t, s, flood)
		})
	}
	row := `{"name": "n", "hostname": "h", "encaps": ["set", []], "external_ids": ["map", []], "other_config": ["map", []]},`
	for name, c := range map[string]struct{ head, again, want string }{
		"a text":     {`{"id": 0, "result": [{"rows": [{"ip": "`, "x", flood},
		"an unknown": {`{"id": 0, "unknown": "`, "x", flood},
		"a call":     {`{"method": "`, "x", flood},
		"rows":       {`{"id": 0, "result": [{"rows": []}, {"rows": [`, row, flood},
		"brackets":   {`{"id": 0, "params": `, "[", nonsense},
		"messages":   {"", `{"id": 7, "method": "echo", "params": []}` + "\n", nonsense},
		"blanks":     {"", " ", flood},
	} {
		t.Run("southbound, "+name, func(t *testing.T) {
			s := newStage(t)
			l := listen(t)
			poured := make(chan struct{})
			go func() {
				defer close(poured)
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					wiretest.Pour(conn, c.head, c.again, size)
					conn.Close()
				}
			}()
			s.access.Southbound.Endpoints = "tcp:" + l.Addr().String()
			look(t, s, c.want)
			if c.want == nonsense {
				look(t, s, c.want) // it may have been restarting
			}
			l.Close() // whoever asks again would be told something else
			s.clock.Step(map[string]time.Duration{flood: 4 * time.Minute}[c.want])
			if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it is asked again at once: %v", err)
			}
			<-poured
		})
	}
}

// TestASilenceIsKeptTheSecondTime: who asks a cloud again at once that did not answer once really asks; after that, one
// answer holds for all for a while.
func TestASilenceIsKeptTheSecondTime(t *testing.T) {
	const list = "GET /compute/v2.1/os-services"
	s := newStage(t)
	see := func(calls int) {
		t.Helper()
		s.Calls()
		if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); !fault.Is(err, fault.Transient) {
			t.Errorf("%v, want %s", err, fault.Transient)
		}
		if n := s.Calls()[list]; n != calls {
			t.Errorf("%d calls, want %d", n, calls)
		}
	}
	s.Answer(list, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	see(1)
	see(1)
	see(0)
	s.clock.Step(14 * time.Second)
	see(0)
	s.clock.Step(time.Second)
	see(1)
	see(0)
	s.Answer(list, nil)
	s.clock.Step(15 * time.Second)
	if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err != nil {
		t.Fatal(err)
	}
	s.Answer(list, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s.clock.Step(5 * time.Second)
	see(1)
	see(1)
	see(0)
}

// TestPagesEnd: a list whose pages never end is given up.
func TestPagesEnd(t *testing.T) {
	s := newStage(t)
	s.Answer("GET /compute/v2.1/os-hypervisors/detail", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"hypervisors": [{"id": "h"}], "hypervisors_links": [{"rel": "next", "href": "%s?marker=h"}]}`, r.URL.Path)
	})
	s.wantFault(t, fault.Rejected, "list hypervisors")
}

// TestExpiredTokenIsRenewed: a token that Keystone forgot is replaced without anybody seeing it.
func TestExpiredTokenIsRenewed(t *testing.T) {
	s := newStage(t)
	for range 3 {
		if _, err := s.clouds.See(t.Context(), s.access, host("c0", "")); err != nil {
			t.Fatal(err)
		}
		s.Revoke()
		s.clock.Step(time.Minute)
	}
}

func TestCloudsConcurrently(t *testing.T) {
	s := newStage(t)
	s.Edit(func(w *openstacktest.World) { w.Start("c0", "192.0.2.10"); w.Discover() })
	errs := make(chan error)
	for i := range 32 {
		go func() {
			var err error
			for range 20 {
				if i%8 == 0 {
					err = s.clouds.Do(t.Context(), s.access, openstack.Action{Verb: openstack.MakeAggregate, Aggregate: "a"})
				} else {
					_, err = s.clouds.See(t.Context(), s.access, host("c0", ""))
				}
				if err != nil {
					break
				}
			}
			errs <- err
		}()
	}
	for range 32 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if effects := s.Effects(); len(effects) != 1 {
		t.Errorf("%d effects, want one aggregate", len(effects))
	}
}

// BenchmarkSee is what a look at one of a thousand nodes costs while the survey is fresh.
func BenchmarkSee(b *testing.B) {
	s := newStage(b)
	s.Edit(func(w *openstacktest.World) {
		for i := range 1000 {
			w.Start(fmt.Sprintf("c%d", i), fmt.Sprintf("192.0.%d.%d", i/250, i%250))
		}
		w.Discover()
	})
	for b.Loop() {
		if _, err := s.clouds.See(b.Context(), s.access, host("c500", "")); err != nil {
			b.Fatal(err)
		}
	}
}
