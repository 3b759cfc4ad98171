package nodeset

import (
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Woken reports whether a change of a node wakes its set.
func Woken(old, now *v1alpha1.DataPlaneNode) bool {
	return changes(read).Update(event.UpdateEvent{ObjectOld: old, ObjectNew: now})
}
