package wire_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/wire"
	"github.com/rackplane/rackplane/wire/wiretest"
)

func client(t *testing.T, o wire.Options) *http.Client {
	t.Helper()
	c, err := wire.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func get(t *testing.T, c *http.Client, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	const whole, half = wire.MaxAnswer, wire.MaxAnswer / 2
	zipped := func(w http.ResponseWriter, size int) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(bytes.Repeat([]byte{'x'}, size))
		_ = z.Close()
	}
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		size   int // -1: refused
	}{
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, 0},
		"just as much":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, whole)) }, whole},
		"a byte too many": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, whole+1)) }, -1},
		"announced":       {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "600000000") }, -1},
		"as an error": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = w.Write(make([]byte, whole+1))
		}, -1},
		"packed":             {func(w http.ResponseWriter, _ *http.Request) { zipped(w, half) }, half},
		"packed, too much":   {func(w http.ResponseWriter, _ *http.Request) { zipped(w, whole+1) }, -1},
		"a flood":            {wiretest.Flood("", 600<<20), -1},
		"a header of 300 kB": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 300<<10)) }, -2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewServer(c.answer)
			defer s.Close()
			text, err := get(t, client(t, wire.Options{}), s.URL)
			switch {
			case c.size >= 0 && (err != nil || len(text) != c.size):
				t.Errorf("%d bytes, %v", len(text), err)
			case c.size == -1 && !errors.Is(err, wire.ErrTooLarge):
				t.Errorf("%d bytes, %v, want it refused", len(text), err)
			case c.size == -2 && err == nil:
				t.Error("it was taken")
			}
		})
	}
}

func TestSlowAnswersEnd(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte("x"))
			_ = http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer s.Close()
	_, err := get(t, client(t, wire.Options{Timeout: 100 * time.Millisecond}), s.URL)
	var slow interface{ Timeout() bool }
	if !errors.As(err, &slow) || !slow.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
}

func TestBrokenAnswersAreErrors(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("x"))
	}))
	defer s.Close()
	if text, err := get(t, client(t, wire.Options{}), s.URL); err == nil {
		t.Errorf("%q was taken for the whole answer", text)
	}
}

// TestNothingIsSentElsewhere: no redirect to another host, port or scheme is followed, with whatever credentials.
func TestNothingIsSentElsewhere(t *testing.T) {
	t.Parallel()
	var heard []string
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard = append(heard, r.Method+r.URL.Path) }))
	defer thief.Close()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/stays":
			http.Redirect(w, r, s.URL+"/end", http.StatusTemporaryRedirect)
		case "/end":
			_, _ = w.Write([]byte("here"))
		case "/circle":
			http.Redirect(w, r, "/circle", http.StatusFound)
		case "/scheme":
			http.Redirect(w, r, "https"+strings.TrimPrefix(s.URL, "http"), http.StatusFound)
		default:
			http.Redirect(w, r, thief.URL+"/stolen", http.StatusTemporaryRedirect)
		}
	}))
	defer s.Close()
	c := client(t, wire.Options{})
	if text, err := get(t, c, s.URL+"/stays"); err != nil || text != "here" {
		t.Errorf("within the host: %q, %v", text, err)
	}
	if _, err := get(t, c, s.URL+"/circle"); err == nil {
		t.Error("a circle has an end")
	}
	for _, path := range []string{"/scheme", "/elsewhere"} {
		_, err := get(t, c, s.URL+path)
		var away *wire.RedirectError
		if !errors.As(err, &away) {
			t.Errorf("%s: %v", path, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/elsewhere", strings.NewReader("password"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", "token")
	resp, err := c.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	if err == nil || len(heard) != 0 {
		t.Errorf("%v; the other host heard %v", err, heard)
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("here")) }))
	t.Cleanup(s.Close)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for name, c := range map[string]struct {
		allowed, own []string
		host         string
		want         string // of the error; empty: reached
	}{
		"loopback":                {nil, nil, "127.0.0.1", "the engine's own machine"},
		"loopback by name":        {nil, nil, "localhost", "the engine's own machine"},
		"loopback in IPv6":        {nil, nil, "[::ffff:127.0.0.1]", "the engine's own machine"},
		"loopback, allowed":       {[]string{"127.0.0.0/8"}, nil, "127.0.0.1", ""},
		"loopback, named":         {[]string{"localhost"}, nil, "localhost", "the engine's own machine"},
		"by name, allowed":        {[]string{"127.0.0.1", "::1"}, nil, "localhost", ""},
		"another network":         {[]string{"192.0.2.0/24"}, nil, "127.0.0.1", "the engine's own machine"},
		"own service":             {[]string{"127.0.0.0/8"}, []string{s.URL}, "127.0.0.1", "a service of the engine's own"},
		"own service, named":      {[]string{"127.0.0.0/8", "::1"}, []string{"http://localhost" + port}, "127.0.0.1", "a service of the engine's own"},
		"own service, other port": {[]string{"127.0.0.0/8"}, []string{"http://127.0.0.1:1"}, "127.0.0.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reach, err := wire.NewReach(c.allowed, c.own)
			if err != nil {
				t.Fatal(err)
			}
			text, err := get(t, client(t, wire.Options{Reach: reach}), "http://"+c.host+port)
			var no *wire.ForbiddenError
			switch {
			case c.want == "" && (err != nil || text != "here"):
				t.Errorf("%q, %v", text, err)
			case c.want != "" && (!errors.As(err, &no) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestReachOfAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.1": "open", "10.0.0.1": "open", "2001:db8::1": "open", "fd12::1": "open",
		"169.254.169.254": "", "fe80::1": "", "fd00:ec2::254": "", "::1": "", "0.0.0.0": "", "::": "", "224.0.0.1": "", "ff02::1": "", "::ffff:169.254.169.254": "", "127.8.8.8": "",
	} {
		reach, err := wire.NewReach(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := reach.Check("host", netip.MustParseAddr(address)); (err == nil) != (want == "open") {
			t.Errorf("%s: %v", address, err)
		}
	}
	listed, err := wire.NewReach([]string{"*.example.com", "one.example.org", "10.1.0.0/16"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for host, open := range map[string]bool{
		"nova.example.com": true, "NOVA.example.com.": true, "example.com": false, "evilexample.com": false, "one.example.org": true, "two.example.org": false,
	} {
		if err := listed.Check(host, netip.MustParseAddr("192.0.2.1")); (err == nil) != open {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := listed.Check("anything", netip.MustParseAddr("10.1.2.3")); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"", "*", "a*b", "http://x", "10.0.0.0/33", "a:1"} {
		if _, err := wire.NewReach([]string{wrong}, nil); err == nil {
			t.Errorf("%q was taken", wrong)
		}
	}
}

// TestFloodCostsNoMemory is what an answer of 600 MiB may cost: 16 MiB.
func TestFloodCostsNoMemory(t *testing.T) {
	s := httptest.NewServer(wiretest.Flood(`{"nodes": "`, 600<<20))
	defer s.Close()
	c := client(t, wire.Options{})
	wiretest.Cheap(t, 16<<20, func() {
		if _, err := get(t, c, s.URL); !errors.Is(err, wire.ErrTooLarge) {
			t.Errorf("%v", err)
		}
	})
}

func TestHostPort(t *testing.T) {
	t.Parallel()
	for service, want := range map[string]string{
		"https://API.example.com:6443/x": "api.example.com:6443", "https://api": "api:443", "http://api/": "api:80", "api:6443": "api:6443",
		"127.0.0.1:6443": "127.0.0.1:6443", "https://[fd00::1]:6443": "[fd00::1]:6443", "http://[fd00::1]": "[fd00::1]:80",
		"": "", "https://": "", "https://a b": "", "http://u:secret@": "",
	} {
		got, err := wire.HostPort(service)
		if got != want || (err == nil) != (want != "") || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %q, %v", service, got, err)
		}
	}
}

// TestOwnServiceByAnIPv6Address: it is told from others as it is dialled.
func TestOwnServiceByAnIPv6Address(t *testing.T) {
	t.Parallel()
	reach, err := wire.NewReach([]string{"::1"}, []string{"https://[::1]:6443"})
	if err != nil {
		t.Fatal(err)
	}
	var forbidden *wire.ForbiddenError
	if _, err := reach.DialContext(t.Context(), "tcp", "[::1]:6443"); !errors.As(err, &forbidden) {
		t.Errorf("%v", err)
	}
}
