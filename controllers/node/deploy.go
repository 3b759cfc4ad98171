package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// hostPoll is when to look at a host again; watches usually tell earlier.
const hostPoll = 30 * time.Second

// handOver gives image, user data and network data to the host, once.
func (p *machine) handOver(ctx context.Context) (step.Outcome, error) {
	var err error
	if p.key, err = inputs.ReadSSHKey(ctx, p.Reader, p.set); err != nil {
		return problem(err)
	}
	if p.host == nil {
		return step.Outcome{}, nil
	}
	if p.host.Spec.Image != nil && !p.handedOver(p.host) {
		return step.Waiting(v1alpha1.ReasonHostError, fmt.Sprintf("BareMetalHost %s has an image that this node did not hand over: clear spec.image if nobody needs it, or delete this DataPlaneNode and leave the host",
			client.ObjectKeyFromObject(p.host)), hostPoll), nil
	}
	if p.host.Spec.Image == nil {
		if !p.host.DeletionTimestamp.IsZero() {
			return step.Waiting(v1alpha1.ReasonHostLost, fmt.Sprintf("BareMetalHost %s is being deleted: delete this DataPlaneNode too, and it is planned anew",
				client.ObjectKeyFromObject(p.host)), hostPoll), nil
		}
		if err := p.writeData(ctx); err != nil {
			return problem(err)
		}
		if err := p.swap(ctx, p.host, p.setImage); err != nil {
			return step.Outcome{}, err
		}
	}
	if want := p.wantedImage(); p.host.Spec.Image.URL != want.URL || p.host.Spec.Image.Checksum != want.Checksum {
		p.note = fmt.Sprintf("keeps image %s although NodeSet %s now has %s: take the node out and put it back to re-image it",
			p.host.Spec.Image.URL, p.set.Name, want.URL)
	}
	return step.Outcome{}, p.recordHandOver(ctx)
}

// writeData writes what the host reads, before it is told of it.
func (p *machine) writeData(ctx context.Context) error {
	if p.pinned == nil {
		var err error
		if p.pinned, err = p.makeHostKey(ctx); err != nil { // lost with the host that had it
			return err
		}
	}
	userData, err := p.userData(p.pinned)
	if err != nil {
		return err
	}
	data := map[string][]byte{keyUserData: userData, keyNetworkData: p.rendered.NetworkData}
	for _, key := range p.given() { // an earlier version wrote two, of which the host reads one part each
		if err := p.putSecret(ctx, key, data); err != nil {
			return err
		}
	}
	return nil
}

// given are the Secrets that the host reads: one, unless an earlier version handed the host over.
func (p *machine) given() []types.NamespacedName {
	keys := []types.NamespacedName{p.dataName(p.host.Namespace, claim.UserData)}
	if ref := p.host.Spec.NetworkData; ref != nil && ref.Name == p.dataName(p.host.Namespace, ownNetworkData).Name {
		keys = append(keys, p.dataName(p.host.Namespace, ownNetworkData))
	}
	return keys
}

func (p *machine) setImage() {
	namespace := p.host.Namespace
	p.host.Spec.Image = p.wantedImage()
	data := p.dataName(namespace, claim.UserData).Name // holds both: Metal3 looks for the key userData here, and for networkData there
	p.host.Spec.UserData = &corev1.SecretReference{Namespace: namespace, Name: data}
	p.host.Spec.NetworkData = &corev1.SecretReference{Namespace: namespace, Name: data}
	p.host.Spec.Online = true
}

func (p *machine) wantedImage() *metal3v1alpha1.Image {
	image := p.set.Spec.Image
	if image == nil {
		image = &v1alpha1.Image{}
	}
	format := cmp.Or(image.Format, "qcow2")
	return &metal3v1alpha1.Image{
		URL: image.URL, Checksum: image.Checksum, DiskFormat: &format,
		ChecksumType: metal3v1alpha1.ChecksumType(cmp.Or(image.ChecksumType, string(metal3v1alpha1.SHA256))),
	}
}

// recordHandOver identifies what the host was given, as it lies there. A Secret that is lost while the host may still
// need it is written again.
func (p *machine) recordHandOver(ctx context.Context) error {
	record := struct {
		Image *metal3v1alpha1.Image
		Data  []map[string][]byte
	}{Image: p.host.Spec.Image}
	for _, key := range p.given() {
		secret, err := p.handed[key], error(nil)
		if secret == nil {
			secret, err = p.ownSecret(ctx, p.Reader, key)
		}
		switch {
		case err != nil:
			return err
		case secret != nil:
			record.Data = append(record.Data, secret.Data)
		case p.host.Status.Provisioning.State != metal3v1alpha1.StateProvisioned:
			return p.writeData(ctx) // recorded by the next pass
		default:
			return nil // what was recorded stays
		}
	}
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("identify what %s was given: %w", p.host.Name, err)
	}
	sum := sha256.Sum256(text)
	p.node.Status.DeployedHash = hex.EncodeToString(sum[:])[:16]
	return nil
}

// provisioned waits for the host to have the image and be on.
func (p *machine) provisioned(_ context.Context) (step.Outcome, error) {
	if p.host == nil {
		return step.Outcome{}, nil
	}
	name, status := client.ObjectKeyFromObject(p.host), &p.host.Status
	here := status.Provisioning.State == metal3v1alpha1.StateProvisioned && status.Provisioning.Image.URL == p.host.Spec.Image.URL
	if here && status.PoweredOn {
		return step.Outcome{}, nil
	}
	p.Answers.Forget(client.ObjectKeyFromObject(p.node)) // what answered, or did not, is off
	switch {
	case status.ErrorMessage != "" || status.ErrorType != "":
		what := cmp.Or(string(status.ErrorType), "error") // Metal3 keeps the type empty while the service does not answer
		return step.Waiting(v1alpha1.ReasonHostError, fmt.Sprintf("BareMetalHost %s: %s: %s", name, what, status.ErrorMessage), hostPoll), nil
	case !p.host.Spec.Online:
		return step.Hold(v1alpha1.ReasonHostError, fmt.Sprintf("BareMetalHost %s: spec.online is false: set it to true to power the node on", name)), nil
	case here:
		return step.Waiting(v1alpha1.ReasonWaitingForHost, fmt.Sprintf("BareMetalHost %s is powered off; it is being powered on", name), hostPoll), nil
	default:
		return step.Waiting(v1alpha1.ReasonWaitingForHost, fmt.Sprintf("BareMetalHost %s is being provisioned: its status tells how far it is", name), hostPoll), nil
	}
}
