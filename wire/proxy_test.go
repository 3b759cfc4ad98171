package wire

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
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
