package api

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	gopheropenstack "github.com/gophercloud/gophercloud/v2/openstack"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/wire"
)

const (
	// computeVersion is the oldest that shows computes of a cell whose database is down, as UNKNOWN, instead of leaving
	// them out (2.69, Stein; nova 31.0, api/openstack/compute/rest_api_version_history.rst). UUIDs came with 2.53.
	computeVersion = "2.69"
	// placementVersion is the one that has traits (1.6, Pike; placement 13.0, rest_api_version_history.rst).
	placementVersion = "1.6"
	// idleConnections to one endpoint are kept.
	idleConnections = 8
)

// api are the endpoints of a cloud.
type api struct {
	compute, placement, network *gophercloud.ServiceClient
}

// enter asks Keystone for a token, and the catalog for the endpoints. Every try to log in, a later one for a new token
// included, is made through the session's gate.
func (s *session) enter(ctx context.Context) (*api, error) {
	access := s.access
	rules := &blame{access: access}
	provider, err := gopheropenstack.NewClient(access.AuthURL)
	if err != nil {
		return nil, fault.New(fault.Rejected, "%s: auth.auth_url is no URL: correct it", access.Source)
	}
	provider.HTTPClient, err = wire.NewClient(wire.Options{CA: []byte(access.CA), Timeout: s.clouds.timeout, Idle: idleConnections, Reach: s.clouds.reach})
	if err != nil {
		return nil, fault.New(fault.Rejected, "%s: the key ca.crt: %s: correct it", access.Source, err)
	}
	provider.UserAgent.Prepend("rackplane")
	err = s.gate.try(s.clouds.clock.Now(), func() error { return gopheropenstack.Authenticate(ctx, provider, authOptions(access)) })
	if err != nil {
		return nil, rules.classify(loggingIn, err)
	}
	again := provider.ReauthFunc
	provider.ReauthFunc = func(ctx context.Context) error {
		return s.gate.try(s.clouds.clock.Now(), func() error { return again(ctx) })
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
		{"compute", computeVersion, &a.compute, gopheropenstack.NewComputeV2},
		{"placement", placementVersion, &a.placement, gopheropenstack.NewPlacementV1},
		{"network", "", &a.network, gopheropenstack.NewNetworkV2},
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

func authOptions(access openstack.Access) gophercloud.AuthOptions {
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

// lockOut is how long credentials that Keystone refused are not tried again: it may lock the user out for a few tries
// ([security_compliance] lockout_failure_attempts, keystone 27.0). Other credentials are tried at once: they have a session
// of their own.
const lockOut = 20 * time.Minute

// gate keeps refused credentials from being tried again. The zero value lets everyone through.
type gate struct {
	mu      sync.Mutex
	refused error
	until   time.Time
}

// try makes one try to log in, or repeats the answer to the last one.
func (g *gate) try(now time.Time, login func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.until.Sub(now); g.refused != nil && wait > 0 && wait <= lockOut {
		return g.refused
	}
	g.refused = nil
	err := login()
	if gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		g.refused, g.until = err, now.Add(lockOut)
	}
	return err
}
