package main

import (
	"context"
	"net/http"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/provisioner"
)

const (
	leaderLease = "engine.rackplane.dev"
	// leaderRenewal is how long the leader tries to renew its lease, controller-runtime's default. Another engine leads 15 s
	// after the last renewal at the soonest.
	leaderRenewal = 10 * time.Second
)

// leadership is the lease that lets one engine act at a time, and knows whether this one may act now. client-go's leader
// election notices a lost lease only when it has tried to renew it for leaderRenewal; an engine that was frozen meanwhile
// acts beside the next leader for as long. So every act asks first, and what counts is the time since the last renewal.
// A nil leadership lets everything pass.
type leadership struct {
	resourcelock.Interface
	clock clock.PassiveClock

	mu      sync.Mutex
	renewed time.Time // when the last renewal that went well was asked for; zero when the lease is another's
}

func newLeadership(cfg *rest.Config, namespace string, now clock.PassiveClock) (*leadership, error) {
	machine, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	identity := resourcelock.ResourceLockConfig{Identity: machine + "_" + string(uuid.NewUUID())}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, leaderLease, identity, cfg, leaderRenewal)
	if err != nil {
		return nil, err
	}
	return &leadership{Interface: lock, clock: now}, nil
}

// Get implements resourcelock.Interface.
func (l *leadership) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() {
		l.note(time.Time{})
	}
	return record, raw, err
}

// Create implements resourcelock.Interface.
func (l *leadership) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(record, func() error { return l.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (l *leadership) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.write(record, func() error { return l.Interface.Update(ctx, record) })
}

func (l *leadership) write(record resourcelock.LeaderElectionRecord, do func() error) error {
	asked := l.clock.Now()
	if record.HolderIdentity != l.Identity() {
		asked = time.Time{}
		l.note(asked) // given back: nothing more is done, whether that arrives or not
	}
	err := do()
	if err == nil {
		l.note(asked)
	}
	return err
}

func (l *leadership) note(renewed time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = renewed
}

// check returns an error unless this engine may act.
func (l *leadership) check(act string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.renewed.IsZero() || l.clock.Since(l.renewed) >= leaderRenewal {
		return fault.New(fault.Transient, "%s: not done: another engine may lead by now", act)
	}
	return nil
}

// guard makes clients of the configuration write only while this engine leads.
func (l *leadership) guard(cfg *rest.Config) *rest.Config {
	guarded := rest.CopyConfig(cfg)
	if l != nil {
		guarded.Wrap(func(next http.RoundTripper) http.RoundTripper { return ledWriter{next, l} })
	}
	return guarded
}

// ledWriter passes reads, and writes of a leader.
type ledWriter struct {
	http.RoundTripper
	lead *leadership
}

// RoundTrip implements http.RoundTripper.
func (w ledWriter) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet {
		if err := w.lead.check(r.Method + " " + r.URL.Path); err != nil {
			if r.Body != nil {
				_ = r.Body.Close() // a RoundTripper closes it, also on errors
			}
			return nil, err
		}
	}
	return w.RoundTripper.RoundTrip(r)
}

// ledRunner acts while this engine leads.
type ledRunner struct {
	ansible.Runner
	lead *leadership
}

// Start implements ansible.Runner.
func (r ledRunner) Start(ctx context.Context, run ansible.Run) error {
	if err := r.lead.check("start Ansible run " + run.Key); err != nil {
		return err
	}
	return r.Runner.Start(ctx, run)
}

// Cancel implements ansible.Runner.
func (r ledRunner) Cancel(ctx context.Context, key string) error {
	if err := r.lead.check("cancel Ansible run " + key); err != nil {
		return err
	}
	return r.Runner.Cancel(ctx, key)
}

// ledProvisioner acts while this engine leads.
type ledProvisioner struct {
	provisioner.Provisioner
	lead *leadership
}

// Do implements provisioner.Provisioner.
func (p ledProvisioner) Do(ctx context.Context, want provisioner.Want, action provisioner.Action) error {
	if err := p.lead.check(string(action)); err != nil {
		return err
	}
	return p.Provisioner.Do(ctx, want, action)
}

// ledCloud acts while this engine leads.
type ledCloud struct {
	openstack.Cloud
	lead *leadership
}

// Do implements openstack.Cloud.
func (c ledCloud) Do(ctx context.Context, access openstack.Access, action openstack.Action) error {
	if err := c.lead.check(string(action.Verb)); err != nil {
		return err
	}
	return c.Cloud.Do(ctx, access, action)
}
