package network

import (
	"fmt"
	"net/netip"
	"regexp"
)

var (
	// hostName is a DNS name whose labels have at most 63 characters (RFC 1123, 2.1).
	hostName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	// number4 is what inet_aton(3) takes for an IPv4 address, however it is written: it ends in a number.
	number4 = regexp.MustCompile(`^(.*\.)?(0[xX][0-9a-fA-F]*|[0-9]+)$`)
	// variableStem is a network's name or role: variables begin with it.
	variableStem = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]*$`)
)

// longestName is a DNS name's length (RFC 1035, 2.3.4).
const longestName = 253

// CheckHost refuses what is neither an IP address nor a DNS name.
func CheckHost(host string) error {
	if _, err := ParseAddress(host); err == nil {
		return nil
	}
	if number4.MatchString(host) {
		return fmt.Errorf("%.80q is neither an IP address nor a DNS name: correct it", host)
	}
	return CheckName(host)
}

// CheckName refuses what is no DNS name.
func CheckName(name string) error {
	if len(name) > longestName || !hostName.MatchString(name) {
		return fmt.Errorf("%.80q is no DNS name, whose labels have at most 63 letters, digits and dashes: correct it", name)
	}
	return nil
}

// ParseAddress reads an IP address without a zone.
func ParseAddress(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err == nil && a.Zone() != "" {
		err = fmt.Errorf("%.80q has a zone: remove it", text)
	}
	return a, err
}
