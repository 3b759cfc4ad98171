package deployment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// ending is what a look at a run found to be over: the whole run, or what some of its nodes had to do in it.
type ending struct {
	run *v1alpha1.RunStatus
	// results by node.
	results map[string]ansible.NodeResult
	// settle writes the end down in the deployment's status. It must only be called once the results are in the nodes': a pass
	// that dies in between finds the run as it was, and records the same results again.
	settle func()
}

// close ends the run with a result for every node that is still in it.
func (p *pass) close(run *v1alpha1.RunStatus, status ansible.Status) {
	e := ending{run: run, results: map[string]ansible.NodeResult{}}
	var failed []string
	for _, name := range staying(run) {
		e.results[name] = resultOf(status, name)
		if e.results[name].Result != v1alpha1.ServiceSucceeded {
			failed = append(failed, name)
		}
	}
	e.settle = func() {
		now := metav1.NewTime(p.Clock.Now())
		run.State, run.LeftNodes, run.FailedNodes, run.FinishedAt = v1alpha1.RunSucceeded, nil, failed, &now
		if len(failed) > 0 {
			run.State = v1alpha1.RunFailed
		}
	}
	p.endings = append(p.endings, e)
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
func (p *pass) part(run *v1alpha1.RunStatus, status ansible.Status) {
	leaving := rollout.Leaving(staying(run), status, p.Clock.Now())
	if len(leaving) == 0 || !rollout.MayPart(p.services(), p.nodes(), p.deployment.Status.Runs) {
		return
	}
	e := ending{run: run, results: map[string]ansible.NodeResult{}}
	for _, name := range leaving {
		e.results[name] = status.Nodes[name]
	}
	e.settle = func() {
		run.LeftNodes = slices.Sorted(slices.Values(append(slices.Clone(run.LeftNodes), leaving...)))
	}
	p.endings = append(p.endings, e)
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

// settle writes what the endings tell to the nodes, each with one write however many of its services have ended, and then
// to the deployment's status. One node's failure keeps only the endings that have a result for it.
func (p *pass) settle(ctx context.Context) error {
	if len(p.endings) == 0 {
		return nil
	}
	known, err := p.known(ctx)
	if err != nil {
		return err
	}
	unwritten := map[string]bool{}
	var failures []error
	for _, t := range p.snapshot.Nodes {
		if err := p.record(ctx, t, known[t.Name]); err != nil {
			unwritten[t.Name] = true
			failures = append(failures, err)
		}
	}
	for _, e := range p.endings {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(e.results)), func(n string) bool { return unwritten[n] }) {
			e.settle()
		}
	}
	p.endings = nil
	return errors.Join(failures...)
}

// known are the set's nodes by name, as far as the world that is read knows them.
func (p *pass) known(ctx context.Context) (map[string]*v1alpha1.DataPlaneNode, error) {
	var list v1alpha1.DataPlaneNodeList
	if err := p.Reader.List(ctx, &list, client.InNamespace(p.deployment.Namespace), client.MatchingLabels{v1alpha1.NodeSetLabel: p.deployment.Spec.NodeSet}); err != nil {
		return nil, fmt.Errorf("list DataPlaneNodes of NodeSet %s: %w", p.deployment.Spec.NodeSet, err)
	}
	nodes := make(map[string]*v1alpha1.DataPlaneNode, len(list.Items))
	for i := range list.Items {
		nodes[list.Items[i].Name] = &list.Items[i]
	}
	return nodes, nil
}

// attempts is how often a result is written before the pass gives way to others that write the node's status.
const attempts = 5

// record writes a node's results, which the node controller writes to as well: hence the compare-and-swap. node is what is
// known of it. Where that is too old to be written, or does not show the node at all, it is read again: a result that is not
// written would make its service run again.
func (p *pass) record(ctx context.Context, t target, node *v1alpha1.DataPlaneNode) error {
	if !slices.ContainsFunc(p.endings, func(e ending) bool { _, has := e.results[t.Name]; return has }) {
		return nil
	}
	var err error
	for range attempts {
		if node == nil || node.UID != t.UID {
			if node, err = p.node(ctx, t); err != nil || node == nil {
				return err
			}
		}
		old := node.DeepCopy()
		if !p.enterAll(node, t) {
			return nil
		}
		err = p.Client.Status().Patch(ctx, node, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
		node = nil
	}
	return err
}

// enterAll puts all results that the node has into its status; false when they are there already.
func (p *pass) enterAll(node *v1alpha1.DataPlaneNode, t target) (changed bool) {
	for _, e := range p.endings {
		if result, has := e.results[t.Name]; has && p.enter(node, e.run, p.snapshot.hash(e.run.Service, t), result) {
			changed = true
		}
	}
	return changed
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
