package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Hashes tells the input hash of services on nodes.
type Hashes struct {
	inputs   rollout.Inputs
	services []rollout.Service
}

// NewHashes hashes what the services get.
func NewHashes(inv inventory.Inventory, services []rollout.Service, collection rollout.Collection) Hashes {
	return Hashes{rollout.NewInputs(inv, services, collection), services}
}

// Of is the input of a service on a node. It differs for the same node on another host: nothing of what was done to
// the old one is there any more.
func (h Hashes) Of(service string, node *v1alpha1.DataPlaneNode) string {
	hash := h.inputs.Hash(service, node.Name)
	if node.Spec.Host == nil {
		return hash
	}
	sum := sha256.Sum256([]byte(hash + "/" + string(node.Spec.Host.UID)))
	return hex.EncodeToString(sum[:])[:len(hash)]
}

// Undecided returns the nodes of a set of which another network or input was decided than follows from what there is now:
// either is old. Nothing may run on them before both are one, since results speak of what was decided. Services that the
// set does not list are nobody's to decide: somebody runs them by hand.
func (h Hashes) Undecided(set *v1alpha1.NodeSet, nodes []*v1alpha1.DataPlaneNode, inv Inventory) []string {
	var late []string
	for _, node := range nodes {
		other := func(s rollout.Service) bool {
			decided := slices.IndexFunc(node.Spec.Services, func(d v1alpha1.ServiceInput) bool { return d.Name == s.Name })
			if decided < 0 {
				return slices.Contains(set.Spec.Services, s.Name)
			}
			return h.Of(s.Name, node) != node.Spec.Services[decided].InputHash
		}
		if slices.Contains(inv.Undecided, node.Name) || (inv.Has(node.Name) && slices.ContainsFunc(h.services, other)) {
			late = append(late, node.Name)
		}
	}
	return late
}

// Wanted returns the inputs of all services on a node, in order.
func (h Hashes) Wanted(node *v1alpha1.DataPlaneNode) []v1alpha1.ServiceInput {
	var wanted []v1alpha1.ServiceInput
	for i := range h.services {
		name := h.services[i].Name
		wanted = append(wanted, v1alpha1.ServiceInput{Name: name, InputHash: h.Of(name, node)})
	}
	return wanted
}

// Differences tells what a service gets on a node that it did not get by before, as rollout.Inputs.Differences does.
func (h Hashes) Differences(before Hashes, service, node string) []string {
	return h.inputs.Differences(before.inputs, service, node)
}
