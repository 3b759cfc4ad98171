package node

import (
	"context"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/openstack"
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
	// Workers is how many passes are made side by side; 0 means 32.
	Workers int
}

// pass is what all concerns of one pass over a node share. Each concern is a type of its own with the steps that are about it, and
// takes from the others what their steps found before.
type pass struct {
	*Reconciler
	node *v1alpha1.DataPlaneNode
	set  *v1alpha1.NodeSet // by adopt
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
	steps := p.toReady()
	if !node.DeletionTimestamp.IsZero() {
		r.Answers.Forget(req.NamespacedName)
		if !controllerutil.ContainsFinalizer(node, v1alpha1.Finalizer) {
			return step.Answer(step.Outcome{}, nil)
		}
		steps = (&release{cloud: cloud{p}}).steps()
	}
	target := step.Target{
		Object: node, Conditions: &node.Status.Conditions, ObservedGeneration: &node.Status.ObservedGeneration,
		Decides:    []string{v1alpha1.ConditionClaimed, v1alpha1.ConditionProvisioned, v1alpha1.ConditionAdoptable},
		Versioned:  []string{v1alpha1.ConditionAdoptable},
		Milestones: []string{v1alpha1.ConditionProvisioned, v1alpha1.ConditionReady}, // the claim is a condition, and on the host
	}
	return step.Run(ctx, step.Loop{Client: r.Client, Clock: r.Clock, Events: r.Events, Quiet: r.Quiet}, target, steps)
}

// toReady are the steps of a node's life until it is deleted.
func (p *pass) toReady() []step.Step {
	m := &machine{pass: p}
	l := &login{pass: p, machine: m}
	s := &services{pass: p, login: l}
	c := &membership{cloud: cloud{p}, machine: m}
	return []step.Step{
		{Run: p.adopt},
		{Run: m.hostKey},
		{Condition: v1alpha1.ConditionClaimed, Run: m.claimed},
		{Condition: v1alpha1.ConditionAddressed, Run: m.addressed},
		{Condition: v1alpha1.ConditionProvisioned, Run: m.handOver},
		{Condition: v1alpha1.ConditionProvisioned, Run: m.provisioned},
		{Condition: v1alpha1.ConditionProvisioned, Run: l.answers},
		{Condition: v1alpha1.ConditionAdoptable, Run: s.adoptable},
		{Condition: v1alpha1.ConditionNetworked, Run: s.networked},
		{Condition: v1alpha1.ConditionConfigured, Run: s.configured},
		{Condition: v1alpha1.ConditionJoined, Run: c.joined},
		{Condition: v1alpha1.ConditionReady, Run: s.told},
	}
}
