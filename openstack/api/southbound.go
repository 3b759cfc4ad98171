package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/wire"
)

// southboundDatabase, its tables and columns are those of ovn-sb(5), OVN 25.03; all are there since OVN 20.12.
const southboundDatabase = "OVN_Southbound"

// chassis reads all chassis; nil when the access names no endpoint. A connection serves one reading: what is kept open
// has to be watched, and a reading a few times a minute costs less than that. The first endpoint that answers is taken.
func (s *session) chassis(ctx context.Context) ([]openstack.Chassis, error) {
	access := s.access.Southbound
	if access.Endpoints == "" {
		return nil, nil
	}
	var config *tls.Config
	if access.CA != "" {
		var err error
		if config, err = southboundTLS(access); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.clouds.timeout)
	defer cancel()
	var errs []error
	for endpoint := range strings.SplitSeq(access.Endpoints, ",") {
		read, err := readSouthbound(ctx, s.clouds.reach, endpoint, config)
		if err == nil {
			return read, nil
		}
		errs = append(errs, err)
	}
	return nil, southboundFault(access, errors.Join(errs...))
}

// readSouthbound asks one endpoint.
func readSouthbound(ctx context.Context, reach *wire.Reach, endpoint string, config *tls.Config) ([]openstack.Chassis, error) {
	scheme, address, _ := strings.Cut(endpoint, ":")
	if _, _, err := net.SplitHostPort(address); err != nil || (scheme != "tcp" && scheme != "ssl") || (scheme == "ssl" && config == nil) {
		return nil, errEndpoint
	}
	conn, err := reach.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	if scheme == "ssl" {
		secured := tls.Client(conn, config)
		if err := secured.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secured
	}
	read, err := askSouthbound(conn)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return read, err
}

var (
	errEndpoint   = errors.New("it has an endpoint that is not tcp:HOST:PORT or ssl:HOST:PORT: correct it")
	errNoDatabase = errors.New("it has no database " + southboundDatabase)
	errNoAnswer   = errors.New("what answers is no OVSDB server")
	errRefused    = errors.New("it refuses to read the tables Chassis and Encap")
)

// southboundTLS trusts whom the CA signed, whatever the certificate names, as OVN's own clients do (ovs-pki makes
// certificates without host names).
func southboundTLS(access openstack.SouthboundAccess) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(access.CA)) {
		return nil, fault.New(fault.Rejected, "%s: the key ca.crt holds no PEM certificate: correct it", access.Source)
	}
	pair, err := tls.X509KeyPair([]byte(access.Certificate), []byte(access.Key.Reveal()))
	if err != nil {
		return nil, fault.New(fault.Rejected, "%s: the keys tls.crt and tls.key are no certificate and its private key in PEM form: correct them", access.Source)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection checks the chain; only the host name is left out
		VerifyConnection: func(state tls.ConnectionState) error {
			between := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between})
			return err
		},
	}, nil
}

// southboundFault is what a reading failed with: what all endpoints said, in their order.
func southboundFault(access openstack.SouthboundAccess, err error) error {
	var untrusted *tls.CertificateVerificationError
	var closed *wire.ForbiddenError
	said := oneLine(strings.ReplaceAll(err.Error(), "\n", "; "))
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Transient, "OVN's southbound database at %s does not answer in time (%s)", access.Endpoints, access.Source)
	case errors.Is(err, errEndpoint):
		return fault.New(fault.Rejected, "%s: %s", access.Source, errEndpoint)
	case errors.As(err, &closed):
		return fault.New(fault.Denied, "%s: %s: correct the address, or have an administrator allow it (--cloud-endpoints)", access.Source, closed)
	case errors.Is(err, errNoDatabase):
		return fault.New(fault.Rejected, "%s: %s has no database %s: correct the endpoint (the southbound database's port is usually 6642)",
			access.Source, access.Endpoints, southboundDatabase)
	case errors.Is(err, wire.ErrTooLarge):
		return fault.Wrap(fault.Rejected, errFlood, "%s: %s", access.Source, access.Endpoints)
	case errors.As(err, &untrusted) || strings.Contains(said, "x509: ") || strings.Contains(said, "tls: "):
		return fault.New(fault.Denied, "%s: no trust between us and OVN's southbound database (%s): renew the certificates, or correct spec.openstack.southbound.tlsSecret",
			access.Source, said)
	case access.CA != "" && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(said, "connection reset")):
		// With TLS 1.3 a client learns from the first read alone that its certificate was refused, or not even then.
		said = "the connection was closed; our certificate may not be trusted there (spec.openstack.southbound.tlsSecret)"
	}
	if isNonsense(err) {
		said = errNoAnswer.Error()
	}
	return fault.New(fault.Transient, "OVN's southbound database does not answer (%s): %s", access.Source, said)
}
