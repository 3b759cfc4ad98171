package rollout

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Turn is a deployment that has not ended, as far as its turn goes.
type Turn struct {
	// Name and UID of the DataPlaneDeployment.
	Name string
	UID  types.UID
	// Created is when it was made.
	Created time.Time
	// Begun means its inputs are taken: it has had its turn and goes on until it ends.
	Begun bool
	// Nodes it is about; empty means all of the set.
	Nodes []string
}

// Behind returns the deployment that t waits for: the first, of those that share a node with it, that comes before it.
// Those that have begun come first, then the older ones, so that of any two at least one goes and no two wait for each other.
func Behind(t Turn, others []Turn) (first Turn, waits bool) {
	for _, o := range others {
		if o.UID == t.UID || compareTurns(o, t) > 0 {
			continue
		}
		if _, both := Shared(t, o); both && (!waits || compareTurns(o, first) < 0) {
			first, waits = o, true
		}
	}
	return first, waits
}

// Shared reports whether both are about one node, and returns the first such by name; "" when both are about all of their set.
func Shared(a, b Turn) (node string, both bool) {
	if len(a.Nodes) == 0 {
		a, b = b, a
	}
	has := make(map[string]bool, len(b.Nodes))
	for _, n := range b.Nodes {
		has[n] = true
	}
	for _, n := range a.Nodes {
		if (has[n] || len(has) == 0) && (!both || n < node) {
			node, both = n, true
		}
	}
	return node, both || len(a.Nodes) == 0
}

func compareTurns(a, b Turn) int {
	switch {
	case a.Begun != b.Begun && a.Begun:
		return -1
	case a.Begun != b.Begun:
		return 1
	}
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
}
