package ssh

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

var _ remote.Examiner = Examiner{}

// Examiner reads facts with one script over one login. The zero value is ready to use.
type Examiner struct {
	// Timeout of a whole look when the context has no earlier deadline; 0 means 60 s.
	Timeout time.Duration
	// Refuse is as a Prober's.
	Refuse func(ctx context.Context, to netip.AddrPort) error
}

const (
	examineTimeout = time.Minute
	// longestFacts and longestComplaint bound what is read of a node that answers nonsense, in bytes.
	longestFacts     = 4 << 20
	longestComplaint = 4 << 10
	// examineCommand reads as root, because what belongs to the cloud's services is theirs alone. Ansible will need the same.
	examineCommand = `sh -c 'if [ "$(id -u)" = 0 ]; then exec python3 -I -B -; else exec sudo -n python3 -I -B -; fi'`
)

//go:embed examine.py
var examineScript string

// Examine implements remote.Examiner.
func (e Examiner) Examine(ctx context.Context, t remote.Target, q adoption.Question) (adoption.Facts, error) {
	timeout := e.Timeout
	if timeout == 0 {
		timeout = examineTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	program, err := scriptFor(q)
	if err != nil {
		return adoption.Facts{}, err
	}
	client, address, err := login(ctx, t, e.Refuse)
	if err != nil {
		return adoption.Facts{}, err
	}
	defer client.Close()
	out, complaint, err := feed(client, examineCommand, program)
	switch {
	case errors.Is(err, errTalkative):
		return adoption.Facts{}, fault.New(fault.Unsupported, "%s answers more than %d MiB when it is looked at: %s", address, longestFacts>>20, whatToDo)
	case err != nil:
		return adoption.Facts{}, fault.New(fault.Transient, "%s: the connection broke while it was looked at: %s", address, cause(err))
	}
	facts, err := adoption.Parse(lastLine(out))
	if err != nil {
		return adoption.Facts{}, unusable(address, t.User, complaint, err)
	}
	return facts, nil
}

const whatToDo = "log in as Ansible would, run python3, and see what else its shell prints"

// scriptFor is the program with the question in it. JSON of hosts and ports cannot end a raw Python string: quotes in it
// are escaped, and so no three of them follow each other.
func scriptFor(q adoption.Question) (string, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return "", fmt.Errorf("encode the question: %w", err)
	}
	return strings.Replace(examineScript, "@QUESTION@", string(text), 1), nil
}

// unusable says why there are no facts: the login cannot become root, has no Python, or says something else.
func unusable(address, user, complaint string, err error) error {
	switch {
	case strings.Contains(complaint, "sudo") && (strings.Contains(complaint, "password") || strings.Contains(complaint, "not allowed") || strings.Contains(complaint, "not in the sudoers")):
		return fault.New(fault.Denied, "%s does not let %s become root: give it sudo without a password (NOPASSWD), as Ansible needs too", address, user)
	case strings.Contains(complaint, "python3") && strings.Contains(complaint, "not found"):
		return fault.New(fault.Unsupported, "%s has no python3: install it, Ansible needs it too", address)
	case complaint != "":
		return fault.New(fault.Unsupported, "%s does not tell what it is like (%s): %s", address, adoption.Plain(complaint), whatToDo)
	default:
		return fault.New(fault.Unsupported, "%s does not tell what it is like (%s): %s", address, adoption.Plain(err.Error()), whatToDo)
	}
}

// lastLine leaves out what a shell's start files print.
func lastLine(out []byte) []byte {
	out = bytes.TrimRight(out, "\n")
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

var errTalkative = errors.New("too much output")

// feed runs a command with input, and returns the beginning of what it prints to each of its outputs. How it exits does
// not matter: what it prints does.
func feed(client *ssh.Client, command, input string) (out []byte, complaint string, err error) {
	session, err := client.NewSession()
	if err != nil {
		return nil, "", err
	}
	defer session.Close()
	errOut := &capped{}
	session.Stderr = errOut
	in, err := session.StdinPipe()
	if err != nil {
		return nil, "", err
	}
	pipe, err := session.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := session.Start(command); err != nil {
		return nil, "", err
	}
	go func() {
		// A command that ends before it has read everything, such as a sudo that refuses, says why on its outputs.
		_, _ = io.WriteString(in, input)
		_ = in.Close()
	}()
	out, err = io.ReadAll(io.LimitReader(pipe, longestFacts+1))
	if err != nil {
		return nil, "", err
	}
	if len(out) > longestFacts {
		return nil, "", errTalkative
	}
	err = session.Wait()
	var exit *ssh.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return out, strings.TrimSpace(errOut.kept.String()), err
}

// capped keeps the beginning of what is written to it. The buffer is not embedded: io.Copy would then use its ReadFrom,
// which keeps everything.
type capped struct{ kept bytes.Buffer }

// Write takes everything and keeps what there is room for.
func (c *capped) Write(p []byte) (int, error) {
	if room := longestComplaint - c.kept.Len(); room > 0 {
		c.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
