package openstack_test

import (
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/openstack"
)

// FuzzControlPlane reads anything as control-plane.yaml: what it names can be dialled, and no password is taken for a host.
func FuzzControlPlane(f *testing.F) {
	f.Add("keystone: {auth_url: http://k}\nnova: {transport_url: 'rabbit://u:hunter2@a:5672,u:hun,ter2@[::1]/'}\nmetadata: {host: '::1', port: 8775}\novn: {southbound: ['tcp:[::1]:6642']}")
	f.Add("nova: {transport_url: 'rabbit://u:p@a,u:p@b:1/v?x=@y'}\nmetadata: {host: m, port: '1e3'}")
	f.Add("nova: [")
	f.Fuzz(func(t *testing.T, text string) {
		c := openstack.ParseControlPlane([]byte(text))
		for _, bus := range c.Transport {
			if strings.ContainsAny(bus, "@/?") {
				t.Errorf("%q is no host and port", bus)
			}
		}
		if c.Metadata != "" {
			if _, _, err := net.SplitHostPort(c.Metadata); err != nil {
				t.Errorf("%q: %v", c.Metadata, err)
			}
		}
	})
}

func TestBuses(t *testing.T) {
	t.Parallel()
	for transport, want := range map[string][]string{
		"rabbit://u:p@192.0.2.1":                 {"192.0.2.1:5672"},
		"rabbit://u:p@192.0.2.1:5671?ssl=1":      {"192.0.2.1:5671"},
		"rabbit://u:p@[2001:db8::1]/cell?ssl=1":  {"[2001:db8::1]:5672"},
		"rabbit://u:p,q/@b:5671/,u:p@a/":         {"a:5672", "b:5671"},
		"rabbit://u:p/w@192.0.2.1":               {"192.0.2.1:5672"},
		"rabbit://192.0.2.2,192.0.2.1:5671/cell": {"192.0.2.1:5671", "192.0.2.2:5672"},
		"none":                                   nil,
	} {
		if diff := cmp.Diff(want, openstack.Buses(transport)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", transport, diff)
		}
	}
}
