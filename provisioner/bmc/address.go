package bmc

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
)

// schemes lists Metal3's address schemes (baremetal-operator v0.13.1, docs/api.md "BMC access"), and which of them mean IPMI.
func schemes() map[string]bool {
	return map[string]bool{
		"redfish": false, "ilo5-redfish": false, "redfish-virtualmedia": false, "ilo5-virtualmedia": false, "redfish-uefihttp": false,
		"idrac-redfish": false, "idrac-virtualmedia": false, "ipmi": true, "libvirt": true,
	}
}

// Schemes returns the address schemes there are, sorted.
func Schemes() []string { return slices.Sorted(maps.Keys(schemes())) }

// DefaultIPMIPort is where BMCs serve IPMI.
const DefaultIPMIPort = "623"

// Address is a parsed BMC address.
type Address struct {
	// Scheme is one of Schemes, without the transport.
	Scheme string
	// IPMI is set for the schemes that speak it; the others speak Redfish.
	IPMI bool
	// TLS is off for the +http schemes.
	TLS bool
	// Host is a name or an IP without brackets, Port may be empty.
	Host, Port string
	// Path of the system's Redfish resource; empty means the only one there is.
	Path string
	// Privilege is the IPMI privilege level.
	Privilege string
}

// Endpoint returns the root of the BMC's Redfish service, such as https://[2001:db8::1]:8443, without a slash at its end.
func (a Address) Endpoint() string {
	protocol := "http"
	if a.TLS {
		protocol = "https"
	}
	host := a.Host
	switch {
	case a.Port != "":
		host = net.JoinHostPort(a.Host, a.Port)
	case strings.Contains(a.Host, ":"):
		host = "[" + a.Host + "]"
	}
	return protocol + "://" + host
}

// String returns the address in the one form that Parse reads back to the same Address: scheme, transport, host and port,
// and what follows. Two spellings of one address are the same text, so a BMC can be told apart by it.
func (a Address) String() string {
	transport := ""
	if !a.IPMI && !a.TLS {
		transport = "+http"
	}
	_, host, _ := strings.Cut(a.Endpoint(), "://")
	query := ""
	if a.IPMI {
		query = "?privilegelevel=" + a.Privilege
	}
	return a.Scheme + transport + "://" + host + a.Path + query
}

// VirtualMedia reports whether the server boots from media that its BMC presents.
func (a Address) VirtualMedia() bool { return strings.HasSuffix(a.Scheme, "-virtualmedia") }

// Parse reads spec.bmc.address. Errors are fault.Rejected and say what is wrong with it, never what it holds
// beside scheme and host: people put passwords into addresses.
func Parse(address string) (Address, error) {
	if address == "" {
		return Address{}, reject("it is empty")
	}
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return Address{}, reject("it holds spaces or control characters")
	}
	if !strings.Contains(address, "://") {
		address = "ipmi://" + address // Metal3 takes a bare host for IPMI
	}
	if line.HasLogin(address) {
		return Address{}, reject("it holds a user name or password (%s): take it out; it belongs into the Secret of spec.bmc.credentialsName, as username and password",
			line.Address(address))
	}
	u, err := url.Parse(address)
	if err != nil {
		return Address{}, reject("it is no URL")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return Address{}, reject("it holds a #fragment or has no //host")
	}
	return addressOf(u)
}

func addressOf(u *url.URL) (Address, error) {
	name, transport, _ := strings.Cut(strings.ToLower(u.Scheme), "+")
	ipmi, ok := schemes()[name]
	if !ok || (transport != "" && transport != "http" && transport != "https") || (ipmi && transport != "") {
		return Address{}, reject("scheme %q is not known: use redfish, redfish-virtualmedia, redfish-uefihttp, idrac-redfish, "+
			"idrac-virtualmedia, ilo5-redfish, ilo5-virtualmedia (each also with +http or +https) or ipmi", u.Scheme)
	}
	a := Address{Scheme: name, IPMI: ipmi, TLS: transport != "http", Host: u.Hostname(), Port: u.Port(), Path: strings.TrimRight(u.EscapedPath(), "/")}
	if err := checkHost(u, a.Host); err != nil {
		return Address{}, err
	}
	if n, err := strconv.ParseUint(a.Port, 10, 16); a.Port != "" && (err != nil || n == 0) {
		return Address{}, reject("port %q is none", a.Port)
	}
	return a, a.readQuery(u)
}

func checkHost(u *url.URL, host string) error {
	if host == "" {
		return reject("it names no host")
	}
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return reject("[%s] is no IPv6 address, or has a %%zone, which means nothing to Ironic", host)
		}
		return nil
	}
	if strings.HasPrefix(host, "-") || strings.ContainsFunc(host, foreignRune) {
		return reject("host %q has characters no host name has (an IPv6 address needs [brackets])", host)
	}
	return nil
}

const hostRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

func foreignRune(r rune) bool { return !strings.ContainsRune(hostRunes, r) }

func (a *Address) readQuery(u *url.URL) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return reject("its ?query is malformed")
	}
	if !a.IPMI {
		if u.RawQuery != "" || u.ForceQuery {
			return reject("it has a ?query, which scheme %s does not know", u.Scheme)
		}
		return nil
	}
	if a.Path != "" {
		return reject("it has a /path, which scheme %s does not know", u.Scheme)
	}
	a.Port = cmp.Or(a.Port, DefaultIPMIPort)
	a.Privilege = strings.ToUpper(cmp.Or(query.Get("privilegelevel"), "ADMINISTRATOR"))
	for key := range query {
		if key != "privilegelevel" {
			return reject("?%s is not known; ?privilegelevel is", key)
		}
	}
	switch a.Privilege { // ironic 39.0.0, ironic/drivers/modules/ipmitool.py: VALID_PRIV_LEVELS
	case "ADMINISTRATOR", "CALLBACK", "OPERATOR", "USER":
		return nil
	default:
		return reject("?privilegelevel=%s is not one of ADMINISTRATOR, CALLBACK, OPERATOR, USER", a.Privilege)
	}
}

func reject(format string, args ...any) error {
	return fault.Wrap(fault.Rejected, fault.New(fault.Rejected, format, args...), "spec.bmc.address is not usable")
}
