package step

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// gatePoll is how often an object is tried at a closed gate.
const gatePoll = time.Second

// Gate says why the engine acts on nothing for now; "" when it acts. A nil Gate is open.
type Gate func() string

// Closed says why nothing is acted on; "" when it is.
func (g Gate) Closed() string {
	if g == nil {
		return ""
	}
	return g()
}

// Guard makes no pass while the gate is closed, and looks again soon.
func (g Gate) Guard(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (ctrl.Result, error) {
		if g.Closed() != "" {
			return Answer(Outcome{after: gatePoll}, nil)
		}
		return r.Reconcile(ctx, req)
	})
}
