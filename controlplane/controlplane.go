package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

const (
	// orphanGrace is how long Start waits for the children of a killed predecessor to be gone.
	orphanGrace = 30 * time.Second
	// stopGrace is how long a child may take to end after SIGTERM before it is killed.
	stopGrace = 10 * time.Second
	// renewalInterval is how often a running control plane looks at the age of its certificates.
	renewalInterval = time.Hour
	readyPoll       = 50 * time.Millisecond
)

// Config says where and how the control plane runs. Only Dir is required.
type Config struct {
	// Dir is the state directory. It is created with mode 0700; everything in it belongs to this package.
	Dir string
	// Binaries is the directory of etcd and kube-apiserver; empty means DefaultBinaries.
	Binaries string
	// Listen is the IP address the API is served on; empty means 127.0.0.1. etcd is always on loopback.
	Listen string
	// Port the API is served on. 0 means the one chosen at the first start, then remembered in the state directory.
	Port int
	// EtcdArgs are added to etcd's command line. Meant for tests that trade crash safety for speed; the product leaves it empty.
	EtcdArgs []string
	// Clock tells certificates' age; nil means the system's. A start is refused while it is behind Built, or behind the newest
	// file in Dir.
	Clock clock.PassiveClock
	// Built is when this program was built; zero when unknown.
	Built time.Time
	// AcceptClock takes the clock for right although it is behind.
	AcceptClock bool
}

// ControlPlane is a running etcd and kube-apiserver.
type ControlPlane struct {
	pki   pki
	api   endpoint
	lock  *os.File
	etcd  *child
	kube  *child
	ended chan struct{} // closed by Stop: ends the background work, and from then on children end as expected
	done  chan struct{}
	err   error
	once  struct{ stop, fail sync.Once }
}

// Start starts the control plane and returns when the API answers. ctx bounds the start only; the running
// control plane is ended with Stop. A state directory that another process uses is refused at once.
func Start(ctx context.Context, c Config) (*ControlPlane, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	lock, err := lockInstance(c.Dir)
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, c)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	p.lock = lock
	go p.keepCertificates()
	return p, nil
}

func (c Config) complete() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("control plane: no state directory given: name one with --state-dir")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("control plane: state directory %s: %w", c.Dir, err)
	}
	c.Dir = dir
	if c.Listen == "" {
		c.Listen = "127.0.0.1"
	}
	if net.ParseIP(c.Listen) == nil {
		return c, fmt.Errorf("control plane: listen address %q is not an IP address: use for example 127.0.0.1", c.Listen)
	}
	if c.Port < 0 || c.Port > 65535 {
		return c, fmt.Errorf("control plane: port %d is out of range: use 1 to 65535, or 0 to have one chosen", c.Port)
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Binaries == "" {
		if c.Binaries, err = DefaultBinaries(); err != nil {
			return c, err
		}
	}
	return c, checkBinaries(c.Binaries)
}

func start(ctx context.Context, c Config) (*ControlPlane, error) {
	orphans, err := lockChildren(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	// The children inherit the lock; this process only has to hand it on.
	defer orphans.Close()
	if err := c.checkClock(); err != nil {
		return nil, err
	}
	ports, err := choosePorts(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &ControlPlane{
		pki:   pki{dir: filepath.Join(c.Dir, "pki"), clock: c.Clock, listen: c.Listen},
		api:   endpoint{dir: c.Dir, host: net.JoinHostPort(reachable(c.Listen), strconv.Itoa(ports.API))},
		ended: make(chan struct{}),
		done:  make(chan struct{}),
	}
	if err := p.pki.ensureAuthorities(); err != nil {
		return nil, err
	}
	if err := p.refresh(); err != nil {
		return nil, err
	}
	if err := p.startChildren(ctx, c, ports, orphans); err != nil {
		return nil, errors.Join(err, p.stopChildren(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// refresh renews what is near its expiry and writes the kubeconfig that goes with it.
func (p *ControlPlane) refresh() error {
	if err := p.pki.ensureCertificates(); err != nil {
		return err
	}
	return p.api.writeKubeconfig(p.pki)
}

func (p *ControlPlane) startChildren(ctx context.Context, c Config, ports ports, lock *os.File) error {
	logs := filepath.Join(c.Dir, "log")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	var err error
	if p.etcd, err = startChild(ctx, process{
		name: "etcd", dir: c.Binaries, log: logs, lock: lock,
		args: append(etcdArgs(c.Dir, p.pki, ports), c.EtcdArgs...),
	}); err != nil {
		return err
	}
	if p.kube, err = startChild(ctx, process{
		name: "kube-apiserver", dir: c.Binaries, log: logs, lock: lock,
		args: apiServerArgs(c.Listen, p.pki, ports),
	}); err != nil {
		return err
	}
	go p.watch(p.etcd)
	go p.watch(p.kube)
	return p.waitReady(ctx)
}

// waitReady returns when the API server answers that all of it is up, or says why it never will.
func (p *ControlPlane) waitReady(ctx context.Context) error {
	client, err := rest.HTTPClientFor(p.RESTConfig())
	if err != nil {
		return fmt.Errorf("control plane: %w", err)
	}
	defer client.CloseIdleConnections()
	poll := time.NewTicker(readyPoll)
	defer poll.Stop()
	for {
		if p.api.ready(ctx, client) {
			return nil
		}
		select {
		case <-p.done:
			return p.err
		case <-ctx.Done():
			return fmt.Errorf("control plane: the API did not become ready: %w; see %s and %s", ctx.Err(), p.kube.log, p.etcd.log)
		case <-poll.C:
		}
	}
}

// watch turns the end of a child that nobody asked for into Done and Err.
func (p *ControlPlane) watch(c *child) {
	<-c.exited
	select {
	case <-p.ended:
		return
	default:
	}
	p.once.fail.Do(func() {
		p.err = c.failure()
		close(p.done)
	})
}

// keepCertificates renews certificates under the running children, which read them again by themselves.
func (p *ControlPlane) keepCertificates() {
	tick := time.NewTicker(renewalInterval)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-p.done:
			return
		case <-tick.C:
			// What runs goes on under a clock that jumped by years: nothing is issued by it, and the certificates are as
			// good as before once it is right again.
			if err := p.refresh(); err != nil && !errors.Is(err, errNoneValid) {
				p.once.fail.Do(func() {
					p.err = err
					close(p.done)
				})
			}
		}
	}
}

// RESTConfig is a client configuration with full rights. It names certificate files, so clients made from it
// follow a renewal. There is no client-side rate limit.
func (p *ControlPlane) RESTConfig() *rest.Config { return p.api.restConfig(p.pki) }

// Kubeconfig is the path of a kubeconfig with full rights, mode 0600, certificates embedded.
func (p *ControlPlane) Kubeconfig() string { return p.api.kubeconfig() }

// Done is closed when the control plane can no longer work: a child ended by itself, or certificates could not
// be renewed. Stop does not close it. Err then says why. The caller still has to call Stop.
func (p *ControlPlane) Done() <-chan struct{} { return p.done }

// Err is why Done is closed, nil before.
func (p *ControlPlane) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Stop ends the children, the API server first, and gives up the state directory. Children that do not end
// within ten seconds, or before ctx ends, are killed; that loses nothing. Idempotent.
func (p *ControlPlane) Stop(ctx context.Context) error {
	var err error
	p.once.stop.Do(func() { err = errors.Join(p.stopChildren(ctx), p.lock.Close()) })
	return err
}

func (p *ControlPlane) stopChildren(ctx context.Context) error {
	close(p.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if p.Err() != nil {
		cancel() // one half is gone: the other cannot end in order, so it is not given time to try
	}
	var err error
	for _, c := range []*child{p.kube, p.etcd} {
		if c != nil {
			err = errors.Join(err, c.stop(ctx))
		}
	}
	return err
}
