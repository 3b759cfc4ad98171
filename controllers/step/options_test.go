package step_test

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/controllers/step"
)

// TestAnOutageIsNotSleptOver: however long an API server did not answer, every object is looked at again within BackoffMax,
// and a thousand of them do not wait for each other.
func TestAnOutageIsNotSleptOver(t *testing.T) {
	limiter := step.Options(1).RateLimiter
	object := func(i int) reconcile.Request {
		return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "site", Name: "node-" + strconv.Itoa(i)}}
	}
	for i := range 1000 {
		if got := limiter.When(object(i)); got != step.BackoffBase {
			t.Fatalf("object %d waits %s after its first failure, want %s", i, got, step.BackoffBase)
		}
	}
	last := time.Duration(0)
	for range 100 {
		last = limiter.When(object(0))
	}
	if last != step.BackoffMax {
		t.Errorf("waits %s after 100 failures, want %s", last, step.BackoffMax)
	}
	limiter.Forget(object(0))
	if got := limiter.When(object(0)); got != step.BackoffBase {
		t.Errorf("waits %s after a success and a failure, want %s", got, step.BackoffBase)
	}
}
