package controlplane

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/utils/clock"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// A certificate is renewed when less than a third of its life is left.
	renewFraction = 3
	// clockSkew makes certificates valid for clients whose clock is a little behind.
	clockSkew = time.Hour
	// serviceNetwork is the cluster's Service range; its first address is the API's own Service.
	serviceNetwork = "10.0.0.0/24"
	serviceAddress = "10.0.0.1"
)

// Two authorities: etcd must not let in everyone who may talk to the API.
const (
	authorityAPI  = "ca"
	authorityEtcd = "etcd-ca"
)

const (
	certServing    = "apiserver"
	certEtcdClient = "apiserver-etcd-client"
	certEtcd       = "etcd"
	certAdmin      = "admin"
)

// pki is a directory of keys and certificates. A .pem file holds a certificate and its key together, so that one
// rename replaces both; a .crt file holds an authority's certificate alone. All are mode 0600.
type pki struct {
	dir    string
	clock  clock.PassiveClock
	listen string
}

// identity is a certificate and its key.
type identity struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (k pki) file(name string) string   { return filepath.Join(k.dir, name+".pem") }
func (k pki) bundle(name string) string { return filepath.Join(k.dir, name+".crt") }
func (k pki) signingKey() string        { return filepath.Join(k.dir, "service-account.key") }

// ensureAuthorities makes the authorities and the service account key where they are missing, unreadable or
// near their end. Not while the children run: they read the authorities once.
func (k pki) ensureAuthorities() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	for _, name := range []string{authorityAPI, authorityEtcd} {
		id, err := readIdentity(k.file(name))
		if err != nil || k.nearEnd(id.cert) {
			if id, err = k.issue(authorityTemplate(name), nil); err != nil {
				return err
			}
			if err := id.write(k.file(name)); err != nil {
				return err
			}
		}
		if err := writeFile(k.bundle(name), pemCertificate(id.cert)); err != nil {
			return err
		}
	}
	if data, err := os.ReadFile(k.signingKey()); err == nil && parseKey(data) != nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	data, err := pemKey(key)
	if err != nil {
		return err
	}
	return writeFile(k.signingKey(), data)
}

// ensureCertificates issues each certificate that is missing, unreadable, near its end, of another authority or
// for other names than wanted. Safe while the children run: they read these files again by themselves.
func (k pki) ensureCertificates() error {
	for name, want := range k.wanted() {
		authority, err := readIdentity(k.file(want.authority))
		if err != nil {
			return fmt.Errorf("control plane: certificate authority: %w", err)
		}
		have, err := readIdentity(k.file(name))
		if err == nil && !k.nearEnd(have.cert) && have.cert.CheckSignatureFrom(authority.cert) == nil && sameNames(have.cert, want.template) {
			continue
		}
		id, err := k.issue(want.template, &authority)
		if err != nil {
			return err
		}
		if err := id.write(k.file(name)); err != nil {
			return err
		}
	}
	return nil
}

type wantedCertificate struct {
	authority string
	template  *x509.Certificate
}

func (k pki) wanted() map[string]wantedCertificate {
	server, client := x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	loopback := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	serving := leafTemplate(pkix.Name{CommonName: "kube-apiserver"}, server)
	serving.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	if host, err := os.Hostname(); err == nil {
		serving.DNSNames = append(serving.DNSNames, host)
	}
	serving.IPAddresses = append(slices.Clone(loopback), net.ParseIP(serviceAddress))
	if ip := net.ParseIP(k.listen); !ip.IsUnspecified() && !ip.IsLoopback() {
		serving.IPAddresses = append(serving.IPAddresses, ip)
	}
	// etcd's own certificate is server and, towards its peers, client (etcd v3.6, transport security model).
	etcd := leafTemplate(pkix.Name{CommonName: "etcd"}, server, client)
	etcd.DNSNames, etcd.IPAddresses = []string{"localhost"}, loopback
	return map[string]wantedCertificate{
		certServing:    {authorityAPI, serving},
		certAdmin:      {authorityAPI, leafTemplate(pkix.Name{CommonName: "rackplane-admin", Organization: []string{"system:masters"}}, client)},
		certEtcd:       {authorityEtcd, etcd},
		certEtcdClient: {authorityEtcd, leafTemplate(pkix.Name{CommonName: "kube-apiserver"}, client)},
	}
}

func authorityTemplate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{CommonName: "rackplane-" + name},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
}

func leafTemplate(subject pkix.Name, usages ...x509.ExtKeyUsage) *x509.Certificate {
	return &x509.Certificate{Subject: subject, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: usages}
}

// issue makes a key and a certificate from the template, signed by the authority or, without one, by itself.
func (k pki) issue(template *x509.Certificate, authority *identity) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("control plane: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return identity{}, fmt.Errorf("control plane: %w", err)
	}
	life := certificateLife
	parent, signer := template, crypto.Signer(key)
	if authority != nil {
		parent, signer = authority.cert, authority.key
	} else {
		life = authorityLife
	}
	now := k.clock.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-clockSkew), now.Add(life)
	if authority != nil && template.NotAfter.After(authority.cert.NotAfter) {
		template.NotAfter = authority.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return identity{}, fmt.Errorf("control plane: issue %s: %w", template.Subject.CommonName, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, fmt.Errorf("control plane: issue %s: %w", template.Subject.CommonName, err)
	}
	return identity{cert, key}, nil
}

func (k pki) nearEnd(c *x509.Certificate) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	now := k.clock.Now()
	return now.Before(c.NotBefore) || c.NotAfter.Sub(now) < life/renewFraction
}

func sameNames(have, want *x509.Certificate) bool {
	return slices.Equal(have.DNSNames, want.DNSNames) && slices.EqualFunc(have.IPAddresses, want.IPAddresses, net.IP.Equal)
}

func (id identity) write(path string) error {
	key, err := pemKey(id.key)
	if err != nil {
		return err
	}
	return writeFile(path, append(pemCertificate(id.cert), key...))
}

// readIdentity reads a certificate and its key; any defect of the file is an error.
func readIdentity(path string) (identity, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return identity{}, err
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return identity{}, fmt.Errorf("%s holds no certificate", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return identity{}, fmt.Errorf("%s: %w", path, err)
	}
	key := parseKey(rest)
	if key == nil || !key.PublicKey.Equal(cert.PublicKey) {
		return identity{}, fmt.Errorf("%s: the key does not belong to the certificate", path)
	}
	return identity{cert, key}, nil
}

// parseKey returns nil when the data holds no ECDSA key.
func parseKey(data []byte) *ecdsa.PrivateKey {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	key, err := x509.ParseECPrivateKey(block.Bytes)
	if err != nil {
		return nil
	}
	return key
}

func pemCertificate(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func pemKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

// writeFile replaces a file as a whole, mode 0600, or leaves it as it was. A file that already says so is left alone.
func writeFile(path string, data []byte) error {
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("control plane: write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
