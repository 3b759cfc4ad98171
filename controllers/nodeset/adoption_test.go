package nodeset_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// TestNothingIsDueOnAnUnfitNode: a pre-provisioned node that answers is left alone until it was found fit for what it is to be now.
func TestNothingIsDueOnAnUnfitNode(t *testing.T) {
	set := steptest.NodeSet(0)
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.Image = true, nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{}
	for _, name := range []string{"n0", "n1", "n2"} {
		set.Spec.Nodes[name] = v1alpha1.NodeSection{Ansible: v1alpha1.AnsibleOptions{AnsibleHost: "192.0.2.50"}, SSHHostKeys: []string{steptest.HostKey}}
	}
	r := newRig(t, append(steptest.Site(t, 0), set)...)
	r.pass()
	r.deployed()
	r.pass()
	if got := r.deployments(); len(got) != 0 {
		t.Fatalf("%d deployments before anything was looked at", len(got))
	}
	nodes := r.nodes()
	for i, look := range []struct {
		found metav1.ConditionStatus
		age   int64 // generations
	}{{metav1.ConditionTrue, 0}, {metav1.ConditionFalse, 0}, {metav1.ConditionTrue, 1}} {
		edit(r, &nodes[i], func(n *v1alpha1.DataPlaneNode) {
			meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{
				Type: v1alpha1.ConditionAdoptable, Status: look.found, Reason: "x", Message: "x", ObservedGeneration: n.Generation - look.age,
			})
		})
	}
	r.pass()
	got := r.deployments()
	if len(got) != 1 || len(got[0].Spec.Nodes) != 1 || got[0].Spec.Nodes[0] != "n0" {
		t.Errorf("deployments %+v, want one, on n0 alone", got)
	}
}
