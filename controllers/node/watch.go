package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/remote/pool"
)

// defaultWorkers is how many nodes are looked at side by side: most of a pass that does anything is waiting for the API server, the
// cloud or a server that is to be adopted.
const defaultWorkers = 32

// Setup registers the reconciler.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	if r.Quiet == nil {
		r.Quiet = &step.Quiet{}
	}
	answered := make(chan event.GenericEvent)
	asked := pool.New(r.Prober, clock.RealClock{}, waker(answered))
	if err := mgr.Add(asked); err != nil {
		return fmt.Errorf("node controller: %w", err)
	}
	r.Answers = asked
	return ctrl.NewControllerManagedBy(mgr).
		Named("node").
		WatchesRawSource(source.Channel(answered, &handler.EnqueueRequestForObject{})).
		For(&v1alpha1.DataPlaneNode{}, builder.WithPredicates(decidedOrRun())).
		Watches(&v1alpha1.NodeSet{}, handler.EnqueueRequestsFromMapFunc(r.ofSet), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.NetConfig{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace)).
		Watches(&metal3v1alpha1.BareMetalHost{}, handler.EnqueueRequestsFromMapFunc(r.onHost)).
		Watches(&v1alpha1.HostClaimPolicy{}, handler.EnqueueRequestsFromMapFunc(r.onPolicy)).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.withKey)).
		WithOptions(step.Options(cmp.Or(r.Workers, defaultWorkers))).
		Complete(r.Gate.Guard(r))
}

// decidedOrRun leaves out the writes of this controller itself, which would only make it probe again.
func decidedOrRun() predicate.Predicate {
	return predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			old, ok := e.ObjectOld.(*v1alpha1.DataPlaneNode)
			node, ok2 := e.ObjectNew.(*v1alpha1.DataPlaneNode)
			return !ok || !ok2 || !equality.Semantic.DeepEqual(old.Status.Services, node.Status.Services)
		},
	})
}

// waker wakes nodes whose answer is another than before.
func waker(answered chan<- event.GenericEvent) func(context.Context, types.NamespacedName) {
	return func(ctx context.Context, node types.NamespacedName) {
		select {
		case answered <- event.GenericEvent{Object: &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: node.Namespace, Name: node.Name}}}:
		case <-ctx.Done():
		}
	}
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
}

// list are the cached nodes that pass the filter; nil passes all.
func (r *Reconciler) list(ctx context.Context, filter func(*v1alpha1.DataPlaneNode) bool, in ...client.ListOption) []reconcile.Request {
	var nodes v1alpha1.DataPlaneNodeList
	// The cache's own objects are looked at, and not changed: every write to a host asks for its node.
	if err := r.Client.List(ctx, &nodes, append(slices.Clip(in), client.UnsafeDisableDeepCopy)...); err != nil {
		return nil // each node comes back by itself
	}
	var out []reconcile.Request
	for i := range nodes.Items {
		if filter == nil || filter(&nodes.Items[i]) {
			out = append(out, request(nodes.Items[i].Namespace, nodes.Items[i].Name))
		}
	}
	return out
}

func (r *Reconciler) ofSet(ctx context.Context, set client.Object) []reconcile.Request {
	return r.list(ctx, nil, client.InNamespace(set.GetNamespace()), client.MatchingLabels{v1alpha1.NodeSetLabel: set.GetName()})
}

func (r *Reconciler) ofNamespace(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.list(ctx, nil, client.InNamespace(obj.GetNamespace()))
}

// onHost are the node that consumes the host and those it is planned for.
func (r *Reconciler) onHost(ctx context.Context, obj client.Object) []reconcile.Request {
	out := r.list(ctx, func(n *v1alpha1.DataPlaneNode) bool {
		return n.Spec.Host != nil && n.Spec.Host.Namespace == obj.GetNamespace() && n.Spec.Host.Name == obj.GetName()
	})
	if host, ok := obj.(*metal3v1alpha1.BareMetalHost); ok && host.Spec.ConsumerRef != nil && host.Spec.ConsumerRef.Kind == claim.OwnerKind {
		out = append(out, request(host.Spec.ConsumerRef.Namespace, host.Spec.ConsumerRef.Name))
	}
	return out
}

// onPolicy are the nodes of other namespaces with hosts in the policy's.
func (r *Reconciler) onPolicy(ctx context.Context, policy client.Object) []reconcile.Request {
	return r.list(ctx, func(n *v1alpha1.DataPlaneNode) bool {
		return n.Spec.Host != nil && n.Spec.Host.Namespace == policy.GetNamespace() && n.Namespace != policy.GetNamespace()
	})
}

// withKey are the nodes of the sets that log in with the Secret, to their nodes or to their cloud.
func (r *Reconciler) withKey(ctx context.Context, secret client.Object) []reconcile.Request {
	var sets v1alpha1.NodeSetList
	if err := r.Client.List(ctx, &sets, client.InNamespace(secret.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil // each node comes back by itself
	}
	var out []reconcile.Request
	for i := range sets.Items {
		set := &sets.Items[i]
		if slices.Contains(append(inputs.CloudSecrets(set), set.Spec.NodeTemplate.AnsibleSSHPrivateKeySecret), secret.GetName()) {
			out = append(out, r.ofSet(ctx, set)...)
		}
	}
	return out
}
