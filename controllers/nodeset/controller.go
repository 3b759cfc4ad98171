package nodeset

import (
	"context"
	"slices"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/addresses"
	"github.com/rackplane/rackplane/controllers/inputs"
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

	memory memory
}

// pass is what one pass over a NodeSet knows. Fields are filled by the steps in order.
type pass struct {
	*Reconciler
	// Client and Live are the Reconciler's; what is written, or read live, through them is noted in acted.
	Client client.Client
	Live   client.Reader
	acted  bool
	set    *v1alpha1.NodeSet

	made    []v1alpha1.DataPlaneDeployment // by observe
	inputs  plan.Set                       // by observe
	version inputs.Version                 // by observe: of all that is decided by
	known   *decided                       // by observe: what the last pass decided by the same; nil when it is to be decided
	world   plan.World                     // by observe, without hosts when all is known; nodes, plan and services keep it up to date with what they write
	members []*v1alpha1.DataPlaneNode      // by observe or nodes: those of the set, in the world, that are not being deleted
	desired int                            // by observe or nodes: how many nodes there should be
	ledger  *addresses.Keeper              // by plan; nil without networks
	written map[string]bool                // nodes whose spec was written in this pass
	running map[string]bool                // by services: nodes that services can run on
	hashed  bool                           // by services: the wanted inputs are decided
	given   plan.Inputs                    // by observe or services: which inputs nodes have, and which wait for the newest until when
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
	p.Client, p.Live = writer{r.Client, &p.acted}, asker{r.Live, &p.acted}
	steps := slices.Concat(
		[]step.Step{{Run: p.adopt}, {Run: p.observe}},
		p.decides(
			step.Step{Condition: v1alpha1.ConditionInputReady, Run: p.inputReady},
			step.Step{Run: p.nodes},
			step.Step{Condition: v1alpha1.ConditionPlanned, Run: p.plan},
			step.Step{Run: p.services},
		),
		[]step.Step{{Run: p.deployments}, {Condition: v1alpha1.ConditionReady, Run: p.ready}},
	)
	if !set.DeletionTimestamp.IsZero() {
		r.memory.keep(req.NamespacedName, nil)
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
