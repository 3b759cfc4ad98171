package deployment_test

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/ansible/lease"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// elsewhere is an engine on another machine: its runs and its own clockwork, the same API server.
func (r *rig) elsewhere() *rig {
	other := *r
	other.runner = ansibletest.New(1)
	other.controller.Runner = other.runner
	other.controller.Leases = leasesOf(r.API, other.runner)
	other.controller.Leases.Store = "there"
	return &other
}

// lease reads a Lease; nil when there is none.
func (r *rig) lease(name string) *coordinationv1.Lease {
	r.Helper()
	l := &coordinationv1.Lease{ObjectMeta: steptest.Meta(name)}
	err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(l), l)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		r.Fatal(err)
	}
	return l
}

func (r *rig) editLease(change func(*coordinationv1.Lease)) {
	r.Helper()
	l := r.lease(lease.RunName(r.deployment().Status.Runs[0].LeaseKey()))
	change(l)
	if err := r.Plain.Update(r.Context(), l); err != nil {
		r.Fatal(err)
	}
}

// begin makes the first engine start the first run.
func (r *rig) begin() ansible.Run {
	r.Helper()
	r.pass()
	r.pass()
	if started := r.runner.Started(); len(started) == 1 {
		return started[0]
	}
	r.Fatal("no run was started")
	return ansible.Run{}
}

func TestRunIsLeasedBeforeItStarts(t *testing.T) {
	r := site(t, newDeployment("n0", "n1"))
	run := r.begin()
	own, node := r.lease(lease.RunName(run.Lease)), r.lease(lease.NodeName("n1"))
	if own == nil || node == nil || r.lease(lease.NodeName("n2")) != nil {
		t.Fatalf("leases %v and %v, want one of the run and of each of its nodes", own, node)
	}
	if *own.Spec.HolderIdentity != "here" || *own.Spec.LeaseDurationSeconds != 60 || own.OwnerReferences[0].Name != "d" {
		t.Errorf("the run's lease: %+v", own)
	}
	if *node.Spec.HolderIdentity != own.Name || node.OwnerReferences[0].UID != r.node(1).UID || node.Labels[lease.Label] != lease.Nodes {
		t.Errorf("the node's lease: %+v", node)
	}
	if len(run.Tokens) != 2 || run.Tokens["n1"] == 0 || run.Tokens["n1"] != lease.TokenOf(own) || run.Tokens["n1"] != lease.TokenOf(node) {
		t.Errorf("tokens %v, the leases have %d and %d", run.Tokens, lease.TokenOf(own), lease.TokenOf(node))
	}
	r.run()
	started := r.runner.Started()
	if started[1].Tokens["n0"] <= run.Tokens["n0"] {
		t.Errorf("tokens %v after %v", started[1].Tokens, run.Tokens)
	}
	for _, run := range started {
		if l := r.lease(lease.RunName(run.Lease)); l != nil {
			t.Errorf("lease after the end: %+v", l)
		}
	}
}

// TestRunIsTakenOverAfterItsLease: another engine starts a run again only after its lease has gone unrenewed for its whole
// duration before that engine's own eyes, with a higher token; and the first engine then leaves the run alone.
func TestRunIsTakenOverAfterItsLease(t *testing.T) {
	r := site(t, newDeployment("n0"))
	run := r.begin()
	other := r.elsewhere()
	r.Clock.Step(time.Hour) // what it was before the other one looked counts for nothing
	for i := range 3 {
		for range 50 {
			other.pass()
		}
		r.editLease(func(l *coordinationv1.Lease) { lease.Touch(l, r.Clock.Now()) })
		if n := len(other.runner.Started()); n > 0 {
			t.Fatalf("round %d: taken over although it is renewed", i)
		}
	}
	other.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBusy, "DataPlaneDeployment d", "at here since 2026-01-02T03:04:06Z")
	other.pass()
	other.Clock.Step(58 * time.Second)
	other.pass()
	if n := len(other.runner.Started()); n > 0 {
		t.Fatal("taken over before the lease expired")
	}
	other.pass()
	started := other.runner.Started()
	if len(started) != 1 || started[0].Key != run.Key || started[0].Tokens["n0"] <= run.Tokens["n0"] {
		t.Fatalf("%+v, want the same run with a higher token than %v", started, run.Tokens)
	}
	// The first engine comes back as the leader; its own run has ended meanwhile.
	for range 5 {
		r.runner.Status(t.Context(), run.Key)
	}
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonBusy, "at there since")
	if got := r.results(0); got != "" {
		t.Errorf("results %s are recorded while the run goes on elsewhere", got)
	}
	r.editLease(lease.GiveBack)
	r.run()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

func TestDeletionEndsTheRunElsewhere(t *testing.T) {
	r := site(t, newDeployment("n0"))
	r.begin()
	other := r.elsewhere()
	r.drop(newDeployment())
	other.pass()
	other.pass()
	l := r.lease(lease.RunName(r.deployment().Status.Runs[0].LeaseKey()))
	if !lease.Of(l).Cancelled || lease.Of(l).Holder != "here" {
		t.Fatalf("lease %+v, want its holder to be asked to end the run", l)
	}
	other.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonReleasing, "at here since")
	r.editLease(lease.GiveBack)
	other.pass()
	for _, obj := range []client.Object{newDeployment(), l} {
		if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); !apierrors.IsNotFound(err) {
			t.Errorf("%T %s: %v, want it gone", obj, obj.GetName(), err)
		}
	}
}

// TestRunWaitsForItsNodes: when two deployments over one node have both begun, which the queue does not allow, their runs
// still go one after the other; and one whose deployment is gone keeps nobody waiting for longer than it goes on.
func TestRunWaitsForItsNodes(t *testing.T) {
	r := site(t, newDeployment("n0"), named("other", "n0"))
	r.begin()
	if _, err := r.controller.Leases.Release(t.Context(), steptest.Namespace, "nothing"); err != nil {
		t.Fatal(err)
	}
	claim := leases.Claim{
		Namespace: steptest.Namespace, Key: "k", Owner: metav1.OwnerReference{Kind: "DataPlaneDeployment", Name: "other"},
		Nodes: []metav1.OwnerReference{{Kind: "DataPlaneNode", Name: "n1"}, {Kind: "DataPlaneNode", Name: "n0"}},
	}
	tokens, waits, err := r.controller.Leases.Take(t.Context(), claim)
	if err != nil || tokens != nil || !strings.Contains(waits, "node n0: waits for the run of DataPlaneDeployment d, which goes on here since") {
		t.Fatalf("tokens %v, waits %q, error %v", tokens, waits, err)
	}
	if l := r.lease(lease.NodeName("n1")); l != nil {
		t.Errorf("half of the nodes are taken: %+v", l)
	}
	old := r.lease(lease.NodeName("n0"))
	r.runner.Lose()
	if tokens, waits, err = r.controller.Leases.Take(t.Context(), claim); err != nil || waits != "" || tokens["n0"] <= lease.TokenOf(old) {
		t.Fatalf("tokens %v after %d, waits %q, error %v", tokens, lease.TokenOf(old), waits, err)
	}
}

func TestTokenIsKeptWhileThereIsNoSlot(t *testing.T) {
	r := site(t, newDeployment("n0", "n1"))
	r.runner.Limit(1)
	if err := r.runner.Start(t.Context(), ansible.Run{Key: "other", Role: "x", Nodes: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.pass()
	token := lease.TokenOf(r.lease(lease.NodeName("n0")))
	r.Writes()
	for range 5 {
		r.pass()
	}
	if w := r.Writes(); len(w) > 0 {
		t.Errorf("waiting for a slot writes %v", w)
	}
	if err := r.runner.Cancel(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if started := r.runner.Started(); started[1].Tokens["n0"] != token {
		t.Errorf("tokens %v, want %d", started[1].Tokens, token)
	}
	// A start whose outcome is unknown is followed by one with a higher token.
	r.runner.Lose()
	r.pass()
	if started := r.runner.Started(); started[2].Tokens["n0"] <= token {
		t.Errorf("tokens %v, want more than %d", started[2].Tokens, token)
	}
}

// TestEngineDiesWhileItTakesLeases: whatever write is the last one, the next engine of the store starts the run at once.
func TestEngineDiesWhileItTakesLeases(t *testing.T) {
	for after := range 4 {
		r := site(t, newDeployment("n0", "n1"))
		r.pass()
		r.Inject = func(_ string, obj client.Object) error {
			if _, ok := obj.(*coordinationv1.Lease); !ok {
				return nil
			}
			if after--; after < 0 {
				return apierrors.NewInternalError(apierrors.NewBadRequest("the engine is dead"))
			}
			return nil
		}
		_, _ = r.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(newDeployment())})
		r.Inject = nil
		r.controller.Leases = leasesOf(r.API, r.runner)
		r.pass()
		if n := len(r.runner.Started()); n != 1 {
			t.Errorf("%d runs started", n)
		}
		r.run()
	}
}
