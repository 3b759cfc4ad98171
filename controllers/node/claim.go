package node

import (
	"context"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// adopt finds the node's set and puts the finalizer on before anything is made.
func (p *pass) adopt(ctx context.Context) (step.Outcome, error) {
	set := &v1alpha1.NodeSet{}
	key := types.NamespacedName{Namespace: p.node.Namespace, Name: p.node.Labels[v1alpha1.NodeSetLabel]}
	err := p.Reader.Get(ctx, key, set)
	switch {
	case apierrors.IsNotFound(err):
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf(
			"NodeSet %s (label %s) does not exist: create it, or delete this DataPlaneNode to hand its host back", key, v1alpha1.NodeSetLabel)), nil
	case err != nil:
		return step.Outcome{}, fmt.Errorf("read NodeSet %s: %w", key, err)
	}
	p.set = set
	if keys := set.Spec.Nodes[p.node.Name].SSHHostKeys; set.Spec.PreProvisioned && len(keys) == 0 {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf(
			"NodeSet %s: spec.nodes[%s].sshHostKeys is empty: list the public host keys the node answers with", key, p.node.Name)), nil
	}
	return step.Outcome{}, step.AddFinalizer(ctx, p.Client, p.node)
}

// claimed takes the planned host by compare-and-swap.
func (p *pass) claimed(ctx context.Context) (step.Outcome, error) {
	if p.set.Spec.PreProvisioned {
		return step.Pass(v1alpha1.ReasonNotNeeded, ""), nil
	}
	ref := p.node.Spec.Host
	if ref == nil {
		return p.unplanned(), nil
	}
	host := &metal3v1alpha1.BareMetalHost{}
	err := p.Reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, host)
	switch {
	case apierrors.IsNotFound(err) || (err == nil && host.UID != ref.UID):
		return step.Lost(v1alpha1.ReasonHostLost, fmt.Sprintf("BareMetalHost %s/%s is gone or was made anew; another host is planned", ref.Namespace, ref.Name), 0), nil
	case err != nil:
		return step.Outcome{}, fmt.Errorf("read BareMetalHost %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	if other := host.Spec.ConsumerRef; other != nil && !p.isUs(other) {
		return step.Lost(v1alpha1.ReasonHostLost, fmt.Sprintf("BareMetalHost %s/%s was taken by %s %s/%s; another host is planned",
			ref.Namespace, ref.Name, other.Kind, other.Namespace, other.Name), 0), nil
	}
	if host.Spec.ConsumerRef == nil {
		if !host.DeletionTimestamp.IsZero() {
			return step.Lost(v1alpha1.ReasonHostLost, fmt.Sprintf("BareMetalHost %s/%s is being deleted; another host is planned when it is gone", ref.Namespace, ref.Name), 0), nil
		}
		if err := p.swap(ctx, host, func() { host.Spec.ConsumerRef = p.us() }); err != nil {
			return step.Outcome{}, err
		}
	}
	p.host = host
	return step.Pass(v1alpha1.ReasonDone, fmt.Sprintf("BareMetalHost %s/%s", ref.Namespace, ref.Name)), nil
}

// unplanned says why there is no host yet, as far as the NodeSet controller has told.
func (p *pass) unplanned() step.Outcome {
	planned := meta.FindStatusCondition(p.set.Status.Conditions, v1alpha1.ConditionPlanned)
	if planned != nil && planned.Status == metav1.ConditionFalse && planned.Reason == v1alpha1.ReasonNoHost {
		return step.Lost(v1alpha1.ReasonNoHost, fmt.Sprintf("no BareMetalHost is left: condition Planned of NodeSet %s tells what excludes each", p.set.Name), 0)
	}
	return step.Lost(v1alpha1.ReasonWaitingForPlan, "no BareMetalHost is planned yet", 0)
}

// swap changes the host only if nobody else did since it was read.
func (p *pass) swap(ctx context.Context, host *metal3v1alpha1.BareMetalHost, change func()) error {
	old := host.DeepCopy()
	change()
	return p.Client.Patch(ctx, host, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}

func (p *pass) us() *corev1.ObjectReference {
	return &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: claim.OwnerKind,
		Namespace: p.node.Namespace, Name: p.node.Name, UID: p.node.UID,
	}
}

// isUs reports whether a consumerRef names this very node. One without a UID, as a restored backup may hold, is told by name.
func (p *pass) isUs(ref *corev1.ObjectReference) bool {
	return ref != nil && ref.Kind == claim.OwnerKind && ref.Namespace == p.node.Namespace && ref.Name == p.node.Name &&
		(ref.UID == p.node.UID || ref.UID == "")
}

// addressed checks that every wanted network has an address, and renders the network from them.
func (p *pass) addressed(ctx context.Context) (step.Outcome, error) {
	var err error
	if p.nets, err = inputs.Networks(ctx, p.Reader, p.node.Namespace); err != nil {
		return problem(err)
	}
	if missing := inputs.Unaddressed(p.set, p.node); len(missing) > 0 {
		planned := meta.FindStatusCondition(p.set.Status.Conditions, v1alpha1.ConditionPlanned)
		if planned != nil && planned.Status == metav1.ConditionFalse && planned.Reason != v1alpha1.ReasonNoHost {
			return step.Waiting(planned.Reason, fmt.Sprintf("no address on %s: condition Planned of NodeSet %s tells why", missing[0], p.set.Name), 0), nil
		}
		return step.Waiting(v1alpha1.ReasonWaitingForPlan, fmt.Sprintf("no address on %s is planned yet", missing[0]), 0), nil
	}
	host, err := p.hardware(ctx)
	if err != nil {
		return step.Outcome{}, err
	}
	if p.rendered, err = inputs.RenderNetwork(p.set, p.node, p.nets, host); err != nil {
		return problem(err)
	}
	p.node.Status.NetworkHash = p.rendered.Hash
	return step.Outcome{}, nil
}

// hardware is what is known of the claimed host; nil for a pre-provisioned node.
func (p *pass) hardware(ctx context.Context) (*claim.Host, error) {
	if p.host == nil {
		return nil, nil
	}
	host := claim.FromBareMetalHost(*p.host)
	if host.Hardware == nil {
		data := &metal3v1alpha1.HardwareData{}
		if err := p.Reader.Get(ctx, client.ObjectKeyFromObject(p.host), data); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read HardwareData %s: %w", client.ObjectKeyFromObject(p.host), err)
		}
		host.Hardware = claim.FromHardware(data.Spec.HardwareDetails)
	}
	return &host, nil
}

// problem is the outcome of what a user has to put right; other errors stay errors.
func problem(err error) (step.Outcome, error) {
	if inputs.IsProblem(err) {
		return step.Hold(v1alpha1.ReasonInvalidInput, err.Error()), nil
	}
	return step.Outcome{}, err
}
