package plan_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// TestAddressesInForce: when the networks change, a node moves only while it is known that no server runs with its addresses.
func TestAddressesInForce(t *testing.T) {
	config := steptest.NetConfig().Spec
	s := &config.Networks[0].Subnets[0]
	s.CIDR, s.Gateway, s.AllocationRanges = "192.168.128.0/20", "192.168.128.1", []v1alpha1.AllocationRange{{Start: "192.168.128.10", End: "192.168.128.99"}}
	mistyped, problems := network.NewSite(config)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	claimed := metav1.Condition{Type: v1alpha1.ConditionClaimed, Status: metav1.ConditionTrue}
	provisioned := metav1.Condition{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionTrue}
	for name, c := range map[string]struct {
		node  v1alpha1.DataPlaneNodeStatus
		image bool
		moves bool
	}{
		"planned, looked at":             {node: v1alpha1.DataPlaneNodeStatus{Conditions: []metav1.Condition{claimed}}, moves: true},
		"nothing known, as in a file":    {},
		"handed over":                    {node: v1alpha1.DataPlaneNodeStatus{Conditions: []metav1.Condition{claimed}}, image: true},
		"provisioned":                    {node: v1alpha1.DataPlaneNodeStatus{Conditions: []metav1.Condition{claimed, provisioned}}},
		"has results, and is down today": {node: v1alpha1.DataPlaneNodeStatus{Conditions: []metav1.Condition{claimed}, Services: []v1alpha1.ServiceResult{{Name: "bootstrap"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			set := steptest.NodeSet(1)
			node := plan.Desired(set)[0]
			bmh := steptest.Host("h0")
			if c.image {
				bmh.Spec.UserData = &corev1.SecretReference{Name: claim.DataSecret(plan.OwnerOf(&node), bmh.Namespace, claim.UserData)}
			}
			host := claim.FromBareMetalHost(*bmh)
			node.Spec.Host, node.Status = &host.Ref, c.node
			node.Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: "192.168.0.10"}}
			d, err := plan.Decide(plan.NewWorld([]v1alpha1.NodeSet{*set}, []v1alpha1.DataPlaneNode{node}, []claim.Host{host}), set, mistyped)
			if err != nil {
				t.Fatal(err)
			}
			moved := d.Nodes[node.Name].Networks[0].Address != "192.168.0.10"
			if told := strings.Contains(d.Message(), "holds address 192.168.0.10"); moved != c.moves || told == c.moves {
				t.Errorf("moved %t, want %t; told %q", moved, c.moves, d.Message())
			}
		})
	}
}
