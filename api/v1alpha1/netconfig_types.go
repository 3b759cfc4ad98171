package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NetConfigSpec is the networks of a site. One NetConfig per namespace, as in RHOSO.
// +kubebuilder:validation:XValidation:rule="self.networks.filter(n, (has(n.serviceNetwork) && size(n.serviceNetwork) > 0 ? n.serviceNetwork : n.name).lowerAscii() == 'ctlplane').size() <= 1",message="two networks are the control plane: keep the name or the serviceNetwork ctlplane on one"
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
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z][a-zA-Z0-9_-]*$')",message="the name of a network, from which variables are made, must begin with a letter and hold letters, digits, dashes and underscores alone"
	Name string `json:"name,omitempty"`
	// serviceNetwork is the network's role when its name is another; ctlplane marks the control-plane network.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-zA-Z][a-zA-Z0-9_-]*$')",message="serviceNetwork, from which variables are made, must begin with a letter and hold letters, digits, dashes and underscores alone"
	ServiceNetwork string `json:"serviceNetwork,omitempty"`
	// dnsDomain of the nodes on this network.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')",message="dnsDomain must be a lower-case DNS name whose labels have at most 63 characters, such as ctlplane.example.com"
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
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][a-zA-Z0-9_.-]*$')",message="the name of a subnet must begin with a letter or digit and hold letters, digits, dots, dashes and underscores alone"
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
	// +kubebuilder:validation:items:Pattern=`^[0-9a-fA-F:.]+$`
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
	// +kubebuilder:validation:XValidation:rule="self.all(n, isIP(n))",message="nameservers must be IP addresses"
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
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="a route's destination must be a network such as 10.0.0.0/8 or fd00::/8"
	Destination string `json:"destination,omitempty"`
	// nexthop address.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="a route's nexthop must be an IP address such as 192.168.122.10 or fd00:122::10"
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
