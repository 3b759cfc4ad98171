package plan

import (
	"net"
	"strings"
	"testing"
)

// FuzzControlPlane reads anything as control-plane.yaml: what it names can be dialled, and no password is taken for a host.
func FuzzControlPlane(f *testing.F) {
	f.Add("keystone: {auth_url: http://k}\nnova: {transport_url: 'rabbit://u:hunter2@a:5672,u:hun,ter2@[::1]/'}\nmetadata: {host: '::1', port: 8775}\novn: {southbound: ['tcp:[::1]:6642']}")
	f.Add("nova: {transport_url: 'rabbit://u:p@a,u:p@b:1/v?x=@y'}\nmetadata: {host: m, port: '1e3'}")
	f.Add("nova: [")
	f.Fuzz(func(t *testing.T, text string) {
		c := describe([]byte(text))
		for _, bus := range c.transport {
			if strings.ContainsAny(bus, "@/?") {
				t.Errorf("%q is no host and port", bus)
			}
		}
		if c.metadata != "" {
			if _, _, err := net.SplitHostPort(c.metadata); err != nil {
				t.Errorf("%q: %v", c.metadata, err)
			}
		}
	})
}
