// Package ssh is the remote.Prober and the remote.Examiner over SSH:
// one login with a private key, one file or one script of facts read. Only the
// host keys the caller pins are accepted, from the first connection on; nothing
// is looked up, nothing is changed on a node, and nothing is remembered.
package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/remote"
)

var _ remote.Prober = Prober{}

// Prober probes with golang.org/x/crypto/ssh. The zero value is ready to use.
type Prober struct {
	// Timeout of a whole probe when the context has no earlier deadline; 0 means 15 s.
	Timeout time.Duration
	// Refuse returns why an address must not be connected to, whatever name led there; nil lets every address be.
	Refuse func(ctx context.Context, to netip.AddrPort) error
}

const (
	defaultTimeout = 15 * time.Second
	defaultPort    = 22
	// longestHash bounds what is read of a node that answers nonsense.
	longestHash = 256
	// longestCause bounds what a server may say when it ends a connection, in bytes.
	longestCause = 300
	// readHash prints the applied network's hash; a missing file is no failure.
	readHash = "cat /var/lib/rackplane/network-hash 2>/dev/null || true"
)

// Probe implements remote.Prober.
func (p Prober) Probe(ctx context.Context, t remote.Target) (remote.Seen, error) {
	timeout := p.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client, address, err := login(ctx, t, p.Refuse)
	if err != nil {
		return remote.Seen{}, err
	}
	defer client.Close()
	hash, err := run(client, readHash)
	if err != nil {
		return remote.Seen{}, fault.Wrap(fault.Transient, err, "%s: command", address)
	}
	return remote.Seen{NetworkHash: hash}, nil
}

// login connects and logs in; the client ends with ctx. Errors are those of remote.Prober.
func login(ctx context.Context, t remote.Target, refuse func(context.Context, netip.AddrPort) error) (client *ssh.Client, address string, err error) {
	address = net.JoinHostPort(t.Address, strconv.Itoa(port(t.Port)))
	keys, err := newPins(t.HostKeys)
	if err != nil {
		return nil, address, err
	}
	signer, err := ssh.ParsePrivateKey(t.PrivateKey)
	if err != nil {
		return nil, address, fault.New(fault.Rejected, "the SSH private key cannot be read: give it unencrypted in OpenSSH or PEM form")
	}
	client, err = dial(ctx, address, refuse, &ssh.ClientConfig{
		User: t.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms(),
	})
	if err != nil {
		return nil, address, keys.classify(err, address, t.User)
	}
	return client, address, nil
}

func port(p int32) int {
	if p == 0 {
		return defaultPort
	}
	return int(p)
}

// dial connects; the deadline holds for the connection's whole life, so that a node that falls silent cannot hold us.
func dial(ctx context.Context, address string, refuse func(context.Context, netip.AddrPort) error, config *ssh.ClientConfig) (*ssh.Client, error) {
	var dialer net.Dialer
	if refuse != nil {
		dialer.ControlContext = func(ctx context.Context, _, resolved string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(resolved)
			if err == nil {
				err = refuse(ctx, to)
			}
			if err != nil {
				return refusedError{err}
			}
			return nil
		}
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		stop()
		return nil, errors.Join(err, ignoreClosed(conn.Close()))
	}
	return ssh.NewClient(c, channels, requests), nil
}

// refusedError is why an address is not connected to.
type refusedError struct{ error }

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func run(client *ssh.Client, command string) (string, error) {
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	out, err := session.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := session.Start(command); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(out, longestHash))
	if err != nil {
		return "", err
	}
	return line.Of(string(text)), nil
}

// pins are the accepted host keys.
type pins struct {
	keys []ssh.PublicKey
	// refused is set when something answered with another key.
	refused *string
}

func newPins(lines []string) (pins, error) {
	p := pins{refused: new(string)}
	for _, pinned := range lines {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(pinned))
		if err != nil {
			return pins{}, fault.New(fault.Rejected, "the pinned SSH host key %q cannot be read: give it as in authorized_keys, such as ssh-ed25519 AAAA...", pinned)
		}
		p.keys = append(p.keys, key)
	}
	if len(p.keys) == 0 {
		return pins{}, fault.New(fault.Rejected, "no SSH host key is pinned: without one nothing that answers can be trusted")
	}
	return p, nil
}

func (p pins) check(_ string, _ net.Addr, offered ssh.PublicKey) error {
	for _, key := range p.keys {
		if bytes.Equal(key.Marshal(), offered.Marshal()) {
			return nil
		}
	}
	*p.refused = ssh.FingerprintSHA256(offered)
	return errors.New("host key is not pinned")
}

// algorithms asks the server for keys of the pinned kinds, so that one with several keys offers the right one. An RSA
// key signs with SHA-2 (RFC 8332).
func (p pins) algorithms() []string {
	var out []string
	for _, key := range p.keys {
		kinds := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, kind := range kinds {
			if !slices.Contains(out, kind) {
				out = append(out, kind)
			}
		}
	}
	return out
}

func (p pins) classify(err error, address, user string) error {
	var none *ssh.AlgorithmNegotiationError
	var refused refusedError
	switch {
	case errors.As(err, &refused):
		return fault.New(fault.Denied, "%s is not logged in to: %s: correct ansibleHost and ansiblePort", address, refused)
	case *p.refused != "":
		return fault.New(fault.Rejected, "%s answers SSH with host key %s, which is not the pinned one", address, *p.refused)
	case errors.As(err, &none):
		return fault.New(fault.Rejected, "%s answers SSH without a host key of the pinned kind (%s)", address, strings.Join(p.algorithms(), ", "))
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fault.New(fault.Denied, "%s refuses the SSH login of user %s: check the key in ansibleSSHPrivateKeySecret and ansibleUser", address, user)
	default:
		return fault.New(fault.Transient, "%s does not answer SSH: %s", address, cause(err))
	}
}

// cause is the innermost error: the outer ones repeat the address and name our own port, which differs each time.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		if op.Timeout() {
			return "no answer in time"
		}
		return fmt.Sprint(op.Err)
	}
	if errors.Is(err, io.EOF) {
		return "the connection was closed"
	}
	return line.Short(err.Error(), longestCause) // may be what the server sent
}
