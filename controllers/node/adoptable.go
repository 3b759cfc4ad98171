package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

// adoptPoll is how often a node that is not as wanted is looked at again.
const adoptPoll = time.Minute

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get

// services is what runs on a node: whether anything may, and what has.
type services struct {
	*pass
	login *login
}

// adoptable looks at a pre-provisioned node before the first service runs on it; nothing is due on a node while this is
// False. Once a service has run there is nothing left to ask: what a look finds then is, or may be, our own doing, and a
// run that failed half way is for its service to repeat. That a service has run is seen, never remembered: in the node's
// results, in a run under way, or, should both be lost, in the name that bootstrap writes on the node first of all. Losing all three
// means looking again.
func (p *services) adoptable(ctx context.Context) (step.Outcome, error) {
	if !p.set.Spec.PreProvisioned {
		return step.Pass(v1alpha1.ReasonNotNeeded, ""), nil
	}
	if len(p.node.Status.Services) > 0 {
		return step.Pass(v1alpha1.ReasonDone, begun), nil
	}
	if run, _, err := p.running(ctx, p.Reader); err != nil || run != "" {
		return step.Pass(v1alpha1.ReasonDone, begun), err
	}
	in, err := inputs.ReadSet(ctx, p.Reader, p.set, p.set.Spec.Services)
	if err != nil {
		return step.Outcome{}, err
	}
	wanted, err := inputs.Adoption(ctx, p.Reader, &in, p.node, p.Clock.Now())
	if err != nil {
		return step.Outcome{}, err
	}
	target := p.login.target()
	facts, err := p.Examiner.Examine(ctx, target, wanted.Question())
	if fault.Is(err, fault.Transient) && p.looked() {
		facts, err = p.Examiner.Examine(ctx, target, wanted.Question())
	}
	if err != nil {
		return p.unseen(ctx, target, err)
	}
	wanted.Now = p.Clock.Now() // the node's clock was read last
	if adoption.Ours(facts, wanted) {
		return step.Pass(v1alpha1.ReasonDone, begun), nil
	}
	findings := adoption.Decide(facts, wanted, p.set.Spec.Adoption.Accept)
	if refused := adoption.Refused(findings); len(refused) > 0 {
		return step.Waiting(v1alpha1.ReasonNotAdoptable, adoption.Message(refused), adoptPoll), nil
	}
	return step.Pass(v1alpha1.ReasonDone, adoption.Message(adoption.Noted(findings))), nil
}

// begun is the message once a service has run.
const begun = "services of Rackplane have run on the node"

// unseen is the outcome of a look that brought no facts.
func (p *services) unseen(ctx context.Context, t remote.Target, err error) (step.Outcome, error) {
	if ctx.Err() != nil {
		return step.Outcome{}, ctx.Err()
	}
	reason := v1alpha1.ReasonWaitingForSSH
	switch fault.KindOf(err) {
	case fault.Denied:
		reason = v1alpha1.ReasonDenied
	case fault.Rejected:
		reason = v1alpha1.ReasonHostKeyMismatch
	case fault.Unsupported:
		reason = v1alpha1.ReasonUnsupported
	case fault.Transient, fault.Busy, fault.Lost, fault.Missing:
	}
	return step.Waiting(reason, fmt.Sprintf("node %s: %s@%s: %s", p.node.Name, t.User, t.Address, err), adoptPoll), nil
}

// looked reports whether the last look at the node, if there was one, was answered.
func (p *services) looked() bool {
	before := meta.FindStatusCondition(p.node.Status.Conditions, v1alpha1.ConditionAdoptable)
	return before == nil || before.Reason != v1alpha1.ReasonWaitingForSSH
}

// running names a run that uses the node; "" when there is none. left are the keys of Leases whose runs go on without the node.
func (p *pass) running(ctx context.Context, r client.Reader) (uses string, left []string, err error) {
	var list v1alpha1.DataPlaneDeploymentList
	if err := r.List(ctx, &list, client.InNamespace(p.node.Namespace)); err != nil {
		return "", nil, fmt.Errorf("list DataPlaneDeployments in %s: %w", p.node.Namespace, err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.DataPlaneDeployment) int { return strings.Compare(a.Name, b.Name) })
	for i := range list.Items {
		d := &list.Items[i]
		if run := d.RunOn(p.node.Name); run != nil {
			return run.Service + " in DataPlaneDeployment " + d.Name, nil, nil
		}
		for j := range d.Status.Runs {
			run := &d.Status.Runs[j]
			if run.State == v1alpha1.RunRunning {
				left = append(left, run.LeaseKey())
			}
		}
	}
	return "", left, nil
}
