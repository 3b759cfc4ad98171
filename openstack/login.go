package openstack

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/fault"
)

const (
	// computeVersion is the oldest that shows computes of a cell whose database is down, as UNKNOWN, instead of leaving
	// them out (2.69, Stein; nova 31.0, api/openstack/compute/rest_api_version_history.rst). UUIDs came with 2.53.
	computeVersion = "2.69"
	// placementVersion is the one that has traits (1.6, Pike; placement 13.0, rest_api_version_history.rst).
	placementVersion = "1.6"
	// maxAnswer bounds an answer in bytes: a thousand hypervisors take about 5 MB.
	maxAnswer = 64 << 20
	// idleConnections to one endpoint are kept.
	idleConnections = 8
)

// api are the endpoints of a cloud.
type api struct {
	compute, placement, network *gophercloud.ServiceClient
}

// login asks Keystone for a token, and the catalog for the endpoints.
func login(ctx context.Context, access provisioner.CloudAccess, timeout time.Duration) (*api, error) {
	rules := &blame{access: access}
	provider, err := openstack.NewClient(access.AuthURL)
	if err != nil {
		return nil, fault.New(fault.Rejected, "%s: auth.auth_url is no URL: correct it", access.Source)
	}
	transport, err := transport(access)
	if err != nil {
		return nil, err
	}
	provider.HTTPClient = http.Client{Transport: transport, Timeout: timeout}
	provider.UserAgent.Prepend("rackplane")
	if err := openstack.Authenticate(ctx, provider, authOptions(access)); err != nil {
		return nil, rules.classify(loggingIn, err)
	}
	where := gophercloud.EndpointOpts{
		Region: access.Region, Availability: gophercloud.Availability(cmp.Or(access.Interface, string(gophercloud.AvailabilityPublic))),
	}
	var a api
	for _, service := range []struct {
		name, version string
		into          **gophercloud.ServiceClient
		open          func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)
	}{
		{"compute", computeVersion, &a.compute, openstack.NewComputeV2},
		{"placement", placementVersion, &a.placement, openstack.NewPlacementV1},
		{"network", "", &a.network, openstack.NewNetworkV2},
	} {
		client, err := service.open(provider, where)
		if err != nil {
			return nil, rules.classify("find the endpoint of the "+service.name+" service", err)
		}
		client.Microversion = service.version
		*service.into = client
	}
	return &a, nil
}

func authOptions(access provisioner.CloudAccess) gophercloud.AuthOptions {
	o := gophercloud.AuthOptions{
		IdentityEndpoint: access.AuthURL, AllowReauth: true,
		Username: access.Username, UserID: access.UserID, DomainID: access.UserDomainID,
		ApplicationCredentialID: access.ApplicationCredentialID, ApplicationCredentialName: access.ApplicationCredentialName,
		ApplicationCredentialSecret: access.ApplicationCredentialSecret.Reveal(),
	}
	if o.DomainID == "" {
		o.DomainName = access.UserDomainName
	}
	if o.UserID != "" { // an ID needs no domain, and gophercloud refuses one beside it
		o.Username, o.DomainID, o.DomainName = "", "", ""
	}
	switch {
	case o.ApplicationCredentialID != "":
		o.Username, o.UserID, o.DomainID, o.DomainName = "", "", "", ""
		return o
	case o.ApplicationCredentialName != "":
		return o
	}
	o.Password = access.Password.Reveal()
	switch {
	case access.SystemScope != "":
		o.Scope = &gophercloud.AuthScope{System: true}
	case access.ProjectID != "":
		o.Scope = &gophercloud.AuthScope{ProjectID: access.ProjectID}
	case access.ProjectDomainID != "":
		o.Scope = &gophercloud.AuthScope{ProjectName: access.ProjectName, DomainID: access.ProjectDomainID}
	default:
		o.Scope = &gophercloud.AuthScope{ProjectName: access.ProjectName, DomainName: access.ProjectDomainName}
	}
	return o
}

func transport(access provisioner.CloudAccess) (http.RoundTripper, error) {
	shared, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("http.DefaultTransport was replaced")
	}
	own := shared.Clone()
	own.MaxIdleConnsPerHost = idleConnections
	if access.CA == "" {
		return bounded{own}, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(access.CA)) {
		return nil, fault.New(fault.Rejected, "%s: the key ca.crt holds no PEM certificate: correct it", access.Source)
	}
	own.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return bounded{own}, nil
}

// bounded keeps an endpoint from filling the memory.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = &boundedBody{resp.Body, maxAnswer}
	}
	return resp, err
}

// errTooLarge is what reading more than maxAnswer gives.
var errTooLarge = errors.New("the answer is larger than 64 MiB")

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}
