package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// identity is the self-signed certificate of one boot. Ironic learns it with the first heartbeat
// and trusts nothing else afterwards (ironic-python-agent, tls_utils.py, "automatic TLS").
type identity struct {
	cert tls.Certificate
	pem  []byte
}

func newIdentity(address string) (identity, error) {
	ip := net.ParseIP(address)
	if ip == nil {
		return identity{}, fmt.Errorf("agent: %q is no IP address", address)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("agent: generate key: %w", err)
	}
	// Clocks of servers drift, so the certificate is valid from the epoch on, as the agent's own.
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: address},
		NotBefore:             time.Unix(0, 0),
		NotAfter:              time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC),
		IPAddresses:           []net.IP{ip},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return identity{}, fmt.Errorf("agent: make certificate: %w", err)
	}
	return identity{
		cert: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil
}
