package nodeset

import (
	"context"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/addresses"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// Reconciler reconciles NodeSets.
type Reconciler struct {
	// Client writes.
	Client client.Client
	// Reader reads the world, which may be some writes behind.
	Reader client.Reader
	// Live reads uncached: a plan made on an old world gives things out twice.
	Live client.Reader
	// Clock tells when failed services are due again.
	Clock clock.PassiveClock
	// Events gets changed conditions.
	Events events.EventRecorder
	// Gate stops everything while it is closed.
	Gate step.Gate
	// Collection is the playbooks that run; another one makes its services run again.
	Collection rollout.Collection
}

// pass is what one pass over a NodeSet knows. Fields are filled by the steps in order.
type pass struct {
	*Reconciler
	set *v1alpha1.NodeSet

	made      []v1alpha1.DataPlaneDeployment // by observe
	world     plan.World                     // by observe; nodes, plan and services keep it up to date with what they write
	inputs    plan.Set                       // by inputReady
	members   []v1alpha1.DataPlaneNode       // by nodes: those of the set that are not being deleted
	ledger    *addresses.Keeper              // by plan; nil without networks
	written   map[string]bool                // nodes whose spec was written in this pass
	inventory plan.Inventory                 // by services
	hashed    bool                           // by services: the wanted inputs are decided
}

// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=nodesets,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=nodesets/status,verbs=patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=nodesets/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanedeployments,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplaneservices;netconfigs,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=hostclaimpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=addressblocks,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=metal3.io,resources=baremetalhosts,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=metal3.io,resources=hardwaredata,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets;configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile makes one pass over a NodeSet.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (step.Result, error) {
	set := &v1alpha1.NodeSet{}
	if err := r.Reader.Get(ctx, req.NamespacedName, set); err != nil {
		return step.Answer(step.Outcome{}, client.IgnoreNotFound(err))
	}
	p := &pass{Reconciler: r, set: set, written: map[string]bool{}}
	steps := []step.Step{
		{Run: p.adopt},
		{Run: p.observe},
		{Condition: v1alpha1.ConditionInputReady, Run: p.inputReady},
		{Run: p.nodes},
		{Condition: v1alpha1.ConditionPlanned, Run: p.plan},
		{Run: p.services},
		{Run: p.deployments},
		{Condition: v1alpha1.ConditionReady, Run: p.ready},
	}
	if !set.DeletionTimestamp.IsZero() {
		steps = []step.Step{
			{Run: p.dropDeployments},
			{Run: p.dropNodes},
			{Run: p.addressesFreed},
			{Run: p.letGo},
		}
	}
	target := step.Target{Object: set, Conditions: &set.Status.Conditions, ObservedGeneration: &set.Status.ObservedGeneration}
	return step.Run(ctx, step.Loop{Client: r.Client, Clock: r.Clock, Events: r.Events}, target, steps)
}
