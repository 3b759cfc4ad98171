package inputs

import (
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// UserMade passes Secrets that may be somebody's input, and leaves out those that Rackplane makes for nodes and deployments.
func UserMade() predicate.Predicate {
	return predicate.NewPredicateFuncs(func(obj client.Object) bool {
		labels := obj.GetLabels()
		return labels[v1alpha1.NodeLabel] == "" && labels[v1alpha1.NodeSetLabel] == ""
	})
}
