package world

import (
	"context"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/roster"
)

// asked is what package pool is in the engine, but that a round asks all nodes that are due, one after the other.
type asked struct {
	logins
	roster roster.Roster
}

// Last implements remote.Answers.
func (a *asked) Last(w remote.Wanted) (remote.Seen, error) {
	return a.roster.Last(w, a.Clock.Now())
}

// Forget implements remote.Answers.
func (a *asked) Forget(name types.NamespacedName) { a.roster.Forget(name) }

// ask asks the nodes that the controller wants to know of, if it is theirs, and has it look at those that are woken.
func (w *World) ask(tb testing.TB, c controller) {
	tb.Helper()
	nodes, ok := c.reconciler.(*node.Reconciler)
	if !ok {
		return
	}
	if a, ok := nodes.Answers.(*asked); ok {
		for _, key := range a.all(tb.Context()) {
			delete(c.queue, key)
			w.look(tb, c, key)
		}
	}
}

// all asks all that are due and returns those that are to be looked at for it.
func (a *asked) all(ctx context.Context) (woken []types.NamespacedName) {
	for jobs := a.roster.Take(a.Clock.Now()); len(jobs) > 0; jobs = a.roster.Take(a.Clock.Now()) {
		for _, job := range jobs {
			seen, err := a.Probe(ctx, job.Target)
			if a.roster.Told(job, seen, err, a.Clock.Now()) {
				woken = append(woken, job.Node())
			}
		}
	}
	slices.SortFunc(woken, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return woken
}
