package host

import (
	"context"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/provisioner/hostspec"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
	"github.com/rackplane/rackplane/secret"
)

// problem is something wrong with what the user wrote, found before anything was asked of the service. The zero value is none.
type problem struct {
	kind    metal3v1alpha1.ErrorType
	message string
}

func (p problem) isNone() bool { return p.message == "" }

// gather fills want and past. The error is the API server's; everything a user can mend is a problem.
func (p *pass) gather(ctx context.Context) (problem, error) {
	h := p.host
	p.want = wantOf(h)
	p.past = pastOf(&h.Status)
	progressing := meta.FindStatusCondition(h.Status.Conditions, metal3v1alpha1.ProgressingCondition)
	p.past.Anew = progressing == nil || progressing.ObservedGeneration != h.Generation
	if p.want.Deleting {
		return problem{}, nil // deleting needs no Secret
	}
	if wrong := hostspec.Check(h); len(wrong) > 0 {
		return problem{wrong[0].Kind, wrong[0].Message}, nil
	}
	if p.want.Detached {
		return problem{}, nil // nothing more is asked of the server
	}
	if h.Spec.BMC.Address == "" {
		return problem{}, nil // the lifecycle table says what that means
	}
	if what, err := p.credentials(ctx); err != nil || !what.isNone() {
		return what, err
	}
	return p.ramdiskNetwork(ctx)
}

// credentials fills want.BMC from the Secret. That there is none is not believed of a cache: it would be told of as a failure.
func (p *pass) credentials(ctx context.Context) (problem, error) {
	h := p.host
	found := &corev1.Secret{}
	err := p.Reader.Get(ctx, h.CredentialsKey(), found)
	if apierrors.IsNotFound(err) && h.Spec.BMC.CredentialsName != "" {
		err = p.Live.Get(ctx, h.CredentialsKey(), found)
	}
	bad := func(format string, args ...any) (problem, error) {
		text := fmt.Sprintf("BareMetalHost %s/%s: Secret %s/%s (spec.bmc.credentialsName) ", h.Namespace, h.Name, h.Namespace, h.Spec.BMC.CredentialsName)
		return problem{metal3v1alpha1.RegistrationError, text + fmt.Sprintf(format, args...)}, nil
	}
	user, password := found.Data["username"], found.Data["password"]
	switch {
	case h.Spec.BMC.CredentialsName == "":
		return problem{metal3v1alpha1.RegistrationError, fmt.Sprintf(
			"BareMetalHost %s/%s: spec.bmc.credentialsName is empty: name a Secret with username and password", h.Namespace, h.Name)}, nil
	case apierrors.IsNotFound(err):
		return bad("does not exist: create it with the keys username and password")
	case err != nil:
		return problem{}, fmt.Errorf("read Secret %s: %w", h.CredentialsKey(), err)
	case len(user) == 0:
		return bad("has no key username: add it")
	case len(password) == 0:
		return bad("has no key password: add it")
	}
	p.want.BMC.Username, p.want.BMC.Password = secret.Value(user), secret.Value(password)
	found = found.DeepCopy()
	found.ResourceVersion = p.logins.version(found)
	p.want.BMC.CredentialsVersion = found.ResourceVersion
	p.past.Anew = p.past.Anew || !h.Status.TriedCredentials.Match(*found)
	h.UpdateTriedCredentials(*found)
	return problem{}, nil
}

func wantOf(h *metal3v1alpha1.BareMetalHost) provisioner.Want {
	detach, _ := hostspec.DetachOf(h) // what cannot be read was told
	reboot, _ := hostspec.RebootOf(h)
	again, known := reinspection(h)
	w := provisioner.Want{
		Host: provisioner.HostID{Namespace: h.Namespace, Name: h.Name, UID: h.UID},
		BMC: bmc.Access{
			Address: h.Spec.BMC.Address, CredentialsName: h.Spec.BMC.CredentialsName, Insecure: h.Spec.BMC.DisableCertificateVerification,
		},
		BootMAC: h.Spec.BootMACAddress, BootMode: h.BootMode(), Architecture: h.Spec.Architecture, RootDevice: h.Spec.RootDeviceHints,
		SkipInspection: h.InspectionDisabled(), SkipCleaning: h.Spec.AutomatedCleaningMode == metal3v1alpha1.CleaningModeDisabled,
		DisablePowerOff: h.Spec.DisablePowerOff, Online: h.Spec.Online, External: h.Spec.ExternallyProvisioned,
		Image: imageOf(h.Spec.Image), Installed: imageOf(&h.Status.Provisioning.Image),
		Deployment: h.Annotations[v1alpha1.DeploymentAnnotation], GivenUp: h.Annotations[v1alpha1.ReleaseAnnotation],
		Deleting: !h.DeletionTimestamp.IsZero(), Retain: retained(h),
		Detached: detach.Wanted, Forced: detach.Forced, DeleteDelayed: detach.Delays,
		Reinspect: again, Known: known, Hard: reboot.Hard,
	}
	if reboot.Wanted() {
		w.Online, w.Fence = false, reboot.Key()
	}
	return w
}

// retained reports whether the host's deletion leaves its server alone. A policy nobody knows does so too: unsupported
// names it, and nothing is erased for a spelling mistake.
func retained(h *metal3v1alpha1.BareMetalHost) bool {
	policy, set := h.Annotations[v1alpha1.DeletionPolicyAnnotation]
	return set && policy != string(v1alpha1.DeletionDelete)
}

func imageOf(i *metal3v1alpha1.Image) *provisioner.Image {
	if i == nil || i.URL == "" {
		return nil
	}
	image := provisioner.Image{URL: i.URL, Checksum: i.Checksum, ChecksumType: string(i.ChecksumType)}
	if i.ChecksumType == metal3v1alpha1.AutoChecksum {
		image.ChecksumType = ""
	}
	if i.DiskFormat != nil {
		image.Format = *i.DiskFormat
	}
	return &image
}

// fillDrive reads the Secrets the first boot needs, once the image is one that may be fetched; only a deployment needs them.
func (p *pass) fillDrive(ctx context.Context, action provisioner.Action) error {
	if action != provisioner.Deploy {
		return nil
	}
	spec := &p.host.Spec
	if p.want.Image != nil {
		if err := provisioner.CheckImage(*p.want.Image); err != nil {
			return fault.Wrap(fault.Rejected, err, "BareMetalHost %s/%s: spec", p.host.Namespace, p.host.Name)
		}
	}
	secrets := map[string]*corev1.Secret{} // one may hold several parts
	var errs [3]error
	p.want.Drive.UserData, errs[0] = p.part(ctx, secrets, driveRef{"spec.userData", spec.UserData, "userData"})
	p.want.Drive.NetworkData, errs[1] = p.part(ctx, secrets, driveRef{"spec.networkData", spec.NetworkData, "networkData"})
	p.want.Drive.MetaData, errs[2] = p.part(ctx, secrets, driveRef{"spec.metaData", spec.MetaData, "metaData"})
	return firstError(errs[:]...)
}

// driveRef says where a part of the config drive is.
type driveRef struct {
	field string
	ref   *corev1.SecretReference
	key   string
}

// part reads one part of the config drive, from the host's own namespace: who may write hosts must not read, with the
// engine's rights, what others keep secret (Metal3's GHSA-pqfh-xh7w-7h3p). Whether a foreign Secret exists is not even
// looked at. Metal3 also takes the key value (baremetal-operator v0.13.1,
// internal/controller/metal3.io/host_config_data.go).
//
// It is read live: what a server was deployed with is not mended by a later look.
func (p *pass) part(ctx context.Context, secrets map[string]*corev1.Secret, what driveRef) (secret.Value, error) {
	field, ref := what.field, what.ref
	if ref == nil || ref.Name == "" {
		return "", nil
	}
	at := client.ObjectKey{Namespace: p.host.Namespace, Name: ref.Name}
	if ref.Namespace != "" && ref.Namespace != at.Namespace {
		return "", fault.New(fault.Rejected, "BareMetalHost %s/%s: %s.namespace is %s, and a host reads Secrets of its own namespace only: create the Secret in %s and remove the field",
			p.host.Namespace, p.host.Name, field, ref.Namespace, at.Namespace)
	}
	found := secrets[ref.Name]
	if found == nil {
		found = &corev1.Secret{}
		if err := p.Live.Get(ctx, at, found); apierrors.IsNotFound(err) {
			return "", fault.New(fault.Rejected, "Secret %s (%s) does not exist: create it", at, field)
		} else if err != nil {
			return "", fmt.Errorf("read Secret %s: %w", at, err)
		}
		secrets[ref.Name] = found
	}
	for _, k := range []string{what.key, "value"} {
		if data, ok := found.Data[k]; ok {
			return secret.Value(data), nil
		}
	}
	return "", fault.New(fault.Rejected, "Secret %s (%s) has no key %s: add it", at, field, what.key)
}

// consumer says why the host cannot go yet: a DataPlaneNode still uses it. Empty when none does. A consumerRef is written
// by whoever may write hosts, so only a node that holds this very host is told of.
func (p *pass) consumer(ctx context.Context) (string, error) {
	ref := p.host.Spec.ConsumerRef
	if ref == nil || ref.Kind != "DataPlaneNode" {
		return "", nil
	}
	node := &v1alpha1.DataPlaneNode{}
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if key.Namespace == "" {
		key.Namespace = p.host.Namespace
	}
	err := p.Live.Get(ctx, key, node)
	switch {
	case apierrors.IsNotFound(err), err == nil && ref.UID != "" && node.UID != ref.UID:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read DataPlaneNode %s: %w", key, err)
	case node.Spec.Host == nil || node.Spec.Host.Namespace != p.host.Namespace || node.Spec.Host.Name != p.host.Name:
		return "", nil
	}
	return fmt.Sprintf("BareMetalHost %s/%s is deleted and DataPlaneNode %s still runs on it: scale its NodeSet in, or delete that node, and the host goes",
		p.host.Namespace, p.host.Name, key), nil
}

func pastOf(s *metal3v1alpha1.BareMetalHostStatus) lifecycle.Past {
	past := lifecycle.Past{Failures: s.ErrorCount, Error: s.ErrorType}
	if s.LastUpdated != nil {
		past.At = s.LastUpdated.Time
	}
	for _, metric := range metrics(s) {
		if !metric.End.IsZero() {
			past.Counted = append(past.Counted, metric.End.Time)
		}
	}
	return past
}
