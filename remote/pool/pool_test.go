package pool_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/pool"
)

// servers answer with their address as network, but hang, which tells when its login begins, and dead until it is up.
type servers struct {
	hanging chan string
	up      *atomic.Bool
}

func (s servers) Probe(ctx context.Context, t remote.Target) (remote.Seen, error) {
	if t.Address == "hang" {
		s.hanging <- t.Address
		<-ctx.Done()
		return remote.Seen{}, fault.New(fault.Transient, "given up")
	}
	if t.Address == "dead" && !s.up.Load() {
		return remote.Seen{}, fault.New(fault.Transient, "no answer")
	}
	return remote.Seen{NetworkHash: t.Address}, nil
}

func wanted(address string) remote.Wanted {
	return remote.Wanted{Node: types.NamespacedName{Namespace: "site", Name: address}, Target: remote.Target{Address: address}, MaxAge: time.Minute}
}

// rig is a pool that runs.
type rig struct {
	*pool.Pool
	servers
	clock *testclock.FakeClock
	woken chan string
	stop  context.CancelFunc
	ended chan error
}

func start(t *testing.T) *rig {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &rig{servers: servers{make(chan string), &atomic.Bool{}}, clock: testclock.NewFakeClock(time.Unix(1_800_000_000, 0)), woken: make(chan string), stop: stop, ended: make(chan error, 1)}
	r.Pool = pool.New(r.servers, r.clock, func(ctx context.Context, node types.NamespacedName) {
		select {
		case r.woken <- node.Name:
		case <-ctx.Done():
		}
	})
	go func() { r.ended <- r.Start(ctx) }()
	return r
}

// TestNobodyWaitsForANode: who wants to know is answered at once, beside a login that hangs, and is woken.
func TestNobodyWaitsForANode(t *testing.T) {
	r := start(t)
	defer r.stop()
	for _, node := range []string{"hang", "up"} {
		if _, err := r.Last(wanted(node)); !fault.Is(err, fault.Busy) {
			t.Errorf("%s: %v, want that it is being asked", node, err)
		}
	}
	<-r.hanging
	if got := <-r.woken; got != "up" {
		t.Errorf("%s is woken", got)
	}
	if seen, err := r.Last(wanted("up")); err != nil || seen.NetworkHash != "up" {
		t.Errorf("%v, %v", seen, err)
	}
	r.Forget(wanted("up").Node)
	if _, err := r.Last(wanted("up")); !fault.Is(err, fault.Busy) {
		t.Errorf("%v of one that was forgotten", err)
	}
	<-r.woken
}

// TestSilentNodesAreAskedAgain: the pool goes on by itself when a rest has ended.
func TestSilentNodesAreAskedAgain(t *testing.T) {
	r := start(t)
	defer r.stop()
	_, _ = r.Last(wanted("dead"))
	<-r.woken
	if _, err := r.Last(wanted("dead")); !fault.Is(err, fault.Transient) {
		t.Errorf("%v, want the silence", err)
	}
	r.up.Store(true)
	for woken := false; !woken; { // a clock that goes on, until it is woken
		r.clock.Step(time.Second)
		select {
		case <-r.woken:
			woken = true
		default:
			runtime.Gosched()
		}
	}
	if _, err := r.Last(wanted("dead")); err != nil {
		t.Error(err)
	}
}

// TestEndsWithItsLogins: when the pool has ended, nothing of it goes on, whoever it was asking or waking.
func TestEndsWithItsLogins(t *testing.T) {
	before := runtime.NumGoroutine()
	r := start(t)
	for _, node := range []string{"hang", "up", "dead"} {
		_, _ = r.Last(wanted(node))
	}
	<-r.hanging
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	buf := make([]byte, 1<<16)
	t.Errorf("%d goroutines, %d before: %s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
}
