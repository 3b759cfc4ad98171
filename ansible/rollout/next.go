package rollout

import (
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// NextRun is a run that a deployment makes next.
type NextRun struct {
	// Service to run.
	Service string
	// Nodes to run it on, sorted.
	Nodes []string
}

// Next returns the runs to make now, those of earlier services first. Every node goes through the services in their order,
// each once, until one fails on it; a node that no run goes on for has its next one, together with all that stand at the
// same service. done means that no run goes on and none is left to be made.
func Next(services, nodes []string, runs []Run) (next []NextRun, done bool) {
	services = distinct(services)
	at := positions(services, runs)
	waiting := make([][]string, len(services))
	for _, n := range slices.Sorted(slices.Values(nodes)) {
		if i := at[n]; i < len(services) {
			waiting[i] = append(waiting[i], n)
		}
	}
	for i, group := range waiting {
		if len(group) > 0 {
			next = append(next, NextRun{Service: services[i], Nodes: group})
		}
	}
	running := slices.ContainsFunc(runs, func(r Run) bool { return r.State == v1alpha1.RunRunning })
	return next, len(next) == 0 && !running
}

// positions are the indexes of the nodes' next services; those that get none now stand behind the last.
func positions(services []string, runs []Run) map[string]int {
	at := map[string]int{}
	for i := range runs {
		run := &runs[i]
		after := 1 + slices.Index(services, run.Service)
		left := set(run.LeftNodes)
		for _, n := range run.Nodes {
			if run.State == v1alpha1.RunRunning && !left[n] {
				at[n] = len(services)
			}
			at[n] = max(at[n], after)
		}
		for _, n := range run.FailedNodes {
			at[n] = len(services)
		}
	}
	return at
}

func set(names []string) map[string]bool {
	in := make(map[string]bool, len(names))
	for _, name := range names {
		in[name] = true
	}
	return in
}

// distinct are the services without those that are there already.
func distinct(services []string) []string {
	var out []string
	for _, s := range services {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
