package nodeset_test

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/nodeset"
)

// TestWokenByWhatIsRead: whatever of a node's status makes a pass write or ask for another time, wakes it; and what does
// not, wakes nobody.
func TestWokenByWhatIsRead(t *testing.T) {
	condition := func(kind string, status metav1.ConditionStatus, reason, message string) func(*v1alpha1.DataPlaneNode) {
		return func(n *v1alpha1.DataPlaneNode) {
			meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message})
		}
	}
	for name, c := range map[string]struct {
		change func(*v1alpha1.DataPlaneNode)
		wakes  bool
	}{
		"host key":            {func(n *v1alpha1.DataPlaneNode) { n.Status.SSHHostKey = otherKey }, true},
		"result lost":         {func(n *v1alpha1.DataPlaneNode) { n.Status.Services = n.Status.Services[1:] }, true},
		"service failed":      {func(n *v1alpha1.DataPlaneNode) { n.Status.Services[0].Result = v1alpha1.ServiceFailed }, true},
		"not provisioned":     {condition(v1alpha1.ConditionProvisioned, metav1.ConditionFalse, "Gone", "x"), true},
		"not ready":           {condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "WaitingForHost", "x"), true},
		"in trouble":          {condition(v1alpha1.ConditionReady, metav1.ConditionFalse, "HostLost", "x"), true},
		"let go":              {func(n *v1alpha1.DataPlaneNode) { n.Labels = nil }, true},
		"networked":           {condition(v1alpha1.ConditionNetworked, metav1.ConditionFalse, "Waiting", "x"), false},
		"configured":          {condition(v1alpha1.ConditionConfigured, metav1.ConditionFalse, "Waiting", "x"), false},
		"another text":        {condition(v1alpha1.ConditionProvisioned, metav1.ConditionTrue, "Done", "another"), false},
		"ready, another text": {condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Done", "another"), false},
		"annotation":          {func(n *v1alpha1.DataPlaneNode) { n.Annotations = map[string]string{"example.com/note": "x"} }, false},
		"address":             {func(n *v1alpha1.DataPlaneNode) { n.Status.Address = "192.0.2.9" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := site(t, 2, 2)
			r.pass()
			r.deployed()
			r.pass()
			r.ran(v1alpha1.ServiceSucceeded)
			r.pass()
			r.settled()
			before := r.nodes()[0]
			r.Writes()
			edit(r, before.DeepCopy(), c.change)
			after := r.nodes()[0]
			result := r.pass()
			acts := len(r.Writes()) > 0 || (result.RequeueAfter > 0 && result.RequeueAfter < time.Minute)
			if woken := nodeset.Woken(&before, &after); woken != c.wakes || (acts && !woken) {
				t.Errorf("woken %t, want %t; the pass acts: %t", woken, c.wakes, acts)
			}
		})
	}
}

const otherKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx6Vg0Cs2pX7uVw0oUOJ4Ez3cSH1FjTcJtPqxMXWwVe"

// forgetful shows nodes without their results, as a cache may that is behind.
type forgetful struct{ client.Reader }

func (f forgetful) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := f.Reader.List(ctx, list, opts...)
	if nodes, ok := list.(*v1alpha1.DataPlaneNodeList); ok {
		for i := range nodes.Items {
			nodes.Items[i].Status.Services = nil
		}
	}
	return err
}

// TestNothingRunsAgainByOldResults: a cache that shows that a deployment has ended, and not what it did to its nodes, makes
// no other and removes none.
func TestNothingRunsAgainByOldResults(t *testing.T) {
	r := site(t, 2, 2)
	r.pass()
	r.deployed()
	r.pass()
	r.ran(v1alpha1.ServiceSucceeded)
	r.pass()
	if n := len(r.deployments()); n != 1 {
		t.Fatalf("%d deployments, want 1", n)
	}
	r.settled()
	r.controller.Reader = forgetful{r.Reader}
	for range 2 {
		r.pass()
	}
	if w := r.Writes(); len(w) > 0 || len(r.deployments()) != 1 {
		t.Errorf("by results that are old it writes %v", w)
	}
}
