package inputs

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/plan"
)

// Read reads the world. The reader may be a cache, and then the world shares its memory with it: what the objects point to
// must not be changed. An old world plans what is another's by now: who writes such a plan down needs a fence that holds.
func Read(ctx context.Context, r client.Reader) (plan.World, error) {
	var sets v1alpha1.NodeSetList
	if err := r.List(ctx, &sets, client.UnsafeDisableDeepCopy); err != nil {
		return plan.World{}, fmt.Errorf("list NodeSets: %w", err)
	}
	var nodes v1alpha1.DataPlaneNodeList
	if err := r.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return plan.World{}, fmt.Errorf("list DataPlaneNodes: %w", err)
	}
	hosts, err := ReadHosts(ctx, r, "")
	if err != nil {
		return plan.World{}, err
	}
	return plan.NewWorld(sets.Items, nodes.Items, hosts), nil
}
