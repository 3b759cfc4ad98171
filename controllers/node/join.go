package node

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/join"
	"github.com/rackplane/rackplane/plan"
)

const (
	// joinPoll is when to ask the cloud again about a node that has not joined.
	joinPoll = 10 * time.Second
	// joinedPoll is when to look again whether a node that has joined still is.
	joinedPoll = 30 * time.Second
)

// cloud asks the node's cloud, and changes it.
type cloud struct{ *pass }

// membership is a node's place in its cloud.
type membership struct {
	cloud
	machine *machine
}

// joined asks the node's cloud whether the node is a compute there, and makes so what the set asks for beyond that.
// A cloud that does not answer takes nothing back: a node that had joined is Unknown until the cloud answers again.
func (p *membership) joined(ctx context.Context) (step.Outcome, error) {
	if p.set.Spec.OpenStack == nil {
		p.node.Status.OpenStack = nil
		return step.Pass(v1alpha1.ReasonNotNeeded, ""), nil
	}
	access, err := inputs.ReadCloud(ctx, p.Reader, p.set)
	if plan.IsProblem(err) {
		return p.silent(v1alpha1.ReasonInvalidInput, err), nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	var services v1alpha1.DataPlaneServiceList
	if err := p.Reader.List(ctx, &services, client.InNamespace(p.node.Namespace)); err != nil {
		return step.Outcome{}, fmt.Errorf("list DataPlaneServices in %s: %w", p.node.Namespace, err)
	}
	want := plan.WantJoined(p.set, p.node, p.machine.site, plan.ServiceTypes(p.set, services.Items))
	decision, err := p.next(ctx, access, want)
	if err == nil && len(decision.Actions) > 0 && !decision.Discover {
		if out, err := p.place(ctx, access, decision); !out.IsDone() || err != nil {
			return out, err
		}
		decision, err = p.next(ctx, access, want) // most of it shows at once, and then nothing is told in between
	}
	switch {
	case ctx.Err() != nil:
		return step.Outcome{}, ctx.Err()
	case err != nil:
		return p.silent(string(fault.KindOf(err)), err), nil
	case decision.Joined():
		return step.Pass(v1alpha1.ReasonDone, "").Again(joinedPoll), nil
	case decision.Discover:
		return p.discover(ctx, decision)
	case len(decision.Actions) > 0:
		return step.Waiting(decision.Reason, decision.Message, step.Soon), nil
	default:
		return step.Waiting(decision.Reason, decision.Message, joinPoll), nil
	}
}

// next looks at the cloud and returns what is to be done there.
func (p *membership) next(ctx context.Context, access openstack.Access, want join.Want) (join.Decision, error) {
	seen, err := p.see(ctx, access, want.Host)
	if err != nil {
		return join.Decision{}, err
	}
	decision := join.Next(want, seen)
	p.recordCompute(decision.Status)
	return decision, nil
}

// silent is what an error says of a node: that it waits, or that nobody knows whether it still is what it was.
func (p *membership) silent(reason string, err error) step.Outcome {
	before := meta.FindStatusCondition(p.node.Status.Conditions, v1alpha1.ConditionJoined)
	if before == nil || before.Status == metav1.ConditionFalse || before.Reason == v1alpha1.ReasonNotNeeded {
		return step.Waiting(reason, err.Error(), joinPoll)
	}
	return step.Unsure(reason, "had joined when the cloud was last seen: "+err.Error(), joinPoll)
}

// recordCompute keeps what the cloud calls the node; what is not seen now is what it was last called.
func (p cloud) recordCompute(now v1alpha1.ComputeStatus) {
	if p.node.Status.OpenStack == nil {
		if now == (v1alpha1.ComputeStatus{}) {
			return
		}
		p.node.Status.OpenStack = &v1alpha1.ComputeStatus{}
	}
	for _, f := range []struct {
		now  string
		kept *string
	}{
		{now.Host, &p.node.Status.OpenStack.Host},
		{now.ServiceID, &p.node.Status.OpenStack.ServiceID},
		{now.HypervisorID, &p.node.Status.OpenStack.HypervisorID},
		{now.Chassis, &p.node.Status.OpenStack.Chassis},
	} {
		if f.now != "" {
			*f.kept = f.now
		}
	}
}

// see looks at the cloud, twice if need be.
func (p cloud) see(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	seen, err := p.Cloud.See(ctx, access, host)
	if p.isNoNews(err) {
		seen, err = p.Cloud.See(ctx, access, host)
	}
	return seen, err
}

// servers asks what is on a host, twice if need be.
func (p cloud) servers(ctx context.Context, access openstack.Access, host string) ([]string, error) {
	names, err := p.Cloud.Servers(ctx, access, host)
	if p.isNoNews(err) {
		names, err = p.Cloud.Servers(ctx, access, host)
	}
	return names, err
}

// change does one thing in the cloud, twice if need be: every action may be asked for again.
func (p cloud) change(ctx context.Context, access openstack.Access, action openstack.Action) error {
	err := p.Cloud.Do(ctx, access, action)
	if p.isNoNews(err) {
		err = p.Cloud.Do(ctx, access, action)
	}
	return err
}

// isNoNews reports whether the cloud is to be asked again before anything is told: it answered when it was last asked about
// the node and is silent once, or somebody changed there what it was asked to change.
func (p cloud) isNoNews(err error) bool {
	if fault.Is(err, fault.Busy) {
		return true
	}
	before := meta.FindStatusCondition(p.node.Status.Conditions, v1alpha1.ConditionJoined)
	return fault.Is(err, fault.Transient) && (before == nil || before.Reason != v1alpha1.ReasonTransient)
}

// place does what puts the compute where the set wants it. The outcome is empty when all was done.
func (p *membership) place(ctx context.Context, access openstack.Access, decision join.Decision) (step.Outcome, error) {
	for _, action := range decision.Actions {
		err := p.change(ctx, access, action)
		switch {
		case ctx.Err() != nil:
			return step.Outcome{}, ctx.Err()
		case err != nil:
			return step.Waiting(string(fault.KindOf(err)), err.Error(), joinPoll), nil
		}
	}
	return step.Outcome{}, nil
}
