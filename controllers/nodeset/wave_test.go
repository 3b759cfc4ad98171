package nodeset_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// wave is a site whose first nodes have been given everything, and which others come to.
type wave struct {
	*rig
	runs map[string]int // of the global service, by node
}

func newWave(t *testing.T, old, more int) *wave {
	t.Helper()
	w := &wave{site(t, old+more, int32(old)), map[string]int{}}
	w.pass()
	w.arrive()
	w.pass()
	w.run()
	w.pass()
	w.Writes()
	clear(w.runs)
	return w
}

// grow makes the set larger; the new nodes get their host keys.
func (w *wave) grow(to int) {
	w.Helper()
	edit(w.rig, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { *s.Spec.Replicas = int32(to) })
	w.pass()
	for _, n := range w.nodes() {
		if n.Status.SSHHostKey == "" {
			edit(w.rig, &n, func(n *v1alpha1.DataPlaneNode) { n.Status.SSHHostKey = steptest.HostKey })
		}
	}
	w.pass()
}

// arrive has nodes answer; none named means all.
func (w *wave) arrive(names ...string) {
	w.Helper()
	for _, n := range w.nodes() {
		if len(names) == 0 || slices.Contains(names, n.Name) {
			edit(w.rig, &n, func(n *v1alpha1.DataPlaneNode) {
				n.Status.SSHHostKey = steptest.HostKey
				meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: metav1.NewTime(w.Clock.Now())})
			})
		}
	}
}

// run ends all deployments well and counts.
func (w *wave) run() {
	w.Helper()
	for _, d := range w.deployments() {
		if meta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) {
			continue
		}
		for _, n := range w.nodes() {
			if !slices.Contains(d.Spec.Nodes, n.Name) {
				continue
			}
			if slices.Contains(d.Spec.ServicesOverride, "known") {
				w.runs[n.Name]++
			}
			edit(w.rig, &n, func(n *v1alpha1.DataPlaneNode) { succeed(n, d.Spec.ServicesOverride, w.Clock.Now()) })
		}
		edit(w.rig, &d, func(d *v1alpha1.DataPlaneDeployment) { finish(d, true) })
	}
}

func succeed(n *v1alpha1.DataPlaneNode, services []string, at time.Time) {
	for _, s := range n.Spec.Services {
		if slices.Contains(services, s.Name) {
			n.Status.Services = slices.DeleteFunc(n.Status.Services, func(r v1alpha1.ServiceResult) bool { return r.Name == s.Name })
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{
				Name: s.Name, InputHash: s.InputHash, Result: v1alpha1.ServiceSucceeded, FinishedAt: metav1.NewTime(at),
			})
		}
	}
}

// wait lets time pass in small steps and ends what is begun.
func (w *wave) wait(long time.Duration) {
	w.Helper()
	for end := w.Clock.Now().Add(long); w.Clock.Now().Before(end); {
		w.Clock.Step(20 * time.Second)
		w.pass()
		w.run()
	}
	w.pass()
}

// patches counts the writes of a node's spec since the last count.
func (w *wave) patches(node string) (n int) {
	for _, write := range w.Writes() {
		if write == "patch DataPlaneNode "+node {
			n++
		}
	}
	return n
}

// TestGlobalServicesRunOncePerWave: thirty nodes come one after another, and what tells of them runs once on those that were
// there before, and once on each of themselves, as soon as it answers.
func TestGlobalServicesRunOncePerWave(t *testing.T) {
	const old, more = 4, 30
	w := newWave(t, old, more)
	for i := range more {
		w.grow(old + i + 1)
		if i%3 == 2 { // three of them answer together, while others are still to be made
			w.arrive(fmt.Sprintf("n%d", old+i-2), fmt.Sprintf("n%d", old+i-1), fmt.Sprintf("n%d", old+i))
			w.pass()
			w.run()
			if name := fmt.Sprintf("n%d", old+i); i < more-1 && w.runs[name] != 1 {
				t.Errorf("%s answers, and what it is to have has run %d times", name, w.runs[name])
			}
		} else {
			w.arrive("none")
			w.pass()
		}
		w.Clock.Step(5 * time.Second)
	}
	w.wait(2 * rollout.Quiet)
	for i := range old {
		if name := fmt.Sprintf("n%d", i); w.runs[name] != 1 {
			t.Errorf("%s was there before: %d runs, want 1", name, w.runs[name])
		}
	}
	if n := w.patches("n0"); n != 1 {
		t.Errorf("another input was decided for n0 %d times, want 1", n)
	}
	w.expect(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonProgressing) // nobody says that nodes are ready here
	if s := w.set().Status; s.Settling != nil || s.UpdatedReplicas != old+more {
		t.Errorf("settling %+v, %d nodes have what they are to have, want all %d", s.Settling, s.UpdatedReplicas, old+more)
	}
	w.settled()
}

// TestAWaveIsRemembered: while nodes wait for others to come, nothing is planned or hashed again; and whatever happens meanwhile,
// a controller that remembers decides as one does that was started just now.
func TestAWaveIsRemembered(t *testing.T) {
	result := func(result v1alpha1.ServiceResultState) func(w *wave) {
		return func(w *wave) {
			edit(w.rig, &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta("n0")}, func(n *v1alpha1.DataPlaneNode) {
				for i := range n.Status.Services {
					if r := &n.Status.Services[i]; r.Name == "known" {
						r.Result, r.Failures, r.FinishedAt = result, 1, metav1.NewTime(w.Clock.Now())
					}
				}
			})
		}
	}
	for name, happens := range map[string]func(w *wave){
		"nothing":                      func(*wave) {},
		"a while":                      func(w *wave) { w.Clock.Step(rollout.Arrival) },
		"all the time":                 func(w *wave) { w.Clock.Step(2 * rollout.Arrival) },
		"one comes":                    func(w *wave) { w.arrive("n2") },
		"all come":                     func(w *wave) { w.arrive("n2", "n3") },
		"more are wanted":              func(w *wave) { w.grow(5) },
		"its run has failed on a node": result(v1alpha1.ServiceFailed),
		"its run ends well once more":  result(v1alpha1.ServiceSucceeded),
		"somebody has it run on a node": func(w *wave) {
			d := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta("by-hand"), Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", Nodes: []string{"n1"}}}
			if err := w.Plain.Create(w.Context(), d); err != nil {
				w.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play := func(old time.Duration, forgets bool) *wave {
				w := newWave(t, 2, 3)
				w.Clock.Step(old)
				w.pass()
				w.grow(4)
				for range 3 {
					w.pass()
				}
				if !nodeset.Remembers(&w.controller, client.ObjectKeyFromObject(w.set())) || w.set().Status.Settling == nil {
					t.Error("nothing waits, or nothing is remembered of who does")
				}
				happens(w)
				for range 3 {
					if forgets {
						c := &w.controller
						w.controller = nodeset.Reconciler{Client: c.Client, Reader: c.Reader, Live: c.Live, Clock: c.Clock, Events: c.Events, Collection: c.Collection}
					}
					w.pass()
				}
				return w
			}
			same := cmp.Options{cmpopts.IgnoreFields(metav1.ObjectMeta{}, "UID", "ResourceVersion", "ManagedFields", "OwnerReferences"), cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime"), cmpopts.EquateEmpty()}
			for _, old := range []time.Duration{2 * rollout.Quiet, rollout.Quiet - rollout.Arrival/2} { // the others have come long ago, or do so yet
				a, b := play(old, false), play(old, true)
				for what, pair := range map[string][2]any{"nodes": {b.nodes(), a.nodes()}, "set": {b.set(), a.set()}, "deployments": {b.deployments(), a.deployments()}} {
					if diff := cmp.Diff(pair[0], pair[1], same); diff != "" {
						t.Errorf("%s differ (-one started just now +one that remembers): %s", what, diff)
					}
				}
			}
		})
	}
}

// TestASingleArrivalIsToldSoon: where one node comes and no other is on its way, the others are told of it ten seconds later.
func TestASingleArrivalIsToldSoon(t *testing.T) {
	w := newWave(t, 3, 1)
	w.Clock.Step(2 * rollout.Quiet)
	w.pass()
	w.grow(4)
	result := w.pass()
	w.run()
	if w.runs["n0"] != 0 || result.RequeueAfter > rollout.Arrival {
		t.Errorf("%d runs at once; another pass after %s, want one after %s at most", w.runs["n0"], result.RequeueAfter, rollout.Arrival)
	}
	w.Clock.Step(rollout.Arrival)
	w.pass()
	w.run()
	if w.runs["n0"] != 1 || w.runs["n2"] != 1 {
		t.Errorf("runs %v after %s, want one on each of the old nodes", w.runs, rollout.Arrival)
	}
	w.arrive("n3")
	w.wait(2 * rollout.Quiet)
	if w.runs["n0"] != 1 || w.runs["n3"] != 1 {
		t.Errorf("runs %v, want one on each", w.runs)
	}
	w.settled()
}

// TestWaveWhoseNodesNeverCome: nodes that are made and never answer keep what tells of them from the others for Quiet, and no
// longer; also when what was noted of it is lost on the way.
func TestWaveWhoseNodesNeverCome(t *testing.T) {
	for _, lost := range []string{"nothing", "the status"} {
		w := newWave(t, 2, 3)
		w.grow(5)
		w.Clock.Step(rollout.Quiet / 2)
		if result := w.pass(); result.RequeueAfter == 0 || result.RequeueAfter > rollout.Quiet/2 {
			t.Errorf("another pass after %s, want one when it settles", result.RequeueAfter)
		}
		w.run()
		if w.runs["n0"] != 0 || w.set().Status.UpdatedReplicas != 0 {
			t.Errorf("after half of Quiet: %d runs, %d nodes have the newest; want none of either", w.runs["n0"], w.set().Status.UpdatedReplicas)
		}
		if lost == "the status" {
			edit(w.rig, w.set(), func(s *v1alpha1.NodeSet) { s.Status = v1alpha1.NodeSetStatus{} })
		}
		w.wait(3 * rollout.Quiet)
		if w.runs["n0"] != 1 || w.runs["n1"] != 1 {
			t.Errorf("%s is lost: runs %v, want one on each of the old nodes", lost, w.runs)
		}
		w.settled()
	}
}

// TestASetTellsWhoseServicesAreToRunAgain: nodes on which global services are to run again are Ready, and so is their set, which
// tells how many they are.
func TestASetTellsWhoseServicesAreToRunAgain(t *testing.T) {
	r := site(t, 3, 3)
	r.pass()
	r.deployed()
	r.pass()
	r.ran(v1alpha1.ServiceSucceeded)
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "3 of 3 nodes ready")
	edit(r, &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("known")}, func(s *v1alpha1.DataPlaneService) { s.Spec.Playbook = "osp.edpm.other" })
	r.pass()
	r.pass()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone, "3 of 3 nodes ready; services are to run again on 3")
	r.ran(v1alpha1.ServiceSucceeded)
	r.pass()
	if s := r.set().Status; s.UpdatedReplicas != 3 || meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady).Message != "3 of 3 nodes ready" {
		t.Errorf("once they have run: %+v", s)
	}
}

// TestOneWriteThatFailsStartsNoOtherWait: what has settled is given out to the rest as soon as that can be written.
func TestOneWriteThatFailsStartsNoOtherWait(t *testing.T) {
	w := newWave(t, 2, 1)
	w.grow(3)
	w.Inject = func(verb string, obj client.Object) error {
		if verb == "patch" && obj.GetName() == "n0" {
			return apierrors.NewForbidden(schema.GroupResource{}, "n0", errors.New("no"))
		}
		return nil
	}
	w.Clock.Step(rollout.Quiet)
	if _, err := steptest.Pass(t.Context(), &w.controller, client.ObjectKey{Namespace: steptest.Namespace, Name: "rack"}); err == nil {
		t.Error("no error, want that of n0")
	}
	w.Inject = nil
	w.pass()
	w.run()
	if w.runs["n0"] != 1 {
		t.Errorf("runs %v, want one on n0 at once", w.runs)
	}
}
