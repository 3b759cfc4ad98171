package deployment_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/deployment"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// nodeReads counts what is read of nodes, and all reads.
type nodeReads struct {
	client.Reader
	gets, lists, metadata, all int
}

func (c *nodeReads) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	c.all++
	switch o := obj.(type) {
	case *v1alpha1.DataPlaneNode:
		c.gets++
	case *metav1.PartialObjectMetadata:
		if o.Kind == "DataPlaneNode" {
			c.metadata++
		}
	}
	return c.Reader.Get(ctx, key, obj, opts...)
}

func (c *nodeReads) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	c.all++
	switch o := list.(type) {
	case *v1alpha1.DataPlaneNodeList:
		c.lists++
	case *metav1.PartialObjectMetadataList:
		if o.Kind == "DataPlaneNode" {
			c.metadata++
		}
	}
	return c.Reader.List(ctx, list, opts...)
}

// twelve is a site with twelve nodes; the world and what is read live are counted apart.
func twelve(t *testing.T) (r *rig, world, live *nodeReads) {
	t.Helper()
	return counted(t, 12)
}

// counted is a site with so many nodes, three at least.
func counted(t *testing.T, nodes int) (r *rig, world, live *nodeReads) {
	t.Helper()
	var more []client.Object
	for i := 3; i < nodes; i++ {
		more = append(more, nodeOf(i), steptest.Host(fmt.Sprintf("h%d", i)))
	}
	r = site(t, newDeployment(), more...)
	world, live = &nodeReads{Reader: r.Reader}, &nodeReads{Reader: r.Reader}
	r.controller.Reader, r.controller.Live = world, live
	return r, world, live
}

// TestResultsAreOneListAndOneWritePerNode: the end of a run reads the world once and no node for itself; the next run looks
// live which nodes are still there, at their metadata alone.
func TestResultsAreOneListAndOneWritePerNode(t *testing.T) {
	r, world, live := twelve(t)
	r.pass() // decides on the first run
	for service := range 3 {
		r.pass() // starts the run
		r.pass() // sees it go on
		r.Writes()
		*world, *live = nodeReads{Reader: r.Reader}, nodeReads{Reader: r.Reader}
		r.pass() // closes the run
		nodes := 0
		for _, w := range r.Writes() {
			if strings.HasPrefix(w, "patch status DataPlaneNode ") {
				nodes++
			}
		}
		more := 1
		if service == 2 {
			more = 0 // nothing runs after the last
		}
		got := []int{nodes, world.gets, world.lists, live.gets, live.lists, live.metadata}
		if diff := cmp.Diff([]int{12, 0, 1, 0, 0, more}, got); diff != "" {
			t.Errorf("service %d: writes, reads of the world, live reads (-want +got):\n%s", service, diff)
		}
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "3 services on 12 nodes")
}

// TestRunCostsTheSameOnManyNodes: beside the results of each node, a run in a row costs as many calls on 60 nodes as on 12.
func TestRunCostsTheSameOnManyNodes(t *testing.T) {
	cost := func(nodes int) map[string]int {
		r, world, live := counted(t, nodes)
		r.until(func() bool { return len(r.deployment().Status.Runs) == 2 })
		r.Writes()
		*world, *live = nodeReads{Reader: r.Reader}, nodeReads{Reader: r.Reader}
		passes := r.until(func() bool { return len(r.deployment().Status.Runs) == 3 })
		calls := map[string]int{"passes": passes, "reads of the world": world.all, "live reads": live.all, "results": 0}
		for _, w := range r.Writes() {
			if strings.HasPrefix(w, "patch status DataPlaneNode ") {
				calls["results"]++
				continue
			}
			calls[w]++
		}
		if calls["results"] != nodes {
			t.Errorf("%d writes of results of %d nodes", calls["results"], nodes)
		}
		delete(calls, "results")
		return calls
	}
	few := cost(12)
	t.Logf("a run in a row: %v", few)
	if diff := cmp.Diff(few, cost(60)); diff != "" {
		t.Errorf("on 12 nodes and on 60 (-12 +60):\n%s", diff)
	}
}

// TestOneNodeThatFailsKeepsItsRunOpen: a result that tells something is in its node before its run is closed; of plain good
// ones the run itself tells, and only the deployment stays open for them. The others get theirs all the same, each once.
func TestOneNodeThatFailsKeepsItsRunOpen(t *testing.T) {
	for result, want := range map[v1alpha1.ServiceResultState]v1alpha1.RunState{
		v1alpha1.ServiceSucceeded: v1alpha1.RunSucceeded, v1alpha1.ServiceFailed: v1alpha1.RunRunning,
	} {
		t.Run(string(result), func(t *testing.T) {
			r, _, _ := twelve(t)
			if result == v1alpha1.ServiceFailed {
				r.runner.Inject(ansibletest.Failure{What: "osp.edpm.bootstrap", Node: "n1", Result: result, Message: "no"})
			}
			for range 3 {
				r.pass()
			}
			refusing := true
			r.Inject = func(_ string, obj client.Object) error {
				if refusing && obj.GetName() == "n1" {
					return apierrors.NewForbidden(schema.GroupResource{Resource: "dataplanenodes"}, "n1", errors.New("not now")) // a pass without an answer writes no status at all
				}
				return nil
			}
			r.Writes()
			for range 20 {
				if _, err := steptest.Pass(t.Context(), &r.controller, client.ObjectKeyFromObject(newDeployment())); err == nil {
					t.Fatal("no error, want the API server's")
				}
			}
			if got := r.deployment().Status.Runs[0].State; got != want {
				t.Errorf("the run is %s without a result in n1, want %s", got, want)
			}
			if got := r.results(11); !strings.HasPrefix(got, "bootstrap:Succeeded:0") {
				t.Errorf("n11 has %q, want its result whatever became of n1", got)
			}
			refusing = false
			r.run()
			if got := r.results(1); !strings.HasPrefix(got, "bootstrap:"+string(result)) {
				t.Errorf("n1 has %q in the end", got)
			}
			if writes := r.nodeWrites(); writes["n11"] > 3 {
				t.Errorf("n11 was written %d times for three services", writes["n11"])
			}
		})
	}
}

// nodeWrites counts the writes of nodes' statuses since the last look.
func (r *rig) nodeWrites() map[string]int {
	writes := map[string]int{}
	for _, w := range r.Writes() {
		if name, ok := strings.CutPrefix(w, "patch status DataPlaneNode "); ok {
			writes[name]++
		}
	}
	return writes
}

// many is a site of twelve nodes and fifteen services, whose engine lets results wait as the product does. Every task of a run
// changes its nodes.
func many(t *testing.T) *rig {
	t.Helper()
	r, _, _ := twelve(t)
	set := steptest.NodeSet(12)
	var names []string
	for i := range 15 {
		name := fmt.Sprintf("s%02d", i)
		names = append(names, name)
		service := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta(name), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: "osp.edpm." + name}}
		if err := r.Plain.Create(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
	edit(r, set, func(set *v1alpha1.NodeSet) { set.Spec.Services = names })
	r.controller.Runner = changing{r.runner}
	r.controller.Memory = deployment.NewMemory(time.Minute)
	return r
}

// changing tells of two tasks that changed each node.
type changing struct{ *ansibletest.Runner }

func (c changing) Status(ctx context.Context, key string) (ansible.Status, error) {
	status, err := c.Runner.Status(ctx, key)
	for name, result := range status.Nodes {
		result.Changed = 2
		status.Nodes[name] = result
	}
	return status, err
}

// forgetful has lost what it knew of the runs that ended: it is on another machine.
type forgetful struct{ *ansibletest.Runner }

func (f forgetful) Status(ctx context.Context, key string) (ansible.Status, error) {
	status, err := f.Runner.Status(ctx, key)
	if status.State == ansible.Finished {
		return ansible.Status{State: ansible.Absent}, err
	}
	return status, err
}

// all checks that the node has a good result of all fifteen services for the inputs that were decided, and how much they changed.
func (r *rig) all(node int, changed int32) {
	r.Helper()
	n := r.node(node)
	if len(n.Status.Services) != 15 {
		r.Errorf("n%d has %d results, want 15", node, len(n.Status.Services))
	}
	for i, got := range n.Status.Services {
		if want := n.Spec.Services[i]; got.Name != want.Name || got.InputHash != want.InputHash || got.Result != v1alpha1.ServiceSucceeded || got.Changed != changed || got.FinishedAt.IsZero() {
			r.Errorf("n%d: result %+v, want success of %+v that changed %d", node, got, want, changed)
		}
	}
}

// TestResultsWaitForOthers: the first results are written with those of a quarter of a minute, the others with those of a minute,
// the last before the deployment ends. A run takes three seconds.
func TestResultsWaitForOthers(t *testing.T) {
	r := many(t)
	r.run()
	for name, n := range r.nodeWrites() {
		if n != 2 {
			t.Errorf("%s was written %d times for fifteen services that took less than a minute, want twice", name, n)
		}
	}
	for i := range 12 {
		r.all(i, 2)
	}
	r = many(t)
	r.until(func() bool { return len(r.deployment().Status.Runs) == 5 })
	if got := len(r.node(0).Status.Services); got != 0 {
		t.Errorf("n0 has %d results 9 seconds after the first, want none", got)
	}
	for _, runs := range []int{7, 10} {
		r.until(func() bool { return len(r.deployment().Status.Runs) >= runs })
		if got := len(r.node(0).Status.Services); got != 6 {
			t.Errorf("n0 has %d results when run %d has begun, want the six of the first quarter of a minute", got, runs)
		}
	}
	r.Clock.Step(time.Minute)
	r.pass()
	if got := len(r.node(0).Status.Services); got != 9 {
		t.Errorf("n0 has %d results a minute later, want those of all nine runs that have ended", got)
	}
	r.run()
	if writes := r.nodeWrites(); writes["n0"] != 3 {
		t.Errorf("n0 was written %d times, want at first, after a minute and at the end", writes["n0"])
	}
}

// TestTroubleWaitsForNothing: a failure, and what a good result has to tell, are in the node before the next service runs,
// together with what the node was owed; nothing is written of the other nodes.
func TestTroubleWaitsForNothing(t *testing.T) {
	r := many(t)
	r.runner.Inject(ansibletest.Failure{What: "osp.edpm.s03", Node: "n4", Result: v1alpha1.ServiceUnreachable, Message: "no route"})
	r.runner.Tell("osp.edpm.s03", "n5", "a reboot is due")
	r.until(func() bool { return len(r.deployment().Status.Runs) == 5 })
	if diff := cmp.Diff(map[string]int{"n4": 1, "n5": 1}, r.nodeWrites()); diff != "" {
		t.Errorf("writes of nodes (-want +got):\n%s", diff)
	}
	if got := r.results(4); got != "s00:Succeeded:0 s01:Succeeded:0 s02:Succeeded:0 s03:Unreachable:1" {
		t.Errorf("n4 has %s", got)
	}
	if got := r.node(5).Status.Services[3].Message; got != "a reboot is due" {
		t.Errorf("n5 tells %q", got)
	}
	r.run()
	if got := r.node(4).Status.Services; len(got) != 4 || got[3].Failures != 1 || got[3].Message != "no route" {
		t.Errorf("n4 has %+v in the end", got)
	}
}

// TestNextEngineWritesWhatTheLastOwed: results that an engine saw, and had not written when it died, are written by the next
// one, with all they told where the runs are still known; no service runs again.
func TestNextEngineWritesWhatTheLastOwed(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprintf("elsewhere=%t", elsewhere), func(t *testing.T) {
			r := many(t)
			r.until(func() bool { return len(r.deployment().Status.Runs) == 8 })
			if got := len(r.node(3).Status.Services); got != 6 {
				t.Fatalf("n3 has %d results, want those of the first quarter of a minute alone", got)
			}
			ended, changed := 7, int32(2)
			r.controller.Memory = deployment.NewMemory(time.Minute)
			if elsewhere {
				r.controller.Runner, changed = forgetful{r.runner}, 0
			}
			r.pass()
			for _, got := range r.node(3).Status.Services[6:ended] {
				if got.Result != v1alpha1.ServiceSucceeded || got.Changed != changed {
					t.Errorf("%+v, want success that changed %d", got, changed)
				}
			}
			if got := len(r.node(3).Status.Services); got != ended {
				t.Errorf("n3 has %d results, want %d", got, ended)
			}
			r.controller.Runner = changing{r.runner}
			r.run()
			if got := len(r.runner.Started()); got != 15 {
				t.Errorf("%d runs for fifteen services", got)
			}
		})
	}
}

// TestDeletedDeploymentLeavesItsResults: what has run need not run again because its deployment is gone.
func TestDeletedDeploymentLeavesItsResults(t *testing.T) {
	r := many(t)
	r.until(func() bool { return len(r.deployment().Status.Runs) == 8 })
	r.drop(newDeployment())
	for range 5 {
		r.pass()
	}
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(newDeployment()), &v1alpha1.DataPlaneDeployment{}); !apierrors.IsNotFound(err) {
		t.Fatalf("the deployment is still there: %v", err)
	}
	for i := range 12 {
		if got := len(r.node(i).Status.Services); got != 7 {
			t.Errorf("n%d has %d results, want those of the seven runs that ended", i, got)
		}
	}
}

// oldWorld shows nodes as they were.
type oldWorld struct {
	client.Reader
	nodes v1alpha1.DataPlaneNodeList
}

func (o *oldWorld) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if nodes, ok := list.(*v1alpha1.DataPlaneNodeList); ok {
		o.nodes.DeepCopyInto(nodes)
		return nil
	}
	return o.Reader.List(ctx, list, opts...)
}

// TestResultsAreWrittenWhateverTheWorldShows: a node that the world shows as it was, or not at all, gets its results as the
// others do, each once.
func TestResultsAreWrittenWhateverTheWorldShows(t *testing.T) {
	for _, known := range []int{0, 3} {
		r := site(t, newDeployment())
		r.runner.Inject(ansibletest.Failure{What: "osp.edpm.known", Node: "n1", Result: v1alpha1.ServiceFailed, Message: "no"})
		old := &oldWorld{Reader: r.Reader}
		if err := r.Plain.List(t.Context(), &old.nodes); err != nil {
			t.Fatal(err)
		}
		old.nodes.Items = old.nodes.Items[:known]
		r.pass() // the snapshot is taken
		r.controller.Reader = old
		r.run()
		for i, want := range []string{"bootstrap:Succeeded:0 network:Succeeded:0 known:Succeeded:0", "bootstrap:Succeeded:0 network:Succeeded:0 known:Failed:1"} {
			if got := r.results(i); got != want {
				t.Errorf("the world shows %d nodes: n%d has %q, want %q", known, i, got, want)
			}
		}
	}
}
