package wire

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/line"
)

// Reach says to which places connections may be made: those that users of the engine name, not those of its own
// configuration. Without a list of allowed places it is everywhere but the engine's own machine and neighbours: loopback,
// link-local addresses and with them the metadata services of clouds, and the engine's own services. Addresses are
// checked when a connection is made, so that a name cannot lead elsewhere. Make one with NewReach.
type Reach struct {
	names    []string
	networks []netip.Prefix
	own      []string // host:port
}

// ForbiddenError is the error of a connection that Reach does not allow.
type ForbiddenError struct{ Host, Why string }

// Error implements error.
func (e *ForbiddenError) Error() string { return e.Host + " " + e.Why }

// NewReach reads what is allowed: host names (compute.example.com, *.example.com), addresses and networks (192.0.2.0/24).
// Nothing means everywhere but what is never meant; a network that is named may be one of those. own are the
// engine's own services, as HostPort takes them, which are never reached.
func NewReach(allowed, own []string) (*Reach, error) {
	r := &Reach{}
	for _, pattern := range allowed {
		pattern = strings.ToLower(strings.TrimSpace(pattern))
		prefix, err := netip.ParsePrefix(pattern)
		if address, e := netip.ParseAddr(pattern); e == nil {
			prefix, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		name := strings.TrimPrefix(pattern, "*.")
		switch {
		case err == nil:
			r.networks = append(r.networks, prefix.Masked())
		case name == "" || strings.ContainsAny(name, "/:*@[] "):
			return nil, fmt.Errorf("%q is neither a host name (compute.example.com, *.example.com) nor an address or network (192.0.2.0/24)", pattern)
		default:
			r.names = append(r.names, pattern)
		}
	}
	for _, service := range own {
		at, err := HostPort(service)
		if err != nil {
			return nil, err
		}
		r.own = append(r.own, at)
	}
	return r, nil
}

// DialContext connects as net.Dialer does, if it is allowed.
func (r *Reach) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	if r == nil || ctx.Value(proxyKey{}) == address {
		return dialer.DialContext(ctx, network, address)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if slices.Contains(r.own, net.JoinHostPort(strings.ToLower(host), port)) {
		return nil, forbidden(host, ownService)
	}
	hidden := r.resolveOwn(ctx, port)
	dialer.ControlContext = func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(resolved)
		if err != nil {
			return err
		}
		if slices.Contains(hidden, at.Addr().Unmap()) {
			return forbidden(host, ownService)
		}
		return r.Check(host, at.Addr())
	}
	return dialer.DialContext(ctx, network, address)
}

const (
	dialTimeout = 30 * time.Second
	ownService  = "is a service of the engine's own"
)

// resolveOwn are the addresses of the engine's own services on a port. What is reached over loopback listens on all of this
// machine's addresses, for all that is known.
func (r *Reach) resolveOwn(ctx context.Context, port string) []netip.Addr {
	var all []netip.Addr
	for _, service := range r.own {
		host, at, err := net.SplitHostPort(service)
		if err != nil || at != port {
			continue
		}
		// A name that does not resolve has no address that could be reached under another one.
		addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		for i := range addresses {
			if err == nil {
				all = append(all, addresses[i].Unmap())
			}
		}
	}
	if !slices.ContainsFunc(all, netip.Addr.IsLoopback) {
		return all
	}
	local, err := Local()
	if err != nil {
		return all
	}
	return append(all, local...)
}

// Local returns the addresses of this machine.
func Local() ([]netip.Addr, error) {
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, i := range interfaces {
		if prefix, err := netip.ParsePrefix(i.String()); err == nil {
			all = append(all, prefix.Addr().Unmap())
		}
	}
	return all, nil
}

// Check says whether the address, which a host resolved to, may be connected to.
func (r *Reach) Check(host string, address netip.Addr) error {
	address = address.Unmap().WithZone("")
	switch {
	case slices.ContainsFunc(r.networks, func(p netip.Prefix) bool { return p.Contains(address) }):
		return nil
	case Internal(address):
		return forbidden(host, fmt.Sprintf("is %s, which is the engine's own machine or the network it stands in", address))
	case len(r.networks)+len(r.names) == 0, r.named(host):
		return nil
	default:
		return forbidden(host, fmt.Sprintf("(%s) is none of the allowed endpoints", address))
	}
}

func (r *Reach) named(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return slices.ContainsFunc(r.names, func(pattern string) bool {
		domain, wild := strings.CutPrefix(pattern, "*")
		return host == pattern || (wild && strings.HasSuffix(host, domain))
	})
}

// Internal reports whether an address is the engine's own machine or of the network it stands in. Nobody means one who
// writes down where a cloud or a node is. fd00:ec2::/32 has the metadata service of EC2.
func Internal(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return a.IsLoopback() || a.IsUnspecified() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsInterfaceLocalMulticast() ||
		netip.MustParsePrefix("fd00:ec2::/32").Contains(a) || netip.MustParsePrefix("0.0.0.0/8").Contains(a) || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func forbidden(host, why string) error {
	return &ForbiddenError{Host: line.Short(host, 100), Why: why}
}

// proxyKey is the context's value that names the proxy of a request, as it is dialled.
type proxyKey struct{}

// guarded checks requests that go through a proxy of the environment, where names are resolved by the proxy.
type guarded struct {
	transport *http.Transport
	reach     *Reach
}

// RoundTrip implements http.RoundTripper.
func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	proxy, err := g.transport.Proxy(r)
	if err != nil || proxy == nil {
		return g.transport.RoundTrip(r)
	}
	host := r.URL.Hostname()
	address, err := netip.ParseAddr(host)
	switch {
	case slices.Contains(g.reach.own, canonical(r.URL)):
		return nil, forbidden(host, ownService)
	case err == nil:
		err = g.reach.Check(host, address)
	case len(g.reach.names)+len(g.reach.networks) > 0 && !g.reach.named(host):
		err = forbidden(host, "is none of the allowed endpoints")
	default:
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return g.transport.RoundTrip(r.WithContext(context.WithValue(r.Context(), proxyKey{}, canonical(proxy))))
}
