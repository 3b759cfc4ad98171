package deployment

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/plan"
)

// snapshotKey holds the snapshot as gzipped JSON: a Secret takes 1 MiB (k8s.io/api/core/v1 MaxSecretSize), and the
// inventory of a thousand nodes is larger before compression.
const snapshotKey = "inputs.json.gz"

// snapshot is everything the runs of a deployment are made from, but the login key.
type snapshot struct {
	// Group is the inventory's group.
	Group string
	// Nodes to run on, by name.
	Nodes []target
	// Services to run, in order.
	Services []rollout.Service
	// Inventory is Ansible's, KnownHosts OpenSSH's file.
	Inventory, KnownHosts []byte
	// Targets are where the nodes of the inventory are reached, by node.
	Targets map[string]string
	// digest identifies the snapshot.
	digest string
}

// target is a node as it was when the snapshot was made.
type target struct {
	Name string
	UID  types.UID
	// Hashes are the inputs of the services by name.
	Hashes map[string]string
}

// inputReady reads the snapshot, or makes it.
func (p *pass) inputReady(ctx context.Context) (step.Outcome, error) {
	key := types.NamespacedName{Namespace: p.deployment.Namespace, Name: p.deployment.Name + "-inputs"}
	var secret corev1.Secret
	err := p.Reader.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) {
		err = p.Live.Get(ctx, key, &secret) // another would be made
	}
	switch {
	case err == nil && metav1.IsControlledBy(&secret, p.deployment):
		p.deployment.Status.InputsSecret = key.Name
		p.snapshot, err = decode(secret.Data[snapshotKey])
		return step.Outcome{}, err
	case err == nil:
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("Secret %s is in the way: it was not made for this DataPlaneDeployment; rename or delete it", key)), nil
	case !apierrors.IsNotFound(err):
		return step.Outcome{}, fmt.Errorf("read Secret %s: %w", key, err)
	case len(p.deployment.Status.Runs) > 0:
		return step.Hold(v1alpha1.ReasonMissing, fmt.Sprintf("Secret %s with the inputs of this deployment is gone: delete the DataPlaneDeployment, another one is made", key)), nil
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
	data, err := p.snapshot.encode()
	if err != nil {
		return step.Outcome{}, err
	}
	p.deployment.Status.InputsSecret = key.Name
	immutable := true
	return step.Outcome{}, p.Client.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{v1alpha1.NodeSetLabel: p.deployment.Spec.NodeSet},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.deployment, v1alpha1.GroupVersion.WithKind("DataPlaneDeployment"))},
		},
		Immutable: &immutable, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{snapshotKey: data},
	})
}

// take makes the snapshot from what there is now.
func (p *pass) take(ctx context.Context) (step.Outcome, error) {
	world, err := inputs.Read(ctx, p.Live)
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
	if out := p.choose(world.Members(p.set), inv, plan.NewHashes(inv.Inventory, set.Services, p.Collection)); !out.IsDone() {
		return out, nil
	}
	return step.Outcome{}, p.stock(inv)
}

// stock takes what the runs need of the inventory into the snapshot: the nodes they are on. A playbook of which nothing is
// known may ask for the others of the set, so it is given all of them, as RHOSO does.
func (p *pass) stock(inv plan.Inventory) error {
	if p.Collection.Knows(p.snapshot.Services) {
		nodes := make(map[string]bool, len(p.snapshot.Nodes))
		for _, t := range p.snapshot.Nodes {
			nodes[t.Name] = true
		}
		inv = inv.Limit(nodes)
		inv.Inventory = p.Collection.Trim(inv.Inventory, p.snapshot.Services)
	}
	text, err := inv.YAML()
	if err != nil {
		return fmt.Errorf("inventory of NodeSet %s: %w", p.set.Name, err)
	}
	p.snapshot.Inventory, p.snapshot.KnownHosts, p.snapshot.Targets = text, inventory.KnownHostsFile(inv.KnownHosts), inv.Targets()
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

// choose picks the nodes to run on: those that are asked for, as far as they are there; when all are, those that are
// deployed. One that is not fit to be adopted is left alone, whoever asks.
func (p *pass) choose(members []v1alpha1.DataPlaneNode, inv plan.Inventory, hashes plan.Hashes) step.Outcome {
	asked := p.deployment.Spec.Nodes
	var unfit []string
	for i := range members {
		node := &members[i]
		deployed := meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionProvisioned)
		if !inv.Has(node.Name) || (len(asked) > 0 && !slices.Contains(asked, node.Name)) || (len(asked) == 0 && !deployed) {
			continue
		}
		if !plan.Adopted(p.set, node) {
			unfit = append(unfit, node.Name)
			continue
		}
		t := target{Name: node.Name, UID: node.UID, Hashes: map[string]string{}}
		for _, s := range p.snapshot.Services {
			t.Hashes[s.Name] = hashes.Of(s.Name, node)
		}
		p.snapshot.Nodes = append(p.snapshot.Nodes, t)
	}
	switch {
	case len(p.snapshot.Nodes) > 0:
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

func (s *snapshot) encode() ([]byte, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the snapshot: %w", err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(text)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("pack the snapshot: %w", err)
	}
	s.digest = digest(text)
	return packed.Bytes(), nil
}

func decode(packed []byte) (snapshot, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return snapshot{}, fault.Wrap(fault.Rejected, err, "the snapshot is damaged: delete the DataPlaneDeployment, another one is made")
	}
	var s snapshot
	var text bytes.Buffer
	if _, err = text.ReadFrom(r); err == nil {
		err = json.Unmarshal(text.Bytes(), &s)
	}
	if err != nil {
		return snapshot{}, fault.Wrap(fault.Rejected, err, "the snapshot is damaged: delete the DataPlaneDeployment, another one is made")
	}
	s.digest = digest(text.Bytes())
	return s, nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:32]
}
