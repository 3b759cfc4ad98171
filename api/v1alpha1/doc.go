// Package v1alpha1 holds the kinds of dataplane.rackplane.dev: NodeSet,
// DataPlaneNode, DataPlaneService, DataPlaneDeployment and NetConfig.
//
// Field names follow RHOSO 18 (openstack-operator api/dataplane/v1beta1) where
// the meaning is the same. Rules that one object can tell by itself are CEL
// rules on the type. Condition types and reasons are in conditions.go.
// The package imports apimachinery and the types it embeds, nothing else.
//
// +kubebuilder:object:generate=true
// +groupName=dataplane.rackplane.dev
package v1alpha1
