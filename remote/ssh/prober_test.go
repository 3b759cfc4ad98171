package ssh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/ssh"
)

// keyPair is a key in the forms the prober takes.
type keyPair struct {
	signer  gossh.Signer
	private []byte
	public  string
}

func newKey(t *testing.T) keyPair {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{signer, pem.EncodeToMemory(block), string(gossh.MarshalAuthorizedKey(signer.PublicKey()))}
}

func newECDSAPin(t *testing.T) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := gossh.NewPublicKey(&private.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(gossh.MarshalAuthorizedKey(public))
}

// sshd answers every exec with output, if the login's key is known.
type sshd struct {
	host   keyPair
	known  keyPair
	output string
	// complaint goes to standard error.
	complaint string
	silent    bool // accepts connections and says nothing
	hanging   bool // lets in, and never answers a command
}

func (s sshd) start(t *testing.T) remote.Target {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if !s.silent {
				go s.serve(conn)
			}
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return remote.Target{
		Address: "127.0.0.1", Port: int32(number), User: "cloud-admin", PrivateKey: s.known.private, HostKeys: []string{s.host.public},
	}
}

func (s sshd) serve(conn net.Conn) {
	config := &gossh.ServerConfig{PublicKeyCallback: func(c gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
		if c.User() == "cloud-admin" && string(gossh.MarshalAuthorizedKey(key)) == s.known.public {
			return &gossh.Permissions{}, nil
		}
		return nil, errors.New("not known")
	}}
	config.AddHostKey(s.host.signer)
	_, channels, requests, err := gossh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go gossh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		for r := range requests {
			_ = r.Reply(r.Type == "exec", nil)
			if r.Type == "exec" && !s.hanging {
				_, _ = channel.Stderr().Write([]byte(s.complaint))
				_, _ = channel.Write([]byte(s.output))
				_, _ = channel.SendRequest("exit-status", false, []byte{0, 0, 0, 0})
				_ = channel.Close()
			}
		}
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := sshd{host: newKey(t), known: newKey(t), output: "abc123\n"}
	seen, err := ssh.Prober{}.Probe(t.Context(), s.start(t))
	if err != nil || seen.NetworkHash != "abc123" {
		t.Errorf("%+v, %v", seen, err)
	}
	s.output = ""
	if seen, err = (ssh.Prober{}).Probe(t.Context(), s.start(t)); err != nil || seen.NetworkHash != "" {
		t.Errorf("without the file: %+v, %v", seen, err)
	}
	s.output = strings.Repeat("x", 1<<16)
	if seen, err = (ssh.Prober{}).Probe(t.Context(), s.start(t)); err != nil || len(seen.NetworkHash) > 256 {
		t.Errorf("a talkative node: %d bytes, %v", len(seen.NetworkHash), err)
	}
}

func TestOneOfSeveralPinsIsEnough(t *testing.T) {
	t.Parallel()
	s := sshd{host: newKey(t), known: newKey(t)}
	target := s.start(t)
	target.HostKeys = []string{newKey(t).public, s.host.public}
	if _, err := (ssh.Prober{}).Probe(t.Context(), target); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := sshd{host: newKey(t), known: newKey(t)}
	other, ecdsaPin := newKey(t), newECDSAPin(t)
	for name, c := range map[string]struct {
		change func(*remote.Target)
		kind   fault.Kind
		text   string
	}{
		"another host key": {func(t *remote.Target) { t.HostKeys = []string{other.public} }, fault.Rejected, "is not the pinned one"},
		"no pin":           {func(t *remote.Target) { t.HostKeys = nil }, fault.Rejected, "no SSH host key is pinned"},
		"malformed pin":    {func(t *remote.Target) { t.HostKeys = []string{"ssh-ed25519 zzz"} }, fault.Rejected, "cannot be read"},
		"malformed key":    {func(t *remote.Target) { t.PrivateKey = []byte("secret stuff") }, fault.Rejected, "private key cannot be read"},
		"another login":    {func(t *remote.Target) { t.PrivateKey = other.private }, fault.Denied, "refuses the SSH login of user cloud-admin"},
		"nobody there":     {func(t *remote.Target) { t.Port = 1 }, fault.Transient, "connection refused"},
		"no such name":     {func(t *remote.Target) { t.Address = "node.invalid" }, fault.Transient, "does not answer SSH"},
		"another kind of host key": {func(t *remote.Target) {
			t.HostKeys = []string{ecdsaPin}
		}, fault.Rejected, "without a host key of the pinned kind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := s.start(t)
			c.change(&target)
			_, err := ssh.Prober{Timeout: 5 * time.Second}.Probe(t.Context(), target)
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: %v, want %s with %q", fault.KindOf(err), err, c.kind, c.text)
			}
			if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("the error tells too much: %v", err)
			}
		})
	}
}

func TestSilenceEndsInTime(t *testing.T) {
	t.Parallel()
	target := sshd{host: newKey(t), known: newKey(t), silent: true}.start(t)
	began := time.Now()
	_, err := ssh.Prober{Timeout: 200 * time.Millisecond}.Probe(t.Context(), target)
	if !fault.Is(err, fault.Transient) || time.Since(began) > 3*time.Second {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (ssh.Prober{}).Probe(ctx, target); !fault.Is(err, fault.Transient) {
		t.Errorf("after the context ended: %v", err)
	}
}

// TestRefusedAddressIsNotConnectedTo: whoever may write a NodeSet names any address, and the engine stands where others do not.
func TestRefusedAddressIsNotConnectedTo(t *testing.T) {
	t.Parallel()
	target := sshd{host: newKey(t), known: newKey(t), output: facts}.start(t)
	var asked []netip.AddrPort
	refuse := func(_ context.Context, to netip.AddrPort) error {
		asked = append(asked, to)
		return errors.New("that is mine")
	}
	target.Address = "localhost"
	_, probe := ssh.Prober{Refuse: refuse}.Probe(t.Context(), target)
	_, look := ssh.Examiner{Refuse: refuse}.Examine(t.Context(), target, adoption.Question{})
	for _, err := range []error{probe, look} {
		if !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "that is mine: correct ansibleHost and ansiblePort") {
			t.Errorf("%v", err)
		}
	}
	if len(asked) < 2 || !asked[0].Addr().IsLoopback() || asked[0].Port() != uint16(target.Port) {
		t.Errorf("asked of %v", asked)
	}
}
