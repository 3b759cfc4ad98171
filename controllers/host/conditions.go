package host

import (
	"slices"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions are Metal3's (apis v0.13.1, baremetalhost_types.go), as they follow from state and failure. Progressing
// carries the reason of the last decision.
func conditions(s *metal3v1alpha1.BareMetalHostStatus, reason string) []metav1.Condition {
	return []metav1.Condition{
		yesNo(metal3v1alpha1.ManageableCondition, manageable(s), unmanageable(s), ""),
		yesNo(metal3v1alpha1.ProvisionedCondition, provisioned(s), notProvisioned(s.Provisioning.State), ""),
		yesNo(metal3v1alpha1.ReadyCondition, inService(s), notReady(s), s.ErrorMessage),
		yesNo(metal3v1alpha1.AvailableForProvisioningCondition, free(s), metal3v1alpha1.NotAvailableReason, ""),
		yesNo(metal3v1alpha1.ProgressingCondition, progress(s.Provisioning.State), metal3v1alpha1.NotProgressingReason, reason),
	}
}

// The reasons for which a condition is True; empty when it is not.

func manageable(s *metal3v1alpha1.BareMetalHostStatus) string {
	if !registered(s.Provisioning.State) {
		return ""
	}
	return metal3v1alpha1.ManageableReason
}

func provisioned(s *metal3v1alpha1.BareMetalHostStatus) string {
	if s.Provisioning.State != metal3v1alpha1.StateProvisioned && s.Provisioning.State != metal3v1alpha1.StateExternallyProvisioned {
		return ""
	}
	return metal3v1alpha1.ProvisionedReason
}

func inService(s *metal3v1alpha1.BareMetalHostStatus) string {
	if s.ErrorType != "" {
		return ""
	}
	return provisioned(s)
}

func free(s *metal3v1alpha1.BareMetalHostStatus) string {
	if s.Provisioning.State != metal3v1alpha1.StateAvailable || s.ErrorType != "" {
		return ""
	}
	return metal3v1alpha1.AvailableReason
}

// yesNo is True for the reason yes, or False for the reason no when there is no yes.
func yesNo(kind, yes, no, message string) metav1.Condition {
	if yes != "" {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: yes, Message: message}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: no, Message: message}
}

// registered tells that the BMC access was verified once.
func registered(state metal3v1alpha1.ProvisioningState) bool {
	return !slices.Contains([]metal3v1alpha1.ProvisioningState{
		metal3v1alpha1.StateNone, metal3v1alpha1.StateUnmanaged, metal3v1alpha1.StateRegistering, metal3v1alpha1.StateDeleting,
	}, state)
}

func unmanageable(s *metal3v1alpha1.BareMetalHostStatus) string {
	switch {
	case s.ErrorType == metal3v1alpha1.RegistrationError:
		return metal3v1alpha1.RegistrationFailedReason
	case s.Provisioning.State == metal3v1alpha1.StateRegistering:
		return metal3v1alpha1.RegisteringReason
	default:
		return metal3v1alpha1.NotManagedReason
	}
}

func notProvisioned(state metal3v1alpha1.ProvisioningState) string {
	if state == metal3v1alpha1.StateProvisioning || state == metal3v1alpha1.StateDeprovisioning {
		return progress(state)
	}
	return metal3v1alpha1.NotProvisionedReason
}

func notReady(s *metal3v1alpha1.BareMetalHostStatus) string {
	if s.ErrorType != "" {
		return metal3v1alpha1.ErrorReason
	}
	return metal3v1alpha1.NotProvisionedReason
}

// progress is the reason of Progressing; empty in states a host may stay in.
func progress(state metal3v1alpha1.ProvisioningState) string {
	return map[metal3v1alpha1.ProvisioningState]string{
		metal3v1alpha1.StateRegistering:             metal3v1alpha1.RegisteringReason,
		metal3v1alpha1.StateInspecting:              metal3v1alpha1.InspectingReason,
		metal3v1alpha1.StatePreparing:               metal3v1alpha1.PreparingReason,
		metal3v1alpha1.StateProvisioning:            metal3v1alpha1.ProvisioningReason,
		metal3v1alpha1.StateDeprovisioning:          metal3v1alpha1.DeprovisioningReason,
		metal3v1alpha1.StatePoweringOffBeforeDelete: metal3v1alpha1.PoweringOffBeforeDeleteReason,
		metal3v1alpha1.StateDeleting:                metal3v1alpha1.DeletingReason,
	}[state]
}
