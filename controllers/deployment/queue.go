package deployment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// queuePoll is when a deployment that waits for its turn, or for a decision, looks again.
const queuePoll = 2 * time.Second

// inTurn waits for the deployments that come before this one on one of its nodes, whoever made them. Its inputs are taken
// when its turn has come, so that it runs what is wanted then.
func (p *pass) inTurn(ctx context.Context) (step.Outcome, error) {
	var list v1alpha1.DataPlaneDeploymentList
	if err := p.Reader.List(ctx, &list, client.InNamespace(p.deployment.Namespace)); err != nil {
		return step.Outcome{}, fmt.Errorf("list DataPlaneDeployments in %s: %w", p.deployment.Namespace, err)
	}
	list.Items = slices.DeleteFunc(list.Items, func(d v1alpha1.DataPlaneDeployment) bool {
		return d.Spec.NodeSet != p.deployment.Spec.NodeSet || !inLine(&d)
	})
	others := make([]rollout.Turn, 0, len(list.Items))
	for i := range list.Items {
		others = append(others, turnOf(&list.Items[i]))
	}
	own := turnOf(p.deployment)
	first, waits := rollout.Behind(own, others)
	if !waits {
		return step.Outcome{}, nil
	}
	what := "all nodes of NodeSet " + p.deployment.Spec.NodeSet
	if node, _ := rollout.Shared(own, first); node != "" {
		what = "node " + node
	}
	return step.Waiting(v1alpha1.ReasonQueued, fmt.Sprintf("queued behind DataPlaneDeployment %s of %s, which is about %s too",
		first.Name, first.Created.UTC().Format(time.RFC3339), what), queuePoll), nil
}

// inLine reports whether others must wait for the deployment. One that has not begun and is on its way out, or cannot begin
// as it is, never would let them.
func inLine(d *v1alpha1.DataPlaneDeployment) bool {
	if plan.Finished(d) {
		return false
	}
	if plan.Begun(d) {
		return true
	}
	input := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionInputReady)
	return d.DeletionTimestamp.IsZero() && (input == nil || input.Reason == v1alpha1.ReasonQueued)
}

func turnOf(d *v1alpha1.DataPlaneDeployment) rollout.Turn {
	return rollout.Turn{Name: d.Name, UID: d.UID, Created: d.CreationTimestamp.Time, Begun: plan.Begun(d), Nodes: d.Spec.Nodes}
}
