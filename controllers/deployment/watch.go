package deployment

import (
	"cmp"
	"context"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// defaultWorkers is how many deployments advance side by side.
const defaultWorkers = 8

// Setup registers the reconciler. Runs are polled; the watches wake deployments whose input was wrong.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	if r.Memory == nil {
		r.Memory = NewMemory(resultsPause)
	}
	unfinished := handler.EnqueueRequestsFromMapFunc(r.unfinished)
	return ctrl.NewControllerManagedBy(mgr).
		Named("deployment").
		For(&v1alpha1.DataPlaneDeployment{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.NodeSet{}, unfinished, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.DataPlaneService{}, unfinished).
		Watches(&v1alpha1.NetConfig{}, unfinished).
		WatchesMetadata(&corev1.Secret{}, unfinished, builder.WithPredicates(inputs.UserMade())).
		WatchesMetadata(&corev1.ConfigMap{}, unfinished).
		WithOptions(step.Options(cmp.Or(r.Workers, defaultWorkers))).
		Complete(r.Gate.Guard(r))
}

// unfinished are the deployments of the object's namespace that have not begun or not ended.
func (r *Reconciler) unfinished(ctx context.Context, obj client.Object) []reconcile.Request {
	var list v1alpha1.DataPlaneDeploymentList
	if err := r.Client.List(ctx, &list, client.InNamespace(obj.GetNamespace())); err != nil {
		return nil // each deployment comes back by itself
	}
	var out []reconcile.Request
	for i := range list.Items {
		if !plan.Finished(&list.Items[i]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
}
