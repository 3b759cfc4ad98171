// Package remote holds the words and boundaries of logging in to a node: whom to
// log in to, whether it answers, and what it is like. Package ssh does it.
package remote

import (
	"context"
	"time"

	"github.com/rackplane/rackplane/adoption"
)

// Target is a node to log in to.
type Target struct {
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

// Seen is what a login shows.
type Seen struct {
	// NetworkHash is the content of /var/lib/rackplane/network-hash; empty when the file is not there.
	NetworkHash string
}

// Prober tells whether a node answers.
type Prober interface {
	// Probe logs in at most once and changes nothing. Errors: fault.Transient (no answer), fault.Denied (login refused),
	// fault.Rejected (another host key answered: it is never trusted; or the key material is malformed).
	Probe(ctx context.Context, t Target) (Seen, error)
}

// Examiner looks at a node that is to be adopted.
type Examiner interface {
	// Examine logs in once and reads what the node is like, as root and without changing anything on it; how the node
	// answers the question is part of the facts. Errors: those of Prober, fault.Denied also when the login cannot become
	// root, and fault.Unsupported when the answer is no facts.
	Examine(ctx context.Context, t Target, q adoption.Question) (adoption.Facts, error)
}
