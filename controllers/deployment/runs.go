package deployment

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/plan"
)

// runPoll is how often a run is asked how it does.
const runPoll = time.Second

// advance follows the runs that are under way, and decides the next ones for the nodes that none goes on for. A decision
// is only written here: the next pass acts on it. One run's trouble is its own.
func (p *pass) advance(ctx context.Context) (step.Outcome, error) {
	p.runs = rollout.Runs(p.deployment)
	defer func() { rollout.Record(p.deployment, p.runs) }()
	var going []step.Outcome
	var failure error
	for i := range p.runs {
		run := &p.runs[i]
		if run.State != v1alpha1.RunRunning {
			continue
		}
		out, err := p.follow(ctx, run)
		if fault.Is(err, fault.Busy) {
			out, err = step.FromError(err), nil
		}
		if failure = errors.Join(failure, err); err == nil && !out.IsDone() {
			going = append(going, out)
		}
	}
	failure = errors.Join(failure, p.settle(ctx))
	out, err := p.decide(ctx, going)
	return out, errors.Join(failure, err)
}

// follow starts the run unless it is known, lets nodes leave it that need not wait for the others, and closes it once it
// has ended.
func (p *pass) follow(ctx context.Context, run *rollout.Run) (step.Outcome, error) {
	status, err := p.Runner.Status(ctx, run.Key)
	if err != nil {
		return step.Outcome{}, err
	}
	switch status.State {
	case ansible.Finished:
		waits, err := p.Leases.Rest(ctx, p.deployment.Namespace, run.LeaseKey())
		if err != nil || waits != "" {
			return step.Waiting(v1alpha1.ReasonBusy, waits, runPoll), err
		}
		p.close(run, status)
		return step.Outcome{}, nil
	case ansible.Absent:
		out, err := p.start(ctx, run)
		if p.isEarly(run, err) {
			break
		}
		if fault.Is(err, fault.Rejected) {
			_, released := p.Leases.Rest(ctx, p.deployment.Namespace, run.LeaseKey())
			p.close(run, ansible.Status{State: ansible.Finished, Cause: err.Error()})
			return step.Outcome{}, released
		}
		if err != nil || !out.IsDone() {
			return out, err
		}
	case ansible.Running:
		p.part(run, status)
	}
	return step.Waiting(v1alpha1.ReasonProgressing, p.describe(run)+p.times(status), runPoll), nil
}

// together is one outcome for all runs that go on. The newest is told first: what is left of the others are nodes that are late.
func together(going []step.Outcome) step.Outcome {
	switch len(going) {
	case 0: // none of them could be asked
		return step.Waiting(v1alpha1.ReasonProgressing, "waits for a run", runPoll)
	case 1:
		return going[0]
	}
	slices.Reverse(going)
	told := make([]string, 0, len(going))
	for _, out := range going {
		told = append(told, out.Message())
	}
	return step.Waiting(going[0].Reason(), strings.Join(told, "; "), runPoll)
}

// untold is how long a run may take to start before it is told why it does not.
const untold = 10 * time.Second

// isEarly reports whether a run that was not started, but may be when it is asked for again, is no news yet.
func (p *pass) isEarly(run *rollout.Run, err error) bool {
	return fault.Classified(err) && (fault.Is(err, fault.Busy) || fault.Is(err, fault.Transient)) && p.Clock.Since(run.StartedAt.Time).Abs() < untold
}

// describe says what is running, without anything that changes while it does.
func (p *pass) describe(run *rollout.Run) string {
	services := p.services()
	where := fmt.Sprintf("%s (%d of %d)", run.Service, 1+slices.Index(services, run.Service), len(services))
	on := run.Staying()
	switch {
	case len(run.LeftNodes) == 0:
		return fmt.Sprintf("runs %s on %d nodes", where, len(on))
	case len(on) == 1:
		return where + " still on node " + on[0]
	default:
		return fmt.Sprintf("%s still on %d nodes, %s among them", where, len(on), on[0])
	}
}

// quiet is how long no task of a run may end before that is told.
const quiet = 2 * time.Minute

// times says since when a run goes on and until when it may, and since when nothing has happened in it once that is long.
// They are points in time, not ages: the message stays while they do.
func (p *pass) times(status ansible.Status) string {
	if status.State != ansible.Running || status.Since.IsZero() {
		return ""
	}
	text := " since " + clockTime(status.Since)
	if !status.Until.IsZero() {
		text += ", until " + clockTime(status.Until) + " at most"
	}
	last := status.Progress.Last
	if last.IsZero() {
		last = status.Since
	}
	if p.Clock.Since(last) > quiet {
		text += "; no task has ended since " + clockTime(last)
	}
	return text
}

func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// start starts the run. What it was decided from is in the snapshot; the login key is read now.
func (p *pass) start(ctx context.Context, run *rollout.Run) (step.Outcome, error) {
	var set v1alpha1.NodeSet
	key := types.NamespacedName{Namespace: p.deployment.Namespace, Name: p.deployment.Spec.NodeSet}
	if err := p.Reader.Get(ctx, key, &set); err != nil {
		return step.Outcome{}, fmt.Errorf("read NodeSet %s: %w", key, err)
	}
	login, err := inputs.ReadSSHKey(ctx, p.Reader, &set)
	if plan.IsProblem(err) {
		return step.Hold(v1alpha1.ReasonInvalidInput, err.Error()), nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	i := slices.IndexFunc(p.snapshot.Services, func(s rollout.Service) bool { return s.Name == run.Service })
	if i < 0 {
		return step.Outcome{}, fault.New(fault.Rejected, "service %s is not in the snapshot of DataPlaneDeployment %s", run.Service, p.deployment.Name)
	}
	if err := step.Current(ctx, p.Live, p.deployment); err != nil {
		return step.Outcome{}, err // the run may have ended, and been forgotten, long ago
	}
	claim := p.claim(run)
	tokens, waits, err := p.Leases.Take(ctx, claim)
	if err != nil || waits != "" {
		return step.Waiting(v1alpha1.ReasonBusy, waits, runPoll), err
	}
	inv, err := inventory.AddKnownHosts(p.snapshot.Inventory, p.snapshot.Hosts)
	if err != nil {
		return step.Outcome{}, err
	}
	service := &p.snapshot.Services[i]
	err = p.Runner.Start(ctx, ansible.Run{
		Key: run.Key, Namespace: p.deployment.Namespace, Targets: p.snapshot.Targets,
		Timeout: service.Limits.Run, TaskTimeout: service.Limits.Task,
		Playbook: service.Playbook, PlaybookContents: service.PlaybookContents, Role: service.Role,
		Inventory: inv, ExtraVars: p.extraVars(service), Nodes: run.Staying(),
		SSHPrivateKey: login.Private, KnownHosts: p.snapshot.knownHosts(), Data: dataOf(service), Tokens: tokens, Lease: run.Lease, Leaves: p.late(),
	})
	if err != nil {
		p.Leases.Unused(claim, tokens) // the next start is of the same run, and only if this one has not begun it
	}
	return step.Outcome{}, err
}

// late are the keys of the runs that go on for nodes that others have left behind.
func (p *pass) late() (keys []string) {
	for i := range p.runs {
		if run := &p.runs[i]; len(run.LeftNodes) > 0 {
			keys = append(keys, run.Key)
		}
	}
	return keys
}

// claim is what a run wants leases for.
func (p *pass) claim(run *rollout.Run) leases.Claim {
	refer := func(kind, name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: uid}
	}
	claim := leases.Claim{
		Namespace: p.deployment.Namespace, Key: run.LeaseKey(), Run: run.Key, Owner: refer("DataPlaneDeployment", p.deployment.Name, p.deployment.UID),
		Left: map[string][]string{},
	}
	nodes := run.Staying()
	for _, t := range p.snapshot.Nodes {
		if _, is := slices.BinarySearch(nodes, t.Name); is {
			claim.Nodes = append(claim.Nodes, refer("DataPlaneNode", t.Name, t.UID))
		}
	}
	// A Lease may go on for others under a later run than the one that the node was in: that run does not use it either.
	for i := range p.runs {
		other := &p.runs[i]
		if other.State != v1alpha1.RunRunning || other.LeaseKey() == run.LeaseKey() {
			continue
		}
		for _, n := range nodes {
			if !other.Uses(n) {
				claim.Left[n] = append(claim.Left[n], other.LeaseKey())
			}
		}
	}
	return claim
}

// extraVars are those RHOSO 18 passes to every run (openstack-operator internal/dataplane/util/ansible_execution.go).
func (p *pass) extraVars(service *rollout.Service) map[string]any {
	vars := map[string]any{"edpm_override_hosts": p.snapshot.Group, "edpm_service_type": service.Type}
	if override := p.deployment.Spec.ServicesOverride; len(override) > 0 {
		vars["edpm_services_override"] = override
	}
	return vars
}

// dataOf lays the service's files out under its type, as RHOSO mounts them.
func dataOf(service *rollout.Service) map[string][]byte {
	data := make(map[string][]byte, len(service.Data))
	for name, content := range service.Data {
		data[path.Join(service.Type, name)] = content
	}
	return data
}

// decide writes down the next runs, or says how the deployment ended. going are the runs that go on.
func (p *pass) decide(ctx context.Context, going []step.Outcome) (step.Outcome, error) {
	next, done := rollout.Next(p.services(), p.nodes(), p.runs)
	if len(next) > 0 {
		good, err := p.goodNodes(ctx)
		if err != nil {
			return step.Outcome{}, err
		}
		next, done = rollout.Next(p.services(), good, p.runs)
	}
	switch {
	case done:
		return p.finish(ctx)
	case len(next) == 0:
		return together(going), nil
	}
	for _, n := range next {
		run := rollout.Run{Nodes: n.Nodes, RunStatus: v1alpha1.RunStatus{
			Service: n.Service, State: v1alpha1.RunRunning, StartedAt: metav1.NewTime(p.Clock.Now()),
			Key:   digest([]byte(string(p.deployment.UID) + "/" + n.Service + "/" + strings.Join(n.Nodes, ",") + "/" + p.snapshot.digest)),
			Lease: rollout.Lease(string(p.deployment.UID), n.Nodes, p.runs),
		}}
		p.runs = append(p.runs, run)
		going = append(going, step.Waiting(v1alpha1.ReasonProgressing, p.describe(&run), runPoll))
	}
	return together(going).Again(step.Soon), nil
}

// finish ends the deployment. All results are in the nodes before that: nobody looks for them in an ended one.
func (p *pass) finish(ctx context.Context) (step.Outcome, error) {
	if p.owes() {
		if err := p.deliver(ctx, everyone); err != nil {
			return step.Outcome{}, err
		}
	}
	return p.ended(), p.releaseLeases(ctx)
}

// services are the names of the deployment's services, in order.
func (p *pass) services() []string {
	names := make([]string, 0, len(p.snapshot.Services))
	for i := range p.snapshot.Services {
		names = append(names, p.snapshot.Services[i].Name)
	}
	return names
}

// nodes are the names of the deployment's nodes.
func (p *pass) nodes() []string {
	names := make([]string, 0, len(p.snapshot.Nodes))
	for _, t := range p.snapshot.Nodes {
		names = append(names, t.Name)
	}
	return names
}

// few is how many nodes are read one by one: more are found in one list, which tells of the whole set.
const few = 8

// goodNodes are the nodes of the snapshot that are still the same and not being deleted.
func (p *pass) goodNodes(ctx context.Context) ([]string, error) {
	alive, err := p.alive(ctx)
	if err != nil {
		return nil, err
	}
	var good []string
	for _, t := range p.snapshot.Nodes {
		if alive[t.Name] == t.UID {
			good = append(good, t.Name)
		}
	}
	return good, nil
}

// alive are the UIDs of the nodes that are not being deleted, by name. Nothing but their metadata is read: what they want
// and have is in the snapshot.
func (p *pass) alive(ctx context.Context) (map[string]types.UID, error) {
	alive := map[string]types.UID{}
	note := func(n *metav1.PartialObjectMetadata) {
		if n.DeletionTimestamp.IsZero() {
			alive[n.Name] = n.UID
		}
	}
	kind := v1alpha1.GroupVersion.WithKind("DataPlaneNode")
	if len(p.snapshot.Nodes) <= few {
		for _, t := range p.snapshot.Nodes {
			node := metav1.PartialObjectMetadata{}
			node.SetGroupVersionKind(kind)
			err := p.Live.Get(ctx, types.NamespacedName{Namespace: p.deployment.Namespace, Name: t.Name}, &node)
			if client.IgnoreNotFound(err) != nil {
				return nil, fmt.Errorf("read DataPlaneNode %s/%s: %w", p.deployment.Namespace, t.Name, err)
			}
			if err == nil {
				note(&node)
			}
		}
		return alive, nil
	}
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(kind)
	if err := p.Live.List(ctx, &list, client.InNamespace(p.deployment.Namespace), client.MatchingLabels{v1alpha1.NodeSetLabel: p.deployment.Spec.NodeSet}); err != nil {
		return nil, fmt.Errorf("list DataPlaneNodes of NodeSet %s: %w", p.deployment.Spec.NodeSet, err)
	}
	for i := range list.Items {
		note(&list.Items[i])
	}
	return alive, nil
}

// node reads a node of the snapshot; nil when it is gone or another one bears its name.
func (p *pass) node(ctx context.Context, t target) (*v1alpha1.DataPlaneNode, error) {
	node := &v1alpha1.DataPlaneNode{}
	err := p.Live.Get(ctx, types.NamespacedName{Namespace: p.deployment.Namespace, Name: t.Name}, node)
	if apierrors.IsNotFound(err) || (err == nil && node.UID != t.UID) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read DataPlaneNode %s/%s: %w", p.deployment.Namespace, t.Name, err)
	}
	return node, nil
}

// ended sums up.
func (p *pass) ended() step.Outcome {
	var failed []string
	for i := range p.runs {
		run := &p.runs[i]
		for _, node := range run.FailedNodes {
			failed = append(failed, run.Service+" on "+node)
		}
	}
	if len(failed) > 0 {
		return step.Hold(v1alpha1.ReasonFailed, "failed: "+line.Few(failed))
	}
	return step.Pass(v1alpha1.ReasonDone, fmt.Sprintf("%d services on %d nodes", len(p.snapshot.Services), len(p.snapshot.Nodes)))
}
