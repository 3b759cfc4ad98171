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
	// atOnce is how many may be served at once.
	atOnce = 64
)

// Serve connects for whoever asks on the listener, which it closes, until the context ends. What it is asked for by the
// sandbox is not trusted.
func Serve(ctx context.Context, l *net.UnixListener, p Policy) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	defer l.Close()
	slots := make(chan struct{}, atOnce)
	var quiet silences
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
			defer func() { <-slots }()
			defer conn.Close()
			if err := answer(ctx, conn, p, &quiet); err != nil {
				_, _ = io.WriteString(conn, err.Error()) // it has gone: nobody is told
			}
		}()
	}
}

// answer reads the target, connects, and hands the socket over once the node has greeted.
func answer(ctx context.Context, conn *net.UnixConn, p Policy, quiet *silences) error {
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	line, err := ask(connecting, conn)
	if err != nil {
		return fmt.Errorf("read what to connect to: %w", err)
	}
	if quiet.known(line) {
		return silent(line)
	}
	node, err := p.connect(connecting, line)
	if err != nil {
		return err
	}
	defer node.Close()
	if err := quiet.greeted(ctx, node, line, greetTimeout); err != nil {
		return err
	}
	return send(conn, node)
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
		return nil, fmt.Errorf("%s %w: no node of the run is reached there", target, errDenied)
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
	if err := p.refuse(ctx, to); err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialTCP(ctx, "tcp", netip.AddrPort{}, to)
}

// send hands the connection over. OpenSSH expects one that blocks.
func send(conn *net.UnixConn, node *net.TCPConn) error {
	file, err := node.File()
	if err != nil {
		return err
	}
	defer file.Close()
	descriptor := int(file.Fd())
	if err := unix.SetNonblock(descriptor, false); err != nil {
		return err
	}
	_, _, err = conn.WriteMsgUnix([]byte{0}, unix.UnixRights(descriptor), nil)
	return err
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
