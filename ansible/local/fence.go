package local

import (
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/fault"
)

// fileFence is a second inventory, whose variables go over those of the first.
const fileFence = "fence.yaml"

// transferMethod makes files go the way that commands do, which is where the fence is.
const transferMethod = "piped"

// fence makes the inventory that lets the run's commands onto its nodes only while no later run was; nil when nobody else
// can run there. What a playbook itself delegates to this machine is not fenced.
func fence(r ansible.Run) ([]byte, error) {
	if len(r.Tokens) == 0 {
		return nil, nil
	}
	hosts := map[string]any{}
	for _, node := range r.Nodes {
		token := r.Tokens[node]
		if token <= 0 {
			return nil, fault.New(fault.Rejected, "ansible run %s: node %s has no token, and others have", r.Key, node)
		}
		hosts[node] = map[string]any{"ansible_connection": "osp.edpm.fenced_ssh", "rackplane_fence_token": token}
	}
	return yaml.Marshal(map[string]any{"all": map[string]any{"hosts": hosts}})
}
