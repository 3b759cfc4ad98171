package node

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// adopt finds the node's set and puts the finalizer on before anything is made.
func (p *pass) adopt(ctx context.Context) (step.Outcome, error) {
	key := types.NamespacedName{Namespace: p.node.Namespace, Name: p.node.Labels[v1alpha1.NodeSetLabel]}
	set, err := p.readSet(ctx, key)
	switch {
	case apierrors.IsNotFound(err):
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf(
			"NodeSet %s (label %s) does not exist: create it, or delete this DataPlaneNode to hand its host back", key, v1alpha1.NodeSetLabel)), nil
	case err != nil:
		return step.Outcome{}, fmt.Errorf("read NodeSet %s: %w", key, err)
	}
	p.set = set
	if !plan.DecidedBy(set, p.node) {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf(
			"DataPlaneNode %s/%s was not made by NodeSet %s, and gets nothing: delete it; a node that spec.nodes or spec.replicas of the set asks for is made by itself",
			p.node.Namespace, p.node.Name, set.Name)), nil
	}
	if keys := set.Spec.Nodes[p.node.Name].SSHHostKeys; set.Spec.PreProvisioned && len(keys) == 0 {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf(
			"NodeSet %s: spec.nodes[%s].sshHostKeys is empty: list the public host keys the node answers with", key, p.node.Name)), nil
	}
	return step.Outcome{}, step.AddFinalizer(ctx, p.Client, p.node)
}

// readSet reads the node's set. That there is none, or that another one made the node, is not believed of a cache. The set is
// the cache's own and must never be changed: a copy of a thousand explicit nodes for each pass over one of them costs more than
// all the rest of the pass (BenchmarkPass).
func (p *pass) readSet(ctx context.Context, key types.NamespacedName) (*v1alpha1.NodeSet, error) {
	set := &v1alpha1.NodeSet{}
	err := p.Reader.Get(ctx, key, set, client.UnsafeDisableDeepCopy)
	if apierrors.IsNotFound(err) || (err == nil && !plan.DecidedBy(set, p.node)) {
		set = &v1alpha1.NodeSet{}
		err = p.Live.Get(ctx, key, set)
	}
	return set, err
}

// machine is a node's server, until it is on with the node's image: its host, its host key, its network, and what it is given.
type machine struct {
	*pass
	pinned   *corev1.Secret                          // by hostKey: the node's host key; nil when it is not there
	host     *metal3v1alpha1.BareMetalHost           // by claimed; nil for a pre-provisioned node
	site     network.Site                            // by addressed
	rendered network.Rendered                        // by addressed
	key      plan.SSHKey                             // by handOver
	handed   map[types.NamespacedName]*corev1.Secret // by handOver: what it wrote for the host
	note     string                                  // by handOver: what a user should know of a node that is deployed
}

// claimed takes the planned host by compare-and-swap, if every rule that planned it holds of the host that is swapped.
func (p *machine) claimed(ctx context.Context) (step.Outcome, error) {
	if p.set.Spec.PreProvisioned {
		return step.Pass(v1alpha1.ReasonNotNeeded, ""), nil
	}
	ref := p.node.Spec.Host
	if ref == nil {
		return step.Lost(v1alpha1.ReasonWaitingForPlan, "no BareMetalHost is planned yet: "+p.planner(), 0), nil
	}
	host := &metal3v1alpha1.BareMetalHost{}
	err := p.Reader.Get(ctx, types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, host)
	if client.IgnoreNotFound(err) != nil {
		return step.Outcome{}, fmt.Errorf("read BareMetalHost %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	if err == nil && host.UID == ref.UID && p.isUs(host.Spec.ConsumerRef) {
		p.host = host
		return p.keeps(ctx)
	}
	refusal, err := p.refused(ctx)
	if err != nil {
		return step.Outcome{}, err
	}
	if refusal != "" {
		return step.Lost(v1alpha1.ReasonHostLost, fmt.Sprintf("BareMetalHost %s/%s %s; another host is planned", ref.Namespace, ref.Name, refusal), 0), nil
	}
	// A node that is gone must claim nothing: nobody would give it back.
	if err := step.Current(ctx, p.Live, p.node); err != nil {
		return step.Outcome{}, err
	}
	// The rules were asked after the host was read: if it has changed in between, or was old, the swap fails and all begins anew.
	if err := p.swap(ctx, host, func() { host.Spec.ConsumerRef = p.us() }); err != nil {
		return step.Outcome{}, err
	}
	p.host = host
	return step.Pass(v1alpha1.ReasonDone, p.hostName()), nil
}

// refused says why the node must not claim the planned host; "" when it may. Of a host of another namespace that is not
// lent nothing is told, not even whether it is there.
func (p *machine) refused(ctx context.Context) (string, error) {
	ref, own := p.node.Spec.Host, p.node.Namespace
	hosts, err := inputs.ReadHosts(ctx, p.Reader, ref.Namespace)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(hosts, func(h claim.Host) bool { return h.Ref == *ref })
	switch {
	case ref.Namespace != own && (i < 0 || !slices.Contains(hosts[i].LentTo, own)):
		return fmt.Sprintf("is not there for namespace %s: it is gone, was made anew, or no HostClaimPolicy of namespace %s lends it", own, ref.Namespace), nil
	case i < 0:
		return "is gone or was made anew", nil
	}
	reason, err := claim.Refused(*plan.NeedOf(p.set, p.node), hosts[i])
	if reason != "" {
		reason = "cannot be claimed: " + reason
	}
	return reason, err
}

// keeps tells of the claim that is held. It stays when it could not be made again: consent that is taken back, or another
// selector, never cost a running node its server.
func (p *machine) keeps(ctx context.Context) (step.Outcome, error) {
	message := p.hostName()
	if p.host.Namespace != p.node.Namespace {
		var policies v1alpha1.HostClaimPolicyList
		if err := p.Reader.List(ctx, &policies, client.InNamespace(p.host.Namespace)); err != nil {
			return step.Outcome{}, fmt.Errorf("list HostClaimPolicies in %s: %w", p.host.Namespace, err)
		}
		hosts := []claim.Host{claim.FromBareMetalHost(*p.host)}
		claim.Lend(hosts, policies.Items)
		if !slices.Contains(hosts[0].LentTo, p.node.Namespace) {
			message += fmt.Sprintf("; no HostClaimPolicy of its namespace lends it to namespace %s any more: the claim stays until the node is released", p.node.Namespace)
		}
	}
	return step.Pass(v1alpha1.ReasonDone, message), nil
}

func (p *machine) hostName() string {
	return fmt.Sprintf("BareMetalHost %s/%s", p.host.Namespace, p.host.Name)
}

// planner says who tells why something is not planned. It is not repeated: a set that is planned one write later would be
// told of once more by each of its nodes.
func (p *pass) planner() string {
	return fmt.Sprintf("if one is missing, condition Planned of NodeSet %s tells why", p.set.Name)
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

// isUs reports whether a consumerRef names this very node, UID included. One without, as somebody may write by hand, is no
// claim: it becomes one only by every rule.
func (p *pass) isUs(ref *corev1.ObjectReference) bool {
	return ref != nil && ref.Kind == claim.OwnerKind && ref.Namespace == p.node.Namespace && ref.Name == p.node.Name && ref.UID == p.node.UID
}

// handedOver reports whether the image on a claimed host is the node's. What somebody else put there is not the node's to
// replace or take off. The host itself tells, not the node's status: that may be lost, or speak of an earlier host.
func (p *pass) handedOver(host *metal3v1alpha1.BareMetalHost) bool {
	h := claim.FromBareMetalHost(*host)
	return h.HandedOverBy(plan.OwnerOf(p.node))
}

// addressed checks that every wanted network has an address, and renders the network that was decided. What it is rendered
// from may be newer than the decision: nothing acts on it then.
func (p *machine) addressed(ctx context.Context) (step.Outcome, error) {
	var err error
	if p.site, err = inputs.Site(ctx, p.Reader, p.node.Namespace); err != nil {
		return problem(err)
	}
	if missing := plan.Unaddressed(p.set, p.node); len(missing) > 0 {
		return step.Waiting(v1alpha1.ReasonWaitingForPlan, fmt.Sprintf("no address on %s is planned yet: %s", missing[0], p.planner()), 0), nil
	}
	host, err := p.hardware(ctx)
	if err != nil {
		return step.Outcome{}, err
	}
	if p.rendered, err = plan.RenderNetwork(p.set, p.node, p.site, host); err != nil {
		return problem(err)
	}
	p.node.Status.Address = plan.ControlPlaneAddress(p.node, p.site)
	if decided := p.node.Spec.NetworkHash; decided != p.rendered.Hash {
		return step.Waiting(v1alpha1.ReasonWaitingForPlan, fmt.Sprintf("its network is %s by what there is now, and %s was decided: NodeSet %s decides anew", p.rendered.Hash, cmp.Or(decided, "none"), p.set.Name), 0), nil
	}
	return step.Outcome{}, nil
}

// hardware is what is known of the claimed host; nil for a pre-provisioned node.
func (p *machine) hardware(ctx context.Context) (*claim.Host, error) {
	if p.host == nil {
		return nil, nil
	}
	host := claim.FromBareMetalHost(*p.host)
	if host.Hardware == nil {
		data := &metal3v1alpha1.HardwareData{}
		if err := p.Reader.Get(ctx, client.ObjectKeyFromObject(p.host), data); client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("read HardwareData %s: %w", client.ObjectKeyFromObject(p.host), err)
		}
		host.Inspected(data.Spec.HardwareDetails)
	}
	return &host, nil
}

// problem is the outcome of what a user has to put right; other errors stay errors.
func problem(err error) (step.Outcome, error) {
	if plan.IsProblem(err) {
		return step.Hold(v1alpha1.ReasonInvalidInput, err.Error()), nil
	}
	return step.Outcome{}, err
}
