package nodeset

import (
	"context"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// freeClaims takes the claims of nodes of this namespace that are gone off hosts on which nothing was ever deployed. An
// engine that was paused just before it claimed a host makes such a claim when it goes on and the node was released
// meanwhile; nobody else would ever take it off.
func (p *pass) freeClaims(ctx context.Context) error {
	for i := range p.world.Hosts {
		if h := &p.world.Hosts[i]; h.Abandoned() && h.Consumer.Namespace == p.set.Namespace && !p.lives(h.Consumer) {
			freed, err := p.freeClaim(ctx, h)
			if err != nil {
				return err
			}
			if freed {
				h.Consumer, h.ConsumerKind, h.ConsumerGone, h.Version = nil, "", false, ""
			}
		}
	}
	return nil
}

func (p *pass) lives(owner *claim.Owner) bool {
	node := p.world.Node(owner.Namespace, owner.Name)
	return node != nil && node.UID == owner.UID
}

// freeClaim asks the API server itself for node and host, and clears the claim if the host has not changed since.
func (p *pass) freeClaim(ctx context.Context, h *claim.Host) (bool, error) {
	var host metal3v1alpha1.BareMetalHost
	key := types.NamespacedName{Namespace: h.Ref.Namespace, Name: h.Ref.Name}
	if err := p.Live.Get(ctx, key, &host); err != nil {
		return false, client.IgnoreNotFound(fmt.Errorf("read BareMetalHost %s: %w", key, err))
	}
	now := claim.FromBareMetalHost(host)
	if !now.Abandoned() || *now.Consumer != *h.Consumer || host.Annotations[v1alpha1.DeploymentAnnotation] != "" || host.Annotations[v1alpha1.HeldAnnotation] != "" {
		return false, nil
	}
	var node v1alpha1.DataPlaneNode
	owner := types.NamespacedName{Namespace: now.Consumer.Namespace, Name: now.Consumer.Name}
	switch err := p.Live.Get(ctx, owner, &node); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return false, fmt.Errorf("read DataPlaneNode %s: %w", owner, err)
	case node.UID == now.Consumer.UID:
		return false, nil
	}
	old := host.DeepCopy()
	host.Spec.ConsumerRef = nil
	return true, p.Client.Patch(ctx, &host, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}
