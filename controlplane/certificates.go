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
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"k8s.io/utils/clock"
)

const (
	authorityLife   = 10 * 365 * 24 * time.Hour
	certificateLife = 365 * 24 * time.Hour
	// A certificate is renewed when less than a third of its life is left.
	renewFraction = 3
	// backdated is how long before it was made an authority is valid from: clocks that are behind must not lock anyone out.
	// Certificates are valid from when their authority is.
	backdated = 2 * 365 * 24 * time.Hour
	// adoption is how long a new authority is only trusted, beside the old one, before it signs. A kubeconfig lives as long as
	// the certificate in it, so by then every copy that still lets anyone in trusts the new one too.
	adoption = certificateLife
	// maxAuthorities bounds what wrong clocks can heap up.
	maxAuthorities = 16
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
// rename replaces both; a .crt file holds the certificates of all authorities of a name. All are mode 0600.
//
// An authority is never replaced: the clock that says it has ended may be wrong, and everyone who trusts it has a copy of
// its certificate. One that is needed beside it (ca-2.pem) is added, and both are trusted.
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

// ensureAuthorities makes the authorities where there is none that lasts, and the service account key. Not while the
// children run: they read the authorities once. Files that cannot be read are errors, never overwritten.
func (k pki) ensureAuthorities() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	for _, name := range []string{authorityAPI, authorityEtcd} {
		have, err := k.authorities(name)
		if err != nil {
			return err
		}
		lasts := func(id identity) bool { return k.valid(id.cert) && !k.nearEnd(id.cert, authorityLife) }
		if !slices.ContainsFunc(have, lasts) && len(have) < maxAuthorities {
			id, err := k.issue(authorityTemplate(name), nil)
			if err != nil {
				return err
			}
			if err := id.write(k.authorityFile(name, len(have))); err != nil {
				return err
			}
			have = append(have, id)
		}
		var trusted []byte
		for _, id := range have {
			trusted = append(trusted, pemCertificate(id.cert)...)
		}
		if err := WriteFile(k.bundle(name), trusted); err != nil {
			return err
		}
	}
	return k.ensureSigningKey()
}

// authorityFile is the file of the i-th authority of a name.
func (k pki) authorityFile(name string, i int) string {
	if i == 0 {
		return k.file(name)
	}
	return k.file(name + "-" + strconv.Itoa(i+1))
}

// authorities reads all authorities of a name, in the order they were made; none before the first start.
func (k pki) authorities(name string) ([]identity, error) {
	var all []identity
	for i := range maxAuthorities {
		id, err := readIdentity(k.authorityFile(name, i))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return all, k.lost(name, all)
		case err != nil:
			return nil, fmt.Errorf("control plane: the certificate authority cannot be read (%w): put the file back from a backup, or, "+
				"if there is none, remove the folder %s: everything in it is then made anew, and every copied kubeconfig has to be replaced", err, k.dir)
		}
		all = append(all, id)
	}
	return all, nil
}

// lost is the error of authorities that are trusted and gone.
func (k pki) lost(name string, have []identity) error {
	trusted, err := os.ReadFile(k.bundle(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	if bytes.Count(trusted, []byte("-----BEGIN CERTIFICATE-----")) <= len(have) {
		return nil
	}
	return fmt.Errorf("control plane: %s is missing, and %s says that there was one: put the file back from a backup, or, if there is none, "+
		"remove the folder %s: everything in it is then made anew, and every copied kubeconfig has to be replaced",
		k.authorityFile(name, len(have)), k.bundle(name), k.dir)
}

// errNoneValid is why nothing can be signed: the clock is years from when any authority was made.
var errNoneValid = errors.New("no certificate authority is valid now: is the clock right?")

// signer is the authority that signs now: the newest that everybody has had time to trust, else the oldest that is valid.
func (k pki) signer(name string) (identity, error) {
	all, err := k.authorities(name)
	if err != nil {
		return identity{}, err
	}
	var chosen *identity
	for i := range all {
		made := all[i].cert.NotBefore.Add(backdated)
		if k.valid(all[i].cert) && (chosen == nil || !k.clock.Now().Before(made.Add(adoption))) {
			chosen = &all[i]
		}
	}
	if chosen == nil {
		return identity{}, fmt.Errorf("control plane: %w: %s, by the clock %s", errNoneValid, k.dir, k.clock.Now().UTC().Format(time.RFC3339))
	}
	return *chosen, nil
}

func (k pki) ensureSigningKey() error {
	data, err := os.ReadFile(k.signingKey())
	switch {
	case err == nil && parseKey(data) != nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return errors.Join(fmt.Errorf("control plane: %s holds no key: put the file back from a backup, or remove it: a new one is made, "+
			"and tokens of service accounts have to be replaced", k.signingKey()), err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	if data, err = pemKey(key); err != nil {
		return err
	}
	return WriteFile(k.signingKey(), data)
}

// ensureCertificates issues each certificate that is missing, unreadable, near its end, of an unknown authority or for other
// names than wanted. One that is still good is only replaced by one that lasts longer, whatever the clock says. Safe while
// the children run: they read these files again by themselves.
func (k pki) ensureCertificates() error {
	for name, want := range k.wanted() {
		known, err := k.authorities(want.authority)
		if err != nil {
			return err
		}
		signer, err := k.signer(want.authority)
		if err != nil {
			return err
		}
		have, err := readIdentity(k.file(name))
		signed := func(by identity) bool { return k.valid(by.cert) && have.cert.CheckSignatureFrom(by.cert) == nil }
		good := err == nil && slices.ContainsFunc(known, signed) && sameNames(have.cert, want.template)
		if good {
			want.template.NotAfter = have.cert.NotAfter
			longer := k.end(want.template, &signer).After(have.cert.NotAfter)
			if k.valid(have.cert) && (!k.nearEnd(have.cert, certificateLife) || !longer) {
				continue
			}
		}
		id, err := k.issue(want.template, &signer)
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

// issue makes a key and a certificate from the template, signed by the authority or, without one, by itself. It lasts at
// least as long as the template says.
func (k pki) issue(template *x509.Certificate, authority *identity) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, fmt.Errorf("control plane: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return identity{}, fmt.Errorf("control plane: %w", err)
	}
	template.SerialNumber, template.NotAfter = serial, k.end(template, authority)
	parent, signer := template, crypto.Signer(key)
	if authority == nil {
		template.NotBefore = k.clock.Now().Add(-backdated)
	} else {
		parent, signer, template.NotBefore = authority.cert, authority.key, authority.cert.NotBefore
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

// end is when a certificate that is issued now ends: never before the one it replaces, never after its authority.
func (k pki) end(template *x509.Certificate, authority *identity) time.Time {
	if authority == nil {
		return k.clock.Now().Add(authorityLife)
	}
	end := k.clock.Now().Add(certificateLife)
	if template.NotAfter.After(end) {
		end = template.NotAfter
	}
	if end.After(authority.cert.NotAfter) {
		end = authority.cert.NotAfter
	}
	return end.Truncate(time.Second) // as it is in the certificate
}

func (k pki) valid(c *x509.Certificate) bool {
	now := k.clock.Now()
	return !now.Before(c.NotBefore) && !now.After(c.NotAfter)
}

// nearEnd reports whether less than a third of the life that certificates of the kind have is left.
func (k pki) nearEnd(c *x509.Certificate, life time.Duration) bool {
	return c.NotAfter.Sub(k.clock.Now()) < life/renewFraction
}

func sameNames(have, want *x509.Certificate) bool {
	return slices.Equal(have.DNSNames, want.DNSNames) && slices.EqualFunc(have.IPAddresses, want.IPAddresses, net.IP.Equal)
}

func (id identity) write(path string) error {
	key, err := pemKey(id.key)
	if err != nil {
		return err
	}
	return WriteFile(path, append(pemCertificate(id.cert), key...))
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

// WriteFile replaces a file as a whole, mode 0600, or leaves it as it was. A file that already says so is left alone.
func WriteFile(path string, data []byte) error {
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
