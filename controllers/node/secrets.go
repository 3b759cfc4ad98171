package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// Keys of the Secrets made for a node. userData and networkData are Metal3's (baremetal-operator apis v0.13.1, BareMetalHostSpec).
const (
	keyPrivate     = corev1.SSHAuthPrivateKey
	keyPublic      = "ssh-publickey"
	keyUserData    = "userData"
	keyNetworkData = "networkData"
)

// ownNetworkData is what DataSecret calls the network data where an earlier version handed it over in a Secret of its own.
const ownNetworkData = "networkdata"

// hostKeyName is the Secret with the node's SSH host key, in the node's namespace.
func (p *pass) hostKeyName() types.NamespacedName {
	return types.NamespacedName{Namespace: p.node.Namespace, Name: p.node.Name + "-hostkey"}
}

// dataName is a Secret of the node that its host reads, in the host's namespace.
func (p *pass) dataName(hostNamespace, what string) types.NamespacedName {
	return types.NamespacedName{Namespace: hostNamespace, Name: claim.DataSecret(plan.OwnerOf(p.node), hostNamespace, what)}
}

// hostKey makes the node's SSH host key before anything else, so that the known hosts of all nodes are complete early.
// It is made once: a node that was deployed with it keeps it, whatever becomes of the Secret.
func (p *machine) hostKey(ctx context.Context) (step.Outcome, error) {
	if p.set.Spec.PreProvisioned {
		p.node.Status.SSHHostKey = p.set.Spec.Nodes[p.node.Name].SSHHostKeys[0]
		return step.Outcome{}, nil
	}
	secret, err := p.seenSecret(ctx, p.hostKeyName())
	if err != nil {
		return step.Outcome{}, err
	}
	if secret == nil {
		if p.node.Status.DeployedHash != "" && p.node.Status.SSHHostKey != "" {
			return step.Outcome{}, nil
		}
		if secret, err = p.makeHostKey(ctx); err != nil {
			return step.Outcome{}, err
		}
	}
	p.pinned = secret
	p.node.Status.SSHHostKey = strings.TrimSpace(string(secret.Data[keyPublic]))
	return step.Outcome{}, nil
}

func (p *machine) makeHostKey(ctx context.Context) (*corev1.Secret, error) {
	if err := step.Current(ctx, p.Live, p.node); err != nil {
		return nil, err // what is made for a node that is gone is never cleared away
	}
	random := p.Random
	if random == nil {
		random = rand.Reader
	}
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("generate a host key: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	block, err := ssh.MarshalPrivateKey(private, p.node.Name)
	if err != nil {
		return nil, fmt.Errorf("encode a host key: %w", err)
	}
	sshPublic, err := ssh.NewPublicKey(private.Public())
	if err != nil {
		return nil, fmt.Errorf("encode a host key: %w", err)
	}
	secret := p.newSecret(p.hostKeyName(), map[string][]byte{
		keyPrivate: pem.EncodeToMemory(block), keyPublic: ssh.MarshalAuthorizedKey(sshPublic),
	})
	return secret, p.Client.Create(ctx, secret)
}

// newSecret is a Secret of the node. One in its own namespace is owned by it; the other is deleted on release all the same.
func (p *pass) newSecret(key types.NamespacedName, data map[string][]byte) *corev1.Secret {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{v1alpha1.NodeLabel: p.node.Name},
		},
		Type: corev1.SecretTypeOpaque, Data: data,
	}
	if key.Namespace == p.node.Namespace {
		secret.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(p.node, v1alpha1.GroupVersion.WithKind("DataPlaneNode"))}
	}
	return secret
}

// ownSecret reads a Secret made for the node; nil when there is none, which is not believed of a cache. One that somebody else
// made is never touched.
func (p *pass) ownSecret(ctx context.Context, r client.Reader, key types.NamespacedName) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		err = p.Live.Get(ctx, key, secret)
	}
	return p.owned(key, secret, err)
}

// seenSecret is ownSecret of a Secret that is made when there is none: that it cannot be made twice tells whether there is.
func (p *pass) seenSecret(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	return p.owned(key, secret, p.Reader.Get(ctx, key, secret))
}

func (p *pass) owned(key types.NamespacedName, secret *corev1.Secret, err error) (*corev1.Secret, error) {
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Secret %s: %w", key, err)
	case secret.Labels[v1alpha1.NodeLabel] != p.node.Name:
		return nil, fault.New(fault.Rejected, "Secret %s is in the way: it was not made for DataPlaneNode %s; rename or delete it", key, p.node.Name)
	}
	return secret, nil
}

// putSecret makes a Secret of the node have the data.
func (p *machine) putSecret(ctx context.Context, key types.NamespacedName, data map[string][]byte) error {
	secret, err := p.seenSecret(ctx, key)
	if err != nil {
		return err
	}
	if secret == nil {
		secret = p.newSecret(key, data)
		return p.hand(key, secret, p.Client.Create(ctx, secret))
	}
	old := secret.DeepCopy()
	secret.Data = data
	if sameData(old.Data, data) {
		return p.hand(key, secret, nil)
	}
	return p.hand(key, secret, p.Client.Patch(ctx, secret, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})))
}

// hand remembers what is there for the host for the rest of the pass.
func (p *machine) hand(key types.NamespacedName, secret *corev1.Secret, err error) error {
	if err != nil {
		return err
	}
	if p.handed == nil {
		p.handed = map[types.NamespacedName]*corev1.Secret{}
	}
	p.handed[key] = secret
	return nil
}

func sameData(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name, content := range a {
		if other, ok := b[name]; !ok || string(other) != string(content) {
			return false
		}
	}
	return true
}

// dropSecret deletes a Secret of the node, if it is there and the node's.
func (p *pass) dropSecret(ctx context.Context, key types.NamespacedName) error {
	secret, err := p.ownSecret(ctx, p.Live, key)
	if err != nil || secret == nil {
		if fault.Is(err, fault.Rejected) {
			return nil // somebody else's
		}
		return err
	}
	uid := secret.UID
	return client.IgnoreNotFound(p.Client.Delete(ctx, secret, client.Preconditions{UID: &uid}))
}
