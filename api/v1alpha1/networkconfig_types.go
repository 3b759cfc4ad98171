package v1alpha1

import apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

// NetworkConfig lays networks out on interfaces. It is rendered to nmstate, and what is rendered is checked as a whole: by
// rackplane plan, and by the engine before it reaches a node.
// +kubebuilder:validation:XValidation:rule="!has(self.nmstate) || !(has(self.nicNumbering) || has(self.ethernets) || has(self.bonds) || has(self.ovsBridges) || has(self.dummies) || has(self.vrfs) || has(self.routes) || has(self.rules) || has(self.ovsDPDK))",message="networkConfig.nmstate is the whole layout: remove the other fields, or write it with them alone"
type NetworkConfig struct {
	// nicNumbering says how nicN counts: Name (default) from nic0 by name, Active as os-net-config does, from nic1: cards with a
	// link alone, those on the board (em, eno, eth) before others.
	// +optional
	// +kubebuilder:validation:Enum=Name;Active
	NICNumbering NICNumbering `json:"nicNumbering,omitempty"`
	// ethernets are plain interfaces.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Ethernets []Ethernet `json:"ethernets,omitempty"`
	// bonds are aggregated interfaces.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Bonds []Bond `json:"bonds,omitempty"`
	// ovsBridges are Open vSwitch bridges, whose own port carries networks. They need nmstatectl on the node.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=4
	OVSBridges []OVSBridge `json:"ovsBridges,omitempty"`
	// dummies are interfaces without hardware; the one called lo is the loopback interface.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	Dummies []Dummy `json:"dummies,omitempty"`
	// vrfs are routing domains of their own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=8
	VRFs []VRF `json:"vrfs,omitempty"`
	// routes beside those of the networks.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Routes []InterfaceRoute `json:"routes,omitempty"`
	// rules say which routing table decides.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Rules []RouteRule `json:"rules,omitempty"`
	// ovsDPDK is what the node's Open vSwitch gives its userspace datapath.
	// +optional
	OVSDPDK *OVSDPDK `json:"ovsDPDK,omitempty"`
	// nmstate is the layout as an nmstate document (https://nmstate.io) instead. In its texts $(NAME) stands for the node's
	// values: hostname, and of each of its networks NETWORK_ip, NETWORK_cidr (the prefix length), NETWORK_vlan_id, NETWORK_mtu and
	// NETWORK_gateway_ip, as Ansible gets them; $(nicN_mac) and $(nicN_name) for its cards. A text that is nothing else becomes
	// what the value is, a number for one. $$ is a dollar sign.
	// +optional
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	NMState *apiextensionsv1.JSON `json:"nmstate,omitempty"`
}

// NICNumbering says how nicN counts.
type NICNumbering string

const (
	// NICsByName counts all cards from nic0, by name.
	NICsByName NICNumbering = "Name"
	// NICsActive counts cards with a link from nic1, those on the board first.
	NICsActive NICNumbering = "Active"
)

// Card picks one of the host's cards. All that is said must fit.
// +kubebuilder:validation:XValidation:rule="has(self.pciAddress) != (has(self.model) || has(self.minGbps))",message="a card is picked by pciAddress, or by model and minGbps: give one of the two"
type Card struct {
	// pciAddress of the card on the node, such as 0000:18:00.1. The network at first boot cannot find cards by it.
	// +optional
	// +kubebuilder:validation:MaxLength=12
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f][.][0-7]$`
	PCIAddress string `json:"pciAddress,omitempty"`
	// model as inspection reports it: vendor and device, which stand for the driver, such as "0x8086 0x1572".
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Model string `json:"model,omitempty"`
	// minGbps is the least speed in Gbit/s.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MinGbps int32 `json:"minGbps,omitempty"`
	// index among the cards that fit, by name, from 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=63
	Index int32 `json:"index,omitempty"`
}

// Addressing says where an interface's addresses come from.
// +kubebuilder:validation:XValidation:rule="!has(self.addresses) || self.addresses.all(a, isCIDR(a))",message="each address must be written with its prefix length, such as 192.0.2.1/32 or 2001:db8::1/128",fieldPath=".addresses"
type Addressing struct {
	// ipv4 is Static (default: those of its networks, and addresses), DHCP or None. DHCP adds to static ones.
	// +optional
	// +kubebuilder:validation:Enum=Static;DHCP;None
	IPv4 AddressMethod `json:"ipv4,omitempty"`
	// ipv6 is Static (default), SLAAC (what routers announce, and DHCPv6 where they say so), DHCP (DHCPv6 alone, which knows no
	// routes) or None.
	// +optional
	// +kubebuilder:validation:Enum=Static;DHCP;SLAAC;None
	IPv6 AddressMethod `json:"ipv6,omitempty"`
	// addresses of the interface's own, the same on every node that has this layout.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=49
	Addresses []string `json:"addresses,omitempty"`
	// prefix is that of the networks' addresses: Network (default), their subnet's, or Host, /32 and /128.
	// +optional
	// +kubebuilder:validation:Enum=Network;Host
	Prefix AddressPrefix `json:"prefix,omitempty"`
	// defaultRoute is Ignored (default) or Learnt, from DHCP or router advertisements.
	// +optional
	// +kubebuilder:validation:Enum=Ignored;Learnt
	DefaultRoute LearntRoute `json:"defaultRoute,omitempty"`
	// nameservers are Ignored (default) or Learnt, as defaultRoute.
	// +optional
	// +kubebuilder:validation:Enum=Ignored;Learnt
	Nameservers LearntRoute `json:"nameservers,omitempty"`
}

// AddressMethod says where addresses of a family come from.
type AddressMethod string

// Where addresses come from.
const (
	AddressStatic AddressMethod = "Static"
	AddressDHCP   AddressMethod = "DHCP"
	AddressSLAAC  AddressMethod = "SLAAC"
	AddressNone   AddressMethod = "None"
)

// AddressPrefix says which prefix length a network's address gets.
type AddressPrefix string

// PrefixHost gives the length of a single address.
const PrefixHost AddressPrefix = "Host"

// LearntRoute says whether what the network offers is taken.
type LearntRoute string

// Learnt takes it.
const Learnt LearntRoute = "Learnt"

// Ethernet is one plain interface.
// +kubebuilder:validation:XValidation:rule="!(has(self.mac) && has(self.card))",message="an ethernet is picked by mac or by card: remove one"
type Ethernet struct {
	// name of the interface on the node.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// mac is the interface's MAC address, or nicN for the N-th interface of the inspected host (see nicNumbering).
	// +optional
	// +kubebuilder:validation:Pattern=`^(nic[0-9]{1,2}|([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})$`
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`
	// card picks the interface by other marks than its MAC address.
	// +optional
	Card *Card `json:"card,omitempty"`
	// networks carried untagged.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Networks []string `json:"networks,omitempty"`
	// vlans are networks carried tagged with their NetConfig VLAN. Networks of one tag share an interface.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	VLANs []string `json:"vlans,omitempty"`
	// vlanNames are names of interfaces by network; default BASE.TAG, shortened where it is too long for Linux.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	VLANNames map[string]InterfaceName `json:"vlanNames,omitempty"`
	// mtu of the interface; default the largest of what it carries.
	// +optional
	// +kubebuilder:validation:Minimum=1280
	// +kubebuilder:validation:Maximum=9216
	MTU int32 `json:"mtu,omitempty"`
	// ip says where its addresses come from.
	// +optional
	IP *Addressing `json:"ip,omitempty"`
	// sriov makes virtual functions of the card.
	// +optional
	SRIOV *SRIOV `json:"sriov,omitempty"`
}

// InterfaceName is the name of an interface.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=15
// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
type InterfaceName string

// SRIOV is a card's virtual functions. It needs nmstatectl on the node.
type SRIOV struct {
	// totalVFs is how many there are.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	TotalVFs int32 `json:"totalVFs,omitempty"`
	// promiscuous is On where the card takes frames for any MAC address; default Off.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	Promiscuous Switch `json:"promiscuous,omitempty"`
	// vfs are those with settings of their own.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=64
	VFs []VirtualFunction `json:"vfs,omitempty"`
}

// Switch is Off, On, or empty for what the system has.
type Switch string

// The two positions.
const (
	SwitchOff Switch = "Off"
	SwitchOn  Switch = "On"
)

// VirtualFunction is one of a card's virtual functions.
type VirtualFunction struct {
	// id of the function, from 0.
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	ID int32 `json:"id"`
	// mac it has.
	// +optional
	// +kubebuilder:validation:MaxLength=17
	// +kubebuilder:validation:Pattern=`^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$`
	MAC string `json:"mac,omitempty"`
	// trust lets it change its MAC address and listen to everything.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	Trust Switch `json:"trust,omitempty"`
	// spoofCheck drops what it sends under another MAC address.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	SpoofCheck Switch `json:"spoofCheck,omitempty"`
	// vlan tags all that it sends.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	VLAN int32 `json:"vlan,omitempty"`
	// maxTxRate in Mbit/s.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxTxRate int32 `json:"maxTxRate,omitempty"`
}

// Bond is an aggregate of interfaces.
type Bond struct {
	// name of the bond on the node.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// ports are the interfaces in the bond.
	// +required
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Ports []BondPort `json:"ports,omitempty"`
	// mode as the kernel names it; default active-backup.
	// +optional
	// +kubebuilder:validation:Enum=balance-rr;active-backup;balance-xor;broadcast;"802.3ad";balance-tlb;balance-alb
	Mode string `json:"mode,omitempty"`
	// options of the bond. Which mode takes which option is checked when it is rendered.
	// +optional
	Options *BondOptions `json:"options,omitempty"`
	// networks carried untagged.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Networks []string `json:"networks,omitempty"`
	// vlans are networks carried tagged with their NetConfig VLAN. Networks of one tag share an interface.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	VLANs []string `json:"vlans,omitempty"`
	// vlanNames are names of interfaces by network; default BASE.TAG, shortened where it is too long for Linux.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	VLANNames map[string]InterfaceName `json:"vlanNames,omitempty"`
	// mtu of the interface; default the largest of what it carries.
	// +optional
	// +kubebuilder:validation:Minimum=1280
	// +kubebuilder:validation:Maximum=9216
	MTU int32 `json:"mtu,omitempty"`
	// ip says where its addresses come from.
	// +optional
	IP *Addressing `json:"ip,omitempty"`
}

// BondOptions are a bond's, as Documentation/networking/bonding.rst of the kernel describes them.
type BondOptions struct {
	// miimon is how often links are looked at, in milliseconds; default 100, unless arpInterval is set.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	MIIMon *int32 `json:"miimon,omitempty"`
	// updelay in milliseconds before a link that came up is used, a multiple of miimon.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	UpDelay *int32 `json:"updelay,omitempty"`
	// downdelay in milliseconds before a link that went down is given up, a multiple of miimon.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	DownDelay *int32 `json:"downdelay,omitempty"`
	// useCarrier asks the card's driver for the link.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	UseCarrier Switch `json:"useCarrier,omitempty"`
	// lacpRate is how often the switch is to send, slow or fast.
	// +optional
	// +kubebuilder:validation:Enum=slow;fast
	LACPRate string `json:"lacpRate,omitempty"`
	// lacpActive begins to speak LACP by itself.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	LACPActive Switch `json:"lacpActive,omitempty"`
	// xmitHashPolicy picks the port that sends.
	// +optional
	// +kubebuilder:validation:Enum=layer2;"layer3+4";"layer2+3";"encap2+3";"encap3+4";"vlan+srcmac"
	XmitHashPolicy string `json:"xmitHashPolicy,omitempty"`
	// adSelect picks the aggregator.
	// +optional
	// +kubebuilder:validation:Enum=stable;bandwidth;count
	ADSelect string `json:"adSelect,omitempty"`
	// adActorSysPrio is the system's priority.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	ADActorSysPrio *int32 `json:"adActorSysPrio,omitempty"`
	// adActorSystem is the system's MAC address.
	// +optional
	// +kubebuilder:validation:MaxLength=17
	// +kubebuilder:validation:Pattern=`^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$`
	ADActorSystem string `json:"adActorSystem,omitempty"`
	// adUserPortKey is the upper part of the port's key.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1023
	ADUserPortKey *int32 `json:"adUserPortKey,omitempty"`
	// minLinks that must be up for the bond to be up.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	MinLinks *int32 `json:"minLinks,omitempty"`
	// primary is the port used whenever it is up.
	// +optional
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	Primary string `json:"primary,omitempty"`
	// primaryReselect says when primary is used again.
	// +optional
	// +kubebuilder:validation:Enum=always;better;failure
	PrimaryReselect string `json:"primaryReselect,omitempty"`
	// failOverMac says whose MAC address the bond has.
	// +optional
	// +kubebuilder:validation:Enum=none;active;follow
	FailOverMAC string `json:"failOverMac,omitempty"`
	// arpInterval in milliseconds between requests, by which links are looked at instead.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	ARPInterval *int32 `json:"arpInterval,omitempty"`
	// arpIPTarget are the IPv4 addresses asked.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=15
	ARPIPTarget []string `json:"arpIPTarget,omitempty"`
	// nsIP6Target are the IPv6 addresses asked.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=45
	NSIP6Target []string `json:"nsIP6Target,omitempty"`
	// arpValidate says whose answers are looked at.
	// +optional
	// +kubebuilder:validation:Enum=none;active;backup;all;filter;filter_active;filter_backup
	ARPValidate string `json:"arpValidate,omitempty"`
	// arpAllTargets says how many must answer.
	// +optional
	// +kubebuilder:validation:Enum=any;all
	ARPAllTargets string `json:"arpAllTargets,omitempty"`
	// arpMissedMax is how many answers may be missing.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	ARPMissedMax *int32 `json:"arpMissedMax,omitempty"`
	// numGratARP is how often the others are told after a failover.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	NumGratARP *int32 `json:"numGratARP,omitempty"`
	// resendIGMP is how many membership reports are sent after a failover.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	ResendIGMP *int32 `json:"resendIGMP,omitempty"`
	// packetsPerSlave before the next port sends.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	PacketsPerSlave *int32 `json:"packetsPerSlave,omitempty"`
	// lpInterval in seconds between learning packets.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	LPInterval *int32 `json:"lpInterval,omitempty"`
	// tlbDynamicLB moves flows by load.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	TLBDynamicLB Switch `json:"tlbDynamicLB,omitempty"`
	// allSlavesActive says whether frames on ports that do not send are taken.
	// +optional
	// +kubebuilder:validation:Enum=dropped;delivered
	AllSlavesActive string `json:"allSlavesActive,omitempty"`
}

// BondPort is one interface of a bond.
// +kubebuilder:validation:XValidation:rule="has(self.mac) != has(self.card)",message="a port is picked by mac or by card: give one of the two"
type BondPort struct {
	// name of the interface on the node; default the inspected one, else nicN as written.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// mac is the interface's MAC address, or nicN for the N-th interface of the inspected host (see nicNumbering).
	// +optional
	// +kubebuilder:validation:Pattern=`^(nic[0-9]{1,2}|([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})$`
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`
	// card picks the interface by other marks than its MAC address.
	// +optional
	Card *Card `json:"card,omitempty"`
}

// OVSBridge is an Open vSwitch bridge. Networks are on its own port, which is called like it; VLANs are internal ports.
type OVSBridge struct {
	// name of the bridge on the node.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// ports beside its own and those of vlans. Patch ports that OVN adds stay.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Ports []OVSPort `json:"ports,omitempty"`
	// datapath is Kernel (default) or Userspace, which DPDK needs.
	// +optional
	// +kubebuilder:validation:Enum=Kernel;Userspace
	Datapath OVSDatapath `json:"datapath,omitempty"`
	// failMode is Standalone (default), where it forwards without a controller, or Secure.
	// +optional
	// +kubebuilder:validation:Enum=Standalone;Secure
	FailMode OVSFailMode `json:"failMode,omitempty"`
	// networks carried untagged.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Networks []string `json:"networks,omitempty"`
	// vlans are networks on internal ports with their NetConfig VLAN. Networks of one tag share a port.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	VLANs []string `json:"vlans,omitempty"`
	// vlanNames are names of interfaces by network; default BASE.TAG, shortened where it is too long for Linux.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	VLANNames map[string]InterfaceName `json:"vlanNames,omitempty"`
	// mtu of the interface; default the largest of what it carries.
	// +optional
	// +kubebuilder:validation:Minimum=1280
	// +kubebuilder:validation:Maximum=9216
	MTU int32 `json:"mtu,omitempty"`
	// ip says where the addresses of its own port come from.
	// +optional
	IP *Addressing `json:"ip,omitempty"`
}

// OVSDatapath is where a bridge forwards.
type OVSDatapath string

// OVSUserspace forwards in a process, with DPDK where its ports have it.
const OVSUserspace OVSDatapath = "Userspace"

// OVSFailMode says what a bridge does without a controller.
type OVSFailMode string

// OVSSecure forwards nothing without a controller.
const OVSSecure OVSFailMode = "Secure"

// OVSPort is a port of an Open vSwitch bridge: an interface of the layout called name, a card, an OVS bond, a patch to another
// bridge, or a DPDK port.
// +kubebuilder:validation:XValidation:rule="(has(self.mac) ? 1 : 0) + (has(self.card) ? 1 : 0) + (has(self.bond) ? 1 : 0) + (has(self.patch) ? 1 : 0) + (has(self.dpdk) ? 1 : 0) <= 1",message="a port is one of mac, card, bond, patch and dpdk, or an interface of the layout by its name: keep one"
// +kubebuilder:validation:XValidation:rule="!(has(self.tag) && has(self.trunks))",message="a port has a tag or trunks: remove one"
type OVSPort struct {
	// name of the port, and of the interface in it.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// mac of a card, or nicN.
	// +optional
	// +kubebuilder:validation:Pattern=`^(nic[0-9]{1,2}|([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})$`
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`
	// card picks one by other marks.
	// +optional
	Card *Card `json:"card,omitempty"`
	// bond of Open vSwitch.
	// +optional
	Bond *OVSBond `json:"bond,omitempty"`
	// patch to a port of another bridge.
	// +optional
	Patch *OVSPatch `json:"patch,omitempty"`
	// dpdk drives a card from userspace.
	// +optional
	DPDK *DPDKPort `json:"dpdk,omitempty"`
	// tag of untagged frames: an access port.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4094
	Tag int32 `json:"tag,omitempty"`
	// trunks are the tags that pass; default all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Minimum=1
	// +kubebuilder:validation:items:Maximum=4094
	Trunks []int32 `json:"trunks,omitempty"`
}

// OVSBond is a bond of Open vSwitch.
type OVSBond struct {
	// mode is active-backup (default), balance-slb, balance-tcp (with LACP) or lacp (active-backup with LACP), as nmstate names them.
	// +optional
	// +kubebuilder:validation:Enum=active-backup;balance-slb;balance-tcp;lacp
	Mode string `json:"mode,omitempty"`
	// ports of the bond.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=2
	// +kubebuilder:validation:MaxItems=8
	Ports []OVSBondPort `json:"ports,omitempty"`
	// upDelay and downDelay in milliseconds.
	// +optional
	// +kubebuilder:validation:Minimum=1
	UpDelay int32 `json:"upDelay,omitempty"`
	// downDelay in milliseconds.
	// +optional
	// +kubebuilder:validation:Minimum=1
	DownDelay int32 `json:"downDelay,omitempty"`
}

// OVSBondPort is one port of an OVS bond.
// +kubebuilder:validation:XValidation:rule="has(self.mac) ? !has(self.card) && !has(self.dpdk) : has(self.card) != has(self.dpdk)",message="a port of a bond is one of mac, card and dpdk: give one"
type OVSBondPort struct {
	// name of the interface.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// mac of a card, or nicN.
	// +optional
	// +kubebuilder:validation:Pattern=`^(nic[0-9]{1,2}|([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2})$`
	// +kubebuilder:validation:MaxLength=17
	MAC string `json:"mac,omitempty"`
	// card picks one by other marks.
	// +optional
	Card *Card `json:"card,omitempty"`
	// dpdk drives a card from userspace.
	// +optional
	DPDK *DPDKPort `json:"dpdk,omitempty"`
}

// OVSPatch joins two bridges.
type OVSPatch struct {
	// peer is the port of the other bridge, whose peer this one must be.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Peer string `json:"peer,omitempty"`
}

// DPDKPort is a card that Open vSwitch drives from userspace.
type DPDKPort struct {
	// pciAddress of the card, which must be bound to a userspace driver.
	// +required
	// +kubebuilder:validation:MaxLength=12
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f][.][0-7]$`
	PCIAddress string `json:"pciAddress,omitempty"`
	// rxQueues is the number of receive queues.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=128
	RxQueues int32 `json:"rxQueues,omitempty"`
	// rxDescriptors is the length of a receive queue, a power of two.
	// +optional
	// +kubebuilder:validation:Enum=1;2;4;8;16;32;64;128;256;512;1024;2048;4096
	RxDescriptors int32 `json:"rxDescriptors,omitempty"`
	// txDescriptors is the length of a transmit queue, a power of two.
	// +optional
	// +kubebuilder:validation:Enum=1;2;4;8;16;32;64;128;256;512;1024;2048;4096
	TxDescriptors int32 `json:"txDescriptors,omitempty"`
}

// OVSDPDK is Open vSwitch's other_config for DPDK (ovs-vswitchd.conf.db(5)).
type OVSDPDK struct {
	// pmdCPUMask are the processors that poll, hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^(0x)?[0-9a-fA-F]+$`
	PMDCPUMask string `json:"pmdCPUMask,omitempty"`
	// lcoreMask are the processors of DPDK's other threads, hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^(0x)?[0-9a-fA-F]+$`
	LcoreMask string `json:"lcoreMask,omitempty"`
	// socketMemory in MiB of each NUMA node.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:Minimum=0
	SocketMemory []int32 `json:"socketMemory,omitempty"`
	// memoryChannels per processor.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	MemoryChannels int32 `json:"memoryChannels,omitempty"`
	// vhostPostcopy is On where guests may be moved while their memory is still being copied.
	// +optional
	// +kubebuilder:validation:Enum=Off;On
	VhostPostcopy Switch `json:"vhostPostcopy,omitempty"`
}

// Dummy is an interface without hardware, or the loopback interface.
type Dummy struct {
	// name of the interface; lo is the loopback interface, which keeps 127.0.0.1 and ::1.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// networks whose addresses it has.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-zA-Z][a-zA-Z0-9_-]*$`
	Networks []string `json:"networks,omitempty"`
	// ip says where its addresses come from; their prefix is Host unless it says otherwise.
	// +optional
	IP *Addressing `json:"ip,omitempty"`
}

// VRF is a routing domain of its own.
type VRF struct {
	// name of the interface that stands for it.
	// +required
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name,omitempty"`
	// table of its routes.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	// +kubebuilder:validation:XValidation:rule="self < 253 || self > 255",message="tables 253 to 255 are the system's: choose another for the VRF"
	Table int64 `json:"table,omitempty"`
	// ports are interfaces of the layout by name, VLANs among them.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=15
	// +kubebuilder:validation:items:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	Ports []string `json:"ports,omitempty"`
}

// InterfaceRoute is a route. Routes of one destination, table and metric that all have a weight share the traffic (ECMP).
// +kubebuilder:validation:XValidation:rule="has(self.type) != has(self.interface)",message="a route leads over an interface, or has a type that leads nowhere: give one of the two"
// +kubebuilder:validation:XValidation:rule="!(has(self.type) && (has(self.nexthop) || has(self.weight)))",message="a route that leads nowhere has neither nexthop nor weight: remove them"
type InterfaceRoute struct {
	// destination network.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="a route's destination must be a network such as 10.0.0.0/8 or fd00::/8"
	Destination string `json:"destination,omitempty"`
	// nexthop address; without it what is sent is on the link itself.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="self == '' || isIP(self)",message="a route's nexthop must be an IP address such as 192.168.122.10 or fd00:122::10"
	Nexthop string `json:"nexthop,omitempty"`
	// interface of the layout it leads over.
	// +optional
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	Interface string `json:"interface,omitempty"`
	// type is Blackhole, Unreachable or Prohibit, which lead nowhere.
	// +optional
	// +kubebuilder:validation:Enum=Blackhole;Unreachable;Prohibit
	Type RouteType `json:"type,omitempty"`
	// metric of the route: the lowest wins.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4294967295
	Metric *int64 `json:"metric,omitempty"`
	// table of the route; default the main one.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	Table int64 `json:"table,omitempty"`
	// weight among routes that share the traffic.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Weight int32 `json:"weight,omitempty"`
	// source address of what is sent.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="self == '' || isIP(self)",message="a route's source must be an IP address of the node"
	Source string `json:"source,omitempty"`
}

// RouteType is a route that leads nowhere.
type RouteType string

// RouteRule says which routing table decides.
// +kubebuilder:validation:XValidation:rule="has(self.from) || has(self.to) || has(self.fwMark) || has(self.iif)",message="a rule needs from, to, fwMark or iif: without any it would decide about everything"
type RouteRule struct {
	// from network.
	// +optional
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="self == '' || isCIDR(self)",message="a rule's from must be a network such as 10.0.0.0/8 or fd00::/8"
	From string `json:"from,omitempty"`
	// to network.
	// +optional
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="self == '' || isCIDR(self)",message="a rule's to must be a network such as 10.0.0.0/8 or fd00::/8"
	To string `json:"to,omitempty"`
	// iif is the interface a packet came in over.
	// +optional
	// +kubebuilder:validation:MaxLength=15
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9_.-]{0,14}$`
	IIF string `json:"iif,omitempty"`
	// fwMark of a packet.
	// +optional
	// +kubebuilder:validation:Minimum=1
	FWMark int64 `json:"fwMark,omitempty"`
	// family of a rule without from and to; default IPv4.
	// +optional
	// +kubebuilder:validation:Enum=IPv4;IPv6
	Family string `json:"family,omitempty"`
	// priority of the rule: the lowest is asked first.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32765
	Priority int32 `json:"priority,omitempty"`
	// table that decides.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4294967295
	Table int64 `json:"table,omitempty"`
}
