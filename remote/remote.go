// Package remote holds the words and boundaries of logging in to a node: whom to
// log in to, whether it answers, and what it is like. Package ssh does it.
package remote

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"

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
}

// Wanted is an answer that somebody wants of a node.
type Wanted struct {
	// Node is what the node is called, whatever it is logged in to by.
	Node types.NamespacedName
	Target
	// Of is what the answer must be of: whatever makes a node another than it was, such as the image it was given or what has
	// run on it since. An answer of another Of, or of another login, is none.
	Of string
	// MaxAge is how old a good answer may be.
	MaxAge time.Duration
	// Answered says that the node was known to answer before: it is not taken for one of those that never did.
	Answered bool
}

// Seen is what a login shows.
type Seen struct {
	// NetworkHash is the content of /var/lib/rackplane/network-hash; empty when the file is not there.
	NetworkHash string
}

// Answers knows what nodes last answered.
type Answers interface {
	// Last returns at once what the node last answered, with the errors of Prober, or fault.Busy when that is not known: then the
	// node is being asked, and whoever wants to know is woken.
	Last(w Wanted) (Seen, error)
	// Forget drops all that is known of a node, which is not asked again unless somebody wants to know.
	Forget(node types.NamespacedName)
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
