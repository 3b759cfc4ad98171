package dial

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// connectTimeout bounds one attempt: OpenSSH's own limit begins only when it has the socket.
	connectTimeout = 10 * time.Second
	// askTimeout bounds how long somebody may take to say what to connect to, askBytes how much.
	askTimeout = 2 * time.Second
	askBytes   = 512
	// atOnce is how many may be asking at once; perTarget more for each target may be connected. OpenSSH shares one
	// connection for each node.
	atOnce, perTarget = 64, 4
)

// Serve connects for whoever asks on the listener, which it closes, until the context ends. What it is asked for by the
// sandbox is not trusted.
func Serve(ctx context.Context, l *net.UnixListener, p Policy) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	defer l.Close()
	d := door{policy: p, connected: make(chan struct{}, atOnce+perTarget*len(p.Targets))}
	slots := make(chan struct{}, atOnce)
	for {
		slots <- struct{}{}
		conn, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("serve connections of the sandbox: %w", err)
		}
		go func() {
			relay, err := d.answer(ctx, conn)
			if err != nil {
				_, _ = io.WriteString(conn, err.Error()) // it has gone: nobody is told
			}
			_ = conn.Close() // nothing is left to be lost
			<-slots
			if relay != nil {
				relay()
			}
		}()
	}
}

// door is the way out of one sandbox.
type door struct {
	policy    Policy
	quiet     silences
	connected chan struct{}
}

// answer reads the target, connects, and once the node has greeted hands over the way to it. The caller then calls relay,
// which carries bytes until one side ends or the context does.
func (d *door) answer(ctx context.Context, conn *net.UnixConn) (relay func(), err error) {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	line, err := ask(connecting, conn)
	if err != nil {
		return nil, fmt.Errorf("read what to connect to: %w", err)
	}
	if d.quiet.known(line) {
		return nil, silent(line)
	}
	select {
	case d.connected <- struct{}{}:
	default:
		return nil, fmt.Errorf("%s is not connected to: %d connections are open", line, cap(d.connected))
	}
	defer func() {
		if err != nil {
			<-d.connected
		}
	}()
	node, err := d.policy.connect(connecting, line)
	if err != nil {
		return nil, err
	}
	err = d.quiet.greeted(ctx, node, line, greetTimeout)
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	outside, err := hand(conn)
	if err != nil {
		return nil, errors.Join(err, node.Close())
	}
	return func() {
		join(ctx, node, outside)
		<-d.connected
	}, nil
}

// join carries bytes between the two until one of them ends, and closes both: SSH knows no connection that is open in one
// direction.
func join(ctx context.Context, node *net.TCPConn, outside *net.UnixConn) {
	ended := make(chan struct{}, 2)
	carry := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from) // however it ended
		ended <- struct{}{}
	}
	go carry(node, outside)
	go carry(outside, node)
	select {
	case <-ended:
	case <-ctx.Done():
	}
	_, _ = node.Close(), outside.Close() // one of them has ended already
}

// ask reads one line within bounds.
func ask(ctx context.Context, conn *net.UnixConn) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.CloseRead() })()
	line, err := bufio.NewReader(io.LimitReader(conn, askBytes)).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// connect connects to the first address of the target that answers.
func (p Policy) connect(ctx context.Context, target string) (*net.TCPConn, error) {
	host, port, err := split(target)
	if err != nil {
		return nil, err
	}
	if !p.names(host, port) {
		return nil, fmt.Errorf("%s %w: no node of the run is reached there", target, ErrDenied)
	}
	addresses, err := resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, address := range addresses {
		conn, err := p.connectTo(ctx, netip.AddrPortFrom(address, port))
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

func (p Policy) connectTo(ctx context.Context, to netip.AddrPort) (*net.TCPConn, error) {
	if err := p.Refuse(ctx, to); err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialTCP(ctx, "tcp", netip.AddrPort{}, to)
}

// hand gives one end of a pair of sockets to whoever asks, and returns the other. It is never the connection itself that
// is given: a socket belongs for good to the network it was made in, and whoever has one of TCP may let go of its peer
// (connect(2): AF_UNSPEC), connect it to whatever else is there, or listen.
func hand(conn *net.UnixConn) (*net.UnixConn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pair[1])
	file := os.NewFile(uintptr(pair[0]), "outside")
	defer file.Close()
	own, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	outside, ok := own.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no Unix socket", own), own.Close())
	}
	if _, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(pair[1]), nil); err != nil {
		return nil, errors.Join(err, outside.Close())
	}
	return outside, nil
}

// Pass asks on the socket for a connection to the target and hands it to whoever holds the other end of out.
func Pass(ctx context.Context, socket, target string, out *os.File) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("%s is no Unix socket", socket)
	}
	if _, err := io.WriteString(unixConn, target+"\n"); err != nil {
		return err
	}
	node, err := receive(unixConn)
	if err != nil {
		return err
	}
	defer unix.Close(node)
	return unix.Sendmsg(int(out.Fd()), []byte{0}, unix.UnixRights(node), nil, 0)
}

// receive returns the connected socket, or why there is none.
func receive(conn *net.UnixConn) (int, error) {
	text, rights := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, m, _, _, err := conn.ReadMsgUnix(text, rights)
	if err != nil {
		return 0, err
	}
	if m == 0 {
		return 0, errors.New(string(text[:n]))
	}
	messages, err := unix.ParseSocketControlMessage(rights[:m])
	if err != nil {
		return 0, err
	}
	descriptors, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	return descriptors[0], nil
}
