package ironic

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
)

// scheme is how Ironic drives the BMCs of one address scheme.
type scheme struct {
	driver string
	// iface holds the interfaces that differ from the driver's defaults.
	iface interfaces
	ipmi  bool
}

type interfaces struct{ boot, bios, management, power, raid, vendor string }

// schemes lists Metal3's address schemes (baremetal-operator v0.13.1, docs/api.md "BMC access"; the drivers are those of
// ironic 39.0.0, doc/source/admin/drivers).
func schemes() map[string]scheme {
	redfish := func(boot string) scheme { return scheme{driver: "redfish", iface: interfaces{boot: boot}} }
	idrac := func(boot string) scheme {
		const own = "idrac-redfish"
		return scheme{driver: "idrac", iface: interfaces{boot: boot, bios: own, management: own, power: own, raid: own, vendor: own}}
	}
	ipmi := scheme{driver: "ipmi", iface: interfaces{boot: "ipxe", raid: "no-raid"}, ipmi: true}
	return map[string]scheme{
		"redfish":              redfish("ipxe"),
		"ilo5-redfish":         redfish("ipxe"),
		"redfish-virtualmedia": redfish("redfish-virtual-media"),
		"ilo5-virtualmedia":    redfish("redfish-virtual-media"),
		"redfish-uefihttp":     redfish("redfish-https"),
		"idrac-redfish":        idrac("ipxe"),
		"idrac-virtualmedia":   idrac("idrac-redfish-virtual-media"),
		"ipmi":                 ipmi,
		"libvirt":              ipmi,
	}
}

const defaultIPMIPort = "623"

// access is a parsed BMC address.
type access struct {
	scheme
	// tls is off for the +http schemes.
	tls bool
	// host is a name or an IP without brackets, port may be empty.
	host, port string
	// path of the system's Redfish resource; empty lets Ironic find the only one.
	path string
	// privilege is the IPMI privilege level.
	privilege string
}

// CheckAddress refuses a spec.bmc.address that parseAddress does.
func CheckAddress(address string) error {
	_, err := parseAddress(address)
	return err
}

// parseAddress reads spec.bmc.address. Errors are fault.Rejected and say what is wrong with it, never what it holds
// beside scheme and host: people put passwords into addresses.
func parseAddress(address string) (access, error) {
	if address == "" {
		return access{}, rejectAddress("it is empty")
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return access{}, rejectAddress("it holds spaces or control characters")
	}
	if !strings.Contains(address, "://") {
		address = "ipmi://" + address // Metal3 takes a bare host for IPMI
	}
	u, err := url.Parse(address)
	if err != nil {
		return access{}, rejectAddress("it is no URL")
	}
	if u.User != nil {
		return access{}, rejectAddress("it holds a user name or password: they belong into the Secret of spec.bmc.credentialsName")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return access{}, rejectAddress("it holds a #fragment or has no //host")
	}
	return accessOf(u)
}

func accessOf(u *url.URL) (access, error) {
	name, transport, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	known, ok := schemes()[name]
	if !ok || (transport != "" && transport != "http" && transport != "https") || (known.ipmi && transport != "") {
		return access{}, rejectAddress("scheme %q is not known: use redfish, redfish-virtualmedia, redfish-uefihttp, idrac-redfish, "+
			"idrac-virtualmedia, ilo5-redfish, ilo5-virtualmedia (each also with +http or +https) or ipmi", u.Scheme)
	}
	a := access{scheme: known, tls: transport != "http", host: u.Hostname(), port: u.Port(), path: strings.TrimRight(u.EscapedPath(), "/")}
	if err := checkHost(u, a.host); err != nil {
		return access{}, err
	}
	if n, err := strconv.ParseUint(a.port, 10, 16); a.port != "" && (err != nil || n == 0) {
		return access{}, rejectAddress("port %q is none", a.port)
	}
	return a, a.readQuery(u)
}

func checkHost(u *url.URL, host string) error {
	if host == "" {
		return rejectAddress("it names no host")
	}
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return rejectAddress("[%s] is no IPv6 address, or has a %%zone, which means nothing to Ironic", host)
		}
		return nil
	}
	if strings.HasPrefix(host, "-") || strings.ContainsFunc(host, foreignRune) {
		return rejectAddress("host %q has characters no host name has (an IPv6 address needs [brackets])", host)
	}
	return nil
}

const hostRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func foreignRune(r rune) bool { return !strings.ContainsRune(hostRunes, r) }

func (a *access) readQuery(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return rejectAddress("its ?query is malformed")
	}
	if !a.ipmi {
		if u.RawQuery != "" || u.ForceQuery {
			return rejectAddress("it has a ?query, which scheme %s does not know", u.Scheme)
		}
		return nil
	}
	if a.path != "" {
		return rejectAddress("it has a /path, which scheme %s does not know", u.Scheme)
	}
	a.port = orElse(a.port, defaultIPMIPort)
	a.privilege = strings.ToUpper(orElse(query.Get("privilegelevel"), "ADMINISTRATOR"))
	for key := range query {
		if key != "privilegelevel" {
			return rejectAddress("?%s is not known; ?privilegelevel is", key)
		}
	}
	switch a.privilege { // ironic 39.0.0, ironic/drivers/modules/ipmitool.py: VALID_PRIV_LEVELS
	case "ADMINISTRATOR", "CALLBACK", "OPERATOR", "USER":
		return nil
	default:
		return rejectAddress("?privilegelevel=%s is not one of ADMINISTRATOR, CALLBACK, OPERATOR, USER", a.privilege)
	}
}

func rejectAddress(format string, args ...any) error {
	return fault.Wrap(fault.Rejected, fault.New(fault.Rejected, format, args...), "spec.bmc.address is not usable")
}

// driverInfo is how Ironic reaches the BMC (ironic 39.0.0, ironic/drivers/modules/redfish/utils.py and ipmitool.py).
func (a access) driverInfo(b provisioner.BMC) map[string]any {
	if a.ipmi {
		return map[string]any{
			"ipmi_address": a.host, "ipmi_port": a.port, "ipmi_priv_level": a.privilege,
			"ipmi_username": b.Username.Reveal(), "ipmi_password": b.Password.Reveal(),
		}
	}
	protocol := "http"
	if a.tls {
		protocol = "https"
	}
	host := a.host
	switch {
	case a.port != "":
		host = net.JoinHostPort(a.host, a.port)
	case strings.Contains(a.host, ":"):
		host = "[" + a.host + "]"
	}
	info := map[string]any{
		"redfish_address":  protocol + "://" + host,
		"redfish_username": b.Username.Reveal(), "redfish_password": b.Password.Reveal(),
		"redfish_verify_ca": !b.Insecure,
	}
	if a.path != "" {
		info["redfish_system_id"] = a.path
	}
	return info
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
