package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/wire"
)

// Policy says what may be reached: Targets alone, and of these nothing that is denied. It is looked at with the addresses
// that a name has at the moment of connecting, so a name that comes to mean something else changes nothing.
type Policy struct {
	// Targets as host:port.
	Targets []string
	// Deny lists, as host:port, as address or as CIDR, what no target may be.
	Deny []string
	// Self lets this machine itself be reached; for tests.
	Self bool
}

// Check reports an entry of Deny that is none.
func (p Policy) Check() error {
	for _, entry := range p.Deny {
		if _, err := parseRule(entry); err != nil {
			return err
		}
	}
	return nil
}

// rule is one entry of Deny: a prefix, or a host with its port.
type rule struct {
	prefix netip.Prefix
	host   string
	port   uint16
}

func parseRule(entry string) (rule, error) {
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		return rule{prefix: prefix.Masked()}, nil
	}
	if address, err := netip.ParseAddr(entry); err == nil {
		return rule{prefix: netip.PrefixFrom(address, address.BitLen())}, nil
	}
	host, port, err := split(entry)
	if err != nil {
		return rule{}, fmt.Errorf("%q is neither host:port nor an address nor a CIDR", entry)
	}
	return rule{host: host, port: port}, nil
}

// split returns the parts of host:port in the one spelling that they are compared in.
func split(target string) (string, uint16, error) {
	host, text, err := net.SplitHostPort(target)
	if err != nil || host == "" {
		return "", 0, fmt.Errorf("%q is not host:port", target)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return "", 0, fmt.Errorf("%q has no port from 1 to 65535", target)
	}
	if address, err := netip.ParseAddr(host); err == nil {
		return address.Unmap().String(), uint16(port), nil
	}
	return strings.ToLower(host), uint16(port), nil
}

// names reports whether the target is one of the Targets.
func (p Policy) names(host string, port uint16) bool {
	return slices.ContainsFunc(p.Targets, func(target string) bool {
		h, n, err := split(target)
		return err == nil && h == host && n == port
	})
}

// ErrDenied is why an address is not reached.
var ErrDenied = errors.New("must not be reached")

// Refuse returns why an address must not be reached whoever asks, nil when it may be.
func (p Policy) Refuse(ctx context.Context, to netip.AddrPort) error {
	address := to.Addr().Unmap()
	switch self := address.IsLoopback() || own(address); {
	case self && !p.Self:
		return fmt.Errorf("%s %w: it is the machine that the engine runs on", to, ErrDenied)
	case !self && wire.Internal(address):
		return fmt.Errorf("%s %w: it is no node's address, but where clouds serve the credentials of this machine, and the like", to, ErrDenied)
	}
	for _, entry := range p.Deny {
		r, err := parseRule(entry)
		if err != nil {
			return err
		}
		hit, err := r.hits(ctx, to)
		if err != nil {
			return fmt.Errorf("whether %s is %s is not known: %w", to, entry, err)
		}
		if hit {
			return fmt.Errorf("%s %w: %s is denied", to, ErrDenied, entry)
		}
	}
	return nil
}

func (r rule) hits(ctx context.Context, to netip.AddrPort) (bool, error) {
	if r.host == "" {
		return r.prefix.Contains(to.Addr()), nil
	}
	if r.port != to.Port() {
		return false, nil
	}
	addresses, err := resolve(ctx, r.host)
	return slices.Contains(addresses, to.Addr()), err
}

// resolve returns the addresses of a host, in the order they are to be tried.
func resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{address.Unmap()}, nil
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	for i := range addresses {
		addresses[i] = addresses[i].Unmap()
	}
	return addresses, err
}

// own reports whether the address is one of this machine's. When that cannot be told it is.
func own(address netip.Addr) bool {
	all, err := wire.Local()
	return err != nil || slices.Contains(all, address)
}
