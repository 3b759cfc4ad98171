package host

import (
	"context"
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner/hostspec"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
)

// tell writes the status that follows from a decision, unless what is new in it may wait for other news.
func (p *pass) tell(ctx context.Context, d lifecycle.Decision) error {
	if equality.Semantic.DeepEqual(p.before, p.host.Status) {
		p.Quiet.Told(p.host.UID)
		return nil
	}
	if !d.Excused && minor(p.host, &p.before) {
		if p.wait = p.Quiet.Left(p.host.UID, p.Clock, step.Hush/2); p.wait > 0 {
			return nil
		}
	}
	return p.writeStatus(ctx)
}

// minor reports whether nobody decides by what is new in a status: not the consumer that waits for its server, not the plan
// that looks for free hosts, and not this controller, which counts failures in it and finds in it whether an inventory is yet to be
// fetched. Texts, the power of a host that is on its way, and states of seconds on the way to inspection are minor.
func minor(h *metal3v1alpha1.BareMetalHost, old *metal3v1alpha1.BareMetalHostStatus) bool {
	now := &h.Status
	switch {
	case old.ErrorType != now.ErrorType, old.ErrorMessage != now.ErrorMessage, old.ErrorCount != now.ErrorCount:
		return false
	case old.OperationalStatus != now.OperationalStatus && old.OperationalStatus != "":
		return false
	case !equality.Semantic.DeepEqual(old.HardwareDetails, now.HardwareDetails):
		return false
	case !equality.Semantic.DeepEqual(old.Provisioning.Image, now.Provisioning.Image):
		return false
	case old.Provisioning.State != now.Provisioning.State:
		return slices.Contains(brief(), old.Provisioning.State) && slices.Contains(brief(), now.Provisioning.State)
	}
	reboot, _ := hostspec.RebootOf(h)
	awaited := (h.Spec.ConsumerRef != nil || reboot.Wanted()) && slices.Contains(settled(), now.Provisioning.State)
	return old.PoweredOn == now.PoweredOn || !awaited
}

// settled are states in which a consumer waits for its host to be on, or off.
func settled() []metal3v1alpha1.ProvisioningState {
	return []metal3v1alpha1.ProvisioningState{metal3v1alpha1.StateAvailable, metal3v1alpha1.StateProvisioned}
}

// brief are states that a host passes through in seconds, or that end with a hardware that becomes known.
func brief() []metal3v1alpha1.ProvisioningState {
	return []metal3v1alpha1.ProvisioningState{metal3v1alpha1.StateNone, metal3v1alpha1.StateRegistering, metal3v1alpha1.StatePreparing}
}
