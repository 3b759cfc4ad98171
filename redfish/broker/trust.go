package broker

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/rackplane/rackplane/fault"
)

// Fingerprint is a certificate's SHA-256 as Trust.Fingerprint takes it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func plainHex(fingerprint string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(fingerprint), ":", ""))
}

// config is how the BMC is dialled. Nothing is said to it, no password above all, before it has proved itself.
func (t Trust) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.CAs}
	if t.Fingerprint == "" {
		c.InsecureSkipVerify = t.Insecure
		return c, nil
	}
	want := plainHex(t.Fingerprint)
	if raw, err := hex.DecodeString(want); err != nil || len(raw) != sha256.Size {
		return nil, fault.New(fault.Rejected, "the BMC's fingerprint is no SHA-256 in hex (64 digits, colons or none)")
	}
	c.InsecureSkipVerify = true // the fingerprint is asked instead
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 || Fingerprint(s.PeerCertificates[0]) != want {
			return &strangerError{seen: s.PeerCertificates}
		}
		return nil
	}
	return c, nil
}

// strangerError is a certificate that is not the pinned one.
type strangerError struct{ seen []*x509.Certificate }

func (e *strangerError) Error() string { return "the certificate is not the pinned one" }

// untrusted puts the reason why a BMC is not trusted in words; nil when err is something else.
func untrusted(err error) error {
	var stranger *strangerError
	if errors.As(err, &stranger) {
		seen := "none"
		if len(stranger.seen) > 0 {
			seen = Fingerprint(stranger.seen[0])
		}
		return fault.New(fault.Rejected, "the BMC shows another certificate than the pinned one (its fingerprint is %s): somebody has replaced it, "+
			"or it is another machine; pin the new one only when you know why it has changed", seen)
	}
	var unverified *tls.CertificateVerificationError
	if errors.As(err, &unverified) && len(unverified.UnverifiedCertificates) > 0 {
		return fault.New(fault.Rejected, "the BMC's certificate is not trusted (%v): give the CA that signed it, or pin its fingerprint %s "+
			"once you have compared it with what the BMC's own page shows", unverified.Err, Fingerprint(unverified.UnverifiedCertificates[0]))
	}
	return nil
}
