// Package login runs commands on the servers of tests over SSH, as the user that Rackplane uses there.
package login

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// answerLimit is how long a server may take to answer a knock. One that boots drops what comes too early.
const answerLimit = 10 * time.Second

// Login is a way into a server, as cloud-admin.
type Login struct {
	Address string // IP address
	Key     ssh.Signer
	// HostKey is the public key that the server must answer with, in authorized_keys format.
	HostKey string
}

// Run runs a command and returns what it wrote to its standard output, trimmed. The error of one that fails ends with
// what it complained of.
func (l Login) Run(ctx context.Context, command string) (string, error) {
	return l.Feed(ctx, nil, command)
}

// Feed is Run with an input for the command.
func (l Login) Feed(ctx context.Context, input []byte, command string) (string, error) {
	client, err := l.dial(ctx)
	if err != nil {
		return "", fmt.Errorf("SSH to %s: %w", l.Address, err)
	}
	return l.run(ctx, client, input, command)
}

// Await returns once the server lets us in. Its error says what the last knock brought.
func (l Login) Await(ctx context.Context) error {
	client, err := l.await(ctx)
	if err != nil {
		return err
	}
	return client.Close()
}

// FeedWithin is Feed on the first connection that the server grants within the patience. A server that boots may grant one
// and refuse the next: cloud-init restarts its SSH server.
func (l Login) FeedWithin(ctx context.Context, patience time.Duration, input []byte, command string) (string, error) {
	limit, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := l.await(limit)
	if err != nil {
		return "", err
	}
	return l.run(ctx, client, input, command)
}

func (l Login) await(ctx context.Context) (*ssh.Client, error) {
	for {
		client, err := l.dial(ctx)
		if err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("SSH to %s: %w: %w", l.Address, ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// run runs the command and closes the connection.
func (l Login) run(ctx context.Context, client *ssh.Client, input []byte, command string) (string, error) {
	defer func() { _ = client.Close() }()
	defer context.AfterFunc(ctx, func() { _ = client.Close() })()
	session, err := client.NewSession()
	if err != nil {
		return "", fmt.Errorf("SSH to %s: %w", l.Address, err)
	}
	var out, complaint bytes.Buffer
	session.Stdin, session.Stdout, session.Stderr = bytes.NewReader(input), &out, &complaint
	err = session.Run(command)
	text := strings.TrimSpace(out.String())
	if err != nil {
		err = fmt.Errorf("%w: %s", err, cmp.Or(strings.TrimSpace(complaint.String()), text))
	}
	return text, err
}

func (l Login) dial(ctx context.Context) (*ssh.Client, error) {
	pinned, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l.HostKey)) //nolint:dogsled // the shape of the library
	if err != nil {
		return nil, fmt.Errorf("the pinned host key: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(l.Address, "22"))
	if err != nil {
		return nil, err
	}
	// The library's own limit covers the connection only, not a server that accepts it and then says nothing.
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c, channels, requests, err := ssh.NewClientConn(conn, l.Address, &ssh.ClientConfig{
		User: v1alpha1.DefaultAnsibleUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(l.Key)},
		HostKeyCallback: ssh.FixedHostKey(pinned), HostKeyAlgorithms: []string{pinned.Type()},
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return ssh.NewClient(c, channels, requests), nil
}
