package openstack

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/ovn-kubernetes/libovsdb/client"
	"github.com/ovn-kubernetes/libovsdb/model"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/fault"
)

// southboundDatabase, its tables and columns are those of ovn-sb(5), OVN 25.03; all are there since OVN 20.03.
const southboundDatabase = "OVN_Southbound"

// bridgeMappings is where a chassis tells its mappings: in other_config since OVN 20.12, in external_ids before.
const bridgeMappings = "ovn-bridge-mappings"

type chassisRow struct {
	UUID        string            `ovsdb:"_uuid"`
	Name        string            `ovsdb:"name"`
	Hostname    string            `ovsdb:"hostname"`
	Encaps      []string          `ovsdb:"encaps"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
	OtherConfig map[string]string `ovsdb:"other_config"`
}

// encapRow has the columns of the table's index too: libovsdb refuses a model without them.
type encapRow struct {
	UUID string `ovsdb:"_uuid"`
	IP   string `ovsdb:"ip"`
	Type string `ovsdb:"type"`
}

// chassis reads all chassis; nil when the access names no endpoint. A connection serves one reading: what is kept open
// has to be watched, and a reading a few times a minute costs less than that.
func chassis(ctx context.Context, access provisioner.SouthboundAccess, timeout time.Duration) ([]provisioner.Chassis, error) {
	if access.Endpoints == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	db, err := connect(ctx, access)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if _, err := db.Monitor(ctx, db.NewMonitor(client.WithTable(&chassisRow{}), client.WithTable(&encapRow{}))); err != nil {
		return nil, southboundFault(access, err)
	}
	var rows []chassisRow
	var encaps []encapRow
	if err := errors.Join(db.List(ctx, &rows), db.List(ctx, &encaps)); err != nil {
		return nil, southboundFault(access, err)
	}
	addresses := make(map[string]string, len(encaps))
	for _, e := range encaps {
		addresses[e.UUID] = e.IP
	}
	out := make([]provisioner.Chassis, 0, len(rows))
	for i := range rows {
		out = append(out, rows[i].chassis(addresses))
	}
	return out, nil
}

func (r *chassisRow) chassis(addresses map[string]string) provisioner.Chassis {
	c := provisioner.Chassis{Name: r.Name, Host: r.Hostname}
	for _, encap := range r.Encaps {
		if ip := addresses[encap]; ip != "" {
			c.EncapIPs = append(c.EncapIPs, ip)
		}
	}
	slices.Sort(c.EncapIPs)
	c.EncapIPs = slices.Compact(c.EncapIPs) // one address may have several types of tunnel
	mappings, ok := r.OtherConfig[bridgeMappings]
	if !ok {
		mappings = r.ExternalIDs[bridgeMappings]
	}
	for mapping := range strings.SplitSeq(mappings, ",") {
		if mapping = strings.TrimSpace(mapping); mapping != "" {
			c.BridgeMappings = append(c.BridgeMappings, mapping)
		}
	}
	slices.Sort(c.BridgeMappings)
	return c
}

func connect(ctx context.Context, access provisioner.SouthboundAccess) (client.Client, error) {
	tables, err := model.NewClientDBModel(southboundDatabase, map[string]model.Model{"Chassis": &chassisRow{}, "Encap": &encapRow{}})
	if err != nil {
		return nil, err
	}
	silent := logr.Discard()
	options := []client.Option{client.WithLogger(&silent)}
	for endpoint := range strings.SplitSeq(access.Endpoints, ",") {
		options = append(options, client.WithEndpoint(endpoint))
	}
	if access.CA != "" {
		config, err := southboundTLS(access)
		if err != nil {
			return nil, err
		}
		options = append(options, client.WithTLSConfig(config))
	}
	db, err := client.NewOVSDBClient(tables, options...)
	if err != nil {
		return nil, fault.New(fault.Rejected, "%s: %s: correct it", access.Source, oneLine(err.Error()))
	}
	if err := db.Connect(ctx); err != nil {
		db.Close()
		return nil, southboundFault(access, err)
	}
	return db, nil
}

// southboundTLS trusts whom the CA signed, whatever the certificate names, as OVN's own clients do (ovs-pki makes
// certificates without host names).
func southboundTLS(access provisioner.SouthboundAccess) (*tls.Config, error) {
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

// southboundFault classifies by text: the client joins the failures of several endpoints into one.
func southboundFault(access provisioner.SouthboundAccess, err error) error {
	said := oneLine(strings.ReplaceAll(err.Error(), "failed to open connection: ", ""))
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Transient, "OVN's southbound database at %s does not answer in time (%s)", access.Endpoints, access.Source)
	case strings.Contains(said, "target database "+southboundDatabase+" not found"):
		return fault.New(fault.Rejected, "%s: %s has no database %s: correct the endpoint (the southbound database's port is usually 6642)",
			access.Source, access.Endpoints, southboundDatabase)
	case strings.Contains(said, "x509: ") || strings.Contains(said, "tls: "):
		return fault.New(fault.Denied, "%s: no trust between us and OVN's southbound database (%s): renew the certificates, or correct spec.openstack.southbound.tlsSecret",
			access.Source, said)
	case access.CA != "" && strings.Contains(said, "not connected"):
		// With TLS 1.3 a client learns from the first read alone that its certificate was refused, or not even then.
		said = strings.ReplaceAll(said, "not connected", "the connection was closed; our certificate may not be trusted there (spec.openstack.southbound.tlsSecret)")
	}
	return fault.New(fault.Transient, "OVN's southbound database does not answer (%s): %s", access.Source, said)
}
