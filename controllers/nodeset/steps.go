package nodeset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/plan"
)

// adopt puts the finalizer on before anything is made.
func (p *pass) adopt(ctx context.Context) (step.Outcome, error) {
	return step.Outcome{}, step.AddFinalizer(ctx, p.Client, p.set)
}

// observe reads the world, which may be some writes behind. What is decided by it is planned, written or made only through a
// fence: a precondition of the write, the ledger of addresses, or another look at the API server itself.
func (p *pass) observe(ctx context.Context) (_ step.Outcome, err error) {
	if p.made, err = p.listDeployments(ctx, p.Reader); err != nil {
		return step.Outcome{}, err
	}
	read := &inputs.Versions{Reader: p.Reader}
	var blocks v1alpha1.AddressBlockList
	if err := read.List(ctx, &blocks, client.InNamespace(p.set.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return step.Outcome{}, fmt.Errorf("list AddressBlocks in %s: %w", p.set.Namespace, err)
	}
	if p.inputs, err = inputs.ReadSet(ctx, read, p.set, p.set.Spec.Services); err != nil {
		return step.Outcome{}, err
	}
	if p.inputs.Cloud != "" || p.set.Spec.OpenStack == nil {
		p.set.Status.Cloud = p.inputs.Cloud
	}
	seen, err := p.memory.read(ctx, p.Reader)
	if err != nil {
		return step.Outcome{}, err
	}
	p.version = versionOf(p.set, seen.Version, read.Version())
	p.known = p.memory.recall(client.ObjectKeyFromObject(p.set), p.version)
	if p.known != nil {
		p.world = plan.NewWorld(seen.NodeSets, seen.Nodes, nil)
		p.recall()
	}
	if p.known == nil {
		p.world = seen.World()
	}
	return step.Outcome{}, nil
}

// recall takes over what is known, unless it was decided for a time that is over: who waits for others to come does so until
// then, and for as long as nothing has happened to it.
func (p *pass) recall() {
	now := p.Clock.Now()
	given := &p.known.given
	if !given.Until.IsZero() && !given.Stand(p.find, p.made, p.world.Coming(p.set.Namespace, now), now) {
		p.known = nil
		return
	}
	p.members = slices.DeleteFunc(p.world.Members(p.set), func(n *v1alpha1.DataPlaneNode) bool { return !n.DeletionTimestamp.IsZero() })
	p.desired, p.running, p.hashed, p.given = p.known.desired, p.known.running, p.known.hashed, *given
	p.set.Status.Settling = given.Settling.DeepCopy()
}

// inputReady tells what is wrong with what the spec names. The pass goes on: problems stop only what builds on them.
func (p *pass) inputReady(context.Context) (step.Outcome, error) {
	var problems []string
	for _, problem := range p.inputs.Problems {
		problems = append(problems, problem.Error())
	}
	problems = append(problems, p.world.SpecProblems(p.set, p.inputs.Site)...)
	if len(problems) > 0 {
		return step.Later(v1alpha1.ReasonInvalidInput, plan.Summary(problems), 0), nil
	}
	return step.Pass(v1alpha1.ReasonDone, p.inputs.Unread(p.Collection)), nil
}

// find is a node of the set's namespace, whoever's it is; nil when there is none.
func (p *pass) find(name string) *v1alpha1.DataPlaneNode { return p.world.Node(p.set.Namespace, name) }

// nodes creates the nodes that are missing and deletes those that are too many.
func (p *pass) nodes(ctx context.Context) (step.Outcome, error) {
	desired := plan.Desired(p.set)
	p.desired = len(desired)
	if err := p.current(ctx, desired); err != nil {
		return step.Outcome{}, err
	}
	nameless := p.world.Nameless(p.set, p.inputs.Site)
	var refused []string
	var failed []error
	for i := range desired {
		if p.find(desired[i].Name) != nil || nameless[desired[i].Name] {
			continue
		}
		switch node, err := p.create(ctx, desired[i]); {
		case apierrors.IsInvalid(err):
			refused = append(refused, fmt.Sprintf("node %s of NodeSet %s: %v", node.Name, client.ObjectKeyFromObject(p.set), err))
		case err != nil:
			failed = append(failed, err)
		default:
			p.world.AddNode(node)
		}
	}
	if err := errors.Join(append(failed, p.cut(ctx, desired))...); err != nil {
		return step.Outcome{}, err
	}
	if len(refused) > 0 {
		return step.Later(v1alpha1.ReasonInvalidInput, plan.Summary(refused), 0), nil
	}
	return step.Outcome{}, nil
}

// current makes sure that the set is the newest before nodes are made or deleted by it: deleting one erases its server, and
// nothing made for a set that is gone is ever cleared away.
func (p *pass) current(ctx context.Context, desired []v1alpha1.DataPlaneNode) error {
	there := map[string]bool{}
	for _, node := range p.world.Members(p.set) {
		there[node.Name] = node.DeletionTimestamp.IsZero()
	}
	for i := range desired {
		if name := desired[i].Name; p.find(name) == nil {
			return step.Current(ctx, p.Live, p.set)
		}
		delete(there, desired[i].Name)
	}
	for _, stays := range there {
		if stays {
			return step.Current(ctx, p.Live, p.set)
		}
	}
	return nil
}

func (p *pass) create(ctx context.Context, node v1alpha1.DataPlaneNode) (v1alpha1.DataPlaneNode, error) {
	node.Finalizers = []string{v1alpha1.Finalizer}
	node.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(p.set, v1alpha1.GroupVersion.WithKind("NodeSet"))}
	err := p.Client.Create(ctx, &node)
	return node, err
}

// cut deletes the members that are not desired and collects the others that stay. One that fails holds up no other.
func (p *pass) cut(ctx context.Context, desired []v1alpha1.DataPlaneNode) error {
	wanted := make(map[string]bool, len(desired))
	for i := range desired {
		wanted[desired[i].Name] = true
	}
	var failed []error
	for _, node := range p.world.Members(p.set) {
		if !node.DeletionTimestamp.IsZero() {
			continue
		}
		if wanted[node.Name] {
			p.members = append(p.members, node)
			continue
		}
		if err := deleteExactly(ctx, p.Client, node.DeepCopy()); err != nil {
			failed = append(failed, err)
			continue
		}
		now := metav1.NewTime(p.Clock.Now())
		node.DeletionTimestamp = &now
	}
	return errors.Join(failed...)
}

// deleteExactly deletes the object that was read, not one made anew under its name.
func deleteExactly(ctx context.Context, c client.Client, obj client.Object) error {
	uid := obj.GetUID()
	return client.IgnoreNotFound(c.Delete(ctx, obj, client.Preconditions{UID: &uid}))
}

// plan decides hosts and addresses and writes the decisions.
func (p *pass) plan(ctx context.Context) (step.Outcome, error) {
	if err := p.freeClaims(ctx); err != nil {
		return step.Outcome{}, err
	}
	if err := p.openLedger(ctx); err != nil {
		return step.Outcome{}, err
	}
	decision, err := p.memory.decide(p.world, p.set, p.inputs.Site)
	if err != nil {
		return step.Outcome{}, err
	}
	p.inputs.Rendered = decision.Rendered
	out, err := p.give(ctx, decision.Nodes)
	if err != nil {
		return step.Outcome{}, err
	}
	if reason := decision.Reason(); reason != "" {
		return step.Later(reason, decision.Message(), out.After()), nil
	}
	return out, nil
}

// writeEach patches every member's spec; one that fails holds up no other.
func (p *pass) writeEach(ctx context.Context, spec func(member int) v1alpha1.DataPlaneNodeSpec) error {
	var failed []error
	for i := range p.members {
		failed = append(failed, p.write(ctx, i, spec(i)))
	}
	return errors.Join(failed...)
}

// untracked has the API server keep no account of who wrote which field of a node. Each has one writer by design, nobody applies
// nodes, and the account of fifteen results is as long as they are: it would come with every answer and every watch event.
// It is taken up again only should somebody apply one (Kubernetes' Server-Side Apply, "Clearing managedFields").
func untracked() []metav1.ManagedFieldsEntry { return []metav1.ManagedFieldsEntry{{}} }

// write patches a member's spec if it is another than it should be.
func (p *pass) write(ctx context.Context, member int, spec v1alpha1.DataPlaneNodeSpec) error {
	node := p.members[member]
	if equality.Semantic.DeepEqual(node.Spec, spec) {
		return nil
	}
	written := node.DeepCopy()                                          // the answer is read into it, and what the node has is the cache's
	written.Spec, written.ManagedFields = *spec.DeepCopy(), untracked() // what was decided is remembered, too
	if err := p.Client.Patch(ctx, written, client.MergeFromWithOptions(node, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	*node = *written
	p.written[node.Name] = true
	return nil
}

// services decides the inputs every node should have. Global ones depend on all host keys of the namespace, so nothing
// is decided until this set's nodes have theirs: they come with each node's first pass. A node whose first pass brought
// none is in trouble of its own and holds up nobody.
func (p *pass) services(ctx context.Context) (step.Outcome, error) {
	if !p.inputs.Usable() {
		return step.Outcome{}, nil // inputReady has told why
	}
	for i := range p.members {
		if len(plan.HostKeys(p.set, p.members[i])) == 0 && len(p.members[i].Status.Conditions) == 0 {
			return step.Later(v1alpha1.ReasonProgressing, "waits for the host key of node "+p.members[i].Name, 0), nil
		}
	}
	inventory, err := p.inputs.Inventory(&p.world)
	if plan.IsProblem(err) {
		return step.Later(v1alpha1.ReasonInvalidInput, err.Error(), 0), nil
	}
	if err != nil {
		return step.Outcome{}, err
	}
	p.running = make(map[string]bool, len(inventory.Hosts))
	for i := range inventory.Hosts {
		p.running[inventory.Hosts[i].Name] = true
	}
	hashes := plan.NewHashes(inventory.Inventory, p.inputs.Services, p.Collection)
	now := p.Clock.Now()
	decided := hashes.Decide(p.set, p.members, p.made, p.world.Coming(p.set.Namespace, now), now)
	p.set.Status.Settling, p.given = decided.Settling, decided
	p.given.Wanted = nil // what is written is in the nodes
	err = p.writeEach(ctx, func(i int) v1alpha1.DataPlaneNodeSpec {
		spec := *p.members[i].Spec.DeepCopy()
		if p.running[p.members[i].Name] {
			spec.Services = decided.Wanted[i]
		}
		return spec
	})
	if err != nil {
		return step.Outcome{}, err
	}
	p.hashed = true
	if err := errors.Join(inventory.NodeProblems()...); err != nil {
		return step.Later(v1alpha1.ReasonInvalidInput, plan.Summary(strings.Split(err.Error(), "\n")), 0), nil
	}
	return step.Outcome{}, nil
}
