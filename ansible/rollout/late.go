package rollout

import (
	"slices"
	"time"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

const (
	// patience is how long a node is silent before that says anything: longer than the tasks of most services take, and than
	// two looks at a run are apart.
	patience = 2 * time.Second
	// maxAtOnce is how many runs of one deployment may go on at once.
	maxAtOnce = 4
	// MaxRuns is how many runs a deployment may have in all (DataPlaneDeploymentStatus.runs, MaxItems).
	MaxRuns = 256
)

// Leaving returns the nodes of a run that go on to their next service without the rest: those that have reached the end,
// once all others that have begun are late. nodes are those the run goes on for, status is what is known of it.
//
// Nobody leaves while a node still waits for its first task because others are at work. Nodes that leave cost one run more,
// so what counts as late is measured by what the nodes that have ended took, and they wait at most patience or a quarter of that.
func Leaving(nodes []string, status ansible.Status, now time.Time) []string {
	var leaving []string
	late := false
	most := slowest(status)
	for _, n := range nodes {
		pace, begun := status.Progress.Pace[n]
		switch _, ended := status.Nodes[n]; {
		case ended:
			leaving = append(leaving, n)
		case !begun: // nothing but late nodes keeps it from beginning
		case isLate(pace, most, now):
			late = true
		default:
			return nil
		}
	}
	if !late {
		return nil
	}
	slices.Sort(leaving)
	return leaving
}

// usual is what the nodes that have ended took at most.
type usual struct{ silent, all time.Duration }

func slowest(status ansible.Status) usual {
	var most usual
	for n := range status.Nodes {
		if pace, ok := status.Progress.Pace[n]; ok {
			most.silent, most.all = max(most.silent, pace.Longest), max(most.all, pace.Last.Sub(pace.Began))
		}
	}
	return most
}

// isLate reports whether a node that has not ended has been silent for a quarter longer than any that has ever was, or has
// taken a quarter more in all and is silent, or twice as much whatever it does.
func isLate(pace ansible.Pace, most usual, now time.Time) bool {
	silent, all := now.Sub(pace.Last), now.Sub(pace.Began)
	switch {
	case all >= 2*most.all+patience:
		return true
	case silent < patience:
		return false
	}
	return silent >= most.silent+most.silent/4 || (all >= most.all+most.all/4 && silent >= most.all/10)
}

// MayPart reports whether another group of a deployment's nodes may go on by itself. Each such group may need a run for
// every service, and the runs of all must have room in one status.
func MayPart(services, nodes []string, runs []Run) bool {
	next, _ := Next(services, nodes, runs)
	groups := 1 + len(next)
	for i := range runs {
		if runs[i].State == v1alpha1.RunRunning {
			groups++
		}
	}
	return groups <= maxAtOnce && len(runs)+groups*len(services) <= MaxRuns
}
