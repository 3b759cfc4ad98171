package deployment

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// close gives every node that is still in the run its result and closes the run. The run is closed last: a pass that dies
// in between records the same results again.
func (p *pass) close(ctx context.Context, run *v1alpha1.RunStatus, status ansible.Status) error {
	var failed []string
	for _, name := range staying(run) {
		result := resultOf(status, name)
		if result.Result != v1alpha1.ServiceSucceeded {
			failed = append(failed, name)
		}
		if err := p.record(ctx, run, name, result); err != nil {
			return err
		}
	}
	now := metav1.NewTime(p.Clock.Now())
	run.State, run.LeftNodes, run.FailedNodes, run.FinishedAt = v1alpha1.RunSucceeded, nil, failed, &now
	if len(failed) > 0 {
		run.State = v1alpha1.RunFailed
	}
	return nil
}

// staying are the nodes that the run goes on for.
func staying(run *v1alpha1.RunStatus) []string {
	if len(run.LeftNodes) == 0 {
		return run.Nodes
	}
	left := make(map[string]bool, len(run.LeftNodes))
	for _, n := range run.LeftNodes {
		left[n] = true
	}
	return slices.DeleteFunc(slices.Clone(run.Nodes), func(n string) bool { return left[n] })
}

// part lets the nodes that have reached the end of a run leave it when the others are late. That they have left is written
// down with their next runs, after their results.
func (p *pass) part(ctx context.Context, run *v1alpha1.RunStatus, status ansible.Status) error {
	leaving := rollout.Leaving(staying(run), status, p.Clock.Now())
	if len(leaving) == 0 || !rollout.MayPart(p.services(), p.nodes(), p.deployment.Status.Runs) {
		return nil
	}
	for _, name := range leaving {
		if err := p.record(ctx, run, name, status.Nodes[name]); err != nil {
			return err
		}
	}
	run.LeftNodes = slices.Sorted(slices.Values(append(slices.Clone(run.LeftNodes), leaving...)))
	return nil
}

// resultOf is a node's result. A run that never reached its nodes failed on all of them.
func resultOf(status ansible.Status, node string) ansible.NodeResult {
	if result, ok := status.Nodes[node]; ok {
		return result
	}
	cause := status.Cause
	if cause == "" {
		cause = "the run ended without a result for this node"
	}
	return ansible.NodeResult{Result: v1alpha1.ServiceFailed, Message: cause}
}

// attempts is how often a result is written before the pass gives way to others that write the node's status.
const attempts = 5

// record writes one result to its node, which the node controller writes to as well: hence the compare-and-swap.
func (p *pass) record(ctx context.Context, run *v1alpha1.RunStatus, name string, result ansible.NodeResult) error {
	i := slices.IndexFunc(p.snapshot.Nodes, func(t target) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	var err error
	for range attempts {
		var node *v1alpha1.DataPlaneNode
		if node, err = p.node(ctx, p.snapshot.Nodes[i]); err != nil || node == nil {
			return err
		}
		old := node.DeepCopy()
		if !p.enter(node, run, p.snapshot.Nodes[i].Hashes[run.Service], result) {
			return nil
		}
		err = p.Client.Status().Patch(ctx, node, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
	}
	return err
}

const (
	// maxResults is how many results a node holds (DataPlaneNodeStatus.services, MaxItems).
	maxResults = 64
	// maxMessage is the longest message of a result (ServiceResult.message, MaxLength).
	maxMessage = 4096
)

// makeRoom forgets the oldest result of a service that the node no longer has, when another one would be too many.
func makeRoom(node *v1alpha1.DataPlaneNode) {
	results := node.Status.Services
	oldest := -1
	for i := range results {
		wanted := slices.ContainsFunc(node.Spec.Services, func(s v1alpha1.ServiceInput) bool { return s.Name == results[i].Name })
		if !wanted && (oldest < 0 || results[i].FinishedAt.Before(&results[oldest].FinishedAt)) {
			oldest = i
		}
	}
	if len(results) >= maxResults && oldest >= 0 {
		node.Status.Services = slices.Delete(results, oldest, oldest+1)
	}
}

// enter puts the result into the node's status; false when it is there already.
func (p *pass) enter(node *v1alpha1.DataPlaneNode, run *v1alpha1.RunStatus, hash string, result ansible.NodeResult) bool {
	next := v1alpha1.ServiceResult{
		Name: run.Service, InputHash: hash, Result: result.Result, Changed: result.Changed, Message: line.Short(result.Message, maxMessage),
		Deployment: p.deployment.Name, FinishedAt: metav1.NewTime(p.Clock.Now()),
	}
	failed := result.Result != v1alpha1.ServiceSucceeded
	if failed {
		next.Failures = 1
	}
	i := slices.IndexFunc(node.Status.Services, func(r v1alpha1.ServiceResult) bool { return r.Name == run.Service })
	if i < 0 {
		makeRoom(node)
		node.Status.Services = append(node.Status.Services, next)
		return true
	}
	last := &node.Status.Services[i]
	if last.Deployment == next.Deployment && last.InputHash == hash && !last.FinishedAt.Before(&run.StartedAt) {
		return false
	}
	if failed && last.InputHash == hash {
		next.Failures = last.Failures + 1
	}
	*last = next
	return true
}
