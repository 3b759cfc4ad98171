package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HostClaimPolicySpec says which namespaces may have which hosts. It gives only: what no policy of the namespace gives,
// nobody else may see or claim.
// +kubebuilder:validation:XValidation:rule="!has(self.hostSelector) || !has(self.hostSelector.matchExpressions) || self.hostSelector.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && size(e.values) > 0 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || size(e.values) == 0))",message="spec.hostSelector.matchExpressions: use In or NotIn with values, Exists or DoesNotExist without"
type HostClaimPolicySpec struct {
	// namespaces whose NodeSets may see and claim the hosts, by name.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(n, n.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'))",message="spec.namespaces are names of namespaces: lower-case letters, digits and dashes; there is no wildcard, list each"
	Namespaces []string `json:"namespaces,omitempty"`

	// hostSelector picks hosts of this namespace by their labels; empty picks every host of it.
	// +optional
	HostSelector *metav1.LabelSelector `json:"hostSelector,omitempty"`
}

// HostClaimPolicy lends BareMetalHosts of its namespace to NodeSets of other namespaces. Without one a host serves
// NodeSets of its own namespace only. Taking it back ends no claim: nodes that run on the hosts keep them until they are
// released.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=hostclaimpolicies,singular=hostclaimpolicy,categories=rackplane
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.namespaces`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type HostClaimPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is who may have which hosts.
	// +required
	Spec HostClaimPolicySpec `json:"spec,omitzero"`
}

// HostClaimPolicyList is a list of HostClaimPolicies.
//
// +kubebuilder:object:root=true
type HostClaimPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HostClaimPolicy `json:"items"`
}
