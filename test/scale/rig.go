package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/controllers/deployment"
	hostcontroller "github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/playbooks"
	"github.com/rackplane/rackplane/secret"
)

// rig is an API server, an engine on it whose every call is counted, and the servers it works on.
type rig struct {
	user    client.Client // of a person; not counted
	meter   *meter
	cable   *cable // between the engine and the API server
	servers *servers
	workers int // of each controller but that of sets; 0 for the engine's own
}

// withRig makes a rig in a directory of its own, and takes it down when the work is done.
func withRig(ctx context.Context, workers int, work func(context.Context, *rig) error) (err error) {
	dir, err := os.MkdirTemp("", "rackplane-scale-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	plane, err := controlplane.Start(ctx, controlplane.Config{Dir: dir, EtcdArgs: []string{"--unsafe-no-fsync", "--quota-backend-bytes=8589934592"}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plane.Stop(context.WithoutCancel(ctx))) }()
	if err := controlplane.InstallCRDs(ctx, plane.RESTConfig()); err != nil {
		return err
	}
	limited, err := controlplane.InstallRBAC(ctx, plane.RESTConfig())
	if err != nil {
		return err
	}
	own := plane.RESTConfig()
	own.QPS = -1
	user, err := client.New(own, client.Options{Scheme: scheme()})
	if err != nil {
		return err
	}
	r := &rig{user: user, workers: workers, meter: newMeter(), servers: newServers(openstacktest.New(authURL, secret.Value(password)))}
	if r.cable, limited, err = newCable(ctx, limited); err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	go r.meter.heap.watch(done)
	return r.run(ctx, limited, work)
}

// run does the work while the engine runs.
func (r *rig) run(ctx context.Context, cfg *rest.Config, work func(context.Context, *rig) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	mgr, err := r.engine(cfg)
	if err != nil {
		cancel(err)
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := mgr.Start(ctx); err != nil {
			cancel(fmt.Errorf("engine: %w", err))
		}
	}()
	err = work(ctx, r)
	cancel(nil)
	<-ended
	return err
}

// engine is what `rackplane manager` runs, with simulators where it reaches beyond the API server.
func (r *rig) engine(cfg *rest.Config) (ctrl.Manager, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 200, 400 // those of `rackplane manager`
	cfg.Wrap(r.meter.Wrap)
	log := logr.Discard()
	ctrl.SetLogger(log)
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme(), Logger: log, Metrics: server.Options{BindAddress: "0"}, GracefulShutdownTimeout: new(10 * time.Second),
		Cache: cached.Options(), Client: cached.ClientOptions(),
	})
	if err != nil {
		return nil, err
	}
	live, events, now := mgr.GetAPIReader(), mgr.GetEventRecorder("rackplane"), clock.RealClock{}
	c, world := cached.New(mgr.GetClient(), live)
	runner := newRunner(r.servers)
	held := &leases.Leases{Client: c, Live: live, Runner: runner, Store: "scale", Duration: time.Minute, Clock: now}
	return mgr, errors.Join(
		(&nodeset.Reconciler{Client: c, Reader: world, Live: live, Clock: now, Events: events, Collection: playbooks.Collection()}).Setup(mgr),
		(&node.Reconciler{
			Client: c, Reader: world, Live: live, Clock: now, Events: events, Prober: r.servers, Examiner: r.servers, Cloud: r.servers.cloud,
			Leases: held, Random: rand.Reader, Workers: r.workers,
		}).Setup(mgr),
		(&deployment.Reconciler{Client: c, Reader: world, Live: live, Clock: now, Events: events, Runner: runner, Leases: held, Collection: playbooks.Collection(), Workers: r.workers}).Setup(mgr),
		(&hostcontroller.Reconciler{Client: c, Reader: world, Live: live, Clock: now, Events: events, Provisioner: r.servers, Workers: r.workers}).Setup(mgr),
	)
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // a type is registered twice
		}
	}
	return s
}
