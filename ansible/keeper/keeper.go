// Package keeper keeps a run's Lease for the process that supervises the run.
// It needs no engine: a run outlives one as long as the API server answers.
//
// When the Lease is lost, or could not be renewed for half of its duration, the
// run must end: nobody can tell any more whether it was started elsewhere.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	leases "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/ansible/lease"
)

const (
	// retry is how soon a renewal that failed is tried again.
	retry = time.Second
	// patience is how long one request may take.
	patience = 5 * time.Second
	// tries is how often the first renewal is tried.
	tries = 5
)

// Tenure is one start of a run and its Lease.
type Tenure struct {
	// Leases of the run's namespace.
	Leases leases.LeaseInterface
	// Key of the Lease, Token of the start.
	Key   string
	Token int64
	// Clock measures how long the Lease has not been renewed.
	Clock clock.Clock

	duration time.Duration
	renewed  time.Time // when the last renewal that went well was asked for
}

// lostError says that the run is not this start's any more.
type lostError struct{ why string }

func (e lostError) Error() string { return e.why }

func lost(err error) bool { return errors.As(err, &lostError{}) }

// Begin makes sure that the start still has the Lease.
func (t *Tenure) Begin(ctx context.Context) error {
	var err error
	for range tries {
		if err = t.renew(ctx); err == nil || lost(err) || t.wait(ctx, retry) != nil {
			return err
		}
	}
	return err
}

// Keep renews the Lease until ctx ends. An error means that the run must end.
func (t *Tenure) Keep(ctx context.Context) error {
	if t.duration == 0 {
		<-ctx.Done() // it never expires, and nobody else can have it
		return nil
	}
	pause := lease.Renew(t.duration)
	for t.wait(ctx, min(pause, t.left())) == nil {
		left := t.left()
		if left <= 0 {
			return fmt.Errorf("the run's lease was not renewed for %s", t.Clock.Since(t.renewed).Round(time.Second))
		}
		// An answer that comes later is no use: the run must not wait for it.
		limited, cancel := context.WithTimeout(ctx, left)
		err := t.renew(limited)
		cancel()
		if lost(err) {
			return err
		}
		if pause = lease.Renew(t.duration); err != nil {
			pause = min(retry, pause)
		}
	}
	return nil
}

// left is how long the run may go on without another renewal.
func (t *Tenure) left() time.Duration {
	return lease.GiveUp(t.duration) - t.Clock.Since(t.renewed)
}

// GiveBack gives the Lease back: the run has ended.
func (t *Tenure) GiveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l, err := t.read(ctx)
	if lost(err) {
		return nil
	}
	if err != nil {
		return err
	}
	lease.GiveBack(l)
	_, err = t.Leases.Update(ctx, l, metav1.UpdateOptions{})
	return err
}

func (t *Tenure) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	asked := t.Clock.Now()
	l, err := t.read(ctx)
	if err != nil {
		return err
	}
	if why := lease.Lost(lease.Of(l), t.Token); why != "" {
		return lostError{why}
	}
	lease.Touch(l, asked)
	if _, err := t.Leases.Update(ctx, l, metav1.UpdateOptions{}); err != nil {
		return err
	}
	t.renewed, t.duration = asked, lease.Of(l).Duration
	return nil
}

// read returns the Lease while it is this start's, whoever asked for its end.
func (t *Tenure) read(ctx context.Context) (*coordinationv1.Lease, error) {
	l, err := t.Leases.Get(ctx, lease.RunName(t.Key), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, lostError{"the run's lease is gone"}
	}
	if err != nil {
		return nil, err
	}
	if r := lease.Of(l); r.Holder == "" || r.Token != t.Token {
		return nil, lostError{lease.Lost(r, t.Token)}
	}
	return l, nil
}

func (t *Tenure) wait(ctx context.Context, d time.Duration) error {
	timer := t.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C():
		return nil
	}
}
