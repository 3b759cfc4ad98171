package nodeset

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
)

// ready counts the nodes.
func (p *pass) ready(_ context.Context) (step.Outcome, error) {
	var replicas, ready, updated int32
	var waiting, bad []string
	for i := range p.members {
		node := &p.members[i]
		if p.hashed && len(node.Spec.Services) == len(p.set.Spec.Services) && len(rollout.Outdated(node.Spec.Services, node.Status.Services)) == 0 {
			updated++
		}
		c := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady)
		switch {
		case c == nil:
			waiting = append(waiting, node.Name+": new")
		case c.Status == metav1.ConditionTrue:
			ready++
		case strings.HasPrefix(c.Reason, "Waiting"):
			waiting = append(waiting, node.Name+": "+c.Reason)
		default:
			bad = append(bad, fmt.Sprintf("%s: %s: %s", node.Name, c.Reason, c.Message))
		}
	}
	for _, node := range p.world.Members(p.set) {
		replicas++
		if !node.DeletionTimestamp.IsZero() {
			waiting = append(waiting, node.Name+": "+v1alpha1.ReasonReleasing)
		}
	}
	p.set.Status.Replicas, p.set.Status.ReadyReplicas, p.set.Status.UpdatedReplicas = replicas, ready, updated
	return p.verdict(ready, waiting, bad), nil
}

func (p *pass) verdict(ready int32, waiting, bad []string) step.Outcome {
	count := fmt.Sprintf("%d of %d nodes ready", ready, len(inputs.Desired(p.set)))
	switch {
	case len(bad) > 0:
		return step.Waiting(v1alpha1.ReasonDegraded, count+"; "+summary(append(bad, waiting...)), 0)
	case len(waiting) > 0 || int(ready) < len(inputs.Desired(p.set)):
		return step.Waiting(v1alpha1.ReasonProgressing, count+"; "+summary(waiting), 0)
	default:
		return step.Pass(v1alpha1.ReasonDone, count).Again(step.Resync)
	}
}
