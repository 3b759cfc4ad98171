package wire

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"testing"
)

// TestReachBehindAProxy: the proxy of the environment is reached wherever it is, and what it is asked for is checked.
func TestReachBehindAProxy(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.NotFoundHandler())
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	reach, err := NewReach(nil, []string{"http://own.example.com"})
	if err != nil {
		t.Fatal(err)
	}
	own := &http.Transport{Proxy: http.ProxyURL(at), DialContext: reach.DialContext}
	for asked, open := range map[string]bool{"http://nova.example.com/": true, "http://169.254.169.254/latest": false, "http://own.example.com/": false} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, asked, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := guarded{own, reach}.RoundTrip(req)
		if err == nil {
			resp.Body.Close()
		}
		var no *ForbiddenError
		if (err == nil) != open || errors.As(err, &no) == open {
			t.Errorf("%s: %v", asked, err)
		}
	}
}

// TestOwnServicesAreHiddenOnEveryAddress: a service that the engine reaches over loopback often listens on all addresses.
func TestOwnServicesAreHiddenOnEveryAddress(t *testing.T) {
	t.Parallel()
	reach, err := NewReach(nil, []string{"https://localhost:6443", "https://192.0.2.7:6385"})
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	hidden := reach.resolveOwn(t.Context(), "6443")
	for _, a := range local {
		if prefix, err := netip.ParsePrefix(a.String()); err != nil || !slices.Contains(hidden, prefix.Addr()) {
			t.Errorf("%s is not hidden on port 6443, %v", a, err)
		}
	}
	if got := reach.resolveOwn(t.Context(), "6385"); len(got) != 1 || got[0].String() != "192.0.2.7" {
		t.Errorf("on port 6385: %v", got)
	}
	if got := reach.resolveOwn(t.Context(), "5000"); len(got) != 0 {
		t.Errorf("on another port: %v", got)
	}
}
