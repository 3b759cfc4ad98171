package api_test

import (
	"net"
	"slices"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/api"
	"github.com/rackplane/rackplane/openstack/openstacktest"
)

// stage is a simulated cloud behind HTTP and OVSDB, and the adapter.
type stage struct {
	*openstacktest.Server
	clouds *api.Clouds
	clock  *clocktesting.FakeClock
	access openstack.Access
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func newStage(tb testing.TB) *stage {
	tb.Helper()
	s := &stage{Server: openstacktest.Serve(tb, "secret"), clock: clocktesting.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	southbound := listen(tb)
	openstacktest.ServeSouthbound(tb, southbound, "OVN_Southbound", s.Simulator)
	s.clouds = api.New(s.clock, 5*time.Second, nil)
	s.access = openstack.Access{
		Source: "Secret site/clouds, cloud default", AuthURL: s.URL + "/v3", Username: "rackplane", UserDomainName: "Default", Password: "secret",
		ProjectName: "service", ProjectDomainName: "Default", Region: "RegionOne",
		Southbound: openstack.SouthboundAccess{Source: "spec.openstack.southbound.endpoints of NodeSet site/rack", Endpoints: "tcp:" + southbound.Addr().String()},
	}
	return s
}

func host(name, ip string) openstack.Host {
	return openstack.Host{Names: []string{name}, EncapIP: ip}
}

func TestCloudsConform(t *testing.T) {
	s := newStage(t)
	s.Edit(func(w *openstacktest.World) {
		w.Start("c0.example.com", "192.0.2.10", "datacentre:br-ex")
		w.Start("c1.example.com", "192.0.2.11")
		w.Discover()
	})
	subject := openstacktest.Subject{
		Cloud: s.clouds, Access: s.access, Host: openstack.Host{Names: []string{"c0.example.com", "c0"}, EncapIP: "192.0.2.10"},
		Silent: func(a openstack.Access) openstack.Access {
			l := listen(t)
			l.Close()
			a.AuthURL = "http://" + l.Addr().String() + "/v3"
			return a
		},
		Stop:   func(*testing.T) { s.Edit(func(w *openstacktest.World) { w.Report("c0.example.com", false) }) },
		Start:  func(*testing.T) { s.Edit(func(w *openstacktest.World) { w.Report("c0.example.com", true) }) },
		Unique: "1", Pause: func() { s.clock.Step(time.Second) }, Patience: 20,
	}
	openstacktest.Conformance(t, subject)
	s.Edit(func(w *openstacktest.World) { w.Servers = map[string][]string{"c0.example.com": {"b", "a"}} })
	service := openstack.Action{Verb: openstack.DeleteService, Service: "service-c0.example.com", Host: "c0.example.com"}
	if err := s.clouds.Do(t.Context(), s.access, service); !fault.Is(err, fault.Busy) {
		t.Errorf("deleting a compute with servers on it: %v", err)
	}
	if servers, err := s.clouds.Servers(t.Context(), s.access, "c0.example.com"); err != nil || !slices.Equal(servers, []string{"a", "b"}) {
		t.Errorf("servers %v, %v", servers, err)
	}
	s.Edit(func(w *openstacktest.World) { w.Servers = nil })
	openstacktest.Departure(t, subject)
}
