package deployment

import (
	"cmp"
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
	run *rollout.Run
	// results by node.
	results map[string]ansible.NodeResult
	// parting: the nodes leave a run that goes on for others. An engine after this one may ask for that run before it tells of them.
	parting bool
	// settle writes the end down in the deployment's status. It must only be called once the results that tell something are in
	// the nodes': a pass that dies in between finds the run as it was, and records the same results again.
	settle func()
}

// close ends the run with a result for every node that is still in it.
func (p *pass) close(run *rollout.Run, status ansible.Status) {
	e := ending{run: run, results: map[string]ansible.NodeResult{}}
	var failed []string
	for _, name := range run.Staying() {
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

// part lets the nodes that have reached the end of a run, well, leave it when the others are late. That they have left is
// written down with their next runs.
func (p *pass) part(run *rollout.Run, status ansible.Status) {
	leaving := rollout.Leaving(run.Staying(), status, p.Clock.Now())
	if len(leaving) == 0 || !rollout.MayPart(p.services(), p.nodes(), p.runs) {
		return
	}
	e := ending{run: run, results: map[string]ansible.NodeResult{}, parting: true}
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

// settle writes down what the endings tell. A result that says more than that all went well must be in its node before its run
// is closed: nothing else keeps it. Plain good ones are kept by the run in the deployment's own status, so they may wait
// for others, and an engine that finds them there without having written them writes them.
func (p *pass) settle(ctx context.Context) error {
	if len(p.endings) > 0 {
		p.Memory.owe(p.key(), p.Clock.Now())
	}
	if !p.owes() {
		return nil
	}
	if p.Memory.isDue(p.key(), p.Clock.Now()) {
		return p.deliver(ctx, everyone)
	}
	telling := map[string]bool{}
	for _, e := range p.endings {
		for name, result := range e.results {
			telling[name] = telling[name] || e.parting || tells(result)
		}
	}
	return p.deliver(ctx, func(name string) bool { return telling[name] })
}

func everyone(string) bool { return true }

// owes reports whether results may be missing in their nodes.
func (p *pass) owes() bool {
	return p.Memory.owes(p.key(), slices.ContainsFunc(p.deployment.Status.Runs, func(r v1alpha1.RunStatus) bool {
		return r.State != v1alpha1.RunRunning || r.LeftIndexes != ""
	}))
}

// tells reports whether a result is anything but plain success.
func tells(r ansible.NodeResult) bool {
	return r.Result != v1alpha1.ServiceSucceeded || r.Message != ""
}

// deliver writes all results of the chosen nodes, each node's with one write however many of its services have ended, and
// settles the endings. One node's failure keeps only the endings open that have more to tell of it than success.
func (p *pass) deliver(ctx context.Context, chosen func(node string) bool) error {
	var known map[string]*v1alpha1.DataPlaneNode
	var failures []error
	unwritten, whole := map[string]bool{}, true
	ended := p.endedRuns()
	for _, t := range p.snapshot.Nodes {
		if !chosen(t.Name) {
			whole = false
			continue
		}
		if known == nil {
			var err error
			if known, err = p.known(ctx); err != nil {
				return err
			}
		}
		if err := p.record(ctx, t, known[t.Name], ended[t.Name]); err != nil {
			unwritten[t.Name] = true
			failures = append(failures, err)
		}
	}
	for _, e := range p.endings {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(e.results)), func(n string) bool { return unwritten[n] && (e.parting || tells(e.results[n])) }) {
			e.settle()
		}
	}
	p.endings = nil
	if whole && len(failures) == 0 {
		p.Memory.paid(p.key(), p.Clock.Now())
	}
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
func (p *pass) record(ctx context.Context, t target, node *v1alpha1.DataPlaneNode, ended []*rollout.Run) error {
	if len(ended) == 0 {
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
		changed, err := p.enterAll(ctx, node, t, ended)
		if err != nil || !changed {
			return err
		}
		err = p.Client.Status().Patch(ctx, node, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
		if !apierrors.IsConflict(err) {
			return client.IgnoreNotFound(err)
		}
		node = nil
	}
	return err
}

// endedRuns are by node the runs that have ended on it, in the order in which they were decided.
func (p *pass) endedRuns() map[string][]*rollout.Run {
	ended := map[string][]*rollout.Run{}
	for i := range p.runs {
		run := &p.runs[i]
		over := run.LeftNodes
		if run.State != v1alpha1.RunRunning {
			over = run.Nodes
		}
		for _, n := range over {
			ended[n] = append(ended[n], run)
		}
		for _, e := range p.endings {
			if e.run != run {
				continue
			}
			for n := range e.results {
				ended[n] = append(ended[n], run)
			}
		}
	}
	return ended
}

// ending returns what this pass found the run to have ended with on the node.
func (p *pass) ending(run *rollout.Run, node string) (ansible.NodeResult, bool) {
	for _, e := range p.endings {
		if result, has := e.results[node]; has && e.run == run {
			return result, true
		}
	}
	return ansible.NodeResult{}, false
}

// enterAll puts all results that the node has into its status; false when they are there already.
func (p *pass) enterAll(ctx context.Context, node *v1alpha1.DataPlaneNode, t target, ended []*rollout.Run) (changed bool, err error) {
	for _, run := range ended {
		hash := p.snapshot.hash(run.Service, t)
		if p.has(node, run, hash) {
			continue
		}
		result, now := p.ending(run, t.Name)
		if !now {
			if result, err = p.recalled(ctx, run, t.Name); err != nil {
				return false, err
			}
		}
		p.enter(node, run, hash, result)
		changed = true
	}
	return changed, nil
}

// lostMessage stands for what a failed run had to tell and nobody knows any more.
const lostMessage = "the run failed on this node; what it told is gone with the machine that it ran on"

// recalled is the result of a run that was closed, or left by the node, before: as it was written down in the deployment's status,
// with what the runner still knows.
func (p *pass) recalled(ctx context.Context, run *rollout.Run, node string) (ansible.NodeResult, error) {
	status, asked := p.statuses[run.Key]
	if !asked {
		var err error
		if status, err = p.Runner.Status(ctx, run.Key); err != nil {
			return ansible.NodeResult{}, err
		}
		if p.statuses == nil {
			p.statuses = map[string]ansible.Status{}
		}
		p.statuses[run.Key] = status
	}
	result, known := status.Nodes[node]
	switch failed := slices.Contains(run.FailedNodes, node); {
	case known && failed == (result.Result != v1alpha1.ServiceSucceeded):
		return result, nil
	case failed:
		return ansible.NodeResult{Result: v1alpha1.ServiceFailed, Message: cmp.Or(status.Cause, lostMessage)}, nil
	default:
		return ansible.NodeResult{Result: v1alpha1.ServiceSucceeded}, nil
	}
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

// has reports whether the node has the run's result.
func (p *pass) has(node *v1alpha1.DataPlaneNode, run *rollout.Run, hash string) bool {
	return slices.ContainsFunc(node.Status.Services, func(r v1alpha1.ServiceResult) bool {
		return r.Name == run.Service && r.Deployment == p.deployment.Name && r.InputHash == hash && !r.FinishedAt.Before(&run.StartedAt)
	})
}

// endOf is when the run was seen to have ended, as far as it is known; never before it began, whatever the clock did.
func (p *pass) endOf(run *rollout.Run) metav1.Time {
	end := metav1.NewTime(p.Clock.Now())
	if run.FinishedAt != nil {
		end = *run.FinishedAt
	}
	if end.Before(&run.StartedAt) {
		return run.StartedAt
	}
	return end
}

// enter puts the result into the node's status.
func (p *pass) enter(node *v1alpha1.DataPlaneNode, run *rollout.Run, hash string, result ansible.NodeResult) {
	next := v1alpha1.ServiceResult{
		Name: run.Service, InputHash: hash, Result: result.Result, Changed: result.Changed, Message: line.Short(result.Message, maxMessage),
		Deployment: p.deployment.Name, FinishedAt: p.endOf(run),
	}
	failed := result.Result != v1alpha1.ServiceSucceeded
	if failed {
		next.Failures = 1
	}
	i := slices.IndexFunc(node.Status.Services, func(r v1alpha1.ServiceResult) bool { return r.Name == run.Service })
	if i < 0 {
		makeRoom(node)
		node.Status.Services = append(node.Status.Services, next)
		return
	}
	last := &node.Status.Services[i]
	if failed && last.InputHash == hash {
		next.Failures = last.Failures + 1
	}
	*last = next
}
