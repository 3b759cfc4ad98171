package bmc

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/rackplane/rackplane/fault"
)

// FuzzParse: whatever stands in spec.bmc.address, it is refused with one line that names the field, or it is understood so
// that saying it again means the same, and that what is dialled is the host it names and nothing else.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"10.0.0.1", "ipmi://bmc:6230?privilegelevel=operator", "ipmi://[2001:db8::1]", "libvirt://192.168.122.1:6233/",
		"redfish-virtualmedia+https://[2001:db8::1]:8443/redfish/v1/Systems/1", "redfish+http://BMC.example.com/redfish/v1/Systems/%41",
		"idrac-virtualmedia://10.0.0.1/redfish/v1/Systems/System.Embedded.1/", "ilo5-redfish://bmc/redfish/v1/Systems/1",
		"redfish://user:word@bmc/s", "redfish://bmc/../..//x", "redfish://bmc/a b", "redfish:///x", "redfish://[::ffff:10.0.0.1]:1/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		a, err := Parse(address)
		if err != nil {
			if !fault.Is(err, fault.Rejected) || !strings.HasPrefix(err.Error(), "spec.bmc.address is not usable") {
				t.Fatalf("%q: %v", address, err)
			}
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("%q: the error is no line: %q", address, err)
			}
			return
		}
		again, err := Parse(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %+v, which is written %q and read %+v, %v", address, a, a.String(), again, err)
		}
		if !slices.Contains(Schemes(), a.Scheme) {
			t.Fatalf("%q: scheme %q", address, a.Scheme)
		}
		u, err := url.Parse(a.Endpoint() + a.Path)
		if err != nil || u.Hostname() != a.Host || u.Port() != a.Port || u.EscapedPath() != a.Path || u.User != nil || u.RawQuery != "" {
			t.Fatalf("%q is %+v and dialled as %v, %v", address, a, u, err)
		}
	})
}

func TestEndpointAndString(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ address, endpoint, text string }{
		{"redfish-virtualmedia+https://[2001:db8::1]:8443/redfish/v1/Systems/1/", "https://[2001:db8::1]:8443", "redfish-virtualmedia://[2001:db8::1]:8443/redfish/v1/Systems/1"},
		{"redfish+http://bmc", "http://bmc", "redfish+http://bmc"},
		{"redfish://[::1]", "https://[::1]", "redfish://[::1]"},
		{"10.0.0.1", "", "ipmi://10.0.0.1:623?privilegelevel=ADMINISTRATOR"},
	} {
		a, err := Parse(c.address)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.String(); got != c.text {
			t.Errorf("%s is written %q, want %q", c.address, got, c.text)
		}
		if got := a.Endpoint(); c.endpoint != "" && got != c.endpoint {
			t.Errorf("%s is dialled as %q, want %q", c.address, got, c.endpoint)
		}
	}
}
