package nodeset

import (
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Woken reports whether a change of a node wakes its set.
func Woken(old, now *v1alpha1.DataPlaneNode) bool {
	return changes(read).Update(event.UpdateEvent{ObjectOld: old, ObjectNew: now})
}

// Remembers reports whether the last pass over a set found all decided.
func Remembers(r *Reconciler, set types.NamespacedName) bool {
	_, ok := r.memory.passes[set]
	return ok
}
