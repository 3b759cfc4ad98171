package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NetConfigSpec is the networks of a site. One NetConfig per namespace, as in RHOSO.
type NetConfigSpec struct {
	// networks by name.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Networks []Network `json:"networks,omitempty"`
}

// Network is one network.
type Network struct {
	// name of the network, for example ctlplane or internalapi.
	// +required
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`
	Name string `json:"name,omitempty"`
	// serviceNetwork is the network's role when its name is another; ctlplane marks the control-plane network.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ServiceNetwork string `json:"serviceNetwork,omitempty"`
	// dnsDomain of the nodes on this network.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DNSDomain string `json:"dnsDomain,omitempty"`
	// mtu of the network; default 1500.
	// +optional
	// +kubebuilder:default=1500
	// +kubebuilder:validation:Minimum=1280
	// +kubebuilder:validation:Maximum=9216
	MTU int32 `json:"mtu,omitempty"`
	// subnets of the network.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Subnets []Subnet `json:"subnets,omitempty"`
}

// Subnet is one subnet of a network.
// +kubebuilder:validation:XValidation:rule="isCIDR(self.cidr)",message="cidr must be a network such as 192.168.122.0/24"
// +kubebuilder:validation:XValidation:rule="!isCIDR(self.cidr) || cidr(self.cidr) == cidr(self.cidr).masked()",message="cidr must be a network, not an address in it: write 192.168.122.0/24 instead of 192.168.122.7/24"
// +kubebuilder:validation:XValidation:rule="!has(self.gateway) || (isIP(self.gateway) && (!isCIDR(self.cidr) || cidr(self.cidr).containsIP(self.gateway)))",message="gateway must be an address inside cidr"
// +kubebuilder:validation:XValidation:rule="!has(self.allocationRanges) || !isCIDR(self.cidr) || self.allocationRanges.all(r, isIP(r.start) && isIP(r.end) && cidr(self.cidr).containsIP(r.start) && cidr(self.cidr).containsIP(r.end))",message="allocationRanges must start and end inside cidr"
type Subnet struct {
	// name of the subnet.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`
	// cidr of the subnet, IPv4 or IPv6.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=49
	CIDR string `json:"cidr,omitempty"`
	// vlan tag of the subnet; absent means untagged.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	VLAN *int32 `json:"vlan,omitempty"`
	// gateway of the subnet.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	Gateway string `json:"gateway,omitempty"`
	// allocationRanges addresses are taken from, lowest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	AllocationRanges []AllocationRange `json:"allocationRanges,omitempty"`
	// excludeAddresses are never given out.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=45
	ExcludeAddresses []string `json:"excludeAddresses,omitempty"`
	// routes beside the default route.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Routes []Route `json:"routes,omitempty"`
	// nameservers of the nodes on this subnet.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=45
	Nameservers []string `json:"nameservers,omitempty"`
}

// AllocationRange is a range of addresses, both ends included.
type AllocationRange struct {
	// start is the first address.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	Start string `json:"start,omitempty"`
	// end is the last address.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	End string `json:"end,omitempty"`
}

// Route is a static route.
type Route struct {
	// destination network.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=49
	Destination string `json:"destination,omitempty"`
	// nexthop address.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	Nexthop string `json:"nexthop,omitempty"`
}

// NetConfig is the networks of a site.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=netconfigs,singular=netconfig,shortName=netcfg,categories=rackplane
// +kubebuilder:printcolumn:name="Networks",type=string,JSONPath=`.spec.networks[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type NetConfig struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the networks.
	// +required
	Spec NetConfigSpec `json:"spec,omitzero"`
}

// NetConfigList is a list of NetConfigs.
//
// +kubebuilder:object:root=true
type NetConfigList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NetConfig `json:"items"`
}
