// Command demo runs Rackplane's main job on a simulated rack and checks that
// it did what it says: `make demo`. It drives the product as a user would, the
// binary `rackplane standalone` and manifests, and fails with the node, the
// step and the cause when anything is not as promised.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/report"
	"github.com/rackplane/rackplane/test/rack"
)

// options are the command line.
type options struct {
	mode      string
	keep      bool
	stop      bool
	enter     bool
	detached  bool
	firstOnly bool
	faulty    bool
	openstack bool
	dir       string
	rackplane string
	killEvery time.Duration
	limit     time.Duration
}

func parse() (options, error) {
	var o options
	flag.StringVar(&o.mode, "mode", "baremetal", "baremetal, preprovisioned for hosts that already run, or guest for a virtual machine with a kernel of its own (with --openstack)")
	flag.BoolVar(&o.keep, "keep", false, "leave everything running and print how to look around")
	flag.BoolVar(&o.stop, "stop", false, "end what --keep left running")
	flag.BoolVar(&o.enter, "enter", false, "open a shell in what --keep left running")
	flag.BoolVar(&o.detached, "detached", false, "set by --keep on the process that stays")
	flag.BoolVar(&o.firstOnly, "first-act-only", false, "end after the first act")
	flag.BoolVar(&o.faulty, "faults", false, "put trouble in the way instead of scaling: a wrong password, a dead Ironic, a failing task, too few hosts")
	flag.BoolVar(&o.openstack, "openstack", false, "make the nodes computes of a real OpenStack that runs beside the rack")
	flag.StringVar(&o.dir, "dir", "", "where the run keeps its state (default: a new temporary directory, removed at the end)")
	flag.StringVar(&o.rackplane, "rackplane", filepath.Join(filepath.Dir(os.Args[0]), "rackplane"), "the rackplane binary")
	flag.DurationVar(&o.killEvery, "kill-every", 0, "kill the engine with SIGKILL this often and start it again")
	flag.DurationVar(&o.limit, "limit", 15*time.Minute, "give up an act after this time")
	flag.Parse()
	if err := o.check(); err != nil {
		return o, err
	}
	binary, err := filepath.Abs(o.rackplane)
	o.rackplane = binary
	return o, err
}

func (o options) check() error {
	switch {
	case !slices.Contains([]string{"baremetal", "preprovisioned", guestMode}, o.mode):
		return fmt.Errorf("MODE=%s: use baremetal, preprovisioned or %s", o.mode, guestMode)
	case o.mode == guestMode && (!o.openstack || o.faulty):
		return fmt.Errorf("MODE=%s: use it with --openstack and without --faults", guestMode)
	}
	return nil
}

func main() {
	o, err := parse()
	if err == nil {
		err = o.do(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: FAILED:", err)
		os.Exit(1)
	}
}

// do looks after a demo that was left running, or runs one.
func (o options) do(ctx context.Context) error {
	switch {
	case o.stop:
		return stopKept()
	case o.enter:
		return enterKept()
	case o.keep && !o.detached:
		if err := prepare(ctx, o); err != nil {
			return err
		}
		return detach(o)
	}
	rack.Isolate(ctx, func(ctx context.Context) error { return prepare(ctx, o) })
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, o)
}

// run is the demo, inside the rack's namespaces.
func run(ctx context.Context, o options) (err error) {
	d := &demo{options: o, watch: newStopwatch()}
	d.out = io.MultiWriter(os.Stdout, &d.told)
	defer func() { err = errors.Join(err, d.end(context.WithoutCancel(ctx), err)) }()
	if err := d.begin(ctx); err != nil {
		return err
	}
	acts := d.bareMetal
	switch {
	case o.openstack:
		acts = d.openStack
	case o.mode == "preprovisioned":
		acts = d.preProvisioned
	case o.faulty:
		acts = d.faults
	}
	if err := acts(ctx); err != nil {
		return err
	}
	if err := d.secretsKept(ctx); err != nil {
		return err
	}
	return d.linger(ctx)
}

// terminal reports whether the demo's output is a terminal.
func terminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func style() report.Style {
	if terminal() && os.Getenv("NO_COLOR") == "" {
		return report.Colour()
	}
	return report.Style{}
}
