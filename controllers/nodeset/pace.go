package nodeset

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/controllers/step"
)

const (
	// apart is how long after a pass over a set the next one begins at the soonest, whatever happens meanwhile: a thousand
	// nodes that come up together tell the set of themselves hundreds of times a second.
	apart = 250 * time.Millisecond
	// share is how many times as long as it took itself a pass is followed by none, so that one huge set leaves time for others.
	share = 4
)

// pace spaces the passes over each set. A set that is at rest is looked at without delay.
type pace struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	next map[types.NamespacedName]time.Time
}

// wait is how long a pass over the set is to wait.
func (p *pace) wait(set types.NamespacedName) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, known := p.next[set]
	if !known {
		return 0
	}
	left := next.Sub(p.clock.Now())
	if left <= 0 {
		delete(p.next, set)
	}
	return min(max(left, 0), step.BackoffMax) // a clock that was set back delays nothing for long
}

// passed notes that a pass has just been made.
func (p *pace) passed(set types.NamespacedName, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
	if p.next == nil {
		p.next = map[types.NamespacedName]time.Time{}
	}
	p.next[set] = now.Add(max(apart, share*now.Sub(began)))
}

// around returns the reconciler with its passes noted.
func (p *pace) around(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (step.Result, error) {
		defer p.passed(req.NamespacedName, p.clock.Now())
		return r.Reconcile(ctx, req)
	})
}

// enqueue returns a handler that asks for passes over the sets that it is told, no sooner than they may be made.
func (p *pace) enqueue(sets handler.MapFunc) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	ask := func(ctx context.Context, q queue, objects ...client.Object) {
		for _, obj := range objects {
			for _, req := range sets(ctx, obj) {
				q.AddAfter(req, p.wait(req.NamespacedName))
			}
		}
	}
	return handler.Funcs{
		CreateFunc:  func(ctx context.Context, e event.CreateEvent, q queue) { ask(ctx, q, e.Object) },
		UpdateFunc:  func(ctx context.Context, e event.UpdateEvent, q queue) { ask(ctx, q, e.ObjectNew) },
		DeleteFunc:  func(ctx context.Context, e event.DeleteEvent, q queue) { ask(ctx, q, e.Object) },
		GenericFunc: func(ctx context.Context, e event.GenericEvent, q queue) { ask(ctx, q, e.Object) },
	}
}
