package dial

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// greetTimeout bounds how long a node may take to greet once it is connected. SSH's first word is the server's as much
	// as the client's (RFC 4253, 4.2): one that has none hangs.
	greetTimeout = 10 * time.Second
	// silenceKept is how long a node that did not greet is not waited for again: Ansible tries three times, a few seconds
	// apart, and waits out each.
	silenceKept = 20 * time.Second
)

// silences remembers the targets that took a connection and said nothing; only those that may be reached come here. The
// zero value knows of none.
type silences struct {
	mu     sync.Mutex
	silent map[string]bool
}

func (s *silences) known(to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent[to]
}

func (s *silences) add(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent == nil {
		s.silent = map[string]bool{}
	}
	s.silent[to] = true
}

func (s *silences) forget(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.silent, to)
}

// greeted waits for the first byte of the node, which stays where OpenSSH will read it.
func (s *silences) greeted(ctx context.Context, node *net.TCPConn, to string, within time.Duration) error {
	wait, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	defer context.AfterFunc(wait, func() { _ = node.SetReadDeadline(time.Unix(1, 0)) })()
	err := peek(node)
	if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	s.add(to)
	time.AfterFunc(silenceKept, func() { s.forget(to) })
	return silent(to)
}

// silent is what is told of a node that hangs.
func silent(to string) error {
	return fmt.Errorf("%s accepts connections and says nothing: the node, or what is in front of it, hangs", to)
}

// peek returns once there is something to read, which may be the end.
func peek(node *net.TCPConn) error {
	raw, err := node.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(descriptor uintptr) bool {
		_, _, failed = unix.Recvfrom(int(descriptor), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return !errors.Is(failed, unix.EAGAIN)
	})
	return errors.Join(err, failed)
}
