package node

import (
	"context"
	"io"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/remote"
)

// Reconciler reconciles DataPlaneNodes.
type Reconciler struct {
	// Client writes.
	Client client.Client
	// Reader reads the world, which may be some writes behind.
	Reader client.Reader
	// Live reads uncached, what must not be old: before a claim, and to release.
	Live client.Reader
	// Prober logs in to nodes, for Setup, which makes Answers of it.
	Prober remote.Prober
	// Answers are what nodes last answered; no pass waits for a node to do so. Whoever gives others than Setup's wakes nodes too.
	Answers remote.Answers
	// Cloud is asked about nodes whose set has spec.openstack.
	Cloud openstack.Cloud
	// Examiner looks at pre-provisioned nodes before anything runs on them.
	Examiner remote.Examiner
	// Leases of the nodes.
	Leases *leases.Leases
	// Random makes host keys; nil is crypto/rand, and nothing less will do outside of tests.
	Random io.Reader
	// Clock tells how long a node has not answered.
	Clock clock.PassiveClock
	// ServerClock is the API server's; nil is the same.
	ServerClock clock.PassiveClock
	// Events gets what a person would want to know.
	Events events.EventRecorder
	// Gate stops everything while it is closed.
	Gate step.Gate
	// Quiet has minor news wait for others; nil writes all news at once, but for Setup, which makes one.
	Quiet *step.Quiet
	// Workers is how many nodes are looked at at once; 0 means 32.
	Workers int
}

// pass is what one pass over a node knows. Fields are filled by the steps in order.
type pass struct {
	*Reconciler
	node *v1alpha1.DataPlaneNode

	set      *v1alpha1.NodeSet                       // by adopt
	pinned   *corev1.Secret                          // by hostKey: the node's host key; nil when it is not there
	host     *metal3v1alpha1.BareMetalHost           // by claimed; nil for a pre-provisioned node
	site     network.Site                            // by addressed
	rendered network.Rendered                        // by addressed
	key      plan.SSHKey                             // by handOver
	handed   map[types.NamespacedName]*corev1.Secret // by handOver: what it wrote for the host
	note     string                                  // by handOver: what a user should know of a node that is deployed
	seen     remote.Seen                             // by answers

	kept  bool                           // by meant: the server outlives the node
	hosts []metal3v1alpha1.BareMetalHost // by undeployed: those that carry the claim of a node that is being released
}

// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes/status,verbs=patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=nodesets;netconfigs;dataplanedeployments,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplaneservices,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=hostclaimpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=metal3.io,resources=baremetalhosts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=metal3.io,resources=hardwaredata,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile makes one pass over a node.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (step.Result, error) {
	node := &v1alpha1.DataPlaneNode{}
	if err := r.Reader.Get(ctx, req.NamespacedName, node); err != nil {
		if apierrors.IsNotFound(err) {
			r.Answers.Forget(req.NamespacedName)
		}
		return step.Answer(step.Outcome{}, client.IgnoreNotFound(err))
	}
	if !node.DeletionTimestamp.IsZero() {
		// What deletion means for the server is read where it is newest: an annotation may have been set a moment ago.
		node = &v1alpha1.DataPlaneNode{}
		if err := r.Live.Get(ctx, req.NamespacedName, node); err != nil {
			return step.Answer(step.Outcome{}, client.IgnoreNotFound(err))
		}
	}
	p := &pass{Reconciler: r, node: node}
	steps := []step.Step{
		{Run: p.adopt},
		{Run: p.hostKey},
		{Condition: v1alpha1.ConditionClaimed, Run: p.claimed},
		{Condition: v1alpha1.ConditionAddressed, Run: p.addressed},
		{Condition: v1alpha1.ConditionProvisioned, Run: p.handOver},
		{Condition: v1alpha1.ConditionProvisioned, Run: p.provisioned},
		{Condition: v1alpha1.ConditionProvisioned, Run: p.answers},
		{Condition: v1alpha1.ConditionAdoptable, Run: p.adoptable},
		{Condition: v1alpha1.ConditionNetworked, Run: p.networked},
		{Condition: v1alpha1.ConditionConfigured, Run: p.configured},
		{Condition: v1alpha1.ConditionJoined, Run: p.joined},
		{Condition: v1alpha1.ConditionReady, Run: p.told},
	}
	if !node.DeletionTimestamp.IsZero() {
		r.Answers.Forget(req.NamespacedName)
		if !controllerutil.ContainsFinalizer(node, v1alpha1.Finalizer) {
			return step.Answer(step.Outcome{}, nil)
		}
		steps = p.release()
	}
	target := step.Target{
		Object: node, Conditions: &node.Status.Conditions, ObservedGeneration: &node.Status.ObservedGeneration,
		Decides:    []string{v1alpha1.ConditionClaimed, v1alpha1.ConditionProvisioned, v1alpha1.ConditionAdoptable},
		Versioned:  []string{v1alpha1.ConditionAdoptable},
		Milestones: []string{v1alpha1.ConditionProvisioned, v1alpha1.ConditionReady}, // the claim is a condition, and on the host
	}
	return step.Run(ctx, step.Loop{Client: r.Client, Clock: r.Clock, Events: r.Events, Quiet: r.Quiet}, target, steps)
}
