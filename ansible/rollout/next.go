package rollout

import (
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// NextRun is the run a deployment makes next.
type NextRun struct {
	// Service to run.
	Service string
	// Nodes to run it on, sorted: those of the deployment that have not failed an earlier service of it.
	Nodes []string
}

// Next walks the deployment's services in order. It returns the run to make, or nil while one is running or when done:
// every service has run, or no node is left that has not failed. A service with a run is never run again.
func Next(services, nodes []string, runs []v1alpha1.RunStatus) (next *NextRun, done bool) {
	left := slices.Sorted(slices.Values(nodes))
	for _, s := range services {
		i := slices.IndexFunc(runs, func(r v1alpha1.RunStatus) bool { return r.Service == s })
		switch {
		case len(left) == 0:
			return nil, true
		case i < 0:
			return &NextRun{Service: s, Nodes: left}, false
		case runs[i].State == v1alpha1.RunRunning:
			return nil, false
		}
		left = slices.DeleteFunc(left, func(n string) bool { return slices.Contains(runs[i].FailedNodes, n) })
	}
	return nil, true
}
