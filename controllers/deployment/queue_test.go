package deployment_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/plan"
)

// passes makes passes over deployments side by side, in the order given, until all have ended.
func (r *rig) passes(names ...string) {
	r.Helper()
	for range 60 {
		r.DecideInputs(r.controller.Collection)
		ended := 0
		for _, name := range names {
			d := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta(name)}
			if _, err := r.controller.Reconcile(r.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d)}); err != nil {
				r.Fatal(err)
			}
			if err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(d), d); err != nil {
				r.Fatal(err)
			}
			if plan.Finished(d) {
				ended++
			}
		}
		r.mostOneRunPerNode()
		r.Clock.Step(time.Second)
		if ended == len(names) {
			return
		}
	}
	r.Fatalf("%v have not ended", names)
}

// mostOneRunPerNode looks at the runs that are under way.
func (r *rig) mostOneRunPerNode() {
	r.Helper()
	var list v1alpha1.DataPlaneDeploymentList
	if err := r.Plain.List(r.Context(), &list); err != nil {
		r.Fatal(err)
	}
	users := map[string]string{}
	for _, d := range list.Items {
		for _, run := range rollout.Runs(&d) {
			for _, node := range run.Nodes {
				if run.State != v1alpha1.RunRunning {
					continue
				}
				if other, twice := users[node]; twice {
					r.Fatalf("%s and %s run on %s at once", other, d.Name, node)
				}
				users[node] = d.Name
			}
		}
	}
}

func named(name string, nodes ...string) *v1alpha1.DataPlaneDeployment {
	d := newDeployment(nodes...)
	d.Name = name
	return d
}

// TestDeploymentsQueue: what users make for the same nodes runs one after the other, the oldest first.
func TestDeploymentsQueue(t *testing.T) {
	for _, order := range [][]string{{"d", "later", "beside"}, {"beside", "later", "d"}} {
		t.Run(strings.Join(order, " "), func(t *testing.T) {
			r := site(t, newDeployment("n0", "n1"))
			r.Clock.Step(time.Second)
			for _, d := range []client.Object{named("later", "n1"), named("beside", "n2")} {
				if err := r.Plain.Create(t.Context(), d); err != nil {
					t.Fatal(err)
				}
				steptest.Edit(r.API, d, func(o client.Object) { o.SetCreationTimestamp(metav1.NewTime(r.Clock.Now())) })
			}
			r.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(named("later"))})
			later := named("later")
			if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(later), later); err != nil {
				t.Fatal(err)
			}
			r.Expect(later, metav1.Condition{Type: v1alpha1.ConditionInputReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonQueued},
				"behind DataPlaneDeployment d of 2026-01-02T03:04:05Z", "node n1")
			r.passes(order...)
			var ran []string
			for _, run := range r.runner.Started() {
				ran = append(ran, run.Playbook+" on "+strings.Join(run.Nodes, ","))
			}
			last := []string{"osp.edpm.bootstrap on n1", "osp.edpm.network on n1", "osp.edpm.known on n1"}
			if diff := cmp.Diff(last, ran[len(ran)-3:]); len(ran) != 9 || diff != "" {
				t.Errorf("ran %v; want the later one's runs last", ran)
			}
		})
	}
}

// TestQueueBehindWrongInput: a deployment that cannot begin keeps nobody waiting, and one that has begun is not overtaken.
func TestQueueBehindWrongInput(t *testing.T) {
	wrong := named("a", "n0")
	wrong.Spec.ServicesOverride = []string{"nothing"}
	r := site(t, wrong, named("b", "n0"))
	pass := func(name string) {
		t.Helper()
		r.DecideInputs(r.controller.Collection)
		if _, err := r.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(named(name))}); err != nil {
			t.Fatal(err)
		}
	}
	pass("a")
	pass("b")
	service := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("nothing"), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: "osp.edpm.nothing"}}
	if err := r.Plain.Create(t.Context(), service); err != nil {
		t.Fatal(err)
	}
	pass("a")
	a := named("a")
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(a), a); err != nil {
		t.Fatal(err)
	}
	r.Expect(a, metav1.Condition{Type: v1alpha1.ConditionInputReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonQueued}, "behind DataPlaneDeployment b")
	r.passes("a", "b")
	if started := r.runner.Started(); len(started) != 4 || started[3].Playbook != "osp.edpm.nothing" {
		t.Errorf("%d runs, the last %s; want those of b, then the one of a", len(started), started[len(started)-1].Playbook)
	}
}
