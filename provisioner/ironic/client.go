package ironic

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/httpbasic"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/noauth"
	"github.com/gophercloud/gophercloud/v2/openstack/baremetal/v1/nodes"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/secret"
	"github.com/rackplane/rackplane/wire"
)

// Config says where Ironic is and what hosts boot to be deployed.
type Config struct {
	// Endpoint is Ironic's root URL, such as https://ironic.example.com:6385; a trailing /v1 is fine.
	Endpoint string
	// CA holds the PEM certificates that Endpoint's must be signed by; empty means the machine's.
	CA []byte
	// Username and Password for HTTP basic authentication; both empty means none is asked for.
	Username string
	Password secret.Value
	// DeployKernel, DeployRamdisk and DeployISO are URLs of the deploy agent as Ironic's driver_info takes them. Empty
	// leaves the choice to Ironic's own configuration.
	DeployKernel, DeployRamdisk, DeployISO string
	// Timeout of one call; 0 means 30 s.
	Timeout time.Duration
}

// Exposed says what whoever listens on the way to Ironic can read; empty when nothing can be. The passwords of BMCs are
// sent to Ironic, so that it can use them.
func (c Config) Exposed() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return ""
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() {
		return ""
	}
	return "Ironic at " + line.Of(c.Endpoint) + " is spoken to in plain text: whoever listens on the way reads the passwords of the BMCs, " +
		"and those of --ironic-auth-dir: serve Ironic with TLS and use https"
}

const (
	defaultTimeout  = 30 * time.Second
	idleConnections = 32
	oldestMinor     = 81
	newestMinor     = 110
	disableOffIn    = 95
	abortDeployIn   = 110
)

// Client is the adapter. Safe for concurrent use. Make one with New.
type Client struct {
	config  Config
	service *gophercloud.ServiceClient

	mu    sync.Mutex
	minor int // of the microversion spoken; 0 until asked
}

var _ provisioner.Provisioner = (*Client)(nil)

// Words implements provisioner.Provisioner.
func (c *Client) Words() provisioner.Words {
	return provisioner.Words{
		Service: "Ironic", Delete: "baremetal node delete {node}", EndMaintenance: "baremetal node maintenance unset",
		Unhold: "baremetal node unhold", Unrescue: "baremetal node unrescue", Abort: "baremetal node abort",
	}
}

// New returns the adapter. It makes no call: an Ironic that is down now may be up later. Errors name the setting.
func New(c Config) (*Client, error) {
	root := strings.TrimSuffix(strings.TrimRight(c.Endpoint, "/"), "/v1")
	if u, err := url.Parse(root); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return nil, errors.New("the Ironic endpoint must look like https://ironic.example.com:6385, without user name and password")
	}
	service, err := dial(c, root+"/v1/")
	if err != nil {
		return nil, err
	}
	service.HTTPClient, err = wire.NewClient(wire.Options{CA: c.CA, Timeout: cmp.Or(c.Timeout, defaultTimeout), Idle: idleConnections, Only: root})
	if err != nil {
		return nil, fmt.Errorf("the CA bundle for Ironic: %w", err)
	}
	return &Client{config: c, service: service}, nil
}

func dial(c Config, endpoint string) (*gophercloud.ServiceClient, error) {
	if c.Username == "" && c.Password == "" {
		return noauth.NewBareMetalNoAuth(noauth.EndpointOpts{IronicEndpoint: endpoint})
	}
	return httpbasic.NewBareMetalHTTPBasic(httpbasic.EndpointOpts{
		IronicEndpoint: endpoint, IronicUser: c.Username, IronicUserPassword: c.Password.Reveal(),
	})
}

// api returns a client that speaks the newest microversion both sides know, asking Ironic for its newest once.
func (c *Client) api(ctx context.Context) (*gophercloud.ServiceClient, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.minor == 0 {
		minor, err := c.negotiate(ctx)
		if err != nil {
			return nil, err
		}
		c.minor = minor
	}
	api := *c.service
	api.Microversion = "1." + strconv.Itoa(c.minor)
	return &api, nil
}

// read gets what gophercloud has no call for.
func read(ctx context.Context, api *gophercloud.ServiceClient, from string, into any) error {
	resp, err := api.Get(ctx, from, into, &gophercloud.RequestOpts{OkCodes: []int{http.StatusOK}})
	if resp != nil {
		defer func() { _ = resp.Body.Close() }() // it was read to its end
	}
	_, _, err = gophercloud.ParseResponse(resp, err)
	return err
}

func (c *Client) negotiate(ctx context.Context) (int, error) {
	var root struct {
		Version struct {
			Version string `json:"version"`
		} `json:"version"`
	}
	if err := read(ctx, c.service, c.service.Endpoint, &root); err != nil {
		return 0, c.classify(err)
	}
	minor, err := strconv.Atoi(strings.TrimPrefix(root.Version.Version, "1."))
	if err != nil || minor < oldestMinor {
		return 0, fault.New(fault.Unsupported, "Ironic at %s speaks microversion %q; 1.%d or newer is needed",
			c.config.Endpoint, root.Version.Version, oldestMinor)
	}
	return min(minor, newestMinor), nil
}

// nodeName is the name Metal3 gives a host's node (baremetal-operator v0.13.1, pkg/provisioner/ironic).
func nodeName(h provisioner.HostID) string { return h.Namespace + "~" + h.Name }

// node reads a host's node; fault.Missing when there is none.
func (c *Client) node(ctx context.Context, api *gophercloud.ServiceClient, host provisioner.HostID) (*nodes.Node, error) {
	n, err := nodes.Get(ctx, api, nodeName(host)).Extract()
	if err != nil {
		return nil, c.classify(err)
	}
	return n, nil
}
