package provisioner

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/network"
)

// CheckImage refuses what Ironic must not be asked to fetch, in the words of the field that is wrong: no URL over HTTP, one
// with a password in it, one that leads to a link-local or metadata address of the machine that fetches. It never shows
// what the URL holds beside the host.
func CheckImage(image Image) error {
	if err := checkURL(image.URL); err != nil {
		return fmt.Errorf("image.url %w", err)
	}
	if strings.Contains(image.Checksum, "://") || line.HasLogin(image.Checksum) {
		if err := checkURL(image.Checksum); err != nil {
			return fmt.Errorf("image.checksum %w", err)
		}
	}
	return nil
}

// CheckChecksum refuses MD5, which proves nothing of an image. An empty type is MD5 in Metal3's words.
func CheckChecksum(checksum, kind string) error {
	hex := md5Sum.MatchString(checksum)
	if !strings.EqualFold(kind, "md5") && !hex {
		return nil
	}
	return errors.New("image.checksum is an MD5 sum, which proves nothing: write the one of sha256sum or sha512sum, or the URL of a list of those, " +
		"and sha256, sha512 or auto as image.checksumType")
}

// md5Sum is 128 bits.
var md5Sum = regexp.MustCompile(`^[0-9a-fA-F]{32}$`)

func checkURL(text string) error {
	if line.HasLogin(text) {
		return fmt.Errorf("holds a user name or password (%s), which everybody who may read the object would see: serve the image without one, "+
			"or to the servers' network only; an @ in the path is written as %%40", line.Address(text))
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return errors.New("is no URL over http or https: name the file on the image server")
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return errors.New("holds spaces or characters that URLs have not: percent-encode them")
	}
	host := u.Hostname()
	if a, err := network.ParseAddress(host); err == nil && isMetadata(a.Unmap()) {
		return fmt.Errorf("names the link-local or metadata address %s: name the image server", host)
	}
	if err := network.CheckHost(host); err != nil {
		return fmt.Errorf("names the host %w", err)
	}
	return nil
}

// isMetadata reports an address that only the machine itself or its hypervisor answers on (RFC 3927; RFC 4291, 2.5.6), or
// at which clouds serve a machine's secrets over IPv6.
func isMetadata(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || netip.MustParsePrefix("fd00:ec2::/32").Contains(a)
}
