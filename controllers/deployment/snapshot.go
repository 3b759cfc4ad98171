package deployment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/plan"
)

// snapshot is everything the runs of a deployment are made from, but the login key.
type snapshot struct {
	// Group is the inventory's group.
	Group string
	// Nodes to run on, by name.
	Nodes []target
	// Services to run, in order.
	Services []rollout.Service
	// Hashes are the inputs of the services by name that are the same on all nodes.
	Hashes map[string]string
	// Inventory is Ansible's, without the host keys that ssh-known-hosts spreads: no key stands here twice.
	Inventory []byte `json:"-"`
	// Hosts are those whose keys the inventory spreads, or if it spreads none those of the inventory.
	Hosts []inventory.KnownHost `json:"-"`
	// Targets are where the nodes of the inventory are reached, by node.
	Targets map[string]string
	// digest identifies the snapshot.
	digest string
	// size of its archive, in bytes; set by pack.
	size int
}

// target is a node as it was when the snapshot was made.
type target struct {
	Name string
	UID  types.UID
	// Own are the inputs of the services by name that are not the same on all nodes.
	Own map[string]string `json:",omitempty"`
}

// hash is the input of a service on a node.
func (s *snapshot) hash(service string, t target) string {
	return cmp.Or(t.Own[service], s.Hashes[service])
}

// knownHosts is OpenSSH's file: the keys of the nodes that a run can reach.
func (s *snapshot) knownHosts() []byte {
	return inventory.KnownHostsFile(slices.DeleteFunc(slices.Clone(s.Hosts), func(h inventory.KnownHost) bool { return s.Targets[h.Node] == "" }))
}

// setHashes writes down the inputs of the services on the nodes: once where they agree. of tells them by service and index of
// the node.
func (s *snapshot) setHashes(of func(service string, node int) string) {
	s.Hashes = map[string]string{}
	for _, service := range s.Services {
		hashes := make([]string, len(s.Nodes))
		for i := range s.Nodes {
			hashes[i] = of(service.Name, i)
		}
		if len(slices.Compact(slices.Clone(hashes))) <= 1 {
			s.Hashes[service.Name] = hashes[0]
			continue
		}
		for i := range s.Nodes {
			if s.Nodes[i].Own == nil {
				s.Nodes[i].Own = map[string]string{}
			}
			s.Nodes[i].Own[service.Name] = hashes[i]
		}
	}
}

// inputReady reads the snapshot, or makes it. Its nodes never change, nor does their order.
func (p *pass) inputReady(ctx context.Context) (step.Outcome, error) {
	if slices.ContainsFunc(p.deployment.Status.Runs, func(r v1alpha1.RunStatus) bool { return r.NodeIndexes == "" }) {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("DataPlaneDeployment %s was begun by an older version of Rackplane, which told the nodes of its runs in another way: delete it, another one is made",
			p.deployment.Name)), nil
	}
	out, err := p.inputs(ctx)
	if err == nil && out.IsDone() {
		p.list()
	}
	return out, err
}

func (p *pass) inputs(ctx context.Context) (step.Outcome, error) {
	name := headName(p.deployment.Name)
	head, err := p.readPart(ctx, name)
	switch {
	case err == nil && metav1.IsControlledBy(head, p.deployment):
		p.deployment.Status.InputsSecret = name
		return p.recall(ctx, head)
	case err == nil:
		return p.inTheWay(name), nil
	case !apierrors.IsNotFound(err):
		return step.Outcome{}, err
	case len(p.deployment.Status.Runs) > 0:
		return p.lost(name), nil
	}
	if out, err := p.inTurn(ctx); err != nil || !out.IsDone() {
		return out, err
	}
	out, err := p.take(ctx)
	if err != nil || !out.IsDone() {
		return out, err
	}
	if err := step.Current(ctx, p.Live, p.deployment); err != nil {
		return step.Outcome{}, err
	}
	return p.store(ctx)
}

// list names the nodes that the runs' indexes are places in, unless the deployment's user has named them.
func (p *pass) list() {
	if len(p.deployment.Spec.Nodes) == 0 {
		p.deployment.Status.Nodes = p.nodes()
	}
}

// take makes the snapshot from the world, which may be some writes behind: what runs is what was decided by then, and its
// results speak of that.
func (p *pass) take(ctx context.Context) (step.Outcome, error) {
	world, err := inputs.Read(ctx, p.Reader)
	if err != nil {
		return step.Outcome{}, err
	}
	if out := p.findSet(&world); !out.IsDone() {
		return out, nil
	}
	services := p.set.Spec.Services
	if len(p.deployment.Spec.ServicesOverride) > 0 {
		services = p.deployment.Spec.ServicesOverride
	}
	set, err := inputs.ReadSet(ctx, p.Reader, p.set, services)
	if err != nil {
		return step.Outcome{}, err
	}
	if err := errors.Join(set.Problems...); err != nil {
		return step.Hold(v1alpha1.ReasonInvalidInput, strings.ReplaceAll(err.Error(), "\n", "; ")), nil
	}
	inv, err := set.Inventory(&world)
	if plan.IsProblem(err) {
		return step.Hold(v1alpha1.ReasonInvalidInput, err.Error()), nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	p.snapshot = snapshot{Group: inv.Group, Services: set.Services}
	members := slices.DeleteFunc(world.Members(p.set), func(n *v1alpha1.DataPlaneNode) bool { return !p.asksFor(n) })
	hashes := plan.NewHashes(inv.Inventory, set.Services, p.Collection)
	if late := hashes.Undecided(p.set, members, inv); len(late) > 0 {
		return step.Waiting(v1alpha1.ReasonWaitingForPlan, fmt.Sprintf("what services get on %s is another by what there is now than was decided: NodeSet %s decides anew",
			line.Few(late), p.set.Name), queuePoll), nil
	}
	if out := p.choose(members, inv, hashes); !out.IsDone() {
		return out, nil
	}
	return step.Outcome{}, p.stock(inv)
}

// stock takes what the runs need of the inventory into the snapshot: the nodes they are on. A playbook of which nothing is
// known may ask for the others of the set, so it is given all of them, as RHOSO does.
func (p *pass) stock(inv plan.Inventory) error {
	spread := inv.KnownHosts
	if p.Collection.Knows(p.snapshot.Services) {
		nodes := make(map[string]bool, len(p.snapshot.Nodes))
		for _, t := range p.snapshot.Nodes {
			nodes[t.Name] = true
		}
		inv = inv.Limit(nodes)
		inv.Inventory = p.Collection.Trim(inv.Inventory, p.snapshot.Services)
	}
	p.snapshot.Hosts = inv.KnownHosts
	if inv.Spreads() {
		p.snapshot.Hosts = spread // the keys of all nodes of the namespace, wherever it runs
	}
	text, err := inv.WithoutKnownHosts().YAML()
	if err != nil {
		return fmt.Errorf("inventory of NodeSet %s: %w", p.set.Name, err)
	}
	p.snapshot.Inventory, p.snapshot.Targets = text, inv.Targets()
	return nil
}

func (p *pass) findSet(world *plan.World) step.Outcome {
	i := slices.IndexFunc(world.NodeSets, func(s v1alpha1.NodeSet) bool {
		return s.Namespace == p.deployment.Namespace && s.Name == p.deployment.Spec.NodeSet
	})
	if i < 0 {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("DataPlaneDeployment %s: spec.nodeSet: NodeSet %s does not exist: make a deployment that names one",
			p.deployment.Name, p.deployment.Spec.NodeSet))
	}
	p.set = &world.NodeSets[i]
	return step.Outcome{}
}

// asksFor reports whether the deployment is about a node: one that it names, or when it names none one that is deployed.
func (p *pass) asksFor(node *v1alpha1.DataPlaneNode) bool {
	if len(p.deployment.Spec.Nodes) > 0 {
		return slices.Contains(p.deployment.Spec.Nodes, node.Name)
	}
	return meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionProvisioned)
}

// choose picks the nodes to run on: those that are asked for, as far as they are there. One that is not fit to be adopted is left alone, whoever asks.
func (p *pass) choose(members []*v1alpha1.DataPlaneNode, inv plan.Inventory, hashes plan.Hashes) step.Outcome {
	asked := p.deployment.Spec.Nodes
	var unfit []string
	var chosen []*v1alpha1.DataPlaneNode
	for _, node := range members {
		if !inv.Has(node.Name) {
			continue
		}
		if !plan.Adopted(p.set, node) {
			unfit = append(unfit, node.Name)
			continue
		}
		p.snapshot.Nodes = append(p.snapshot.Nodes, target{Name: node.Name, UID: node.UID})
		chosen = append(chosen, node)
	}
	switch {
	case len(p.snapshot.Nodes) > 0:
		p.snapshot.setHashes(func(service string, i int) string { return hashes.Of(service, chosen[i]) })
		return step.Outcome{}
	case len(unfit) > 0:
		return step.Waiting(v1alpha1.ReasonNotAdoptable, fmt.Sprintf("nothing runs on %s yet: condition Adoptable of the DataPlaneNode tells why", strings.Join(unfit, ", ")), step.Resync/20)
	case len(asked) > 0:
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("DataPlaneDeployment %s: spec.nodes: none of %s is a node of NodeSet %s with its addresses: make a deployment with others",
			p.deployment.Name, strings.Join(asked, ", "), p.set.Name))
	default:
		return step.Waiting(v1alpha1.ReasonWaitingForHost, fmt.Sprintf("no node of NodeSet %s is deployed yet", p.set.Name), step.Resync/20)
	}
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:32]
}
