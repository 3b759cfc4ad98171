// Package pool asks nodes whether they answer, beside whoever wants to know. Its
// roster decides whom and when.
package pool

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/roster"
)

var _ remote.Answers = &Pool{}

// idle is how long the pool sleeps when nobody is due: it is woken by whoever wants to know.
const idle = time.Hour

// Pool is remote.Answers by logins of its own, which Start makes. Make one with New.
type Pool struct {
	prober remote.Prober
	clock  clock.Clock
	wake   func(context.Context, types.NamespacedName)
	kick   chan struct{}

	mu     sync.Mutex
	roster roster.Roster
}

// New returns a pool that logs in with the prober. wake is told of nodes whose answer is another than before or was waited for;
// no login waits for it, and it returns when its context ends.
func New(prober remote.Prober, now clock.Clock, wake func(context.Context, types.NamespacedName)) *Pool {
	return &Pool{prober: prober, clock: now, wake: wake, kick: make(chan struct{}, 1)}
}

// Last implements remote.Answers.
func (p *Pool) Last(w remote.Wanted) (remote.Seen, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen, err := p.roster.Last(w, p.clock.Now())
	p.stir()
	return seen, err
}

// Forget implements remote.Answers.
func (p *Pool) Forget(node types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.roster.Forget(node)
}

// Start logs in to nodes until ctx ends, and returns when no login goes on any more.
func (p *Pool) Start(ctx context.Context) error {
	var logins sync.WaitGroup
	defer logins.Wait()
	timer := p.clock.NewTimer(idle)
	defer timer.Stop()
	for ctx.Err() == nil {
		jobs, wait := p.take()
		for _, job := range jobs {
			logins.Go(func() { p.ask(ctx, job) })
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-p.kick:
		case <-timer.C():
		}
	}
	return nil
}

// take returns whom to ask now, and when to look again.
func (p *Pool) take() ([]roster.Job, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	jobs := p.roster.Take(now)
	if next, ok := p.roster.Next(); ok {
		return jobs, next.Sub(now)
	}
	return jobs, idle
}

// ask asks one node. What ends because the pool does is no answer.
func (p *Pool) ask(ctx context.Context, job roster.Job) {
	seen, err := p.prober.Probe(ctx, job.Target)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	news := p.roster.Told(job, seen, err, p.clock.Now())
	p.stir()
	p.mu.Unlock()
	if news {
		p.wake(ctx, job.Node())
	}
}

// stir has Start look at the roster.
func (p *Pool) stir() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}
