package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
)

// meant decides what the node's deletion means for its server. That a kind or a namespace goes is no order to erase what
// its objects stand for: everything in it is deleted at once, by somebody who may not know of servers.
func (p *release) meant(ctx context.Context) (step.Outcome, error) {
	policy, said, err := p.deletionPolicy(ctx)
	if err != nil {
		return step.Outcome{}, err
	}
	switch policy {
	case v1alpha1.DeletionRetain:
		p.kept = true
		return step.Outcome{}, nil
	case v1alpha1.DeletionDelete:
	default:
		return step.Hold(v1alpha1.ReasonReleasing, fmt.Sprintf("annotation %s: %q is not known: use %s or %s",
			v1alpha1.DeletionPolicyAnnotation, policy, v1alpha1.DeletionRetain, v1alpha1.DeletionDelete)), nil
	}
	if said {
		return step.Outcome{}, nil
	}
	hosts, err := p.ourHosts(ctx)
	if err != nil || len(hosts) == 0 {
		return step.Outcome{}, err
	}
	going, err := p.goingToo(ctx)
	if err != nil || going == "" {
		return step.Outcome{}, err
	}
	return step.Waiting(v1alpha1.ReasonReleasing, fmt.Sprintf("%s is being deleted, which is no order to erase BareMetalHost %s: to let its server run, "+
		"`kubectl annotate dataplanenode -n %s %s %s=%s`; to erase it, the same with %s", going, client.ObjectKeyFromObject(&hosts[0]),
		p.node.Namespace, p.node.Name, v1alpha1.DeletionPolicyAnnotation, v1alpha1.DeletionRetain, v1alpha1.DeletionDelete), hostPoll), nil
}

// deletionPolicy is the node's, and whether the node itself says so; else its set's.
func (p *release) deletionPolicy(ctx context.Context) (policy v1alpha1.DeletionPolicy, said bool, err error) {
	if policy, said := p.node.Annotations[v1alpha1.DeletionPolicyAnnotation]; said {
		return v1alpha1.DeletionPolicy(policy), true, nil
	}
	set := &v1alpha1.NodeSet{}
	key := types.NamespacedName{Namespace: p.node.Namespace, Name: p.node.Labels[v1alpha1.NodeSetLabel]}
	if err := p.Live.Get(ctx, key, set); client.IgnoreNotFound(err) != nil {
		return "", false, fmt.Errorf("read NodeSet %s: %w", key, err)
	}
	return cmp.Or(set.Spec.DeletionPolicy, v1alpha1.DeletionDelete), false, nil
}

// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=dataplanenodes.dataplane.rackplane.dev;nodesets.dataplane.rackplane.dev;baremetalhosts.metal3.io,verbs=get
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get

// goingToo names what is deleted with everything in it: a kind or a namespace; "" when nothing is.
func (p *release) goingToo(ctx context.Context) (string, error) {
	group := v1alpha1.GroupVersion.Group
	kind := schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
	for _, name := range []string{"dataplanenodes." + group, "nodesets." + group, "baremetalhosts.metal3.io"} {
		if going, err := p.terminating(ctx, kind, name); err != nil || going {
			return "CustomResourceDefinition " + name, err
		}
	}
	if going, err := p.terminating(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"), p.node.Namespace); err != nil || going {
		return "Namespace " + p.node.Namespace, err
	}
	return "", nil
}

// terminating reports whether the object is being deleted. One that is not there is not.
func (p *release) terminating(ctx context.Context, kind schema.GroupVersionKind, name string) (bool, error) {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	err := p.Live.Get(ctx, types.NamespacedName{Name: name}, object)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s %s: %w", kind.Kind, name, err)
	}
	return !object.DeletionTimestamp.IsZero(), nil
}

// dropOrKeepHostKey drops the Secret with the node's host key, or lets it outlive the node whose server does: it is needed
// to log in there again.
func (p *release) dropOrKeepHostKey(ctx context.Context) error {
	if !p.kept {
		return p.dropSecret(ctx, p.hostKeyName())
	}
	secret, err := p.ownSecret(ctx, p.Live, p.hostKeyName())
	if err != nil || secret == nil {
		return err
	}
	old := secret.DeepCopy()
	secret.OwnerReferences = slices.DeleteFunc(secret.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == p.node.UID })
	if len(secret.OwnerReferences) == len(old.OwnerReferences) {
		return nil
	}
	return p.Client.Patch(ctx, secret, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}
