package claim

import (
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// FromBareMetalHost reads a host. Field and annotation names are those of baremetal-operator's
// apis v0.13.1. Hardware comes from status.hardware; where that is empty, call
// Host.Inspected with the host's HardwareData.
func FromBareMetalHost(bmh metal3v1alpha1.BareMetalHost) Host {
	_, paused := bmh.Annotations[metal3v1alpha1.PausedAnnotation]
	_, detached := bmh.Annotations[metal3v1alpha1.DetachedAnnotation]
	h := Host{
		Ref:                   v1alpha1.HostReference{Namespace: bmh.Namespace, Name: bmh.Name, UID: bmh.UID},
		Labels:                bmh.Labels,
		State:                 string(bmh.Status.Provisioning.State),
		Paused:                paused,
		Detached:              detached,
		Deleting:              !bmh.DeletionTimestamp.IsZero(),
		ExternallyProvisioned: bmh.Spec.ExternallyProvisioned,
		HasImage:              bmh.Spec.Image != nil || bmh.Spec.CustomDeploy != nil,
		CustomDeploy:          bmh.Spec.CustomDeploy != nil,
		Error:                 errorOf(bmh.Status),
		BMC:                   serverAt(bmh.Spec.BMC.Address),
		BootMAC:               strings.ToLower(bmh.Spec.BootMACAddress),
	}
	if ref := bmh.Spec.UserData; ref != nil && (ref.Namespace == "" || ref.Namespace == bmh.Namespace) {
		h.UserData = ref.Name
	}
	h.Inspected(bmh.Status.HardwareDetails)
	h.Marks = marksOf(&bmh)
	h.Consumer, h.ConsumerKind = consumerOf(bmh.Spec.ConsumerRef)
	return h
}

// Inspected fills in what inspection found; nil is that there was none.
func (h *Host) Inspected(found *metal3v1alpha1.HardwareDetails) {
	h.Hardware = hardware.OfNode(found, h.BootMAC)
}

// serverAt is a BMC address without what may differ between two spellings of it: scheme, user and a last slash.
func serverAt(address string) string {
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	authority, path, _ := strings.Cut(address, "/")
	authority = authority[strings.LastIndexByte(authority, '@')+1:]
	return strings.TrimRight(strings.ToLower(authority)+"/"+path, "/")
}

func consumerOf(ref *corev1.ObjectReference) (consumer *Owner, kind string) {
	if ref == nil {
		return nil, ""
	}
	return &Owner{Namespace: ref.Namespace, Name: ref.Name, UID: ref.UID}, ref.Kind
}

// errorOf is the host's error in one line: a multi-line message would break the tables it is shown in.
func errorOf(s metal3v1alpha1.BareMetalHostStatus) string {
	message := line.Of(s.ErrorMessage)
	switch {
	case s.ErrorType == "":
		return message
	case message == "":
		return string(s.ErrorType)
	default:
		return string(s.ErrorType) + ": " + message
	}
}
