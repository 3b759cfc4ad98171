package dial

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// server answers every connection with a greeting and returns its address.
func server(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "hello")
			c.Close()
		}
	}()
	return l.Addr().String()
}

// outlet serves the policy and returns its socket.
func outlet(t *testing.T, p Policy) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "dial")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, p) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// passed does what OpenSSH does with ProxyUseFdpass, and returns what it is given.
func passed(t *testing.T, socket, target string) (*os.File, error) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := os.NewFile(uintptr(pair[0]), "out")
	defer out.Close()
	defer unix.Close(pair[1])
	if err := Pass(t.Context(), socket, target, out); err != nil {
		return nil, err
	}
	rights := make([]byte, unix.CmsgSpace(4))
	_, n, flags, _, err := unix.Recvmsg(pair[1], make([]byte, 1), rights, 0)
	if err != nil || flags&unix.MSG_CTRUNC != 0 {
		t.Fatal(flags, err)
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil {
		t.Fatal(err)
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(descriptors[0]), "node"), nil
}

// through returns what the other end says.
func through(t *testing.T, socket, target string) (string, error) {
	t.Helper()
	conn, err := passed(t, socket, target)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	text, err := io.ReadAll(conn)
	return string(text), err
}

// What is handed in leads to the node and can be made to lead nowhere else: it is no socket of this machine's network.
func TestWhatIsHandedInLeadsNowhereElse(t *testing.T) {
	node := echo(t)
	conn, err := passed(t, outlet(t, Policy{Targets: []string{node}, Self: true}), node)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	descriptor := int(conn.Fd())
	if domain, err := unix.GetsockoptInt(descriptor, unix.SOL_SOCKET, unix.SO_DOMAIN); err != nil || domain != unix.AF_UNIX {
		t.Errorf("a socket of address family %d, %v", domain, err)
	}
	if err := unix.Listen(descriptor, 1); err == nil {
		t.Error("it can listen")
	}
	text := strings.Repeat("0123456789", 100_000)
	go io.WriteString(conn, text)
	got := make([]byte, len(greeting+text))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != greeting+text {
		t.Errorf("the way to the node: %.20q..., %v", got, err)
	}
}

const greeting = "hello"

// echo greets, answers with what it is told, and returns its address.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.WriteString(c, greeting)
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func TestOnlyTargetsAreReached(t *testing.T) {
	node, other, six := server(t, "127.0.0.1:0"), server(t, "127.0.0.1:0"), server(t, "[::1]:0")
	_, port, _ := net.SplitHostPort(node)
	socket := outlet(t, Policy{Targets: []string{node, six, "LocalHost:" + port, "unknown.invalid:22"}, Self: true})
	for target, want := range map[string]string{
		node:                         "",
		six:                          "",
		"localhost:" + port:          "",
		"[::ffff:127.0.0.1]:" + port: "",
		other:                        "no node of the run is reached there",
		"127.0.0.2:" + port:          "no node of the run is reached there",
		"unknown.invalid:22":         "unknown.invalid",
		"nonsense":                   "is not host:port",
		"127.0.0.1:ssh":              "has no port",
		"":                           "is not host:port",
		strings.Repeat("x", 600):     "read what to connect to",
	} {
		got, err := through(t, socket, target)
		switch {
		case want == "" && (err != nil || got != "hello"):
			t.Errorf("%s: %q, %v", target, got, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.40s: %q, %v, want %q", target, got, err, want)
		}
	}
}

// A target that is there, and is what must never be reached, is not reached.
func TestDeniedTargetsAreNotReached(t *testing.T) {
	node := server(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(node)
	for name, tc := range map[string]struct {
		policy Policy
		target string
		want   string
	}{
		"loopback":         {Policy{}, node, "the machine that the engine runs on"},
		"loopback by name": {Policy{}, "localhost:" + port, "the machine that the engine runs on"},
		"unspecified":      {Policy{Self: true}, "0.0.0.0:" + port, "no node's address"},
		"metadata":         {Policy{Self: true}, "169.254.169.254:80", "credentials of this machine"},
		"metadata by IPv6": {Policy{Self: true}, "[fd00:ec2::254]:80", "credentials of this machine"},
		"this network":     {Policy{Self: true}, "0.0.0.1:80", "no node's address"},
		"broadcast":        {Policy{Self: true}, "255.255.255.255:80", "no node's address"},
		"port":             {Policy{Self: true, Deny: []string{"LOCALHOST:" + port}}, node, "is denied"},
		"network":          {Policy{Self: true, Deny: []string{"10.0.0.0/8", "127.0.0.0/8"}}, node, "127.0.0.0/8 is denied"},
		"address":          {Policy{Self: true, Deny: []string{"127.0.0.1"}}, node, "is denied"},
		"unknown":          {Policy{Self: true, Deny: []string{"api.invalid:" + port}}, node, "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.policy.Targets = []string{tc.target}
			if got, err := through(t, outlet(t, tc.policy), tc.target); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%q, %v, want %q", got, err, tc.want)
			}
		})
	}
	other := Policy{Targets: []string{node}, Self: true, Deny: []string{"127.0.0.1:1", "127.0.0.2", "::/0"}}
	if got, err := through(t, outlet(t, other), node); got != "hello" {
		t.Errorf("what is not denied: %q, %v", got, err)
	}
}

func TestOwnAddressesAreDenied(t *testing.T) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		address := netip.MustParsePrefix(a.String()).Addr()
		if err := (Policy{}).Refuse(t.Context(), netip.AddrPortFrom(address, 22)); err == nil {
			t.Errorf("%s may be reached", address)
		}
	}
	if err := (Policy{}).Refuse(t.Context(), netip.MustParseAddrPort("192.0.2.7:22")); err != nil {
		t.Errorf("a node: %v", err)
	}
}

func TestDenyIsChecked(t *testing.T) {
	if err := (Policy{Deny: []string{"10.0.0.0/8", "fd00::1", "api.example.com:6443"}}).Check(); err != nil {
		t.Error(err)
	}
	for _, entry := range []string{"", "10.0.0.0/40", "api.example.com", ":6443", "a:0"} {
		if err := (Policy{Deny: []string{entry}}).Check(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", entry)) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

// TestSilentNodeIsNotWaitedForAgain: a node that hangs costs a run one wait, not one for each try.
func TestSilentNodeIsNotWaitedForAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := l.Addr().String()
	connect := func() *net.TCPConn {
		node, err := Policy{Targets: []string{target}, Self: true}.connect(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { node.Close() })
		return node
	}
	var quiet silences
	if err := quiet.greeted(t.Context(), connect(), target, time.Millisecond); err == nil || !strings.Contains(err.Error(), "says nothing") || !quiet.known(target) {
		t.Errorf("a node that hangs: %v", err)
	}
	quiet.forget(target)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := quiet.greeted(canceled, connect(), target, time.Hour); err == nil || quiet.known(target) {
		t.Errorf("the end of the run is no silence: %v", err)
	}
	for range 2 {
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	node := connect()
	other, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := io.WriteString(other, "SSH-2.0-x"); err != nil {
		t.Fatal(err)
	}
	if err := quiet.greeted(t.Context(), node, target, time.Hour); err != nil {
		t.Error(err)
	}
	greeting := make([]byte, 9)
	if _, err := io.ReadFull(node, greeting); err != nil || string(greeting) != "SSH-2.0-x" {
		t.Errorf("the greeting is not there any more: %q, %v", greeting, err)
	}
	// Serve does not connect where it knows that it is in vain.
	d := door{policy: Policy{Targets: []string{target}, Self: true}}
	d.quiet.add(target)
	ends := [2]*net.UnixConn{}
	socket := filepath.Join(t.TempDir(), "s")
	outlet, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer outlet.Close()
	if ends[0], err = net.DialUnix("unix", nil, &net.UnixAddr{Name: socket}); err != nil {
		t.Fatal(err)
	}
	defer ends[0].Close()
	if ends[1], err = outlet.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	defer ends[1].Close()
	if _, err := io.WriteString(ends[0], target+"\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.answer(t.Context(), ends[1]); err == nil || !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("a node that is known to hang: %v", err)
	}
}

// Those that ask for nothing cannot keep the run's own connections out for good.
func TestThoseThatAskForNothingAreLetGo(t *testing.T) {
	node := server(t, "127.0.0.1:0")
	socket := outlet(t, Policy{Targets: []string{node}, Self: true})
	for range atOnce {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if got, err := through(t, socket, node); got != "hello" {
		t.Errorf("%q, %v", got, err)
	}
}

// A run that keeps connecting takes a bounded part of this machine, and what it closes is free again.
func TestOpenConnectionsAreBounded(t *testing.T) {
	node := echo(t)
	socket := outlet(t, Policy{Targets: []string{node}, Self: true})
	var open []*os.File
	for {
		conn, err := passed(t, socket, node)
		if err != nil {
			if !strings.Contains(err.Error(), "connections are open") {
				t.Error(err)
			}
			break
		}
		defer conn.Close()
		open = append(open, conn)
		if len(open) > atOnce+perTarget {
			t.Fatalf("%d connections are open", len(open))
		}
	}
	if len(open) < atOnce {
		t.Errorf("refused after %d", len(open))
	}
	open[0].Close()
	for end := time.Now().Add(time.Minute); ; {
		conn, err := passed(t, socket, node)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}
