package keeper_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	leases "k8s.io/client-go/kubernetes/typed/coordination/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/ansible/keeper"
	"github.com/rackplane/rackplane/ansible/lease"
)

const duration = time.Minute

// rig is an API server with the Lease of run k, whose start has token 5, and that start's tenure.
type rig struct {
	*testing.T
	leases leases.LeaseInterface
	tenure *keeper.Tenure
	away   bool // the API server does not answer
	writes int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "site", Name: lease.RunName("k")}}
	lease.Hold(l, "a", 5, duration, time.Now())
	api := fake.NewClientset(l)
	r := &rig{T: t, leases: api.CoordinationV1().Leases("site")}
	api.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if r.away {
			return true, nil, errors.New("no answer")
		}
		if action.GetVerb() == "update" {
			r.writes++
		}
		return false, nil, nil
	})
	r.tenure = &keeper.Tenure{Leases: r.leases, Key: "k", Token: 5, Clock: clock.RealClock{}}
	return r
}

func (r *rig) edit(change func(*coordinationv1.Lease)) {
	r.Helper()
	l, err := r.leases.Get(r.Context(), lease.RunName("k"), metav1.GetOptions{})
	if err != nil {
		r.Fatal(err)
	}
	change(l)
	if _, err := r.leases.Update(r.Context(), l, metav1.UpdateOptions{}); err != nil {
		r.Fatal(err)
	}
}

// keep begins the tenure, keeps it while meanwhile happens, and returns how long that took and what Keep said.
func (r *rig) keep(meanwhile func()) (time.Duration, error) {
	r.Helper()
	if err := r.tenure.Begin(r.Context()); err != nil {
		r.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
	defer cancel()
	began := time.Now()
	go meanwhile()
	err := r.tenure.Keep(ctx)
	return time.Since(began), err
}

func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		took, err := r.keep(func() {})
		if err != nil || took != time.Hour {
			t.Errorf("kept for %s: %v", took, err)
		}
		if r.writes < 350 || r.writes > 361 {
			t.Errorf("%d renewals in an hour, want one in ten seconds", r.writes)
		}
	})
}

// TestRunEndsBeforeItsLease: silence of the API server ends the run while there is time left for it to end in.
func TestRunEndsBeforeItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		took, err := r.keep(func() {
			for range 3 { // silences that are not too long end nothing
				time.Sleep(15 * time.Second)
				r.away = true
				time.Sleep(18 * time.Second)
				r.away = false
			}
			time.Sleep(27*time.Second - time.Millisecond)
			r.away = true
		})
		silent := took - 3*33*time.Second - 27*time.Second
		if err == nil || !strings.Contains(err.Error(), "not renewed") || silent > duration/2 || silent < duration/3 {
			t.Errorf("kept for %s of silence: %v", silent, err)
		}
	})
}

// mute is an API server that takes connections and never answers.
type mute struct {
	leases.LeaseInterface
	silent atomic.Bool
}

func (m *mute) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	if m.silent.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return m.LeaseInterface.Get(ctx, name, o)
}

// TestRunWaitsForNoLateAnswer: whenever the API server falls silent, the run ends half of its lease after the last renewal,
// and not a request's patience later.
func TestRunWaitsForNoLateAnswer(t *testing.T) {
	for since := time.Duration(0); since < lease.Renew(duration); since += 500 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			m := &mute{LeaseInterface: r.leases}
			r.tenure.Leases = m
			took, err := r.keep(func() { time.Sleep(since); m.silent.Store(true) })
			if err == nil || took != lease.GiveUp(duration) {
				t.Errorf("silent after %s: kept for %s, want %s: %v", since, took, lease.GiveUp(duration), err)
			}
		})
	}
}

func TestLeaseIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		do   func(*rig)
		want string
	}{
		"taken over": {func(r *rig) {
			r.edit(func(l *coordinationv1.Lease) { lease.Hold(l, "b", 6, duration, time.Now()) })
		}, "started again as b"},
		"started again in the same store": {func(r *rig) {
			r.edit(func(l *coordinationv1.Lease) { lease.Hold(l, "a", 6, duration, time.Now()) })
		}, "started again as a"},
		"cancelled":  {func(r *rig) { r.edit(lease.Cancel) }, "cancelled"},
		"given back": {func(r *rig) { r.edit(lease.GiveBack) }, "given back"},
		"deleted": {func(r *rig) {
			if err := r.leases.Delete(r.Context(), lease.RunName("k"), metav1.DeleteOptions{}); err != nil {
				r.Error(err)
			}
		}, "gone"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				took, err := r.keep(func() { time.Sleep(time.Minute); tc.do(r) })
				if err == nil || !strings.Contains(err.Error(), tc.want) || took > time.Minute+lease.Renew(duration) {
					t.Errorf("kept for %s: %v", took, err)
				}
				if err := r.tenure.Begin(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("begins again: %v", err)
				}
			})
		})
	}
}

func TestLeaseIsGivenBack(t *testing.T) {
	r := newRig(t)
	if err := r.tenure.GiveBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := r.leases.Get(t.Context(), lease.RunName("k"), metav1.GetOptions{})
	if err != nil || lease.Of(l).Holder != "" || lease.TokenOf(l) != 5 {
		t.Errorf("%+v, %v: want nobody to hold it", l, err)
	}
	r.edit(func(l *coordinationv1.Lease) { lease.Hold(l, "b", 6, duration, time.Now()) })
	if err := r.tenure.GiveBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, err = r.leases.Get(t.Context(), lease.RunName("k"), metav1.GetOptions{}); err != nil || lease.Of(l).Holder != "b" {
		t.Errorf("%+v, %v: want another's to stay", l, err)
	}
}
