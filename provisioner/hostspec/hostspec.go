// Package hostspec reads what the user of a BareMetalHost asks for beside its plain fields, and names what is wrong with it or not
// done: the engine and `rackplane plan` refuse by the same words. It is pure.
//
// Every field and annotation of a BareMetalHost (baremetal-operator's apis v0.13.1) is either done or refused here by its name.
package hostspec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
)

// Problem is something a user has to put right.
type Problem struct {
	// Kind is what the host's status calls it.
	Kind metal3v1alpha1.ErrorType
	// Message names the object, the field and the remedy.
	Message string
}

// Check returns what is wrong with the host, what is told first first. Nothing is asked of anybody for it.
func Check(h *metal3v1alpha1.BareMetalHost) []Problem {
	var all []Problem
	tell := func(kind metal3v1alpha1.ErrorType, format string, args ...any) {
		all = append(all, Problem{kind, fmt.Sprintf("BareMetalHost %s/%s: ", h.Namespace, h.Name) + fmt.Sprintf(format, args...)})
	}
	if h.Spec.BMC.Address != "" {
		if _, err := bmc.Parse(h.Spec.BMC.Address); err != nil {
			tell(metal3v1alpha1.RegistrationError, "%s", err)
		}
	}
	if field, err := checkImage(h); err != nil {
		tell(metal3v1alpha1.PreparationError, "%s%s", field, err)
	}
	for _, text := range slices.Concat(annotations(h), settings(h), undone(h), foreign(h)) {
		tell(metal3v1alpha1.PreparationError, "%s", text)
	}
	return all
}

// checkImage refuses an image that must not be fetched; the error follows field. One that is on the disk already is not fetched
// again.
func checkImage(h *metal3v1alpha1.BareMetalHost) (field string, err error) {
	i := h.Spec.Image
	if i == nil {
		return "", nil
	}
	if err := provisioner.CheckImage(provisioner.Image{URL: i.URL, Checksum: i.Checksum}); err != nil {
		if line.HasLogin(i.URL) || line.HasLogin(i.Checksum) {
			return "spec.", err
		}
		return "spec: ", err
	}
	has := h.Status.Provisioning.Image
	if h.Spec.ExternallyProvisioned || (has.URL == i.URL && has.Checksum == i.Checksum) {
		return "", nil
	}
	return "spec.", provisioner.CheckChecksum(i.Checksum, string(i.ChecksumType))
}

// annotations are those that cannot be read or done.
func annotations(h *metal3v1alpha1.BareMetalHost) []string {
	var out []string
	unread := func(key, remedy string) {
		out = append(out, fmt.Sprintf("annotation %s cannot be read: %s", key, remedy))
	}
	policy := v1alpha1.DeletionPolicy(h.Annotations[v1alpha1.DeletionPolicyAnnotation])
	if policy != "" && policy != v1alpha1.DeletionRetain && policy != v1alpha1.DeletionDelete {
		out = append(out, fmt.Sprintf("annotation %s: %q is not known: use %s or %s",
			v1alpha1.DeletionPolicyAnnotation, string(policy), v1alpha1.DeletionRetain, v1alpha1.DeletionDelete))
	}
	if _, err := DetachOf(h); err != nil {
		unread(metal3v1alpha1.DetachedAnnotation, `leave it empty, or write {"deleteAction": "delay"} (or "delete") and {"force": true}`)
	}
	reboots, bad := RebootOf(h)
	for _, key := range bad {
		unread(key, `leave it empty, or write {"mode": "soft"} or {"mode": "hard"}`)
	}
	if reboots.Wanted() && h.Spec.DisablePowerOff {
		out = append(out, fmt.Sprintf("annotation %s asks for a power off, which spec.disablePowerOff forbids: remove one of the two", reboots.Key()))
	}
	if _, asked := InspectionAsked(h); asked && h.InspectionDisabled() {
		out = append(out, fmt.Sprintf("annotation %s asks for an inspection, which spec.inspectionMode: disabled forbids: remove one of the two", metal3v1alpha1.InspectAnnotationPrefix))
	}
	if _, _, err := HardwareOf(h); err != nil {
		unread(metal3v1alpha1.HardwareDetailsAnnotation, "write status.hardware of a BareMetalHost, or spec.hardware of a HardwareData, as JSON")
	}
	if _, _, err := StatusOf(h); err != nil {
		unread(metal3v1alpha1.StatusAnnotation, "write the status of the host as JSON, or remove it if nothing is on the server")
	}
	return out
}

// settings are values that no backend knows, or that do not go together.
func settings(h *metal3v1alpha1.BareMetalHost) []string {
	s := &h.Spec
	var out []string
	oneOf := func(field, value string, known ...string) {
		if value != "" && !slices.Contains(known, value) {
			out = append(out, fmt.Sprintf("%s: %q is not done by the builtin host backend: use %s", field, value, strings.Join(known, " or ")))
		}
	}
	oneOf("spec.bootMode", string(s.BootMode), string(metal3v1alpha1.UEFI), string(metal3v1alpha1.UEFISecureBoot), string(metal3v1alpha1.Legacy))
	oneOf("spec.automatedCleaningMode", string(s.AutomatedCleaningMode), string(metal3v1alpha1.CleaningModeMetadata), string(metal3v1alpha1.CleaningModeDisabled))
	oneOf("spec.inspectionMode", string(s.InspectionMode), string(metal3v1alpha1.InspectionModeAgent), string(metal3v1alpha1.InspectionModeDisabled))
	if s.PreprovisioningNetworkDataName != "" && s.BMC.Address != "" {
		if a, err := bmc.Parse(s.BMC.Address); err == nil && !a.VirtualMedia() {
			out = append(out, fmt.Sprintf("spec.preprovisioningNetworkDataName: scheme %s boots the deploy agent over the network, where DHCP configures it: "+
				"use a virtual-media scheme in spec.bmc.address (redfish-virtualmedia, idrac-virtualmedia, ilo5-virtualmedia), or remove the field", a.Scheme))
		}
	}
	return out
}

// undone are fields that the builtin backend does not do.
func undone(h *metal3v1alpha1.BareMetalHost) []string {
	s := &h.Spec
	if s.ExternallyProvisioned {
		return nil // nothing is put on the server
	}
	fields := map[string]bool{
		"spec.customDeploy":            s.CustomDeploy != nil,
		"spec.image.format: live-iso":  s.Image.IsLiveISO(),
		"spec.image.ociAuthSecretName": s.Image != nil && s.Image.OCIAuthSecretName != nil,
		"spec.raid":                    s.RAID != nil,
		"spec.firmware":                s.Firmware != nil, //nolint:staticcheck // deprecated, and so not done: say it
		"spec.hardwareProfile":         s.HardwareProfile != "" && s.HardwareProfile != "unknown" && s.HardwareProfile != "empty",
	}
	var out []string
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		if fields[field] {
			out = append(out, field+" is not supported by the builtin host backend: remove it, or use --host-backend=metal3")
		}
	}
	return out
}

// foreign are references to Secrets of other namespaces: who may write hosts must not read, with the engine's rights, what
// others keep secret (Metal3's GHSA-pqfh-xh7w-7h3p).
func foreign(h *metal3v1alpha1.BareMetalHost) []string {
	var out []string
	refs := map[string]*corev1.SecretReference{"spec.userData": h.Spec.UserData, "spec.networkData": h.Spec.NetworkData, "spec.metaData": h.Spec.MetaData}
	for _, field := range slices.Sorted(maps.Keys(refs)) {
		if ref := refs[field]; ref != nil && ref.Namespace != "" && ref.Namespace != h.Namespace {
			out = append(out, fmt.Sprintf("%s.namespace is %s, and a host reads Secrets of its own namespace only: create the Secret in %s and remove the field",
				field, ref.Namespace, h.Namespace))
		}
	}
	return out
}

// Detach is what the annotation detached asks for.
type Detach struct {
	// Wanted: the service is to forget the server and leave it as it is.
	Wanted bool
	// Delays: the host is not deleted before it is attached again.
	Delays bool
	// Forced: not even what is under way on the server is waited for.
	Forced bool
}

// DetachOf reads the annotation detached. One that cannot be read detaches, all the same.
func DetachOf(h *metal3v1alpha1.BareMetalHost) (Detach, error) {
	text, set := h.Annotations[metal3v1alpha1.DetachedAnnotation]
	var args metal3v1alpha1.DetachedAnnotationArguments
	err := readObject(text, &args)
	if args.DeleteAction != "" && args.DeleteAction != metal3v1alpha1.DetachedDeleteActionDelay && args.DeleteAction != metal3v1alpha1.DetachedDeleteActionDelete {
		err = fmt.Errorf("deleteAction %q", args.DeleteAction)
	}
	return Detach{Wanted: set, Delays: args.DeleteAction == metal3v1alpha1.DetachedDeleteActionDelay, Forced: args.Force}, err
}

// readObject reads a JSON object; an empty text, and "true" as people write it, say nothing.
func readObject(text string, into any) error {
	if text = strings.TrimSpace(text); text == "" || text == "true" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Reboot is what the annotations reboot.metal3.io ask for.
type Reboot struct {
	// Once: power off and on again, then the annotation goes.
	Once bool
	// Holders are the annotations with a suffix, sorted: while there is one, the server stays off.
	Holders []string
	// Hard: cut the power, as one of the annotations says.
	Hard bool
}

// Wanted reports whether a power off is asked for.
func (r Reboot) Wanted() bool { return r.Once || len(r.Holders) > 0 }

// Key names one annotation of those.
func (r Reboot) Key() string {
	if len(r.Holders) > 0 {
		return r.Holders[0]
	}
	return metal3v1alpha1.RebootAnnotationPrefix
}

// RebootOf reads the annotations, and returns the keys of those that cannot be read, sorted.
func RebootOf(h *metal3v1alpha1.BareMetalHost) (Reboot, []string) {
	var r Reboot
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(h.Annotations)) {
		suffix, ok := strings.CutPrefix(key, metal3v1alpha1.RebootAnnotationPrefix)
		if !ok || (suffix != "" && !strings.HasPrefix(suffix, "/")) {
			continue
		}
		var args metal3v1alpha1.RebootAnnotationArguments
		err := readObject(h.Annotations[key], &args)
		if err != nil || (args.Mode != "" && args.Mode != metal3v1alpha1.RebootModeHard && args.Mode != metal3v1alpha1.RebootModeSoft) {
			bad = append(bad, key)
			continue
		}
		r.Hard = r.Hard || args.Mode == metal3v1alpha1.RebootModeHard
		if suffix == "" {
			r.Once = true
		} else {
			r.Holders = append(r.Holders, key)
		}
	}
	return r, bad
}

// HardwareOf reads the hardware that the user supplies, and reports whether any is. Unknown fields are an error: they would be lost.
func HardwareOf(h *metal3v1alpha1.BareMetalHost) (details metal3v1alpha1.HardwareDetails, supplied bool, err error) {
	text, supplied := h.Annotations[metal3v1alpha1.HardwareDetailsAnnotation]
	if !supplied {
		return details, false, nil
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&details)
	return details, true, err
}

// StatusOf reads the status that a moved host carries, and reports whether it carries one. Fields of a newer Metal3 are passed over.
func StatusOf(h *metal3v1alpha1.BareMetalHost) (status metal3v1alpha1.BareMetalHostStatus, carried bool, err error) {
	text, carried := h.Annotations[metal3v1alpha1.StatusAnnotation]
	if !carried {
		return status, false, nil
	}
	if err := json.Unmarshal(bytes.TrimSpace([]byte(text)), &status); err != nil {
		return status, true, err
	}
	if line.HasLogin(status.Provisioning.Image.URL) {
		return status, true, errors.New("its image has a login")
	}
	return status, true, nil
}

// ReadableStatus returns the status that a moved host carries, and reports whether it carries one that can be read.
func ReadableStatus(h *metal3v1alpha1.BareMetalHost) (metal3v1alpha1.BareMetalHostStatus, bool) {
	status, carried, err := StatusOf(h)
	return status, carried && err == nil
}

// inspectionOff is the value of annotation inspect.metal3.io that asks for no inspection; spec.inspectionMode has taken its
// place (baremetal-operator apis v0.14), and both are read.
const inspectionOff = "disabled"

// InspectionAsked returns the value of the annotation that asks for a new inspection, and reports whether it does.
func InspectionAsked(h *metal3v1alpha1.BareMetalHost) (string, bool) {
	text, set := h.Annotations[metal3v1alpha1.InspectAnnotationPrefix]
	return text, set && text != inspectionOff
}
