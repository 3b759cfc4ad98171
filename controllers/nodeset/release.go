package nodeset

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// releasePoll is when to look again for what has gone; watches usually tell earlier.
const releasePoll = 10 * time.Second

// dropDeployments goes first: it stops the runs that use the nodes. Deployments a user made stay as a record.
func (p *pass) dropDeployments(ctx context.Context) (step.Outcome, error) {
	all, err := p.listDeployments(ctx, p.Live)
	if err != nil {
		return step.Outcome{}, err
	}
	for i := range all {
		if metav1.IsControlledBy(&all[i], p.set) && all[i].DeletionTimestamp.IsZero() {
			if err := deleteExactly(ctx, p.Client, &all[i]); err != nil {
				return step.Outcome{}, err
			}
		}
	}
	return step.Outcome{}, nil
}

// dropNodes deletes the nodes and waits for the last to be gone: each holds its finalizer until its host is handed back.
func (p *pass) dropNodes(ctx context.Context) (step.Outcome, error) {
	var list v1alpha1.DataPlaneNodeList
	if err := p.Live.List(ctx, &list, client.InNamespace(p.set.Namespace)); err != nil {
		return step.Outcome{}, fmt.Errorf("list DataPlaneNodes in %s: %w", p.set.Namespace, err)
	}
	members := slices.DeleteFunc(list.Items, func(n v1alpha1.DataPlaneNode) bool { return !plan.IsMember(&n, p.set) })
	slices.SortFunc(members, func(a, b v1alpha1.DataPlaneNode) int { return strings.Compare(a.Name, b.Name) })
	var left int32
	for i := range members {
		left++
		if members[i].DeletionTimestamp.IsZero() {
			if err := deleteExactly(ctx, p.Client, &members[i]); err != nil {
				return step.Outcome{}, err
			}
		}
	}
	p.set.Status.Replicas, p.set.Status.ReadyReplicas, p.set.Status.UpdatedReplicas = left, 0, 0
	if len(members) > 0 {
		return step.Waiting(v1alpha1.ReasonReleasing, fmt.Sprintf("%d nodes still hand back their hosts", len(members)), releasePoll), nil
	}
	return step.Outcome{}, nil
}

// letGo waits for the deployments and lets the NodeSet go.
func (p *pass) letGo(ctx context.Context) (step.Outcome, error) {
	all, err := p.listDeployments(ctx, p.Live)
	if err != nil {
		return step.Outcome{}, err
	}
	if slices.ContainsFunc(all, func(d v1alpha1.DataPlaneDeployment) bool { return metav1.IsControlledBy(&d, p.set) }) {
		return step.Waiting(v1alpha1.ReasonReleasing, "deployments still stop their runs", releasePoll), nil
	}
	if !controllerutil.ContainsFinalizer(p.set, v1alpha1.Finalizer) {
		return step.Gone(), nil
	}
	if err := step.RemoveFinalizer(ctx, p.Client, p.set); err != nil {
		return step.Outcome{}, err
	}
	return step.Gone(), nil
}
