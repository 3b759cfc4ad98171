package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
)

// networked compares the network the node reports with the one that was decided for it. A service brings it about, so
// the pass goes on to the services.
func (p *services) networked(_ context.Context) (step.Outcome, error) {
	want := p.node.Spec.NetworkHash
	switch p.login.seen.NetworkHash {
	case want:
		return step.Outcome{}, nil
	case "":
		return step.Later(v1alpha1.ReasonWaitingForNetwork, "the node reports no network; a service such as configure-network has to apply "+want, 0), nil
	default:
		return step.Later(v1alpha1.ReasonWaitingForNetwork, fmt.Sprintf("the node reports network %s; a service such as configure-network has to apply %s", p.login.seen.NetworkHash, want), 0), nil
	}
}

// configured compares the services' results with their wanted inputs. A node on which only global services are to run again stays
// configured: they have something new to tell it of others, and what it was given holds until they do.
func (p *services) configured(ctx context.Context) (step.Outcome, error) {
	wanted := p.node.Spec.Services
	decided := slices.EqualFunc(wanted, p.set.Spec.Services, func(w v1alpha1.ServiceInput, name string) bool { return w.Name == name })
	outdated := rollout.Outdated(wanted, p.node.Status.Services)
	for _, name := range outdated {
		if message := p.failure(name); message != "" {
			return step.Waiting(v1alpha1.ReasonServiceFailed, message, 0), nil
		}
	}
	if len(outdated) > 0 && decided {
		global, err := p.global(ctx)
		if err != nil {
			return step.Outcome{}, err
		}
		if rollout.Stands(wanted, p.node.Status.Services, global) {
			return step.Outcome{}, nil
		}
	}
	switch {
	case len(outdated) > 0:
		return step.Waiting(v1alpha1.ReasonWaitingForServices, p.toRun(), 0), nil
	case !decided:
		return step.Waiting(v1alpha1.ReasonWaitingForServices, fmt.Sprintf("inputs are decided for %d of %d services: condition InputReady of NodeSet %s tells what is missing",
			len(wanted), len(p.set.Spec.Services), p.set.Name), 0), nil
	default:
		return step.Outcome{}, nil
	}
}

// global returns the names of the namespace's global services.
func (p *services) global(ctx context.Context) (map[string]bool, error) {
	var services v1alpha1.DataPlaneServiceList
	if err := p.Reader.List(ctx, &services, client.InNamespace(p.node.Namespace)); err != nil {
		return nil, fmt.Errorf("list DataPlaneServices in %s: %w", p.node.Namespace, err)
	}
	global := map[string]bool{}
	for i := range services.Items {
		global[services.Items[i].Name] = services.Items[i].Spec.DeployOnAllNodeSets
	}
	return global, nil
}

// toRun says that services are to run. Which of them have is in spec.services and status.services, and not told again: the
// status would be written once more for each.
func (p *services) toRun() string {
	return fmt.Sprintf("services are to run: status.services has those that have, DataPlaneDeployments of NodeSet %s run the others", p.set.Name)
}

// told has Ready repeat what services had to tell. The node is Ready all the same: a reboot that is due is a matter for
// whoever has servers on it, and nothing reboots it unasked.
func (p *services) told(_ context.Context) (step.Outcome, error) {
	return step.Pass(v1alpha1.ReasonDone, strings.Join(rollout.Notices(p.node.Spec.Services, p.node.Status.Services), "; ")), nil
}

// failure tells how the service failed with the input that is still wanted; "" when it did not.
func (p *services) failure(service string) string {
	for _, r := range p.node.Status.Services {
		wanted := slices.Contains(p.node.Spec.Services, v1alpha1.ServiceInput{Name: service, InputHash: r.InputHash})
		if r.Name == service && wanted && r.Result != v1alpha1.ServiceSucceeded {
			return fmt.Sprintf("service %s %s (%d in a row): %s", service, strings.ToLower(string(r.Result)), r.Failures, r.Message)
		}
	}
	return ""
}
