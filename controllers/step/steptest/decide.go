package steptest

import (
	"errors"
	"slices"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/plan"
)

// DecideNetworks does what the NodeSet controller does before anything acts on a node: it writes down which network follows
// from what there is.
func (a *API) DecideNetworks() {
	a.tb.Helper()
	world := a.world()
	site, err := inputs.Site(a.tb.Context(), a.Plain, Namespace)
	if err != nil {
		return // nothing is decided
	}
	for i := range world.Nodes {
		node, set := &world.Nodes[i], world.SetOf(&world.Nodes[i])
		if set == nil || !node.DeletionTimestamp.IsZero() {
			continue
		}
		rendered, err := plan.RenderNetwork(set, node, site, world.Host(node.Spec.Host))
		if err == nil && rendered.Hash != node.Spec.NetworkHash {
			Edit(a, node, func(n *v1alpha1.DataPlaneNode) { n.Spec.NetworkHash = rendered.Hash })
		}
	}
}

// DecideInputs does so for the inputs of the services, too.
func (a *API) DecideInputs(collection rollout.Collection) {
	a.tb.Helper()
	a.DecideNetworks()
	world := a.world()
	for i := range world.NodeSets {
		set := &world.NodeSets[i]
		in, err := inputs.ReadSet(a.tb.Context(), a.Plain, set, set.Spec.Services)
		if err != nil {
			a.tb.Fatal(err)
		}
		inv, err := in.Inventory(&world)
		if err != nil || !in.Usable() {
			continue
		}
		hashes := plan.NewHashes(inv.Inventory, in.Services, collection)
		for _, node := range world.Members(set) {
			if wanted := hashes.Wanted(node); inv.Has(node.Name) && !slices.Equal(node.Spec.Services, wanted) {
				Edit(a, node, func(n *v1alpha1.DataPlaneNode) { n.Spec.Services = wanted })
			}
		}
	}
}

func (a *API) world() plan.World {
	a.tb.Helper()
	var sets v1alpha1.NodeSetList
	var nodes v1alpha1.DataPlaneNodeList
	hosts, err := inputs.ReadHosts(a.tb.Context(), a.Plain, "")
	if err := errors.Join(err, a.Plain.List(a.tb.Context(), &sets), a.Plain.List(a.tb.Context(), &nodes)); err != nil {
		a.tb.Fatal(err)
	}
	return plan.NewWorld(sets.Items, nodes.Items, hosts)
}
