package ironic

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner/bmc"
)

func TestAddresses(t *testing.T) {
	t.Parallel()
	redfish := func(address, path string) map[string]any {
		info := map[string]any{"redfish_address": address, "redfish_username": "u", "redfish_password": "p", "redfish_verify_ca": true}
		if path != "" {
			info["redfish_system_id"] = path
		}
		return info
	}
	ipmi := func(host, port, level string) map[string]any {
		return map[string]any{"ipmi_address": host, "ipmi_port": port, "ipmi_priv_level": level, "ipmi_username": "u", "ipmi_password": "p"}
	}
	for address, want := range map[string]struct {
		driver, boot string
		info         map[string]any
	}{
		"redfish://10.0.0.1/redfish/v1/Systems/1":                    {"redfish", "ipxe", redfish("https://10.0.0.1", "/redfish/v1/Systems/1")},
		"redfish+https://bmc.example.com:8443/redfish/v1/Systems/1/": {"redfish", "ipxe", redfish("https://bmc.example.com:8443", "/redfish/v1/Systems/1")},
		"redfish+http://bmc":                                         {"redfish", "ipxe", redfish("http://bmc", "")},
		"redfish-virtualmedia://[2001:db8::1]/redfish/v1/Systems/1":  {"redfish", "redfish-virtual-media", redfish("https://[2001:db8::1]", "/redfish/v1/Systems/1")},
		"redfish-virtualmedia+http://[2001:db8::1]:8000/s":           {"redfish", "redfish-virtual-media", redfish("http://[2001:db8::1]:8000", "/s")},
		"redfish-uefihttp://bmc/s":                                   {"redfish", "redfish-https", redfish("https://bmc", "/s")},
		"ilo5-redfish://bmc/s":                                       {"redfish", "ipxe", redfish("https://bmc", "/s")},
		"ilo5-virtualmedia://bmc/s":                                  {"redfish", "redfish-virtual-media", redfish("https://bmc", "/s")},
		"idrac-redfish://bmc/s":                                      {"idrac", "ipxe", redfish("https://bmc", "/s")},
		"idrac-virtualmedia+https://bmc/s":                           {"idrac", "idrac-redfish-virtual-media", redfish("https://bmc", "/s")},
		"REDFISH://bmc/Systems/System.Embedded.1":                    {"redfish", "ipxe", redfish("https://bmc", "/Systems/System.Embedded.1")},
		"ipmi://10.0.0.1":                                            {"ipmi", "ipxe", ipmi("10.0.0.1", "623", "ADMINISTRATOR")},
		"ipmi://10.0.0.1:6230?privilegelevel=operator":               {"ipmi", "ipxe", ipmi("10.0.0.1", "6230", "OPERATOR")},
		"ipmi://[fe80::1]":                                           {"ipmi", "ipxe", ipmi("fe80::1", "623", "ADMINISTRATOR")},
		"libvirt://10.0.0.1:6230/":                                   {"ipmi", "ipxe", ipmi("10.0.0.1", "6230", "ADMINISTRATOR")},
		"10.0.0.1":                                                   {"ipmi", "ipxe", ipmi("10.0.0.1", "623", "ADMINISTRATOR")},
		"10.0.0.1:6230":                                              {"ipmi", "ipxe", ipmi("10.0.0.1", "6230", "ADMINISTRATOR")},
	} {
		a, err := parseAddress(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		got := a.driverInfo(bmc.Access{Username: "u", Password: "p"})
		if diff := cmp.Diff(want.info, got); diff != "" || a.driver != want.driver || a.iface.boot != want.boot {
			t.Errorf("%s: driver %s, boot %s, driver_info (-want +got):\n%s", address, a.driver, a.iface.boot, diff)
		}
	}
}

func TestInsecureIsOnlyOnRequest(t *testing.T) {
	t.Parallel()
	a, err := parseAddress("redfish://bmc/s")
	if err != nil {
		t.Fatal(err)
	}
	if verify := a.driverInfo(bmc.Access{Insecure: true})["redfish_verify_ca"]; verify != false {
		t.Errorf("redfish_verify_ca = %v", verify)
	}
}

// TestEverySchemeHasItsDriver: what is taken as an address, Ironic knows how to drive.
func TestEverySchemeHasItsDriver(t *testing.T) {
	t.Parallel()
	for _, name := range bmc.Schemes() {
		if driven := schemes()[name]; driven.driver == "" || driven.iface.boot == "" {
			t.Errorf("%s: %+v", name, driven)
		}
	}
}

// FuzzAddress: whatever is taken makes a URL that names the same host and port and nothing else.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"redfish://bmc/s", "ipmi://[::1]:623", "10.0.0.1", "idrac-virtualmedia+http://h:1/x%2fy", "redfish://[fe80::1%25eth0]/s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, address string) {
		a, err := parseAddress(address)
		if err != nil {
			if !fault.Is(err, fault.Rejected) {
				t.Fatalf("%q: kind %s", address, fault.KindOf(err))
			}
			return
		}
		info := a.driverInfo(bmc.Access{})
		if a.IPMI {
			if host, _ := info["ipmi_address"].(string); host == "" || strings.HasPrefix(host, "-") {
				t.Fatalf("%q: host %q", address, host)
			}
			return
		}
		text, _ := info["redfish_address"].(string)
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q gives %q: %v", address, text, err)
		}
		if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" || u.Hostname() != a.Host || u.Port() != a.Port {
			t.Fatalf("%q gives %q", address, text)
		}
		if _, err := netip.ParseAddr(a.Host); strings.Contains(a.Host, ":") && err != nil {
			t.Fatalf("%q: host %q", address, a.Host)
		}
	})
}
