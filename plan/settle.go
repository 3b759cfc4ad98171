package plan

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Coming is how many nodes of a namespace are still on their way, or have only just come: where one comes, others may. Each
// changes what all others know of it, most of them more than once.
func (w *World) Coming(namespace string, now time.Time) int {
	coming := 0
	for i := range w.Nodes {
		n := &w.Nodes[i]
		if n.Namespace != namespace || !n.DeletionTimestamp.IsZero() {
			continue
		}
		c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionProvisioned)
		if c == nil || c.Status != metav1.ConditionTrue || now.Sub(c.LastTransitionTime.Time).Abs() < rollout.Quiet {
			coming++
		}
	}
	return coming
}

// Inputs are the decided inputs of a set's nodes.
type Inputs struct {
	// Wanted are the inputs of each node, as the nodes were given.
	Wanted [][]v1alpha1.ServiceInput
	// Settling is a change of the global services' input that nodes which have an earlier one wait for; nil when none does.
	Settling *v1alpha1.Settling
	// Until is when it settles; zero when nothing waits.
	Until time.Time
	// Waiting are the nodes that wait for it, by name.
	Waiting map[string]bool
	// held are the inputs that they keep meanwhile.
	held []held
	// coming is how many nodes were on their way.
	coming int
}

// held is an earlier input of a global service that a node keeps.
type held struct {
	node  string
	input v1alpha1.ServiceInput
}

// Stand reports whether the same would be decided of the same inputs now, although nodes have come, runs have ended, and time has
// passed. node finds a node of the set.
func (i *Inputs) Stand(node func(name string) *v1alpha1.DataPlaneNode, made []v1alpha1.DataPlaneDeployment, coming int, now time.Time) bool {
	if len(i.held) == 0 {
		return true
	}
	if !now.Before(i.Until) || rollout.Calm(coming) != rollout.Calm(i.coming) {
		return false
	}
	for _, h := range i.held {
		if n := node(h.node); n == nil || !keeps(n, h.input, made) {
			return false
		}
	}
	return true
}

// Decide decides the inputs of a set's nodes. A node that has been given everything keeps the input that its global services
// ran with until what they get has settled (rollout.Settle): each node that comes changes it, and it would run again on all
// others for each. Any other node has the newest at once. made are the deployments over the set, coming is how many nodes of
// its namespace are on their way.
func (h Hashes) Decide(set *v1alpha1.NodeSet, nodes []*v1alpha1.DataPlaneNode, made []v1alpha1.DataPlaneDeployment, coming int, now time.Time) Inputs {
	newest, kept := make([][]v1alpha1.ServiceInput, len(nodes)), make([][]v1alpha1.ServiceInput, len(nodes))
	waiting := map[string]bool{}
	var earlier []held
	for i := range nodes {
		newest[i] = h.Wanted(nodes[i])
		kept[i] = h.kept(nodes[i], newest[i], made)
		for j := range newest[i] {
			if newest[i][j] != kept[i][j] {
				waiting[nodes[i].Name] = true
				earlier = append(earlier, held{nodes[i].Name, kept[i][j]})
			}
		}
	}
	if len(waiting) == 0 || set.Spec.Deployment.Policy == v1alpha1.DeploymentManual {
		return Inputs{Wanted: newest} // by hand nothing runs more often than it is asked for
	}
	settling, until := rollout.Settle(set.Status.Settling, h.global(), coming, now)
	if until.IsZero() {
		return Inputs{Wanted: newest, Settling: settling}
	}
	return Inputs{Wanted: kept, Settling: settling, Until: until, Waiting: waiting, held: earlier, coming: coming}
}

// global identifies what the global services get.
func (h Hashes) global() string {
	var hashes []string
	for i := range h.services {
		if s := &h.services[i]; s.Global {
			hashes = append(hashes, s.Name, h.inputs.Hash(s.Name, ""))
		}
	}
	return rollout.Digest(hashes)
}

// kept are the newest inputs of a node, with those instead that its global services have run with, or are running with.
// Inputs speak of the server they are for; so when one of a node's own services is another, all are the newest.
func (h Hashes) kept(node *v1alpha1.DataPlaneNode, newest []v1alpha1.ServiceInput, made []v1alpha1.DataPlaneDeployment) []v1alpha1.ServiceInput {
	kept, same := newest, false
	for i := range h.services {
		j := slices.IndexFunc(node.Spec.Services, func(has v1alpha1.ServiceInput) bool { return has.Name == newest[i].Name })
		switch {
		case j < 0:
		case newest[i] == node.Spec.Services[j]:
			same = same || !h.services[i].Global
		case !h.services[i].Global:
			return newest
		case keeps(node, node.Spec.Services[j], made):
			if &kept[0] == &newest[0] {
				kept = slices.Clone(newest)
			}
			kept[i] = node.Spec.Services[j]
		}
	}
	if !same {
		return newest
	}
	return kept
}

// keeps reports whether a node may keep the input of a global service: a run gives it that just now, or has given it, and
// none that is still to begin was asked for.
func keeps(node *v1alpha1.DataPlaneNode, has v1alpha1.ServiceInput, made []v1alpha1.DataPlaneDeployment) bool {
	for i := range made {
		d := &made[i]
		if Finished(d) || (len(d.Spec.ServicesOverride) > 0 && !slices.Contains(d.Spec.ServicesOverride, has.Name)) {
			continue
		}
		if len(d.Spec.Nodes) == 0 || slices.Contains(d.Spec.Nodes, node.Name) {
			return Begun(d)
		}
	}
	return len(rollout.Outdated([]v1alpha1.ServiceInput{has}, node.Status.Services)) == 0
}
