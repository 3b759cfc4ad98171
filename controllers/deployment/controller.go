package deployment

import (
	"context"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// Reconciler reconciles DataPlaneDeployments.
type Reconciler struct {
	// Client writes.
	Client client.Client
	// Reader reads the world, which may be some writes behind.
	Reader client.Reader
	// Live reads uncached, what must not be old: the nodes a run begins on, and what is released.
	Live client.Reader
	// Runner runs Ansible.
	Runner ansible.Runner
	// Leases of the runs and their nodes.
	Leases *leases.Leases
	// Clock tells when runs begin and end.
	Clock clock.PassiveClock
	// Events gets changed conditions.
	Events events.EventRecorder
	// Gate stops everything while it is closed.
	Gate step.Gate
	// Collection is the playbooks that run; it must be the NodeSet controller's.
	Collection rollout.Collection
	// Memory of unfinished deployments. Setup makes it.
	Memory *Memory
	// Workers is how many deployments advance at once; 0 means 8.
	Workers int
}

// pass is what one pass over a deployment knows. Fields are filled by the steps in order.
type pass struct {
	*Reconciler
	deployment *v1alpha1.DataPlaneDeployment

	set      *v1alpha1.NodeSet         // by inputReady
	snapshot snapshot                  // by inputReady
	runs     []rollout.Run             // by advance, or told
	endings  []ending                  // by advance
	statuses map[string]ansible.Status // what the runner knows of runs that were closed, by key
}

// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanedeployments,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanedeployments/status,verbs=patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanedeployments/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=dataplanenodes/status,verbs=patch
// +kubebuilder:rbac:groups=dataplane.rackplane.dev,resources=nodesets;dataplaneservices;netconfigs,verbs=get;list;watch
// +kubebuilder:rbac:groups=metal3.io,resources=baremetalhosts;hardwaredata,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;list;create;update;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile makes one pass over a deployment.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (step.Result, error) {
	d := &v1alpha1.DataPlaneDeployment{}
	if err := r.Reader.Get(ctx, req.NamespacedName, d); err != nil {
		r.Memory.forget(req.NamespacedName)
		return step.Answer(step.Outcome{}, client.IgnoreNotFound(err))
	}
	p := &pass{Reconciler: r, deployment: d}
	steps := []step.Step{
		{Run: p.adopt},
		{Condition: v1alpha1.ConditionInputReady, Run: p.inputReady},
		{Condition: v1alpha1.ConditionReady, Run: p.advance},
	}
	switch {
	case !d.DeletionTimestamp.IsZero() && !controllerutil.ContainsFinalizer(d, v1alpha1.Finalizer), d.DeletionTimestamp.IsZero() && plan.Finished(d):
		r.Memory.forget(req.NamespacedName)
		return step.Answer(step.Outcome{}, nil)
	case !d.DeletionTimestamp.IsZero():
		steps = []step.Step{{Run: p.cancel}, {Run: p.told}, {Run: p.letGo}}
	}
	target := step.Target{Object: d, Conditions: &d.Status.Conditions, ObservedGeneration: &d.Status.ObservedGeneration}
	return step.Run(ctx, step.Loop{Client: r.Client, Clock: r.Clock, Events: r.Events}, target, steps)
}

func (p *pass) adopt(ctx context.Context) (step.Outcome, error) {
	return step.Outcome{}, step.AddFinalizer(ctx, p.Client, p.deployment)
}
