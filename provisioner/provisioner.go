// Package provisioner holds the words and boundary interfaces of everything
// that acts on servers. Implementations are in its subpackages; decisions are
// in the pure ones (claim, lifecycle).
package provisioner

import (
	"context"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/adoption"
)

// Provisioner registers, inspects, images and powers servers. Progress is seen only through Observe.
//
// Errors of every method: fault.Transient (the service does not answer), fault.Denied (the service refuses our own
// credentials), fault.Missing (no such server), and for Do also fault.Busy (someone else acts on the server right now:
// ask again soon), fault.Lost (the server is no longer in a state that allows the action: observe again and decide anew),
// fault.Rejected (the service will not accept the want as it is) and fault.Unsupported (the want asks for something
// this backend cannot do).
type Provisioner interface {
	// Observe tells how the service sees the server. It has no side effect. It answers for the name: whose server it
	// is, is Observation.HostUID. fault.Missing when the server is not registered.
	Observe(ctx context.Context, host HostID) (Observation, error)
	// Do starts the action and returns; it never waits for its end. It is idempotent: an action that already is under
	// way or done succeeds without a second effect, so an answer lost on the way does no harm. It never acts on a server
	// that records another host's UID (fault.Rejected).
	Do(ctx context.Context, want Want, action Action) error
	// Inventory returns what the last inspection found. It has no side effect. fault.Missing when the server is not
	// registered or was never inspected.
	Inventory(ctx context.Context, host HostID) (metal3v1alpha1.HardwareDetails, error)
}

// SSHTarget is a node to log in to.
type SSHTarget struct {
	// Address is a host name or IP; Port 0 means 22.
	Address string
	Port    int32
	// User logs in with PrivateKey (OpenSSH or PEM form).
	User       string
	PrivateKey []byte
	// HostKeys are the only public host keys accepted, in authorized_keys form. Empty accepts none.
	HostKeys []string
	// MaxAge is how old an answer may be that was got by the same login before; 0 asks the node now.
	MaxAge time.Duration
}

// SSHSeen is what a login shows.
type SSHSeen struct {
	// NetworkHash is the content of /var/lib/rackplane/network-hash; empty when the file is not there.
	NetworkHash string
}

// Prober tells whether a node answers.
type Prober interface {
	// Probe logs in at most once and changes nothing. Errors: fault.Transient (no answer), fault.Denied (login refused),
	// fault.Rejected (another host key answered: it is never trusted; or the key material is malformed).
	Probe(ctx context.Context, t SSHTarget) (SSHSeen, error)
}

// Examiner looks at a node that is to be adopted.
type Examiner interface {
	// Examine logs in once and reads what the node is like, as root and without changing anything on it; how the node
	// answers the question is part of the facts. Errors: those of Prober, fault.Denied also when the login cannot become
	// root, and fault.Unsupported when the answer is no facts.
	Examine(ctx context.Context, t SSHTarget, q adoption.Question) (adoption.Facts, error)
}
