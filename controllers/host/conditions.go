package host

import (
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions are Metal3's (apis v0.13.1, baremetalhost_types.go), as they follow from state and failure. Progressing
// carries the reason of the last decision.
func conditions(s *metal3v1alpha1.BareMetalHostStatus, reason string) []metav1.Condition {
	state := s.Provisioning.State
	provisioned := state == metal3v1alpha1.StateProvisioned || state == metal3v1alpha1.StateExternallyProvisioned
	healthy := s.ErrorType == ""
	progress := progressReason(state)
	return []metav1.Condition{
		condition(metal3v1alpha1.ManageableCondition, registered(state), metal3v1alpha1.ManageableReason, unmanageable(s), ""),
		condition(metal3v1alpha1.ProvisionedCondition, provisioned, metal3v1alpha1.ProvisionedReason, notProvisioned(state), ""),
		condition(metal3v1alpha1.ReadyCondition, provisioned && healthy, metal3v1alpha1.ProvisionedReason, notReady(s), s.ErrorMessage),
		condition(metal3v1alpha1.AvailableForProvisioningCondition, state == metal3v1alpha1.StateAvailable && healthy,
			metal3v1alpha1.AvailableReason, metal3v1alpha1.NotAvailableReason, ""),
		condition(metal3v1alpha1.ProgressingCondition, progress != "", progress, metal3v1alpha1.NotProgressingReason, reason),
	}
}

func condition(kind string, holds bool, yes, no, message string) metav1.Condition {
	if holds {
		return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: yes, Message: message}
	}
	return metav1.Condition{Type: kind, Status: metav1.ConditionFalse, Reason: no, Message: message}
}

// registered: the BMC access was verified once.
func registered(state metal3v1alpha1.ProvisioningState) bool {
	switch state {
	case metal3v1alpha1.StateNone, metal3v1alpha1.StateUnmanaged, metal3v1alpha1.StateRegistering, metal3v1alpha1.StateDeleting:
		return false
	default:
		return true
	}
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
	switch state {
	case metal3v1alpha1.StateProvisioning:
		return metal3v1alpha1.ProvisioningReason
	case metal3v1alpha1.StateDeprovisioning:
		return metal3v1alpha1.DeprovisioningReason
	default:
		return metal3v1alpha1.NotProvisionedReason
	}
}

func notReady(s *metal3v1alpha1.BareMetalHostStatus) string {
	if s.ErrorType != "" {
		return metal3v1alpha1.ErrorReason
	}
	return metal3v1alpha1.NotProvisionedReason
}

// progressReason is empty in states a host may stay in.
func progressReason(state metal3v1alpha1.ProvisioningState) string {
	switch state {
	case metal3v1alpha1.StateRegistering:
		return metal3v1alpha1.RegisteringReason
	case metal3v1alpha1.StateInspecting:
		return metal3v1alpha1.InspectingReason
	case metal3v1alpha1.StatePreparing:
		return metal3v1alpha1.PreparingReason
	case metal3v1alpha1.StateProvisioning:
		return metal3v1alpha1.ProvisioningReason
	case metal3v1alpha1.StateDeprovisioning:
		return metal3v1alpha1.DeprovisioningReason
	case metal3v1alpha1.StatePoweringOffBeforeDelete:
		return metal3v1alpha1.PoweringOffBeforeDeleteReason
	case metal3v1alpha1.StateDeleting:
		return metal3v1alpha1.DeletingReason
	default:
		return ""
	}
}
