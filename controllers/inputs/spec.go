package inputs

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// SpecProblems returns what a user has to put right in a set's spec beyond what the API server can tell, each naming
// object, field and remedy. It is pure.
func (w *World) SpecProblems(set *v1alpha1.NodeSet) []string {
	var problems []string
	tell := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("NodeSet %s: ", client.ObjectKeyFromObject(set))+fmt.Sprintf(format, args...))
	}
	if _, err := metav1.LabelSelectorAsSelector(set.Spec.Hosts.Selector); err != nil {
		tell("spec.hosts.selector: %v: correct it", err)
	}
	for _, node := range Desired(set) {
		if other := w.Node(node.Namespace, node.Name); other != nil && !IsMember(other, set) {
			tell("node %s already belongs to NodeSet %s: rename it in spec.nodes, or change spec.hostNameTemplate", node.Name, other.Labels[v1alpha1.NodeSetLabel])
		}
	}
	for _, err := range inventory.Check(set.Spec.NodeTemplate.Ansible) {
		tell("spec.nodeTemplate.%v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(set.Spec.Nodes)) {
		for _, err := range inventory.Check(set.Spec.Nodes[name].Ansible) {
			tell("spec.nodes[%s].%v", name, err)
		}
	}
	return problems
}
