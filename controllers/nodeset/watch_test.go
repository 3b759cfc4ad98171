package nodeset

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// TestPassesKeepApart: a set at rest is looked at without delay, one that was just looked at not before a while, and one
// whose pass took long after four times as long. Other sets are not kept waiting.
func TestPassesKeepApart(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1e9, 0))
	p := &pace{clock: clock}
	took := time.Duration(0)
	r := p.around(reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
		clock.Step(took)
		return reconcile.Result{}, nil
	}))
	a, b := types.NamespacedName{Name: "a"}, types.NamespacedName{Name: "b"}
	pass := func() {
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: a}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(set types.NamespacedName, want time.Duration) {
		t.Helper()
		if got := p.wait(set); got != want {
			t.Errorf("a pass over %s waits %s, want %s", set.Name, got, want)
		}
	}
	expect(a, 0)
	pass()
	expect(a, apart)
	expect(b, 0)
	clock.Step(apart)
	expect(a, 0)
	took = time.Second
	pass()
	expect(a, 4*time.Second)
	clock.Step(-time.Hour)
	expect(a, 30*time.Second)
}
