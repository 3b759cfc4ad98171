package nodeset

import (
	"context"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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

// Setup registers the reconciler. One worker: passes side by side would plan the same hosts and addresses, and all but one
// of them would lose at the fences.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	p := &pace{clock: r.Clock}
	neighbours := p.enqueue(r.neighbours)
	return ctrl.NewControllerManagedBy(mgr).
		Named("nodeset").
		For(&v1alpha1.NodeSet{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.DataPlaneNode{}, p.enqueue(owner), builder.WithPredicates(changes(read))).
		Watches(&v1alpha1.DataPlaneNode{}, neighbours, builder.WithPredicates(changes(readByNeighbours))).
		Watches(&v1alpha1.DataPlaneDeployment{}, p.enqueue(deployed), builder.WithPredicates(changes(progress))).
		Watches(&v1alpha1.DataPlaneService{}, neighbours, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.NetConfig{}, neighbours, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.AddressBlock{}, p.enqueue(r.onBlock)).
		Watches(&metal3v1alpha1.BareMetalHost{}, p.enqueue(r.takers), builder.WithPredicates(changes(hands))).
		Watches(&metal3v1alpha1.BareMetalHost{}, p.enqueue(r.short)).
		Watches(&metal3v1alpha1.HardwareData{}, p.enqueue(r.takers), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.HostClaimPolicy{}, p.enqueue(r.onPolicy)).
		WatchesMetadata(&corev1.Secret{}, p.enqueue(r.readersOf(secretKind)), builder.WithPredicates(inputs.UserMade())).
		WatchesMetadata(&corev1.ConfigMap{}, p.enqueue(r.readersOf(configMapKind))).
		WithOptions(step.Options(1)).
		Complete(r.Gate.Guard(p.around(r)))
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
	if err := r.Client.List(ctx, &sets, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
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

// changes passes an update that changes what a pass reads of an object.
func changes[T client.Object](read func(T) any) predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		old, ok := e.ObjectOld.(T)
		now, ok2 := e.ObjectNew.(T)
		return !ok || !ok2 || !equality.Semantic.DeepEqual(read(old), read(now))
	}}
}

// read is what a pass over the node's set reads of it.
func read(n *v1alpha1.DataPlaneNode) any {
	type condition struct {
		Is     metav1.ConditionStatus
		Reason string
		Since  metav1.Time
		// Trouble is told of by the set.
		Trouble string
		// Of is the generation that was looked at.
		Of int64
	}
	conditions := map[string]condition{}
	for _, c := range n.Status.Conditions {
		seen := condition{Is: c.Status}
		switch c.Type {
		case v1alpha1.ConditionClaimed:
		case v1alpha1.ConditionProvisioned:
			seen.Since = c.LastTransitionTime
		case v1alpha1.ConditionAdoptable:
			seen.Of = c.ObservedGeneration
		case v1alpha1.ConditionReady:
			seen.Reason = c.Reason
			if c.Status != metav1.ConditionTrue && !waits(&c) {
				seen.Trouble = c.Message
			}
		default:
			continue
		}
		conditions[c.Type] = seen
	}
	return []any{
		readByNeighbours(n), n.Generation, n.Labels[v1alpha1.NodeSetLabel], n.OwnerReferences,
		n.Status.Services, len(n.Status.Conditions) > 0, conditions,
	}
}

// readByNeighbours is what passes over the other sets of its namespace read of a node: what makes it known to their nodes,
// and what it holds.
func readByNeighbours(n *v1alpha1.DataPlaneNode) any {
	return []any{n.Status.SSHHostKey, n.Spec.HostName, n.DeletionTimestamp.IsZero(), n.Spec.Networks, n.Spec.Host}
}

// progress is what a pass reads of a deployment beside its spec, which never changes.
func progress(d *v1alpha1.DataPlaneDeployment) any {
	input := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionInputReady)
	return []any{plan.Finished(d), d.DeletionTimestamp.IsZero(), input, len(d.Status.Runs) > 0}
}

// hands is what of a host makes a difference to every set: whose it is, and what it is.
func hands(h *metal3v1alpha1.BareMetalHost) any {
	return []any{h.Spec.ConsumerRef, h.Status.HardwareDetails, h.DeletionTimestamp.IsZero()}
}

// takers are all sets that take hosts.
func (r *Reconciler) takers(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.sets(ctx, takes)
}

// short are the sets that lack hosts: any change of one may end that, or the reason that is told.
func (r *Reconciler) short(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.sets(ctx, func(set *v1alpha1.NodeSet) bool { return takes(set) && short(set) })
}

// onPolicy wakes the sets that look for hosts in the policy's namespace, and those that are short: what they are told changes.
func (r *Reconciler) onPolicy(ctx context.Context, policy client.Object) []reconcile.Request {
	return r.sets(ctx, func(set *v1alpha1.NodeSet) bool {
		return takes(set) && (plan.HostNamespace(set) == policy.GetNamespace() || short(set))
	})
}

// onBlock wakes the sets of the namespace that are short: an address may have become free.
func (r *Reconciler) onBlock(ctx context.Context, block client.Object) []reconcile.Request {
	return r.sets(ctx, short, client.InNamespace(block.GetNamespace()))
}

func short(set *v1alpha1.NodeSet) bool {
	return !meta.IsStatusConditionTrue(set.Status.Conditions, v1alpha1.ConditionPlanned)
}

func takes(set *v1alpha1.NodeSet) bool { return !set.Spec.PreProvisioned }

// Kinds that services take their files from.
const (
	secretKind    = "Secret"
	configMapKind = "ConfigMap"
)

// readersOf are the sets of the namespace that read an object of the kind: to log in, for their cloud, or as a service's data.
func (r *Reconciler) readersOf(kind string) handler.MapFunc {
	return func(ctx context.Context, obj client.Object) []reconcile.Request {
		var services v1alpha1.DataPlaneServiceList
		if err := r.Client.List(ctx, &services, client.InNamespace(obj.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
			return r.neighbours(ctx, obj)
		}
		fed := map[string]bool{}
		for i := range services.Items {
			fed[services.Items[i].Name] = slices.ContainsFunc(services.Items[i].Spec.DataSources, func(s v1alpha1.DataSource) bool {
				return (kind == secretKind && s.SecretRef != nil && s.SecretRef.Name == obj.GetName()) ||
					(kind == configMapKind && s.ConfigMapRef != nil && s.ConfigMapRef.Name == obj.GetName())
			})
		}
		return r.sets(ctx, func(set *v1alpha1.NodeSet) bool {
			return slices.ContainsFunc(set.Spec.Services, func(name string) bool { return fed[name] }) ||
				(kind == secretKind && slices.Contains(append(inputs.CloudSecrets(set), set.Spec.NodeTemplate.AnsibleSSHPrivateKeySecret), obj.GetName()))
		}, client.InNamespace(obj.GetNamespace()))
	}
}
