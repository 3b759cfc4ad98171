package node

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/join"
	"github.com/rackplane/rackplane/plan"
)

// farewell is what the release of a node needs to take leave of its cloud; nil when there is none to take.
type farewell struct {
	access openstack.Access
	host   openstack.Host
	join.Leaving
}

// drained waits until nothing of the cloud's is on the host: switching it off is final for what runs on it. A node that
// was there before Rackplane stays on, and is left to its cloud as it is.
func (p *release) drained(ctx context.Context) (step.Outcome, error) {
	return p.leave(ctx, func(f *farewell, seen openstack.Compute) (step.Outcome, error) {
		var servers []string
		if host := f.Host(seen); host != "" {
			var err error
			if servers, err = p.servers(ctx, f.access, host); err != nil {
				return p.unasked(ctx, err)
			}
		}
		decision := join.Drain(f.Leaving, seen, servers)
		if out, err := p.do(ctx, f, decision.Actions); err != nil || !out.IsDone() {
			return out, err
		}
		switch {
		case decision.Reason != "":
			return step.Waiting(decision.Reason, decision.Message, joinPoll), nil
		case len(decision.Actions) > 0:
			// A server may have been scheduled in the meantime: look again, now that none can come.
			return step.Waiting(v1alpha1.ReasonReleasing, "host "+f.Name+" is taken out of scheduling", step.Soon), nil
		}
		return step.Outcome{}, nil
	})
}

// departed makes the cloud forget the host, now that it is off.
func (p *release) departed(ctx context.Context) (step.Outcome, error) {
	if len(p.hosts) == 0 {
		return step.Outcome{}, nil // nothing was switched off
	}
	return p.leave(ctx, func(f *farewell, seen openstack.Compute) (step.Outcome, error) {
		return p.do(ctx, f, join.Depart(f.Leaving, seen))
	})
}

// leave looks at the cloud and goes on from there; it is done when there is no leave to take.
func (p *release) leave(ctx context.Context, next func(*farewell, openstack.Compute) (step.Outcome, error)) (step.Outcome, error) {
	f, err := p.farewell(ctx)
	switch {
	case plan.IsProblem(err):
		return p.unasked(ctx, err)
	case err != nil || f == nil:
		return step.Outcome{}, err
	}
	seen, err := p.see(ctx, f.access, f.host)
	if err != nil {
		return p.unasked(ctx, err)
	}
	if host := f.Host(seen); host != "" {
		// A status that was lost must not make a cloud that falls silent now look like one that never knew the node.
		p.recordCompute(v1alpha1.ComputeStatus{Host: host})
	}
	return next(f, seen)
}

func (p *release) do(ctx context.Context, f *farewell, actions []openstack.Action) (step.Outcome, error) {
	for _, action := range actions {
		if err := p.change(ctx, f.access, action); err != nil {
			return p.unasked(ctx, err)
		}
	}
	return step.Outcome{}, nil
}

// farewell reads what taking leave needs. The set may be gone, or have no cloud: then there is nothing to do.
func (p *release) farewell(ctx context.Context) (*farewell, error) {
	set := &v1alpha1.NodeSet{}
	key := types.NamespacedName{Namespace: p.node.Namespace, Name: p.node.Labels[v1alpha1.NodeSetLabel]}
	err := p.Live.Get(ctx, key, set)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read NodeSet %s: %w", key, err)
	case set.Spec.OpenStack == nil || set.Spec.PreProvisioned || p.node.Spec.Host == nil:
		return nil, nil
	}
	p.set = set
	site, err := inputs.Site(ctx, p.Live, p.node.Namespace)
	if err != nil && !plan.IsProblem(err) {
		return nil, err
	}
	f := &farewell{}
	if f.access, err = inputs.ReadCloud(ctx, p.Live, set); err != nil {
		return nil, err
	}
	f.host = plan.WantJoined(set, p.node, site, nil).Host
	f.Name = f.host.Names[0]
	if was := p.node.Status.OpenStack; was != nil {
		f.ServiceID = was.ServiceID
		if was.Host != "" { // known whatever became of the networks that the canonical name is made from
			f.host.Names = slices.Compact(append([]string{was.Host}, f.host.Names...))
		}
	}
	return f, nil
}

// unasked is what it means that the cloud could not be asked: nothing for a node it never knew, else that nobody knows
// what is on the host.
func (p *release) unasked(ctx context.Context, err error) (step.Outcome, error) {
	switch {
	case ctx.Err() != nil:
		return step.Outcome{}, ctx.Err()
	case p.node.Status.OpenStack == nil:
		return step.Outcome{}, nil
	case fault.Is(err, fault.Busy):
		return step.Waiting(v1alpha1.ReasonReleasing, err.Error(), joinPoll), nil
	}
	return step.Waiting(v1alpha1.ReasonReleasing, "the cloud cannot be asked what is on the host: "+err.Error()+
		"; to release it all the same, take spec.openstack out of NodeSet "+p.set.Name, joinPoll), nil
}
