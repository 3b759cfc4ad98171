package nodeset

import (
	"context"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// Setup registers the reconciler. One worker: two passes at once could give one thing out twice.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	neighbours := handler.EnqueueRequestsFromMapFunc(r.neighbours)
	return ctrl.NewControllerManagedBy(mgr).
		Named("nodeset").
		For(&v1alpha1.NodeSet{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.DataPlaneNode{}, handler.EnqueueRequestsFromMapFunc(owner)).
		Watches(&v1alpha1.DataPlaneNode{}, neighbours, builder.WithPredicates(becomesKnown())).
		Watches(&v1alpha1.DataPlaneDeployment{}, handler.EnqueueRequestsFromMapFunc(deployed)).
		Watches(&v1alpha1.DataPlaneService{}, neighbours).
		Watches(&v1alpha1.NetConfig{}, neighbours).
		Watches(&v1alpha1.AddressBlock{}, handler.EnqueueRequestsFromMapFunc(r.onBlock)).
		Watches(&metal3v1alpha1.BareMetalHost{}, r.onHost()).
		Watches(&v1alpha1.HostClaimPolicy{}, handler.EnqueueRequestsFromMapFunc(r.onPolicy)).
		WatchesMetadata(&corev1.Secret{}, neighbours, builder.WithPredicates(inputs.UserMade())).
		WatchesMetadata(&corev1.ConfigMap{}, neighbours).
		WithOptions(step.Options(1)).
		Complete(r.Gate.Guard(r))
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// owner is the set of a node.
func owner(_ context.Context, obj client.Object) []reconcile.Request {
	if set := obj.GetLabels()[v1alpha1.NodeSetLabel]; set != "" {
		return []reconcile.Request{request(obj.GetNamespace(), set)}
	}
	return nil
}

// deployed is the set a deployment runs on.
func deployed(_ context.Context, obj client.Object) []reconcile.Request {
	if d, ok := obj.(*v1alpha1.DataPlaneDeployment); ok {
		return []reconcile.Request{request(d.Namespace, d.Spec.NodeSet)}
	}
	return nil
}

// neighbours are all sets of the object's namespace.
func (r *Reconciler) neighbours(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.sets(ctx, func(*v1alpha1.NodeSet) bool { return true }, client.InNamespace(obj.GetNamespace()))
}

// sets are the sets that pass, of those that are listed.
func (r *Reconciler) sets(ctx context.Context, passes func(*v1alpha1.NodeSet) bool, which ...client.ListOption) []reconcile.Request {
	var sets v1alpha1.NodeSetList
	if err := r.Client.List(ctx, &sets, which...); err != nil {
		return nil // the resync looks again
	}
	var out []reconcile.Request
	for i := range sets.Items {
		if passes(&sets.Items[i]) {
			out = append(out, request(sets.Items[i].Namespace, sets.Items[i].Name))
		}
	}
	return out
}

// becomesKnown passes what changes the known hosts of the whole namespace, or frees addresses in it.
func becomesKnown() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			old, ok := e.ObjectOld.(*v1alpha1.DataPlaneNode)
			node, ok2 := e.ObjectNew.(*v1alpha1.DataPlaneNode)
			return ok && ok2 && (old.Status.SSHHostKey != node.Status.SSHHostKey || old.Spec.HostName != node.Spec.HostName ||
				old.DeletionTimestamp.IsZero() != node.DeletionTimestamp.IsZero() || !slices.Equal(old.Spec.Networks, node.Spec.Networks))
		},
	}
}

// onHost wakes the sets that are short of hosts at any change of a host, and all that take hosts when one comes, goes
// or changes hands or hardware.
func (r *Reconciler) onHost() handler.EventHandler {
	all := func(queue workqueue.TypedRateLimitingInterface[reconcile.Request], requests []reconcile.Request) {
		for _, req := range requests {
			queue.Add(req)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, _ event.CreateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			all(q, r.takers(ctx, nil))
		},
		DeleteFunc: func(ctx context.Context, _ event.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			all(q, r.takers(ctx, nil))
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			if changedHands(e) {
				all(q, r.takers(ctx, nil))
				return
			}
			all(q, r.takers(ctx, short))
		},
	}
}

// onPolicy wakes the sets that look for hosts in the policy's namespace, and those that are short: what they are told changes.
func (r *Reconciler) onPolicy(ctx context.Context, policy client.Object) []reconcile.Request {
	return r.takers(ctx, func(set *v1alpha1.NodeSet) bool {
		return plan.HostNamespace(set) == policy.GetNamespace() || short(set)
	})
}

// onBlock wakes the sets of the namespace that are short: an address may have become free.
func (r *Reconciler) onBlock(ctx context.Context, block client.Object) []reconcile.Request {
	return r.sets(ctx, short, client.InNamespace(block.GetNamespace()))
}

func changedHands(e event.UpdateEvent) bool {
	old, ok := e.ObjectOld.(*metal3v1alpha1.BareMetalHost)
	host, ok2 := e.ObjectNew.(*metal3v1alpha1.BareMetalHost)
	return !ok || !ok2 || !equality.Semantic.DeepEqual(old.Spec.ConsumerRef, host.Spec.ConsumerRef) ||
		!equality.Semantic.DeepEqual(old.Status.HardwareDetails, host.Status.HardwareDetails) ||
		old.DeletionTimestamp.IsZero() != host.DeletionTimestamp.IsZero()
}

func short(set *v1alpha1.NodeSet) bool {
	return !meta.IsStatusConditionTrue(set.Status.Conditions, v1alpha1.ConditionPlanned)
}

// takers are the sets that take hosts and pass the filter; nil passes all.
func (r *Reconciler) takers(ctx context.Context, filter func(*v1alpha1.NodeSet) bool) []reconcile.Request {
	return r.sets(ctx, func(set *v1alpha1.NodeSet) bool { return !set.Spec.PreProvisioned && (filter == nil || filter(set)) })
}
