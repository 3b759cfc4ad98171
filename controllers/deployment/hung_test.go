package deployment_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/ansible/lease"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

const allGood = "bootstrap:Succeeded:0 network:Succeeded:0 known:Succeeded:0"

// hung is a site whose deployment d is about n0, n1 and n2. Its runs take three looks.
func hung(t *testing.T, hangs ...ansibletest.Hang) *rig {
	t.Helper()
	r := site(t, newDeployment("n0", "n1", "n2"))
	r.runner = ansibletest.New(3)
	r.runner.Follow(r.Clock)
	for _, h := range hangs {
		r.runner.Hang(h)
	}
	r.controller.Runner = r.runner
	r.controller.Leases = leasesOf(r.API, r.runner)
	return r
}

// until makes passes until it is so, and returns how many.
func (r *rig) until(is func() bool) int {
	r.Helper()
	for n := range 200 {
		if is() {
			return n
		}
		r.pass()
	}
	r.Fatalf("not so after 200 passes: %+v", r.deployment().Status)
	return 0
}

// has reports whether the nodes have all results, good ones.
func (r *rig) has(nodes ...int) func() bool {
	return func() bool {
		return !slices.ContainsFunc(nodes, func(i int) bool { return r.results(i) != allGood })
	}
}

// ran are the runs that really began.
func (r *rig) ran() []string {
	var ran []string
	for _, run := range r.runner.Started() {
		ran = append(ran, strings.TrimPrefix(run.Playbook, "osp.edpm.")+" on "+strings.Join(run.Nodes, ","))
	}
	return ran
}

// TestHungNodeKeepsNobodyWaiting: the others go through all services while a node hangs, and lose one grace with it, whichever
// service it hangs in.
func TestHungNodeKeepsNobodyWaiting(t *testing.T) {
	healthy := hung(t)
	alone := healthy.until(healthy.has(0, 1, 2))
	for i, service := range []string{"bootstrap", "network", "known"} {
		t.Run(service, func(t *testing.T) {
			r := hung(t, ansibletest.Hang{What: "osp.edpm." + service, Node: "n2"})
			if beside := r.until(r.has(0, 1)); beside > alone+3 {
				t.Errorf("the others are through after %d looks, without a node that hangs after %d", beside, alone)
			}
			want := []string{"bootstrap on n0,n1,n2", "network on n0,n1,n2", "known on n0,n1,n2"}
			for j := i + 1; j < len(want); j++ {
				want[j] = strings.TrimSuffix(want[j], ",n2")
			}
			if diff := cmp.Diff(want, r.ran()); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
			if got := r.node(2).Status.Services; len(got) != i {
				t.Errorf("the node that hangs has %+v", got)
			}
		})
	}
}

// TestHungNodeIsTold: what runs, on how many, and where it is still at an earlier service.
func TestHungNodeIsTold(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	began := r.Clock.Now()
	r.runner.Times(began, began.Add(time.Hour), began.Add(time.Second))
	r.until(func() bool { return len(r.runner.Started()) == 2 })
	times := " since " + began.UTC().Format(time.RFC3339) + ", until " + began.Add(time.Hour).UTC().Format(time.RFC3339) + " at most"
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing,
		"runs network (2 of 3) on 2 nodes"+times+"; bootstrap (1 of 3) still on node n2"+times)
	r.Writes()
	r.pass()
	if w := r.Writes(); len(w) > 0 {
		t.Errorf("a pass while two runs go on writes %v", w)
	}
	r.until(r.has(0, 1))
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing, "bootstrap (1 of 3) still on node n2"+times)
	if d := r.deployment(); d.RunOn("n2") != &d.Status.Runs[0] || d.RunOn("n0") == &d.Status.Runs[0] {
		t.Errorf("runs %+v", d.Status.Runs)
	}
}

// TestLateNodesGoOn: nodes that are late and end well after all go on by themselves, and together with others at the same service.
func TestLateNodesGoOn(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n1", Looks: 20}, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2", Looks: 20})
	r.run()
	want := []string{"bootstrap on n0,n1,n2", "network on n0", "known on n0", "network on n1,n2", "known on n1,n2"}
	if diff := cmp.Diff(want, r.ran()); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
	for _, run := range r.deployment().Status.Runs {
		if run.State != v1alpha1.RunSucceeded || run.LeftIndexes != "" || run.FailedIndexes != "" {
			t.Errorf("run %+v", run)
		}
	}
}

// TestLateNodeFails: what becomes of a node that is late is its own, too.
func TestLateNodeFails(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.network", Node: "n1", Looks: 9})
	r.runner.Inject(ansibletest.Failure{What: "osp.edpm.network", Node: "n1", Result: v1alpha1.ServiceFailed, Message: "task x: it had not ended after 600 s"})
	r.run()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonFailed, "failed: network on n1")
	if !r.has(0, 2)() || r.results(1) != "bootstrap:Succeeded:0 network:Failed:1" {
		t.Errorf("results %s; %s; %s", r.results(0), r.results(1), r.results(2))
	}
}

// TestNodeIsHandedOver: the lease of a node that has left a run names its next one, with a higher token; the run that it has left
// keeps its own lease and the late node's.
func TestNodeIsHandedOver(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	r.until(func() bool { return len(r.runner.Started()) == 2 })
	first, second := r.runner.Started()[0], r.runner.Started()[1]
	for node, key := range map[string]string{"n0": second.Lease, "n1": second.Lease, "n2": first.Lease} {
		l := r.lease(lease.NodeName(node))
		if *l.Spec.HolderIdentity != lease.RunName(key) {
			t.Errorf("node %s is %s's, want %s", node, *l.Spec.HolderIdentity, key)
		}
	}
	if own := r.lease(lease.RunName(first.Lease)); lease.Of(own).Holder != "here" || lease.TokenOf(own) != first.Tokens["n2"] {
		t.Errorf("the lease of the run that goes on for n2: %+v", own)
	}
	if second.Tokens["n0"] <= first.Tokens["n0"] || len(second.Tokens) != 2 {
		t.Errorf("tokens %v after %v", second.Tokens, first.Tokens)
	}
}

// TestTwoRunsAreTakenOver: an engine on another machine runs what was left of each run, and nothing again on nodes that had left.
func TestTwoRunsAreTakenOver(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	r.until(func() bool { return len(r.runner.Started()) == 2 })
	other := r.elsewhere()
	other.pass()
	if n := len(other.runner.Started()); n > 0 {
		t.Fatal("taken over before the leases expired")
	}
	r.Clock.Step(2 * time.Minute)
	other.run()
	want := []string{"bootstrap on n2", "network on n0,n1", "network on n2", "known on n0,n1", "known on n2"}
	ran := other.ran()
	slices.Sort(ran)
	slices.Sort(want)
	if diff := cmp.Diff(want, ran); diff != "" {
		t.Errorf("runs of the other engine (-want +got):\n%s", diff)
	}
	for i := range 3 {
		if got := r.results(i); got != allGood {
			t.Errorf("n%d: %s", i, got)
		}
	}
}

// TestLostRunLeavesOthersAlone: a run that was lost starts again for the nodes that are still in it, beside the run of those
// that have left.
func TestLostRunLeavesOthersAlone(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	r.until(func() bool { return len(r.runner.Started()) == 2 })
	lost, other := r.runner.Started()[0], r.runner.Started()[1]
	if err := r.runner.Cancel(t.Context(), lost.Key); err != nil {
		t.Fatal(err)
	}
	r.pass()
	again := r.runner.Started()
	if len(again) != 3 || again[2].Key != lost.Key || !slices.Equal(again[2].Nodes, []string{"n2"}) || again[2].Tokens["n2"] <= lost.Tokens["n2"] {
		t.Fatalf("%v, want the lost run to go on for n2", r.ran())
	}
	if l := r.lease(lease.NodeName("n0")); *l.Spec.HolderIdentity != lease.RunName(other.Lease) || lease.TokenOf(l) != other.Tokens["n0"] {
		t.Errorf("the lease of a node that had left: %+v", l)
	}
}

func TestDeletionEndsAllRuns(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	r.until(func() bool { return r.runner.Running() == 2 })
	keys := []string{r.runner.Started()[0].Lease, r.runner.Started()[1].Lease}
	other := r.elsewhere()
	r.drop(newDeployment())
	other.pass()
	for _, key := range keys {
		if l := r.lease(lease.RunName(key)); !lease.Of(l).Cancelled {
			t.Errorf("run %s is not asked to end: %+v", key, l)
		}
	}
	r.pass()
	if n := r.runner.Running(); n > 0 {
		t.Errorf("%d runs go on", n)
	}
	d := newDeployment()
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(d), d); !apierrors.IsNotFound(err) {
		t.Errorf("the deployment: %v, want it gone", err)
	}
}

// TestLateRunTakesNoSlot: the others get the slot of the run that they have left.
func TestLateRunTakesNoSlot(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	r.runner.Limit(1)
	r.until(r.has(0, 1))
	if leaves := r.runner.Started()[1].Leaves; !slices.Equal(leaves, []string{r.runner.Started()[0].Key}) {
		t.Errorf("the second run leaves %v", leaves)
	}
}

// TestNoSlotForTheOthers: a run that waits for a slot hides nothing of the one that goes on.
func TestNoSlotForTheOthers(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2"})
	r.until(func() bool { return r.runner.Running() == 1 })
	r.runner.Limit(1)
	r.until(func() bool { return len(r.deployment().Status.Runs) == 2 })
	if err := r.runner.Start(t.Context(), ansible.Run{Key: "other", Role: "x", Nodes: []string{"x"}, Leaves: []string{r.runner.Started()[0].Key}}); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.Clock.Step(10 * time.Second) // no news until then
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBusy, "no slot is free", "bootstrap (1 of 3) still on node n2")
	if err := r.runner.Cancel(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	r.until(r.has(0, 1))
}

// TestNobodyLateCostsNothing: while no node is late there is one run for each service, and no more is written than that asks for:
// the finalizer, the snapshot, and for each run its decision with the message, its leases and their end, and the nodes' results.
func TestNobodyLateCostsNothing(t *testing.T) {
	r := hung(t)
	r.Writes()
	r.run()
	writes := len(r.Writes())
	if n := len(r.runner.Started()); n != 3 {
		t.Errorf("%d runs, want one for each of 3 services", n)
	}
	if writes != healthyWrites {
		t.Errorf("%d writes, want %d", writes, healthyWrites)
	}
}

// healthyWrites are those of a deployment of three services on three nodes, as they are with one run for each service: the second and third write no Lease of a node, and delete none.
const healthyWrites = 25

// TestWritesFailWhileNodesLeave: whichever write fails while a node hangs, nothing runs twice on a node, nor at once, and every
// result is there once.
func TestWritesFailWhileNodesLeave(t *testing.T) {
	for at := 1; ; at++ {
		r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2", Looks: 25})
		r.DecideInputs(r.controller.Collection)
		writes := 0
		r.Inject = func(string, client.Object) error {
			if writes++; writes == at {
				return errors.New("the engine is dead")
			}
			return nil
		}
		for range 60 {
			_, err := r.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(newDeployment())})
			if err != nil { // the next engine remembers nothing
				r.controller.Leases = leasesOf(r.API, r.runner)
			}
			r.Clock.Step(time.Second)
			r.assertNoNodeTwice()
		}
		want := []string{"bootstrap on n0,n1,n2", "network on n0,n1", "known on n0,n1", "network on n2", "known on n2"}
		if diff := cmp.Diff(want, r.ran()); diff != "" {
			t.Errorf("write %d fails: runs (-want +got):\n%s", at, diff)
		}
		if !r.has(0, 1, 2)() {
			t.Errorf("write %d fails: %s; %s; %s", at, r.results(0), r.results(1), r.results(2))
		}
		if writes < at {
			return
		}
	}
}

// assertNoNodeTwice holds at every moment: one run at most has something left to do on a node.
func (r *rig) assertNoNodeTwice() {
	r.Helper()
	at := map[string]string{}
	for _, run := range r.runner.Started() {
		for _, node := range r.runner.AtWork(run.Key) {
			if other := at[node]; other != "" && other != run.Key {
				r.Errorf("runs %s and %s are at work on %s", other, run.Key, node)
			}
			at[node] = run.Key
		}
	}
}

// TestLateNodesNextRunKeepsNobodyWaiting: nodes that have left a run, and could not begin their next before it ended, wait for no
// later run of the late node either, which goes on under the Lease that they were held by.
func TestLateNodesNextRunKeepsNobodyWaiting(t *testing.T) {
	r := hung(t, ansibletest.Hang{What: "osp.edpm.bootstrap", Node: "n2", Looks: 9}, ansibletest.Hang{What: "osp.edpm.network", Node: "n2"})
	r.until(func() bool { return len(r.runner.Started()) == 1 })
	r.Inject = func(_ string, obj client.Object) error {
		if obj.GetName() == lease.NodeName("n0") {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "leases"}, obj.GetName(), nil)
		}
		return nil
	}
	for range 60 {
		if slices.Contains(r.ran(), "network on n2") {
			break
		}
		_, _ = r.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(newDeployment())})
		r.Clock.Step(time.Second)
	}
	if diff := cmp.Diff([]string{"bootstrap on n0,n1,n2", "network on n2"}, r.ran()); diff != "" {
		t.Fatalf("runs (-want +got):\n%s", diff)
	}
	r.Inject = nil
	r.until(r.has(0, 1))
	if r.runner.Running() != 1 {
		t.Errorf("%d runs go on, want that of n2", r.runner.Running())
	}
}
