package nodeset

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/addresses"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
)

func (p *pass) access() addresses.Access {
	return addresses.Access{Client: p.Client, Reader: p.Reader, Live: p.Live}
}

// openLedger reads who holds which address. Without networks nothing is given out and nothing taken back.
func (p *pass) openLedger(ctx context.Context) (err error) {
	if p.inputs.Site.Empty() {
		return nil
	}
	p.ledger, err = addresses.Open(ctx, p.access(), p.set.Namespace, p.world.Tenants(p.set.Namespace))
	if err == nil {
		p.world.Ledger = p.ledger.Ledger
	}
	return err
}

// give writes the decided specs: addresses go into the ledger before they go into a node, and out of it after.
func (p *pass) give(ctx context.Context, specs map[string]v1alpha1.DataPlaneNodeSpec) (step.Outcome, error) {
	if p.ledger == nil {
		return step.Outcome{}, p.writeEach(ctx, func(i int) v1alpha1.DataPlaneNodeSpec { return specs[p.members[i].Name] })
	}
	var tenants []network.Tenant
	for i := range p.members {
		node := p.members[i]
		tenants = append(tenants, network.Tenant{Node: node.Name, UID: node.UID, Has: node.Spec.Networks, Wants: specs[node.Name].Networks, InForce: p.world.InForce(node)})
	}
	grants, waits, err := p.ledger.Give(ctx, tenants)
	if err != nil {
		return step.Outcome{}, err
	}
	err = p.writeEach(ctx, func(i int) v1alpha1.DataPlaneNodeSpec {
		spec := specs[p.members[i].Name]
		if granted := grants[p.members[i].Name]; !slices.Equal(spec.Networks, granted) {
			spec.Networks, spec.NetworkHash = granted, "" // the next pass decides the network that follows from these
		}
		return spec
	})
	if err != nil {
		return step.Outcome{}, err
	}
	kept, err := p.ledger.TakeBack(ctx, tenants, p.written)
	switch {
	case err != nil:
		return step.Outcome{}, err
	case waits:
		return step.Outcome{}.Again(step.Soon), nil
	case kept:
		return step.Outcome{}.Again(releasePoll), nil
	default:
		return step.Outcome{}, nil
	}
}

// addressesFreed frees what the nodes held that are gone now: of the last set of a namespace nobody else would.
func (p *pass) addressesFreed(ctx context.Context) (step.Outcome, error) {
	var nodes v1alpha1.DataPlaneNodeList
	if err := p.Reader.List(ctx, &nodes, client.InNamespace(p.set.Namespace)); err != nil {
		return step.Outcome{}, fmt.Errorf("list DataPlaneNodes in %s: %w", p.set.Namespace, err)
	}
	world := plan.World{Nodes: nodes.Items}
	_, err := addresses.Open(ctx, p.access(), p.set.Namespace, world.Tenants(p.set.Namespace))
	return step.Outcome{}, err
}
