package host

import (
	"cmp"
	"context"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/controllers/step"
)

const defaultWorkers = 8

// Setup adds the controller to the manager. It wakes on spec and annotations of hosts and on their BMC Secrets; its own
// status writes wake nothing.
func (r *Reconciler) Setup(mgr ctrl.Manager) error {
	if r.Quiet == nil {
		r.Quiet = &step.Quiet{}
	}
	changes := predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		Named("host").
		For(&metal3v1alpha1.BareMetalHost{}, builder.WithPredicates(changes)).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.hostsOf)).
		WithOptions(step.Options(cmp.Or(r.Workers, defaultWorkers))).
		Complete(r)
}

// hostsOf lists the hosts whose BMC credentials or config drive the Secret holds.
func (r *Reconciler) hostsOf(ctx context.Context, secret client.Object) []reconcile.Request {
	var hosts metal3v1alpha1.BareMetalHostList
	// The cache's own objects are looked at, and not changed: a copy of all hosts for each Secret of the cluster costs more than
	// all else here.
	if err := r.Client.List(ctx, &hosts, client.InNamespace(secret.GetNamespace()), client.UnsafeDisableDeepCopy); err != nil {
		return nil // the next poll finds it
	}
	var out []reconcile.Request
	for i := range hosts.Items {
		if uses(&hosts.Items[i], secret) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&hosts.Items[i])})
		}
	}
	return out
}

func uses(h *metal3v1alpha1.BareMetalHost, secret client.Object) bool {
	if h.Namespace != secret.GetNamespace() {
		return false
	}
	if h.Spec.BMC.CredentialsName == secret.GetName() || h.Spec.PreprovisioningNetworkDataName == secret.GetName() {
		return true
	}
	for _, ref := range []*corev1.SecretReference{h.Spec.UserData, h.Spec.NetworkData, h.Spec.MetaData} {
		if ref != nil && ref.Name == secret.GetName() && (ref.Namespace == "" || ref.Namespace == h.Namespace) {
			return true
		}
	}
	return false
}
