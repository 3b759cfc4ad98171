package inputs

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/plan"
)

// Read reads the world. The reader must not be a cache: plans that are made on an old world give things out twice.
func Read(ctx context.Context, r client.Reader) (plan.World, error) {
	var sets v1alpha1.NodeSetList
	if err := r.List(ctx, &sets); err != nil {
		return plan.World{}, fmt.Errorf("list NodeSets: %w", err)
	}
	var nodes v1alpha1.DataPlaneNodeList
	if err := r.List(ctx, &nodes); err != nil {
		return plan.World{}, fmt.Errorf("list DataPlaneNodes: %w", err)
	}
	hosts, err := ReadHosts(ctx, r, "")
	if err != nil {
		return plan.World{}, err
	}
	return plan.NewWorld(sets.Items, nodes.Items, hosts), nil
}
