package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AddressState is whether an address is its node's or on its way back.
// +kubebuilder:validation:Enum=Held;Leaving
type AddressState string

const (
	// AddressHeld means the node may have the address in its spec.networks.
	AddressHeld AddressState = "Held"
	// AddressLeaving means nobody may write the address into a node any more. It is free once the node has been written
	// after this: whoever had meant to write it there loses that race.
	AddressLeaving AddressState = "Leaving"
)

// AddressHolder is one address that is given out. It changes hands only by being free in between.
// +kubebuilder:validation:XValidation:rule="self.node == oldSelf.node && self.uid == oldSelf.uid",message="an address changes hands only by being taken out of spec.holders first: delete the entry, then add it for the other node"
type AddressHolder struct {
	// address without prefix length, in its shortest form.
	// +required
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="address must be an IP address such as 192.168.122.10 or fd00:122::10"
	Address string `json:"address,omitempty"`
	// node is the name of the DataPlaneNode that holds it.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="the holder of an address is not the name of a DataPlaneNode: write it as kubectl get shows it"
	Node string `json:"node,omitempty"`
	// uid of the node: one that was deleted and made again is another node.
	// +required
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// state is Held, or Leaving while the address is taken back.
	// +required
	State AddressState `json:"state,omitempty"`
}

// AddressBlockSpec is who holds which of up to 256 addresses.
// +kubebuilder:validation:XValidation:rule="self.cidr == oldSelf.cidr",message="spec.cidr cannot change: blocks are made and deleted by the engine"
type AddressBlockSpec struct {
	// cidr is the block: 256 addresses, such as 192.168.122.0/24 or fd00:122::/120.
	// +required
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="spec.cidr must be a block such as 192.168.122.0/24 or fd00:122::/120"
	CIDR string `json:"cidr,omitempty"`
	// holders are the addresses given out, one entry each.
	// +optional
	// +listType=map
	// +listMapKey=address
	// +kubebuilder:validation:MaxItems=256
	Holders []AddressHolder `json:"holders,omitempty"`
}

// AddressBlock is a part of the ledger of addresses of its namespace. The engine is its only writer: an address is
// written here, by compare-and-swap, before it is written into a node, and taken out after the node has lost it, so that no two
// nodes ever have one, whoever else acts at the same time. A block that is lost is written anew from what the nodes
// have, but never delete or edit one while an engine runs: what it is just giving out would be free.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=addressblocks,singular=addressblock,categories=rackplane
// +kubebuilder:printcolumn:name="CIDR",type=string,JSONPath=`.spec.cidr`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="!isCIDR(self.spec.cidr) || !has(self.spec.holders) || self.spec.holders.all(h, !isIP(h.address) || cidr(self.spec.cidr).containsIP(h.address))",message="spec.holders lists an address that is not in spec.cidr: take it out"
type AddressBlock struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is who holds what.
	// +required
	Spec AddressBlockSpec `json:"spec,omitzero"`
}

// AddressBlockList is a list of AddressBlocks.
//
// +kubebuilder:object:root=true
type AddressBlockList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AddressBlock `json:"items"`
}
