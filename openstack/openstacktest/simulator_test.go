package openstacktest_test

import (
	"testing"

	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/openstacktest"
)

func TestSimulatorConforms(t *testing.T) {
	s := openstacktest.New("https://keystone.example.com/v3", "secret")
	s.Edit(func(w *openstacktest.World) {
		w.Start("c0.example.com", "192.0.2.10", "datacentre:br-ex")
		w.Discover()
	})
	subject := openstacktest.Subject{
		Cloud: s,
		Access: openstack.Access{
			Source: "Secret site/clouds, cloud default", AuthURL: "https://keystone.example.com/v3", Password: "secret",
			Southbound: openstack.SouthboundAccess{Endpoints: "tcp:192.0.2.1:6642"},
		},
		Host: openstack.Host{Names: []string{"c0.example.com", "c0"}, EncapIP: "192.0.2.10"},
		Silent: func(a openstack.Access) openstack.Access {
			a.AuthURL = "https://nowhere.example.com/v3"
			return a
		},
		Stop:   func(*testing.T) { s.Edit(func(w *openstacktest.World) { w.Report("c0.example.com", false) }) },
		Start:  func(*testing.T) { s.Edit(func(w *openstacktest.World) { w.Report("c0.example.com", true) }) },
		Unique: "1", Pause: func() {}, Patience: 1,
	}
	openstacktest.Conformance(t, subject)
	openstacktest.Departure(t, subject)
}
