package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Ports are chosen below the kernel's default ephemeral range (net.ipv4.ip_local_port_range, 32768 and up), so
// that no outgoing connection takes a remembered one while the control plane is down.
const (
	firstPort = 20000
	lastPort  = 29999
)

// ports are what the children listen on, remembered in the state directory.
type ports struct {
	API      int `json:"api"`
	Etcd     int `json:"etcd"`
	EtcdPeer int `json:"etcdPeer"`
}

// choosePorts returns the remembered ports, chooses what is missing and remembers it. The API's port stays
// because kubeconfigs name it; etcd's are nobody else's business and move when something else took them.
func choosePorts(ctx context.Context, c Config) (ports, error) {
	path := filepath.Join(c.Dir, "ports.json")
	p, err := readPorts(path)
	if err != nil {
		return p, err
	}
	if c.Port != 0 {
		p.API = c.Port
	}
	if p.API != 0 && !free(ctx, c.Listen, p.API) {
		return p, fmt.Errorf("control plane: port %d of %s is in use by another program: stop it, or choose another port with --port", p.API, c.Listen)
	}
	pick := picker(ctx, c.Dir)
	for _, want := range []struct {
		port   *int
		listen string
	}{{&p.API, c.Listen}, {&p.Etcd, "127.0.0.1"}, {&p.EtcdPeer, "127.0.0.1"}} {
		if *want.port == 0 || !free(ctx, want.listen, *want.port) {
			if *want.port, err = pick(want.listen, p); err != nil {
				return p, err
			}
		}
	}
	out, err := json.Marshal(p)
	if err != nil {
		return p, fmt.Errorf("control plane: %w", err)
	}
	return p, WriteFile(path, append(out, '\n'))
}

// readPorts returns what is remembered: nothing when the file is missing, and an error when it makes no sense,
// because kubeconfigs in use depend on it.
func readPorts(path string) (ports, error) {
	var p ports
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &p)
	}
	if err != nil {
		return p, fmt.Errorf("control plane: %s: %w: remove the file to have ports chosen anew", path, err)
	}
	return p, nil
}

// picker hands out free ports, starting at a place that depends on the directory so that control planes
// started at the same time seldom try the same ones.
func picker(ctx context.Context, dir string) func(listen string, taken ports) (int, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(dir)) // a hash's Write never fails
	const count = lastPort - firstPort + 1
	offset := int(h.Sum32() % count)
	tried := 0
	return func(listen string, taken ports) (int, error) {
		for tried < count {
			port := firstPort + (offset+tried)%count
			tried++
			if port != taken.API && port != taken.Etcd && port != taken.EtcdPeer && free(ctx, listen, port) {
				return port, nil
			}
		}
		return 0, fmt.Errorf("control plane: no free port between %d and %d on %s: choose one with --port", firstPort, lastPort, listen)
	}
}

func free(ctx context.Context, listen string, port int) bool {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(listen, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// reachable is the address a local client uses for a listening address.
func reachable(listen string) string {
	ip := net.ParseIP(listen)
	switch {
	case !ip.IsUnspecified():
		return listen
	case ip.To4() != nil:
		return "127.0.0.1"
	default:
		return "::1"
	}
}
