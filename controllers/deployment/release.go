package deployment

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/plan"
)

// cancel stops the runs that are under way, or may be, here or elsewhere.
func (p *pass) cancel(ctx context.Context) (step.Outcome, error) {
	var waiting []string
	for i := range p.deployment.Status.Runs {
		run := &p.deployment.Status.Runs[i]
		if run.State != v1alpha1.RunRunning {
			continue
		}
		if err := p.Runner.Cancel(ctx, run.Key); err != nil {
			return step.Outcome{}, err
		}
		waits, err := p.Leases.Cancel(ctx, p.deployment.Namespace, run.LeaseKey())
		if err != nil {
			return step.Outcome{}, err
		}
		if waits != "" {
			waiting = append(waiting, waits)
		}
	}
	if len(waiting) > 0 {
		return step.Waiting(v1alpha1.ReasonReleasing, strings.Join(waiting, "; "), runPoll), nil
	}
	return step.Outcome{}, nil
}

// told writes the results that the nodes have not got yet. Without the inputs nobody knows what they are results of: then the
// services run again.
func (p *pass) told(ctx context.Context) (step.Outcome, error) {
	if plan.Finished(p.deployment) || !p.owes() {
		return step.Outcome{}, nil
	}
	head, err := p.readPart(ctx, headName(p.deployment.Name))
	if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(head, p.deployment)) {
		return step.Outcome{}, nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	out, err := p.recall(ctx, head)
	if fault.Is(err, fault.Rejected) || (err == nil && !out.IsDone()) {
		return step.Outcome{}, nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	p.list()
	p.runs = rollout.Runs(p.deployment)
	return step.Outcome{}, p.deliver(ctx, everyone)
}

// releaseLeases deletes the Leases that the deployment's runs have shared. Its nodes are free with that.
func (p *pass) releaseLeases(ctx context.Context) error {
	var keys []string
	for i := range p.deployment.Status.Runs {
		keys = append(keys, p.deployment.Status.Runs[i].LeaseKey())
	}
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		if _, err := p.Leases.Release(ctx, p.deployment.Namespace, key); err != nil {
			return err
		}
	}
	return nil
}

// letGo deletes the snapshot, which no garbage collector may be there to do, and lets the deployment go.
func (p *pass) letGo(ctx context.Context) (step.Outcome, error) {
	parts, err := p.parts(ctx)
	if err != nil {
		return step.Outcome{}, err
	}
	for i := range parts {
		part := &parts[i]
		if !metav1.IsControlledBy(part, p.deployment) {
			continue // whoever gave it the label or the name keeps it
		}
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: part.Namespace, Name: part.Name}}
		if err := p.Client.Delete(ctx, secret, client.Preconditions{UID: &part.UID}); client.IgnoreNotFound(err) != nil {
			return step.Outcome{}, err
		}
	}
	if err := p.releaseLeases(ctx); err != nil {
		return step.Outcome{}, err
	}
	if err := step.RemoveFinalizer(ctx, p.Client, p.deployment); err != nil {
		return step.Outcome{}, err
	}
	return step.Gone(), nil
}

// parts returns the metadata of the snapshot's Secrets. All bear the deployment's label, those too that were written by an
// engine that died before it was done; a head without it was written by an older version.
func (p *pass) parts(ctx context.Context) ([]metav1.PartialObjectMetadata, error) {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	if err := p.Live.List(ctx, &list, client.InNamespace(p.deployment.Namespace), client.MatchingLabels{partLabel: string(p.deployment.UID)}); err != nil {
		return nil, fmt.Errorf("list the Secrets with the inputs of DataPlaneDeployment %s: %w", p.deployment.Name, err)
	}
	key := types.NamespacedName{Namespace: p.deployment.Namespace, Name: headName(p.deployment.Name)}
	if slices.ContainsFunc(list.Items, func(m metav1.PartialObjectMetadata) bool { return m.Name == key.Name }) {
		return list.Items, nil
	}
	var head metav1.PartialObjectMetadata
	head.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	switch err := p.Live.Get(ctx, key, &head); {
	case err == nil:
		list.Items = append(list.Items, head)
	case client.IgnoreNotFound(err) != nil:
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return list.Items, nil
}
