package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// version is the ironic-python-agent release whose behaviour is followed.
const version = "11.4.0"

// How long the agent waits before it repeats a call that failed, and a heartbeat that met a held lock.
const (
	retryDelay = time.Second
	busyDelay  = 500 * time.Millisecond
)

// maxRefusals is how often Ironic may refuse inspection data before the agent gives up. The first refusals are normal:
// this agent boots faster than Ironic notices that the power is on and starts to wait for the data.
const maxRefusals = 20

// Config is one boot of the agent.
type Config struct {
	// Params is what the boot media says.
	Params Params
	// Machine is the hardware to serve.
	Machine Machine
	// Listen is the IP address to serve commands on, at a free port.
	Listen string
	// Scratch is a directory for downloads; they are removed after use.
	Scratch string
	// Log receives what the agent does. It never receives a token.
	Log *slog.Logger
}

// agent is one booted agent.
type agent struct {
	machine Machine
	ironic  ironic
	images  *http.Client // without a time limit: images are large
	log     *slog.Logger
	scratch string
	token   string
	nudge   chan struct{} // asks for a heartbeat now
}

// Run serves until ctx ends, which is the only way it ends without an error of its own making.
// It delivers inspection data first when the boot media asks for it, then finds its node and heartbeats.
// Errors of Ironic are logged and repeated, never returned.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a := &agent{
		machine: cfg.Machine,
		ironic:  ironic{http: &http.Client{Timeout: time.Minute}, url: cfg.Params.APIURL},
		images:  &http.Client{},
		log:     cfg.Log,
		scratch: cfg.Scratch,
		token:   cfg.Params.Token,
		nudge:   make(chan struct{}, 1),
	}
	identity, err := newIdentity(cfg.Listen)
	if err != nil {
		return err
	}
	if cfg.Params.InspectionURL != "" {
		a.inspect(ctx, cfg.Params.InspectionURL)
	}
	found, err := a.lookup(ctx)
	if err != nil {
		return err
	}
	if found.Token != "" {
		a.token = found.Token // newer than the one on the boot media
	}
	callback, err := a.serve(ctx, cfg.Listen, identity)
	if err != nil {
		return err
	}
	return a.beat(ctx, found, heartbeat{
		CallbackURL: callback, Token: a.token, Version: version, VerifyCA: string(identity.pem),
	})
}

// inspect reports the inventory. It repeats while Ironic cannot be reached and gives up when Ironic keeps
// refusing, for the same boot media may be used once more after inspection, to deploy.
func (a *agent) inspect(ctx context.Context, callback string) {
	inventory := a.machine.Inventory()
	data := inspection{
		Inventory:     inventory,
		BootInterface: inventory.Boot.PXEInterface,
		Configuration: configuration{
			Collectors: []string{"default"},
			Managers:   []manager{{Name: hardwareManager, Version: hardwareManagerVersion}},
		},
	}
	if len(inventory.Disks) > 0 {
		data.RootDisk = inventory.Disks[0]
	}
	refusals := 0
	_ = a.until(ctx, "report inventory", func() error {
		err := a.ironic.inspected(ctx, callback, data)
		var refused *refusal
		if errors.As(err, &refused) && refused.status < http.StatusInternalServerError {
			if refusals++; refusals >= maxRefusals {
				a.log.Info("agent's inventory is not wanted", "error", err)
				return nil
			}
		}
		return err
	})
}

func (a *agent) lookup(ctx context.Context) (node, error) {
	var macs []string
	for _, nic := range a.machine.Inventory().Interfaces {
		macs = append(macs, nic.MACAddress)
	}
	var found node
	err := a.until(ctx, "look up node", func() (err error) {
		found, err = a.ironic.lookup(ctx, macs)
		return err
	})
	return found, err
}

// until repeats try until it succeeds or ctx ends.
func (a *agent) until(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		a.log.Debug("agent waits", "for", what, "error", err)
		if err := pause(ctx, retryDelay); err != nil {
			return err
		}
	}
}

// serve starts the command API and returns its URL. The server ends with ctx and cuts its connections then.
func (a *agent) serve(ctx context.Context, address string, identity identity) (string, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return "", fmt.Errorf("agent: %w", err)
	}
	commands := &commands{agent: a, handlers: a.handlers()}
	server := &http.Server{
		Handler:           commands.handler(ctx),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{identity.cert}, MinVersion: tls.VersionTLS13},
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("agent stopped serving", "error", err)
		}
	}()
	return "https://" + listener.Addr().String(), nil
}

// beat heartbeats at less than half the longest interval that Ironic accepts, and at once when a command ends.
func (a *agent) beat(ctx context.Context, found node, body heartbeat) error {
	interval := max(found.Timeout*2/5, retryDelay)
	for {
		delay := interval
		switch err := a.ironic.beat(ctx, found.UUID, body); {
		case errors.Is(err, errBusy):
			delay = busyDelay
		case err != nil && ctx.Err() == nil:
			a.log.Info("agent heartbeat failed", "node", found.UUID, "error", err)
			delay = retryDelay
		}
		timer := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-a.nudge:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// wake asks for a heartbeat without waiting for it.
func (a *agent) wake() {
	select {
	case a.nudge <- struct{}{}:
	default:
	}
}

// pause waits for d or for the end of ctx, whose error it then returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
