package nodeset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// kept is how many finished deployments of a set stay for its user to look at.
const kept = 10

// maxNodes is how many nodes a deployment of this controller's takes: each of its runs is one Ansible, which gets slower and larger
// with every host that it holds. The rest are due when these are busy.
const maxNodes = 1000

// deployments makes the deployments that are due, and removes those that are of no use any more.
func (p *pass) deployments(ctx context.Context) (step.Outcome, error) {
	busy := map[string]bool{}
	for i := range p.made {
		if !plan.Finished(&p.made[i]) {
			for _, node := range p.nodesOf(&p.made[i]) {
				busy[node] = true
			}
		}
	}
	out := step.Outcome{}
	now := p.Clock.Now()
	if !p.given.Until.IsZero() {
		out = out.Again(max(p.given.Until.Sub(now), step.Soon))
	}
	var due []rollout.Due
	if p.set.Spec.Deployment.Policy != v1alpha1.DeploymentManual && p.hashed {
		var next time.Time
		if due, next = rollout.DueDeployments(p.states(), busy, now); !next.IsZero() {
			out = out.Again(max(next.Sub(now), step.Soon))
		}
	}
	due = slices.DeleteFunc(due, p.underWay)
	if err := p.confirm(ctx, due); err != nil {
		return step.Outcome{}, err
	}
	obsolete, soonest := p.obsolete(due)
	for _, d := range obsolete {
		if err := p.remove(ctx, d); err != nil {
			return step.Outcome{}, err
		}
	}
	if soonest > 0 {
		out = out.Again(soonest)
	}
	for _, d := range due {
		if err := p.deploy(ctx, d); err != nil {
			return step.Outcome{}, err
		}
	}
	return out, nil
}

// underWay reports whether the deployment that is due was made and has not ended.
func (p *pass) underWay(due rollout.Due) bool {
	d := p.deployment(due)
	return d != nil && !plan.Finished(d)
}

// deployment is the one that was made for what is due: its name tells the attempt. nil when there is none.
func (p *pass) deployment(due rollout.Due) *v1alpha1.DataPlaneDeployment {
	i := slices.IndexFunc(p.made, func(d v1alpha1.DataPlaneDeployment) bool { return d.Name == p.deploymentName(due) })
	if i < 0 {
		return nil
	}
	return &p.made[i]
}

// deploy makes the deployment that is due, unless one of its name has just ended: it is on its way out, and makes room for
// the next pass.
func (p *pass) deploy(ctx context.Context, due rollout.Due) error {
	if p.deployment(due) != nil {
		return nil
	}
	return p.Client.Create(ctx, &v1alpha1.DataPlaneDeployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.set.Namespace, Name: p.deploymentName(due),
			Labels:          map[string]string{v1alpha1.NodeSetLabel: p.set.Name},
			Finalizers:      []string{v1alpha1.Finalizer},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.set, v1alpha1.GroupVersion.WithKind("NodeSet"))},
		},
		Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: p.set.Name, Nodes: due.Nodes[:min(maxNodes, len(due.Nodes))], ServicesOverride: due.Services},
	})
}

func (p *pass) deploymentName(due rollout.Due) string { return p.set.Name + "-" + due.Attempt }

func (p *pass) states() []rollout.NodeState {
	states := make([]rollout.NodeState, 0, len(p.members))
	for i := range p.members {
		node := p.members[i]
		state := rollout.NodeState{
			Name: node.Name, UID: node.UID,
			Reachable: p.running[node.Name] && plan.MayRun(p.set, node),
			Wanted:    node.Spec.Services, Results: node.Status.Services,
		}
		switch c := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionProvisioned); {
		case c != nil && c.Status == metav1.ConditionTrue:
			state.Since = c.LastTransitionTime.Time
		default:
			state.Coming = meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionClaimed)
		}
		states = append(states, state)
	}
	return states
}

// listDeployments are the deployments over this set, by age and name.
func (p *pass) listDeployments(ctx context.Context, from client.Reader) ([]v1alpha1.DataPlaneDeployment, error) {
	var list v1alpha1.DataPlaneDeploymentList
	if err := from.List(ctx, &list, client.InNamespace(p.set.Namespace)); err != nil {
		return nil, fmt.Errorf("list DataPlaneDeployments in %s: %w", p.set.Namespace, err)
	}
	own := slices.DeleteFunc(list.Items, func(d v1alpha1.DataPlaneDeployment) bool { return d.Spec.NodeSet != p.set.Name })
	slices.SortFunc(own, func(a, b v1alpha1.DataPlaneDeployment) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return own, nil
}

// nodesOf are the nodes a deployment is about; none given means all of the set.
func (p *pass) nodesOf(d *v1alpha1.DataPlaneDeployment) []string {
	if len(d.Spec.Nodes) > 0 {
		return d.Spec.Nodes
	}
	var all []string
	for i := range p.members {
		all = append(all, p.members[i].Name)
	}
	return all
}

// patience is how long a deployment with wrong input stays before it is removed: it may be put right, and if it is made
// again just as wrong, that must not become a hot loop.
const patience = time.Minute

// obsolete are deployments of this controller's making that serve nobody: finished ones beyond the last few, one that
// bears the name of a due one, ones whose nodes are all gone, and ones that do not begin because their input is wrong
// (they are made again when it is right). soonest is when one more will be; 0 is never.
func (p *pass) obsolete(due []rollout.Due) (old []*v1alpha1.DataPlaneDeployment, soonest time.Duration) {
	history := 0
	for i := range slices.Backward(p.made) {
		d := &p.made[i]
		switch {
		case !metav1.IsControlledBy(d, p.set):
			continue
		case plan.Finished(d):
			history++
			again := slices.ContainsFunc(due, func(x rollout.Due) bool { return p.deploymentName(x) == d.Name })
			if !again && history <= kept {
				continue
			}
		case p.nodesAreGone(d):
		default:
			left := p.untilGivenUp(d)
			if left > 0 && (soonest == 0 || left < soonest) {
				soonest = left
			}
			if left != 0 {
				continue
			}
		}
		if d.DeletionTimestamp.IsZero() {
			old = append(old, d)
		}
	}
	return old, soonest
}

// nodesAreGone reports whether none of the nodes a deployment is about exists. Nodes that a cache does not show yet have been
// asked for by then, and the pass has ended with that.
func (p *pass) nodesAreGone(d *v1alpha1.DataPlaneDeployment) bool {
	return len(d.Spec.Nodes) > 0 && !slices.ContainsFunc(d.Spec.Nodes, func(name string) bool { return p.find(name) != nil })
}

// remove deletes an obsolete deployment, if it still is as it was read: it may have begun since.
func (p *pass) remove(ctx context.Context, d *v1alpha1.DataPlaneDeployment) error {
	uid, version := d.UID, d.ResourceVersion
	return client.IgnoreNotFound(p.Client.Delete(ctx, d, client.Preconditions{UID: &uid, ResourceVersion: &version}))
}

// untilGivenUp is how much longer an unfinished deployment may wait for good input; negative for one that has it, or has begun.
func (p *pass) untilGivenUp(d *v1alpha1.DataPlaneDeployment) time.Duration {
	input := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionInputReady)
	if input == nil || input.Status == metav1.ConditionTrue || input.Reason != v1alpha1.ReasonInvalidInput || len(d.Status.Runs) > 0 {
		return -1
	}
	waited := p.Clock.Since(input.LastTransitionTime.Time)
	if waited.Abs() > patience { // a time that far ahead is of a clock that was wrong
		return 0
	}
	return patience - waited
}
