package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rackplane/rackplane/ansible"
)

// Hold is what a run holds while it goes on: its nodes, by the token of its start.
type Hold struct {
	// Namespace and Key of the Lease it has them by.
	Namespace, Key string
	// Token of the start, the same on all of its nodes.
	Token int64
}

// Tenure is a run's hold for as long as it has it.
type Tenure interface {
	// Begin makes sure of the hold before anything is started. On an error nothing is.
	Begin(ctx context.Context) error
	// Keep keeps it until ctx ends. An error means that others may have it soon: the run must end.
	Keep(ctx context.Context) error
	// GiveBack ends it; nothing of the run goes on any more.
	GiveBack(ctx context.Context) error
}

// lostError ends a run that has lost its hold. Such a run has no result: whoever has the hold now makes it.
type lostError struct{ err error }

func (e lostError) Error() string { return "the run has lost its nodes: " + e.err.Error() }

func (e lostError) Unwrap() error { return e.err }

func holdOf(r ansible.Run) *Hold {
	if len(r.Tokens) == 0 {
		return nil
	}
	h := &Hold{Namespace: r.Namespace, Key: cmp.Or(r.Lease, r.Key)}
	for _, token := range r.Tokens {
		h.Token = max(h.Token, token)
	}
	return h
}

// serve supervises the run for as long as it has its hold.
func (f folder) serve(ctx context.Context, lock *os.File, tenures func(Hold) (Tenure, error)) error {
	o, err := f.order()
	if err != nil || o.Hold == nil || tenures == nil {
		return f.supervise(ctx, lock, guards) // which says what is wrong with an order
	}
	tenure, err := tenures(*o.Hold)
	if err == nil {
		err = tenure.Begin(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("the run does not begin: %w", err), f.removeSecrets())
	}
	kept := func(ctx context.Context) error {
		if err := tenure.Keep(ctx); err != nil {
			return lostError{err}
		}
		return nil
	}
	err = f.supervise(ctx, lock, func(f folder, o order) ([]guard, error) {
		all, err := guards(f, o)
		return append(all, kept), err
	})
	return errors.Join(err, tenure.GiveBack(context.WithoutCancel(ctx)))
}
