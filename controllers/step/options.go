package step

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

const (
	// BackoffBase is how soon a pass that ended with an error is made again, twice as late after each further one.
	BackoffBase = time.Second
	// BackoffMax bounds that: controller-runtime's own bound of 1,000 s would let an object sleep on after an outage has ended.
	BackoffMax = 30 * time.Second
)

// Options returns the options that every controller has in common. Each object has a backoff of its own; there is no limit
// that objects share, as the default has with 10 retries a second, at which a thousand would wait for each other.
func Options(workers int) controller.Options {
	return controller.Options{
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](BackoffBase, BackoffMax),
	}
}
