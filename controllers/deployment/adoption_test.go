package deployment_test

import (
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// TestUnfitNodesAreLeftAlone: not even a deployment that a user made for it runs on a node that was not found fit.
func TestUnfitNodesAreLeftAlone(t *testing.T) {
	r := site(t, newDeployment("n0"))
	set := steptest.NodeSet(0)
	if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(set), set); err != nil {
		t.Fatal(err)
	}
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.Image = true, nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"n0": {SSHHostKeys: []string{steptest.HostKey}}}
	if err := r.Plain.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.expect(v1alpha1.ConditionInputReady, metav1.ConditionFalse, v1alpha1.ReasonNotAdoptable, "n0", "Adoptable")
	if got := r.results(0); got != "" {
		t.Errorf("results %s", got)
	}
	n := r.node(0)
	adoptable := metav1.Condition{
		Type: v1alpha1.ConditionAdoptable, Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: n.CreationTimestamp, ObservedGeneration: n.Generation,
	}
	n.Status.Conditions = slices.Insert(n.Status.Conditions, 1, adoptable)
	if err := r.Plain.Status().Update(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	r.run()
	r.expect(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonDone)
}
