package host

import (
	"context"
	"fmt"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/hostspec"
	"github.com/rackplane/rackplane/secret"
)

// restore gives a host that was moved here the status that its annotation carries, and takes the annotation off once the host
// has a status. It reports whether the pass ends with it. An annotation that cannot be read is a problem that gather tells.
func (p *pass) restore(ctx context.Context) (bool, error) {
	h := p.host
	status, carried := hostspec.ReadableStatus(h)
	if !carried {
		return false, nil
	}
	if h.Status.Provisioning.State != metal3v1alpha1.StateNone {
		return false, p.annotate(ctx, map[string]string{metal3v1alpha1.StatusAnnotation: ""})
	}
	if status.Provisioning.State == metal3v1alpha1.StateNone {
		return false, nil // it tells nothing
	}
	h.Status = status
	return true, p.writeStatus(ctx)
}

// reinspected begins the value of annotation inspect.metal3.io once it was seen; the time of the inspection before follows.
const reinspected = "after "

// reinspection reports whether the annotation asks for a new inspection, and what the last one before was, if that was noted.
func reinspection(h *metal3v1alpha1.BareMetalHost) (bool, time.Time) {
	text, asked := hostspec.InspectionAsked(h)
	if !asked {
		return false, time.Time{}
	}
	known, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(text, reinspected))
	return err == nil, known
}

// answerRequests notes or takes off annotations by which users ask for something once, by what is seen of the server: nothing
// is started that was not written down.
func (p *pass) answerRequests(ctx context.Context) error {
	if p.want.Deleting || p.want.Detached {
		return nil
	}
	edits := map[string]string{}
	if _, asked := hostspec.InspectionAsked(p.host); asked {
		switch {
		case !p.want.Reinspect:
			edits[metal3v1alpha1.InspectAnnotationPrefix] = reinspected + p.seen.Inspected.Format(time.RFC3339Nano)
			p.want.Reinspect, p.want.Known = true, p.seen.Inspected
		case !p.seen.Inspected.IsZero() && !p.seen.Inspected.Equal(p.want.Known):
			edits[metal3v1alpha1.InspectAnnotationPrefix] = ""
			p.want.Reinspect = false
		}
	}
	reboot, _ := hostspec.RebootOf(p.host)
	if reboot.Once && p.seen.Power == provisioner.PowerOff && p.seen.PowerTarget == provisioner.PowerUnknown {
		edits[metal3v1alpha1.RebootAnnotationPrefix] = ""
		if len(reboot.Holders) == 0 {
			p.want.Online, p.want.Fence = p.host.Spec.Online, ""
		}
	}
	return p.annotate(ctx, edits)
}

// ramdiskNetwork fills in the network of the deploy agent.
func (p *pass) ramdiskNetwork(ctx context.Context) (problem, error) {
	name := p.host.Spec.PreprovisioningNetworkDataName
	if name == "" {
		return problem{}, nil
	}
	key := client.ObjectKey{Namespace: p.host.Namespace, Name: name}
	found := &corev1.Secret{}
	err := p.Reader.Get(ctx, key, found)
	if apierrors.IsNotFound(err) {
		err = p.Live.Get(ctx, key, found)
	}
	bad := func(what string) (problem, error) {
		return problem{metal3v1alpha1.PreparationError, fmt.Sprintf("BareMetalHost %s/%s: Secret %s (spec.preprovisioningNetworkDataName) %s",
			p.host.Namespace, p.host.Name, key, what)}, nil
	}
	switch {
	case apierrors.IsNotFound(err):
		return bad("does not exist: create it with the key networkData")
	case err != nil:
		return problem{}, fmt.Errorf("read Secret %s: %w", key, err)
	}
	for _, k := range []string{"networkData", "value"} {
		if data := found.Data[k]; len(data) > 0 {
			p.want.RamdiskNetwork = secret.Value(data)
			return problem{}, nil
		}
	}
	return bad("has no key networkData: add it")
}

// supplyHardware shows the hardware that the user supplies: what inspection would find, where there is none.
func (p *pass) supplyHardware(ctx context.Context, supplied *metal3v1alpha1.HardwareDetails) error {
	if equality.Semantic.DeepEqual(p.host.Status.HardwareDetails, shown(supplied)) {
		return nil
	}
	data := &metal3v1alpha1.HardwareData{}
	if err := p.Live.Get(ctx, client.ObjectKeyFromObject(p.host), data); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("read HardwareData %s: %w", client.ObjectKeyFromObject(p.host), err)
	}
	if err := p.writeHardwareData(ctx, data, *supplied); err != nil {
		return err
	}
	p.host.Status.HardwareDetails = shown(supplied)
	return nil
}

// supplied is the hardware by the user's word, while there is no inspection's; nil otherwise.
func (p *pass) supplied() *metal3v1alpha1.HardwareDetails {
	found, supplied, err := hostspec.HardwareOf(p.host)
	if !supplied || err != nil || p.want.Deleting || (!p.want.SkipInspection && !p.seen.Inspected.IsZero()) {
		return nil
	}
	return &found
}
