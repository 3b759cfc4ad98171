package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/hardware"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
)

// show writes the decision into the status.
func (p *pass) show(d lifecycle.Decision) {
	s := &p.host.Status
	p.past = p.past.Record(d, p.now)
	p.turnTo(d.State)
	s.ErrorCount, s.ErrorType = p.past.Failures, p.past.Error
	if s.ErrorType == "" && (d.Kind != lifecycle.Act || p.before.ErrorType != "") {
		s.ErrorMessage = "" // the service answers; what it does not take may be the action, which is yet to be tried again
	}
	if d.Failure != nil {
		p.showFailure(*d.Failure)
	}
	p.showSeen()
	p.showHealth(d.Reason)
	if d.Kind == lifecycle.Hold && d.State != metal3v1alpha1.StateUnmanaged && s.ErrorType == "" {
		s.OperationalStatus, s.ErrorMessage = metal3v1alpha1.OperationalStatusError, line.Of(d.Reason)
	}
}

// showSeen copies what the service shows.
func (p *pass) showSeen() {
	s := &p.host.Status
	s.Provisioning.ID = p.seen.ID
	s.Provisioning.BootMode = p.want.BootMode
	s.Provisioning.RootDeviceHints = p.want.RootDevice.DeepCopy()
	if p.seen.Power != provisioner.PowerUnknown {
		s.PoweredOn = p.seen.Power == provisioner.PowerOn
	}
	switch onDisk := p.seen.Image != nil && !p.want.External; {
	case slices.Contains(imaged(), p.seen.State) && onDisk:
		s.Provisioning.Image = metal3Image(*p.seen.Image)
	case !slices.Contains(silent(), p.seen.State):
		s.Provisioning.Image = metal3v1alpha1.Image{}
	}
}

// imaged are the states in which the image Ironic names is on the disk.
func imaged() []provisioner.NodeState {
	return []provisioner.NodeState{
		provisioner.StateActive, provisioner.StateRescue, provisioner.StateRescuing, provisioner.StateRescueWait, provisioner.StateRescueFail,
		provisioner.StateUnrescuing, provisioner.StateUnrescueFail, provisioner.StateServicing, provisioner.StateServiceWait,
		provisioner.StateServiceHold, provisioner.StateServiceFail,
	}
}

// silent are the states that do not tell what is on the disk: Ironic may have lost its records, and then the status is the
// only one to remember that there is an image to keep.
func silent() []provisioner.NodeState {
	return []provisioner.NodeState{
		provisioner.StateAbsent, provisioner.StateEnroll, provisioner.StateVerifying, provisioner.StateManageable,
		provisioner.StateAdopting, provisioner.StateAdoptFail, provisioner.StateDeleting, provisioner.StateError,
	}
}

func metal3Image(i provisioner.Image) metal3v1alpha1.Image {
	image := metal3v1alpha1.Image{URL: line.Address(i.URL), Checksum: line.Address(i.Checksum), ChecksumType: metal3v1alpha1.ChecksumType(i.ChecksumType)}
	if i.Format != "" {
		image.DiskFormat = &i.Format
	}
	return image
}

// showFailure shows a failure that was counted.
func (p *pass) showFailure(f lifecycle.Failure) {
	s := &p.host.Status
	s.ErrorType, s.ErrorMessage, s.ErrorCount = f.Type, line.Of(f.Message), p.past.Failures
	if metric := metricOf(s, s.Provisioning.State); metric != nil && !f.When.IsZero() {
		metric.End = metav1.NewTime(f.When)
	}
	p.showHealth(f.Message)
}

// showProblem shows what a user has to mend before anything can be asked of the service. It is not counted: mending it
// wakes the host.
func (p *pass) showProblem(what problem) {
	s := &p.host.Status
	if s.Provisioning.State == metal3v1alpha1.StateNone {
		p.turnTo(metal3v1alpha1.StateRegistering)
	}
	s.ErrorType, s.ErrorMessage = what.kind, line.Of(what.message)
	p.showHealth(what.message)
}

// showHealth sets what follows from the state and the failure.
func (p *pass) showHealth(reason string) {
	s := &p.host.Status
	switch {
	case s.ErrorType != "":
		s.OperationalStatus = metal3v1alpha1.OperationalStatusError
	case p.away:
		s.OperationalStatus = metal3v1alpha1.OperationalStatusDetached
	case s.Provisioning.State == metal3v1alpha1.StateUnmanaged:
		s.OperationalStatus = metal3v1alpha1.OperationalStatusDiscovered
	default:
		s.OperationalStatus = metal3v1alpha1.OperationalStatusOK
	}
	if s.ErrorType == "" && registered(s.Provisioning.State) {
		s.GoodCredentials = s.TriedCredentials
	}
	for _, c := range conditions(s, line.Of(reason)) {
		c.ObservedGeneration = p.host.Generation
		c.LastTransitionTime = metav1.NewTime(p.now)
		meta.SetStatusCondition(&s.Conditions, c)
	}
}

// turnTo changes the state shown and keeps the history of operations.
func (p *pass) turnTo(to metal3v1alpha1.ProvisioningState) {
	s := &p.host.Status
	from := s.Provisioning.State
	if from == to {
		return
	}
	if metric := metricOf(s, from); metric != nil && metric.End.IsZero() {
		metric.End = metav1.NewTime(p.now)
	}
	if metric := metricOf(s, to); metric != nil {
		*metric = metal3v1alpha1.OperationMetric{Start: metav1.NewTime(p.now)}
	}
	s.Provisioning.State = to
}

// metrics are the operations in whose End the time of the last failure is kept.
func metrics(s *metal3v1alpha1.BareMetalHostStatus) []*metal3v1alpha1.OperationMetric {
	h := &s.OperationHistory
	return []*metal3v1alpha1.OperationMetric{&h.Register, &h.Inspect, &h.Provision, &h.Deprovision}
}

// metricOf is the operation that a state shows; nil when it shows none. Preparing cleans, as deprovisioning does.
func metricOf(s *metal3v1alpha1.BareMetalHostStatus, state metal3v1alpha1.ProvisioningState) *metal3v1alpha1.OperationMetric {
	h := &s.OperationHistory
	return map[metal3v1alpha1.ProvisioningState]*metal3v1alpha1.OperationMetric{
		metal3v1alpha1.StateRegistering:    &h.Register,
		metal3v1alpha1.StateInspecting:     &h.Inspect,
		metal3v1alpha1.StateProvisioning:   &h.Provision,
		metal3v1alpha1.StatePreparing:      &h.Deprovision,
		metal3v1alpha1.StateDeprovisioning: &h.Deprovision,
	}[state]
}

// keepInventory puts what inspection found into the status and the HardwareData of the same name. That one is read live
// when there is something to put: a cache keeps of it only what is decided by.
func (p *pass) keepInventory(ctx context.Context) error {
	if supplied := p.supplied(); supplied != nil {
		return p.supplyHardware(ctx, supplied)
	}
	if p.seen.Inspected.IsZero() || p.want.Deleting {
		return nil
	}
	fresh := p.host.Status.Provisioning.State == metal3v1alpha1.StateInspecting
	data := &metal3v1alpha1.HardwareData{}
	if !fresh {
		err := p.Reader.Get(ctx, client.ObjectKeyFromObject(p.host), data)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read HardwareData %s: %w", client.ObjectKeyFromObject(p.host), err)
		}
		if err == nil && sameHardware(data.Spec.HardwareDetails, p.host.Status.HardwareDetails) {
			return nil
		}
	}
	data = &metal3v1alpha1.HardwareData{}
	err := p.Live.Get(ctx, client.ObjectKeyFromObject(p.host), data)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read HardwareData %s: %w", client.ObjectKeyFromObject(p.host), err)
	}
	if !fresh && err == nil && data.Spec.HardwareDetails != nil {
		p.host.Status.HardwareDetails = shown(data.Spec.HardwareDetails)
		return nil
	}
	found, inventoryErr := p.Provisioner.Inventory(ctx, p.want.Host)
	if fault.Is(inventoryErr, fault.Missing) {
		return nil
	}
	if inventoryErr != nil {
		return inventoryErr
	}
	p.host.Status.HardwareDetails = shown(&found)
	return p.writeHardwareData(ctx, data, found)
}

// shown is hardware as a host's status tells it: without the flags of its processor and the further names of its disks, which are
// most of it and are told by its HardwareData. Every write of the host would carry them, and bring them to everyone who watches.
func shown(found *metal3v1alpha1.HardwareDetails) *metal3v1alpha1.HardwareDetails {
	d := found.DeepCopy()
	d.CPU.Flags = nil
	for i := range d.Storage {
		d.Storage[i].AlternateNames = nil
	}
	return d
}

// sameHardware reports whether both are known and say the same of what is decided by.
func sameHardware(a, b *metal3v1alpha1.HardwareDetails) bool {
	return a != nil && b != nil && equality.Semantic.DeepEqual(hardware.FromMetal3(a), hardware.FromMetal3(b))
}

func (p *pass) writeHardwareData(ctx context.Context, data *metal3v1alpha1.HardwareData, found metal3v1alpha1.HardwareDetails) error {
	if data.UID == "" {
		data = &metal3v1alpha1.HardwareData{ObjectMeta: metav1.ObjectMeta{Namespace: p.host.Namespace, Name: p.host.Name}}
		data.Spec.HardwareDetails = &found
		if err := controllerutil.SetControllerReference(p.host, data, p.Client.Scheme()); err != nil {
			return err
		}
		if err := p.Client.Create(ctx, data); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create HardwareData %s: %w", client.ObjectKeyFromObject(data), err)
		}
		return nil
	}
	if equality.Semantic.DeepEqual(data.Spec.HardwareDetails, &found) {
		return nil
	}
	old := data.DeepCopy()
	data.Spec.HardwareDetails = &found
	if err := p.Client.Patch(ctx, data, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("update HardwareData %s: %w", client.ObjectKeyFromObject(data), err)
	}
	return nil
}

// milestones are the states that get an event: a host is there to be used, is used, or is about to be erased. What it passes
// through on the way is told by its status alone.
func milestones() []metal3v1alpha1.ProvisioningState {
	return []metal3v1alpha1.ProvisioningState{
		metal3v1alpha1.StateAvailable, metal3v1alpha1.StateProvisioned, metal3v1alpha1.StateExternallyProvisioned, metal3v1alpha1.StateDeprovisioning,
	}
}

// announce tells of a milestone and of a new failure.
func (p *pass) announce() {
	s := &p.host.Status
	if s.Provisioning.State != p.before.Provisioning.State && slices.Contains(milestones(), s.Provisioning.State) {
		p.Events.Eventf(p.host, nil, corev1.EventTypeNormal, camel(string(s.Provisioning.State)), "Reconcile", "the host is %s", s.Provisioning.State)
	}
	if s.ErrorType == "" && s.OperationalStatus == metal3v1alpha1.OperationalStatusError && s.ErrorMessage != p.before.ErrorMessage {
		p.Events.Eventf(p.host, nil, corev1.EventTypeWarning, "Held", "Reconcile", "%s", line.Short(s.ErrorMessage, maxNote))
	}
	if s.ErrorType != "" && (s.ErrorType != p.before.ErrorType || s.ErrorMessage != p.before.ErrorMessage) {
		p.Events.Eventf(p.host, nil, corev1.EventTypeWarning, camel(string(s.ErrorType)), "Reconcile", "%s", line.Short(s.ErrorMessage, maxNote))
	}
}

// camel turns "powering off before delete" into PoweringOffBeforeDelete.
func camel(words string) string {
	var b strings.Builder
	for word := range strings.FieldsSeq(words) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// maxNote is the longest note of an event (events.k8s.io/v1 Event.note, 1 kB).
const maxNote = 1000
