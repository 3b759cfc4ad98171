package plan

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// OwnerOf is a node as the plan of hosts knows it.
func OwnerOf(node *v1alpha1.DataPlaneNode) claim.Owner {
	return claim.Owner{Namespace: node.Namespace, Name: node.Name, UID: node.UID}
}

// NeedOf is what a node of the set needs of a host; nil for one that needs none. The plan and the claim ask by it. A node
// whose set is gone (nil) or has a malformed selector keeps what it has claimed and asks for nothing new: another set's
// mistake must not stop this one.
func NeedOf(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) *claim.Need {
	if !node.DeletionTimestamp.IsZero() || (set != nil && set.Spec.PreProvisioned) {
		return nil
	}
	need := &claim.Need{Node: OwnerOf(node), Held: node.Spec.Host, HostNamespace: node.Namespace}
	if set == nil || !wellFormed(set.Spec.Hosts.Selector) {
		need.OnlyKeeps = true
		return need
	}
	need.HostNamespace = HostNamespace(set)
	need.Selector = set.Spec.Hosts.Selector
	need.Labels = set.Spec.Nodes[node.Name].BMHLabelSelector
	need.Requirements = set.Spec.Hosts.Requirements
	return need
}

// HostNamespace is where a set looks for hosts.
func HostNamespace(set *v1alpha1.NodeSet) string {
	return cmp.Or(set.Spec.Hosts.Namespace, set.Namespace)
}

func wellFormed(s *metav1.LabelSelector) bool {
	_, err := metav1.LabelSelectorAsSelector(s)
	return err == nil
}

// DecidedBy reports whether the node is one that the controller of its NodeSet made. Whoever may write DataPlaneNodes can
// write the owner, too: it tells mistakes, and what a node may have is asked of the set all the same.
func DecidedBy(set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode) bool {
	return slices.ContainsFunc(node.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Controller != nil && *o.Controller && o.Kind == "NodeSet" && o.Name == set.Name
	})
}
