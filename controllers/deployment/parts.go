package deployment

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
)

// Keys of the Secrets of a snapshot: each holds one part of the archive, the head's also says how many parts there are and
// what the whole must be.
const (
	partKey   = "inputs.tar.gz"
	partsKey  = "parts"
	digestKey = "digest"

	// partLabel is the UID of the deployment whose snapshot the Secret is a part of.
	partLabel = "dataplane.rackplane.dev/inputs-of"
)

// headName is the Secret that says what a deployment's snapshot is. It is written last: without it there is none.
func headName(deployment string) string { return deployment + "-inputs" }

// partName is the Secret of another part. It bears the digest: a snapshot that was made anew, after an engine died between
// two parts, must not find those of the one before.
func partName(deployment, digest string, i int) string {
	return fmt.Sprintf("%s-%s-%d", headName(deployment), digest[:8], i)
}

func (p *pass) key() types.NamespacedName {
	return types.NamespacedName{Namespace: p.deployment.Namespace, Name: p.deployment.Name}
}

func (p *pass) inTheWay(name string) step.Outcome {
	return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("Secret %s/%s is in the way: it was not made for this DataPlaneDeployment; rename or delete it", p.deployment.Namespace, name))
}

func (p *pass) lost(name string) step.Outcome {
	return step.Hold(v1alpha1.ReasonMissing, fmt.Sprintf("Secret %s/%s with the inputs of this deployment is gone: delete the DataPlaneDeployment, another one is made", p.deployment.Namespace, name))
}

// readPart reads a Secret of the snapshot. That it is missing is not believed of the cached world: another would be made.
func (p *pass) readPart(ctx context.Context, name string) (*corev1.Secret, error) {
	key := types.NamespacedName{Namespace: p.deployment.Namespace, Name: name}
	secret := &corev1.Secret{}
	err := p.Reader.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		err = p.Live.Get(ctx, key, secret)
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	}
	return secret, nil
}

// recall returns the snapshot that the head tells of: from memory, or from its parts.
func (p *pass) recall(ctx context.Context, head *corev1.Secret) (step.Outcome, error) {
	sum := string(head.Data[digestKey])
	if sum == "" {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("Secret %s/%s holds the inputs as an older version of Rackplane wrote them: delete the DataPlaneDeployment, another one is made",
			head.Namespace, head.Name)), nil
	}
	if kept, ok := p.Memory.recall(p.key(), sum); ok {
		p.snapshot = kept
		return step.Outcome{}, nil
	}
	whole := bytes.Clone(head.Data[partKey])
	parts, err := strconv.Atoi(string(head.Data[partsKey]))
	if err != nil || parts > maxParts || len(sum) < 8 {
		parts = 0 // what is there is no snapshot, which unpack says
	}
	for i := 1; i < parts; i++ {
		name := partName(p.deployment.Name, sum, i)
		part, err := p.readPart(ctx, name)
		if apierrors.IsNotFound(err) || (err == nil && !metav1.IsControlledBy(part, p.deployment)) {
			return p.lost(name), nil
		}
		if err != nil {
			return step.Outcome{}, err
		}
		whole = append(whole, part.Data[partKey]...)
	}
	if p.snapshot, err = unpack(whole, sum); err != nil {
		return step.Outcome{}, err
	}
	p.Memory.keep(p.key(), p.snapshot)
	return step.Outcome{}, nil
}

// store writes the snapshot, its head last. Parts that are there are those of the same snapshot: they are named by it, and
// cannot change.
func (p *pass) store(ctx context.Context) (step.Outcome, error) {
	packed, err := p.snapshot.pack()
	if err != nil {
		return step.Outcome{}, err
	}
	parts := cut(packed)
	if len(parts) > maxParts || p.snapshot.size > maxArchive {
		return step.Hold(v1alpha1.ReasonInvalidInput, fmt.Sprintf("DataPlaneDeployment %s: the inputs of its %d nodes take %d KiB, packed %d KiB, and no more than %d and %d KiB are kept for a deployment: "+
			"make deployments with fewer nodes each in spec.nodes, or give its DataPlaneServices smaller data sources",
			p.deployment.Name, len(p.snapshot.Nodes), p.snapshot.size>>10, len(packed)>>10, maxArchive>>10, maxParts*maxPart>>10)), nil
	}
	for i := 1; i < len(parts); i++ {
		name := partName(p.deployment.Name, p.snapshot.digest, i)
		err := p.Client.Create(ctx, p.piece(name, map[string][]byte{partKey: parts[i]}))
		if apierrors.IsAlreadyExists(err) {
			found, err := p.readPart(ctx, name)
			if err != nil {
				return step.Outcome{}, err
			}
			if !metav1.IsControlledBy(found, p.deployment) {
				return p.inTheWay(name), nil
			}
			continue
		}
		if err != nil {
			return step.Outcome{}, err
		}
	}
	name := headName(p.deployment.Name)
	p.deployment.Status.InputsSecret = name
	p.Memory.keep(p.key(), p.snapshot)
	return step.Outcome{}, p.Client.Create(ctx, p.piece(name, map[string][]byte{
		partKey: parts[0], partsKey: []byte(strconv.Itoa(len(parts))), digestKey: []byte(p.snapshot.digest),
	}))
}

// piece is a Secret of the snapshot: the deployment's own, and unchangeable.
func (p *pass) piece(name string, data map[string][]byte) *corev1.Secret {
	immutable := true
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.deployment.Namespace, Name: name,
			Labels:          map[string]string{v1alpha1.NodeSetLabel: p.deployment.Spec.NodeSet, partLabel: string(p.deployment.UID)},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.deployment, v1alpha1.GroupVersion.WithKind("DataPlaneDeployment"))},
		},
		Immutable: &immutable, Type: corev1.SecretTypeOpaque, Data: data,
	}
}
