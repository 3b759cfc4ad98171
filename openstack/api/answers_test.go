package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/api"
)

// checkShown: whatever an other side said, what is told of it is one line of a known kind without the password.
func checkShown(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case !fault.Classified(err):
		t.Errorf("not classified: %v", err)
	case strings.ContainsAny(err.Error(), "\n\r\x1b\x00"), strings.Contains(err.Error(), "hunter2-secret"):
		t.Errorf("no message to show: %q", err)
	}
}

// FuzzAnswers lets Nova, Placement and Neutron answer anything to everything.
func FuzzAnswers(f *testing.F) {
	s := newStage(f)
	var mu sync.Mutex
	var code int
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	f.Cleanup(server.Close)
	keystone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Subject-Token", "t")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, catalog(server.URL))
	}))
	f.Cleanup(keystone.Close)
	access := s.access
	access.AuthURL, access.Password, access.Southbound = keystone.URL+"/v3", "hunter2-secret", openstack.SouthboundAccess{}
	f.Add(200, `{"services": [{"id": "1", "host": "c0", "state": "up"}], "hypervisors": [{"id": "h", "service": null}], "aggregates": [{"hosts": [null]}],
		"resource_providers": [{"uuid": "h", "generation": "x"}], "agents": [], "servers": [{"id": 1}]}`)
	f.Add(200, `{"services": [], "services_links": [{"rel": "next", "href": "`+server.URL+`/os-services?marker=1"}]}`)
	f.Add(200, `[]`)
	f.Add(503, "<html>\r\nhunter2")
	f.Add(401, `{"error": {"message": "no\nno"}}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 200 || status > 599 {
			status = 200
		}
		mu.Lock()
		code, body = status, text
		mu.Unlock()
		clouds := api.New(s.clock, 2*time.Second, nil)
		_, seen := clouds.See(t.Context(), access, host("c0", "192.0.2.1"))
		checkShown(t, seen)
		_, servers := clouds.Servers(t.Context(), access, "c0")
		checkShown(t, servers)
		checkShown(t, clouds.Do(t.Context(), access, openstack.Action{Verb: openstack.SetTrait, Provider: "h", Trait: "CUSTOM_X"}))
		checkShown(t, clouds.Do(t.Context(), access, openstack.Action{Verb: openstack.JoinAggregate, Aggregate: "a", Host: "c0"}))
	})
}

// catalog is what Keystone answers: every service is at the address.
func catalog(at string) string {
	var entries []string
	for _, kind := range []string{"compute", "placement", "network"} {
		entries = append(entries, `{"type": "`+kind+`", "name": "`+kind+`", "endpoints": [{"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": "`+at+`"},
			{"interface": "internal", "region": "RegionOne", "region_id": "RegionOne", "url": "`+at+`"}]}`)
	}
	return `{"token": {"expires_at": "2126-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z", "methods": ["password"], "catalog": [` + strings.Join(entries, ", ") + `]}}`
}
