package rollout

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// TestRecordedRunsAreReadBack: whatever the order in which the deployment lists its nodes, and whoever lists them.
func TestRecordedRunsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		listed := rapid.Permutation(names("n", rapid.IntRange(1, 40).Draw(t, "nodes"))).Draw(t, "listed")
		d := &v1alpha1.DataPlaneDeployment{}
		if rapid.Bool().Draw(t, "named") {
			d.Spec.Nodes = append(slices.Clone(listed), listed[0]) // nobody is two nodes because he is named twice
		} else {
			d.Status.Nodes = listed
		}
		some := func(of []string) []string {
			return slices.Sorted(slices.Values(rapid.SliceOfDistinct(rapid.SampledFrom(of), rapid.ID).Draw(t, "some")))
		}
		var runs []Run
		for i := range rapid.IntRange(0, 5).Draw(t, "runs") {
			run := Run{RunStatus: v1alpha1.RunStatus{Key: strconv.Itoa(i), State: v1alpha1.RunRunning}, Nodes: some(listed)}
			if len(run.Nodes) == 0 {
				run.Nodes = listed[:1]
			}
			run.LeftNodes = some(run.Nodes)
			runs = append(runs, run)
			Record(d, runs)
			runs = Runs(d)
		}
		for i := range runs { // each ends, with failures
			if rapid.Bool().Draw(t, "ends") {
				runs[i].State, runs[i].LeftNodes, runs[i].FailedNodes = v1alpha1.RunFailed, nil, some(runs[i].Nodes)
			}
		}
		want := slices.Clone(runs)
		Record(d, runs)
		got := Runs(d)
		for i := range want {
			if !same(got[i].Nodes, want[i].Nodes) || !same(got[i].LeftNodes, want[i].LeftNodes) || !same(got[i].FailedNodes, want[i].FailedNodes) || got[i].State != want[i].State {
				t.Fatalf("run %d:\n%s", i, cmp.Diff(want[i], got[i]))
			}
			if int(got[i].NodeCount) != len(got[i].Nodes) || int(got[i].FailedCount) != len(got[i].FailedNodes) {
				t.Fatalf("run %d counts %d and %d: %+v", i, got[i].NodeCount, got[i].FailedCount, got[i])
			}
			for _, n := range listed {
				if run := d.RunOn(n); run != nil && run.Key == got[i].Key && !got[i].Uses(n) {
					t.Fatalf("run %s goes on for %s, and does not: %+v", run.Key, n, got[i])
				}
				if got[i].Uses(n) && d.RunOn(n) == nil {
					t.Fatalf("run %s does not go on for %s: %+v", got[i].Key, n, d.Status)
				}
			}
		}
	})
}

func same(a, b []string) bool { return len(a) == len(b) && (len(a) == 0 || slices.Equal(a, b)) }

// TestNamesStandOnce: fifteen services on 5,000 nodes take little more than the nodes' names, whatever fails and whoever is late.
func TestNamesStandOnce(t *testing.T) {
	const nodes, services = 5000, 15
	all := make([]string, nodes)
	for i := range all {
		all[i] = fmt.Sprintf("rack7-compute-n-%04d", i)
	}
	every := func(n, from int) (chosen []string) {
		for i := from; i < len(all); i += n {
			chosen = append(chosen, all[i])
		}
		return chosen
	}
	for name, c := range map[string]struct {
		groups [][]string
		failed int // of so many nodes each one, in each run
		most   int
	}{
		"all go well":                   {[][]string{all}, 0, 130 << 10},
		"one in fifty fails everywhere": {[][]string{all}, 50, 150 << 10},
		"every second node is late":     {[][]string{every(2, 0), every(2, 1)}, 50, 180 << 10},
		"four groups, as many as go on": {[][]string{every(4, 0), every(4, 1), every(4, 2), every(4, 3)}, 50, 225 << 10},
	} {
		d := &v1alpha1.DataPlaneDeployment{Status: v1alpha1.DataPlaneDeploymentStatus{Nodes: all}}
		var runs []Run
		for s := range services {
			for g, group := range c.groups {
				now := metav1.Now()
				run := Run{Nodes: group, RunStatus: v1alpha1.RunStatus{
					Service: fmt.Sprintf("service-%02d", s), Key: strings.Repeat("0", 30) + fmt.Sprintf("%d%x", g, s), Lease: strings.Repeat("0", 36) + "-0", State: v1alpha1.RunFailed, StartedAt: now, FinishedAt: &now,
				}}
				for i, n := range group {
					if c.failed > 0 && i%c.failed == s {
						run.FailedNodes = append(run.FailedNodes, n)
					}
				}
				runs = append(runs, run)
				var staying []string
				for i, n := range group {
					if c.failed == 0 || i%c.failed != s {
						staying = append(staying, n)
					}
				}
				c.groups[g] = staying
			}
		}
		Record(d, runs)
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d runs, %d KiB", name, len(runs), len(text)>>10)
		if len(text) > c.most {
			t.Errorf("%s: %d KiB, more than %d", name, len(text)>>10, c.most>>10)
		}
	}
}

// TestReadingRunsTakesNoMorePiecesOfMemory on 5,000 nodes than on 100: a pass reads all runs, every second.
func TestReadingRunsTakesNoMorePiecesOfMemory(t *testing.T) {
	pieces := func(nodes int) float64 {
		d := &v1alpha1.DataPlaneDeployment{}
		for i := range nodes {
			d.Status.Nodes = append(d.Status.Nodes, fmt.Sprintf("n%04d", i))
		}
		Record(d, []Run{{Nodes: d.Status.Nodes, LeftNodes: d.Status.Nodes[:nodes/2]}, {Nodes: d.Status.Nodes[:nodes/2], FailedNodes: d.Status.Nodes[3:9]}})
		return testing.AllocsPerRun(10, func() { Runs(d) })
	}
	if few, many := pieces(100), pieces(5000); many > few {
		t.Errorf("%.0f allocations for 100 nodes, %.0f for 5,000", few, many)
	}
}
