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

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
)

// runPoll is how often a run is asked how it does.
const runPoll = time.Second

// advance follows the run that is under way, and decides the next one when it has ended. A decision is only written
// here: the next pass acts on it.
func (p *pass) advance(ctx context.Context) (step.Outcome, error) {
	for i := range p.deployment.Status.Runs {
		run := &p.deployment.Status.Runs[i]
		if run.State != v1alpha1.RunRunning {
			continue
		}
		if out, err := p.follow(ctx, run); err != nil || !out.IsDone() {
			return out, err
		}
	}
	return p.decide(ctx)
}

// follow starts the run unless it is known, and closes it once it has ended.
func (p *pass) follow(ctx context.Context, run *v1alpha1.RunStatus) (step.Outcome, error) {
	status, err := p.Runner.Status(ctx, run.Key)
	if err != nil {
		return step.Outcome{}, err
	}
	switch status.State {
	case ansible.Finished:
		waits, err := p.Leases.Release(ctx, p.deployment.Namespace, run.Key)
		if err != nil || waits != "" {
			return step.Waiting(v1alpha1.ReasonBusy, waits, runPoll), err
		}
		return step.Outcome{}, p.close(ctx, run, status)
	case ansible.Absent:
		out, err := p.start(ctx, run)
		if fault.Is(err, fault.Rejected) {
			_, released := p.Leases.Release(ctx, p.deployment.Namespace, run.Key)
			return step.Outcome{}, errors.Join(released, p.close(ctx, run, ansible.Status{State: ansible.Finished, Cause: err.Error()}))
		}
		if err != nil || !out.IsDone() {
			return out, err
		}
	case ansible.Running:
	}
	return step.Waiting(v1alpha1.ReasonProgressing, p.describe(run)+p.times(status), runPoll), nil
}

// describe says what is running, without anything that changes while it does.
func (p *pass) describe(run *v1alpha1.RunStatus) string {
	at := 1 + slices.IndexFunc(p.snapshot.Services, func(s rollout.Service) bool { return s.Name == run.Service })
	return fmt.Sprintf("runs %s (%d of %d) on %d nodes", run.Service, at, len(p.snapshot.Services), len(run.Nodes))
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
func (p *pass) start(ctx context.Context, run *v1alpha1.RunStatus) (step.Outcome, error) {
	var set v1alpha1.NodeSet
	key := types.NamespacedName{Namespace: p.deployment.Namespace, Name: p.deployment.Spec.NodeSet}
	if err := p.Reader.Get(ctx, key, &set); err != nil {
		return step.Outcome{}, fmt.Errorf("read NodeSet %s: %w", key, err)
	}
	login, err := inputs.ReadSSHKey(ctx, p.Reader, &set)
	if inputs.IsProblem(err) {
		return step.Hold(v1alpha1.ReasonInvalidInput, err.Error()), nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	i := slices.IndexFunc(p.snapshot.Services, func(s rollout.Service) bool { return s.Name == run.Service })
	if i < 0 {
		return step.Outcome{}, fault.New(fault.Rejected, "service %s is not in the snapshot of DataPlaneDeployment %s", run.Service, p.deployment.Name)
	}
	claim := p.claim(run)
	tokens, waits, err := p.Leases.Take(ctx, claim)
	if err != nil || waits != "" {
		return step.Waiting(v1alpha1.ReasonBusy, waits, runPoll), err
	}
	service := &p.snapshot.Services[i]
	err = p.Runner.Start(ctx, ansible.Run{
		Key: run.Key, Namespace: p.deployment.Namespace, Targets: p.snapshot.Targets,
		Timeout: service.Limits.Run, TaskTimeout: service.Limits.Task,
		Playbook: service.Playbook, PlaybookContents: service.PlaybookContents, Role: service.Role,
		Inventory: p.snapshot.Inventory, ExtraVars: p.extraVars(service), Nodes: run.Nodes,
		SSHPrivateKey: login.Private, KnownHosts: p.snapshot.KnownHosts, Data: dataOf(service), Tokens: tokens,
	})
	if err != nil {
		p.Leases.Unused(claim, tokens) // the next start is of the same run, and only if this one has not begun it
	}
	return step.Outcome{}, err
}

// claim is what a run wants leases for.
func (p *pass) claim(run *v1alpha1.RunStatus) leases.Claim {
	refer := func(kind, name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: uid}
	}
	claim := leases.Claim{
		Namespace: p.deployment.Namespace, Key: run.Key, Owner: refer("DataPlaneDeployment", p.deployment.Name, p.deployment.UID),
	}
	for _, t := range p.snapshot.Nodes {
		if slices.Contains(run.Nodes, t.Name) {
			claim.Nodes = append(claim.Nodes, refer("DataPlaneNode", t.Name, t.UID))
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

// decide writes down the next run, or says how the deployment ended.
func (p *pass) decide(ctx context.Context) (step.Outcome, error) {
	nodes, err := p.goodNodes(ctx)
	if err != nil {
		return step.Outcome{}, err
	}
	services := make([]string, 0, len(p.snapshot.Services))
	for i := range p.snapshot.Services {
		services = append(services, p.snapshot.Services[i].Name)
	}
	next, done := rollout.Next(services, nodes, p.deployment.Status.Runs)
	switch {
	case done:
		return p.ended(), nil
	case next == nil:
		return step.Waiting(v1alpha1.ReasonProgressing, "waits for a run", runPoll), nil
	}
	run := v1alpha1.RunStatus{
		Service: next.Service, Nodes: next.Nodes, State: v1alpha1.RunRunning, StartedAt: metav1.NewTime(p.Clock.Now()),
		Key: digest([]byte(string(p.deployment.UID) + "/" + next.Service + "/" + p.snapshot.digest)),
	}
	p.deployment.Status.Runs = append(p.deployment.Status.Runs, run)
	return step.Waiting(v1alpha1.ReasonProgressing, p.describe(&run), step.Soon), nil
}

// goodNodes are the nodes of the snapshot that are still the same and not being deleted.
func (p *pass) goodNodes(ctx context.Context) ([]string, error) {
	var good []string
	for _, t := range p.snapshot.Nodes {
		node, err := p.node(ctx, t)
		if err != nil {
			return nil, err
		}
		if node != nil && node.DeletionTimestamp.IsZero() {
			good = append(good, t.Name)
		}
	}
	return good, nil
}

// node reads a node of the snapshot; nil when it is gone or another one bears its name.
func (p *pass) node(ctx context.Context, t target) (*v1alpha1.DataPlaneNode, error) {
	node := &v1alpha1.DataPlaneNode{}
	err := p.Reader.Get(ctx, types.NamespacedName{Namespace: p.deployment.Namespace, Name: t.Name}, node)
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
	for _, run := range p.deployment.Status.Runs {
		for _, node := range run.FailedNodes {
			failed = append(failed, run.Service+" on "+node)
		}
	}
	if len(failed) > 0 {
		rest := ""
		if more := len(failed) - shown; more > 0 {
			failed, rest = failed[:shown], fmt.Sprintf(" and %d more", more)
		}
		return step.Hold(v1alpha1.ReasonFailed, "failed: "+strings.Join(failed, ", ")+rest)
	}
	return step.Pass(v1alpha1.ReasonDone, fmt.Sprintf("%d services on %d nodes", len(p.snapshot.Services), len(p.snapshot.Nodes)))
}

// shown is how many failures a message lists before it counts the rest.
const shown = 5
