// Package provisioner holds the words and boundary interfaces of everything
// that acts on servers. Implementations are in its subpackages; decisions are
// in the pure ones (claim, lifecycle).
package provisioner

import "context"

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
}

// SSHSeen is what a login shows.
type SSHSeen struct {
	// NetworkHash is the content of /var/lib/rackplane/network-hash; empty when the file is not there.
	NetworkHash string
}

// Prober tells whether a node answers.
type Prober interface {
	// Probe logs in once and changes nothing. Errors: fault.Transient (no answer), fault.Denied (login refused),
	// fault.Rejected (another host key answered: it is never trusted; or the key material is malformed).
	Probe(ctx context.Context, t SSHTarget) (SSHSeen, error)
}
