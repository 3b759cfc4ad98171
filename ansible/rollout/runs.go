package rollout

import (
	"slices"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Run is a run of a deployment with its nodes by name. Its status tells them as places in the deployment's list, so that
// fifteen runs on 5,000 nodes name each node once.
type Run struct {
	v1alpha1.RunStatus
	// Nodes of the run. They never change.
	Nodes []string
	// LeftNodes have left it while it goes on for others, FailedNodes are those on which it failed.
	LeftNodes, FailedNodes []string
}

// Uses reports whether the run goes on for the node.
func (r *Run) Uses(node string) bool {
	return r.State == v1alpha1.RunRunning && slices.Contains(r.Nodes, node) && !slices.Contains(r.LeftNodes, node)
}

// Staying are the nodes that the run goes on for, or that were in it to its end.
func (r *Run) Staying() []string {
	if len(r.LeftNodes) == 0 {
		return r.Nodes
	}
	left := set(r.LeftNodes)
	return slices.DeleteFunc(slices.Clone(r.Nodes), func(n string) bool { return left[n] })
}

// Runs returns the runs that a deployment's status tells of.
func Runs(d *v1alpha1.DataPlaneDeployment) []Run {
	names := d.NodeNames()
	runs := make([]Run, len(d.Status.Runs))
	for i, status := range d.Status.Runs {
		runs[i] = Run{
			RunStatus: status,
			Nodes:     sorted(status.NodeIndexes.Of(names)), LeftNodes: sorted(status.LeftIndexes.Of(names)), FailedNodes: sorted(status.FailedIndexes.Of(names)),
		}
	}
	return runs
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}

// Record writes the runs down in the deployment's status, which must list all their nodes by then.
func Record(d *v1alpha1.DataPlaneDeployment, runs []Run) {
	var places map[string]int
	indexes := func(nodes []string) v1alpha1.Indexes {
		if places == nil && len(nodes) > 0 {
			places = placesOf(d.NodeNames())
		}
		at := make([]int, 0, len(nodes))
		for _, n := range nodes {
			if place, ok := places[n]; ok {
				at = append(at, place)
			}
		}
		return v1alpha1.IndexesOf(at)
	}
	d.Status.Runs = nil
	for i := range runs {
		run := &runs[i]
		if run.NodeIndexes == "" {
			run.NodeIndexes, run.NodeCount = indexes(run.Nodes), count(run.Nodes)
		}
		if int(run.FailedCount) != len(run.FailedNodes) {
			run.FailedIndexes, run.FailedCount = indexes(run.FailedNodes), count(run.FailedNodes)
		}
		run.LeftIndexes = indexes(run.LeftNodes)
		d.Status.Runs = append(d.Status.Runs, run.RunStatus)
	}
}

// count is how many names there are; no deployment has more than 5,000 (DataPlaneDeploymentSpec.nodes, MaxItems).
func count(names []string) (n int32) {
	for range names {
		n++
	}
	return n
}

// placesOf returns where the names stand; one that stands twice is meant by its first place.
func placesOf(names []string) map[string]int {
	places := make(map[string]int, len(names))
	for i, name := range slices.Backward(names) {
		places[name] = i
	}
	return places
}
