package plan

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Hashes tells the input hash of services on nodes.
type Hashes struct{ inputs rollout.Inputs }

// NewHashes prepares to hash. collection identifies the playbooks that run.
func NewHashes(inv inventory.Inventory, collection string) Hashes {
	return Hashes{rollout.NewInputs(inv, collection)}
}

// Of is the input of a service on a node. It differs for the same node on another host: nothing of what was done to
// the old one is there any more.
func (h Hashes) Of(s rollout.Service, node *v1alpha1.DataPlaneNode) string {
	hash := h.inputs.Hash(s, node.Name)
	if node.Spec.Host == nil {
		return hash
	}
	sum := sha256.Sum256([]byte(hash + "/" + string(node.Spec.Host.UID)))
	return hex.EncodeToString(sum[:])[:len(hash)]
}

// Wanted are the inputs of the services on a node, in order.
func (h Hashes) Wanted(services []rollout.Service, node *v1alpha1.DataPlaneNode) []v1alpha1.ServiceInput {
	var wanted []v1alpha1.ServiceInput
	for _, s := range services {
		wanted = append(wanted, v1alpha1.ServiceInput{Name: s.Name, InputHash: h.Of(s, node)})
	}
	return wanted
}
