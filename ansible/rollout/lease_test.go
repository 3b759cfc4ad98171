package rollout_test

import (
	"testing"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// TestRunsInARowShareALease: runs on the same nodes go under one Lease; what goes on for others keeps its own.
func TestRunsInARowShareALease(t *testing.T) {
	run := func(lease string, state v1alpha1.RunState, nodes ...string) rollout.Run {
		return rollout.Run{RunStatus: v1alpha1.RunStatus{Key: "k-" + lease, Lease: lease, State: state}, Nodes: nodes}
	}
	for name, c := range map[string]struct {
		nodes []string
		runs  []rollout.Run
		want  string
	}{
		"the first": {[]string{"a", "b"}, nil, "d-0"},
		"the next":  {[]string{"a", "b"}, []rollout.Run{run("d-0", v1alpha1.RunSucceeded, "a", "b")}, "d-0"},
		"without one that failed": {
			[]string{"b"}, []rollout.Run{run("d-0", v1alpha1.RunFailed, "a", "b")}, "d-0",
		},
		"beside one that goes on": {
			[]string{"a"}, []rollout.Run{run("d-0", v1alpha1.RunRunning, "a", "b")}, "d-1",
		},
		"after one that left": {
			[]string{"b"}, []rollout.Run{run("d-0", v1alpha1.RunSucceeded, "a", "b"), run("d-1", v1alpha1.RunRunning, "a")}, "d-0",
		},
		"of two Leases": {
			[]string{"a", "b"}, []rollout.Run{run("d-0", v1alpha1.RunSucceeded, "b"), run("d-1", v1alpha1.RunSucceeded, "a")}, "d-2",
		},
		"with one that had none":        {[]string{"a", "b"}, []rollout.Run{run("d-0", v1alpha1.RunSucceeded, "a")}, "d-1"},
		"after runs of an older engine": {[]string{"a"}, []rollout.Run{{RunStatus: v1alpha1.RunStatus{Key: "old", State: v1alpha1.RunSucceeded}, Nodes: []string{"a"}}}, "old"},
	} {
		if got := rollout.Lease("d", c.nodes, c.runs); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
