package plan_test

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/plan"
)

// TestWhoKeepsAnInput: only a node that was given everything, on the server that it was given to, keeps what its global
// services ran with while others come.
func TestWhoKeepsAnInput(t *testing.T) {
	services := []rollout.Service{{Name: "bootstrap", Playbook: "b"}, {Name: "known", Playbook: "k", Global: true}, {Name: "network", Playbook: "n"}}
	another := slices.Clone(services)
	another[2].Data = map[string][]byte{"file": []byte("changed")}
	hashes := func(keys, other string, services ...rollout.Service) plan.Hashes {
		vars := map[string]any{"edpm_known_hosts": []any{keys}, "edpm_other": other}
		return plan.NewHashes(inventory.Inventory{GroupVars: vars, Hosts: []inventory.Host{{Name: "n0"}}}, services, rollout.Collection{Version: "1"})
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	run := func(begun bool, services ...string) v1alpha1.DataPlaneDeployment {
		d := v1alpha1.DataPlaneDeployment{Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", Nodes: []string{"n0"}, ServicesOverride: services}}
		if begun {
			d.Status.InputsSecret = "taken"
		}
		return d
	}
	type world struct {
		set  v1alpha1.NodeSet
		node v1alpha1.DataPlaneNode
		made []v1alpha1.DataPlaneDeployment
		now  plan.Hashes
	}
	for _, c := range []struct {
		name   string
		change func(*world)
		keeps  bool
	}{
		{"it was given everything", func(*world) {}, true},
		{"it never ran", func(w *world) { w.node.Status.Services = nil }, false},
		{"it failed", func(w *world) { w.node.Status.Services[1].Result = v1alpha1.ServiceFailed }, false},
		{"it ran for an earlier input", func(w *world) { w.node.Status.Services[1].InputHash = "earlier" }, false},
		{"it is on another server", func(w *world) { w.node.Spec.Host = &v1alpha1.HostReference{Name: "h", UID: "other"} }, false},
		{"its own services are due", func(w *world) { w.now = hashes("two", "changed", services...) }, false},
		{"one of its own services is due", func(w *world) { w.now = hashes("two", "", another...) }, false},
		{"nothing tells that it is on the same server", func(w *world) { w.now = hashes("two", "", services[1]) }, false},
		{"the policy is manual", func(w *world) { w.set.Spec.Deployment.Policy = v1alpha1.DeploymentManual }, false},
		{"somebody has it run", func(w *world) { w.made = append(w.made, run(false)) }, false},
		{"another service is to run", func(w *world) { w.made = append(w.made, run(false, "bootstrap")) }, true},
		{"it runs just now", func(w *world) { w.made, w.node.Status.Services = append(w.made, run(true)), nil }, true},
		{"a service was added", func(w *world) { w.now = hashes("two", "", append(services, rollout.Service{Name: "new"})...) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := world{set: *steptest.NodeSet(1), now: hashes("two", "", services...)}
			w.node = plan.Desired(&w.set)[0]
			had := hashes("one", "", services...).Wanted(&w.node)
			w.node.Spec.Services = had
			for _, s := range had {
				w.node.Status.Services = append(w.node.Status.Services, v1alpha1.ServiceResult{Name: s.Name, InputHash: s.InputHash, Result: v1alpha1.ServiceSucceeded})
			}
			c.change(&w)
			decided := w.now.Decide(&w.set, []*v1alpha1.DataPlaneNode{&w.node}, w.made, 1, now)
			newest := w.now.Wanted(&w.node)
			for _, got := range decided.Wanted[0] {
				want := newest[0]
				for _, n := range newest {
					if n.Name == got.Name {
						want = n
					}
				}
				if c.keeps && got.Name == "known" {
					want = had[1]
				}
				if got != want {
					t.Errorf("wants %v, want %v", got, want)
				}
			}
			if c.keeps != (decided.Settling != nil) || c.keeps != decided.Until.Equal(now.Add(rollout.Arrival)) {
				t.Errorf("notes %+v until %s", decided.Settling, decided.Until)
			}
		})
	}
}

func TestComing(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	node := func(name string, change func(*v1alpha1.DataPlaneNode)) v1alpha1.DataPlaneNode {
		n := v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta(name)}
		change(&n)
		return n
	}
	provisioned := func(status metav1.ConditionStatus, ago time.Duration) func(*v1alpha1.DataPlaneNode) {
		return func(n *v1alpha1.DataPlaneNode) {
			n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProvisioned, Status: status, LastTransitionTime: metav1.NewTime(now.Add(-ago))}}
		}
	}
	w := plan.NewWorld(nil, []v1alpha1.DataPlaneNode{
		node("new", func(*v1alpha1.DataPlaneNode) {}),
		node("late", provisioned(metav1.ConditionFalse, time.Hour)),
		node("just-there", provisioned(metav1.ConditionTrue, rollout.Quiet-time.Second)),
		node("there", provisioned(metav1.ConditionTrue, rollout.Quiet)),
		node("there-by-a-clock-that-ran-ahead", provisioned(metav1.ConditionTrue, -time.Hour)),
		node("going", func(n *v1alpha1.DataPlaneNode) { n.DeletionTimestamp = &metav1.Time{Time: now} }),
		node("elsewhere", func(n *v1alpha1.DataPlaneNode) { n.Namespace = "other" }),
	}, nil)
	if got := w.Coming(steptest.Namespace, now); got != 3 {
		t.Errorf("%d are coming, want new, late and just-there", got)
	}
}
