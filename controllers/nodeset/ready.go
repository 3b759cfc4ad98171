package nodeset

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// ready counts the nodes.
func (p *pass) ready(_ context.Context) (step.Outcome, error) {
	var replicas, ready, updated int32
	var waiting int
	var bad []string
	for i := range p.members {
		node := p.members[i]
		if p.hashed && !p.given.Waiting[node.Name] && len(node.Spec.Services) == len(p.set.Spec.Services) && len(rollout.Outdated(node.Spec.Services, node.Status.Services)) == 0 {
			updated++
		}
		c := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case c == nil, waits(c):
			waiting++
		case c.Status == metav1.ConditionTrue:
			ready++
		default:
			bad = append(bad, fmt.Sprintf("%s: %s: %s", node.Name, c.Reason, c.Message))
		}
	}
	for _, node := range p.world.Members(p.set) {
		replicas++
		if !node.DeletionTimestamp.IsZero() {
			waiting++
		}
	}
	p.set.Status.Replicas, p.set.Status.ReadyReplicas, p.set.Status.UpdatedReplicas = replicas, ready, updated
	return p.verdict(ready, updated, waiting, bad), nil
}

// waits reports whether a node that is not ready is only under way.
func waits(c *metav1.Condition) bool { return strings.HasPrefix(c.Reason, "Waiting") }

// verdict names nodes that are in trouble. Of those under way only the number is told: what each waits for is in its own
// conditions, and a set that repeated it would be written at every step of every node.
func (p *pass) verdict(ready, updated int32, waiting int, bad []string) step.Outcome {
	underWay := ""
	if waiting > 0 {
		underWay = fmt.Sprintf("; %d under way", waiting)
	}
	count := fmt.Sprintf("%d of %d nodes ready", ready, p.desired)
	switch {
	case len(bad) > 0:
		return step.Waiting(v1alpha1.ReasonDegraded, count+underWay+"; "+plan.Summary(bad), 0)
	case waiting > 0 || int(ready) < p.desired:
		return step.Waiting(v1alpha1.ReasonProgressing, count+underWay, 0)
	case p.hashed && updated < ready:
		return step.Pass(v1alpha1.ReasonDone, fmt.Sprintf("%s; services are to run again on %d", count, ready-updated)).Again(step.Resync)
	default:
		return step.Pass(v1alpha1.ReasonDone, count).Again(step.Resync)
	}
}
