package rollout

import (
	"fmt"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Lease returns the key of the Lease for the next run of a deployment on the nodes: the one that they were last held by all
// together, if no run goes on under it, else a new one. prefix is the deployment's own: no other deployment may share one.
func Lease(prefix string, nodes []string, runs []Run) string {
	going, keys := map[string]bool{}, map[string]bool{}
	for i := range runs {
		key := runs[i].LeaseKey()
		keys[key] = true
		going[key] = going[key] || runs[i].State == v1alpha1.RunRunning
	}
	last := map[string]string{} // by node
	for i := range runs {
		for _, n := range runs[i].Nodes {
			last[n] = runs[i].LeaseKey()
		}
	}
	shared := ""
	for i, n := range nodes {
		if i == 0 {
			shared = last[n]
		}
		if last[n] != shared {
			shared = ""
			break
		}
	}
	if shared != "" && !going[shared] {
		return shared
	}
	for i := len(keys); ; i++ {
		if key := fmt.Sprintf("%s-%d", prefix, i); !keys[key] {
			return key
		}
	}
}
