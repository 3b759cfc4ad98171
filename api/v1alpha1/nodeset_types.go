package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DeploymentPolicy says who starts the runs that bring nodes up to date.
// +kubebuilder:validation:Enum=Auto;Manual
type DeploymentPolicy string

const (
	// DeploymentAuto lets the NodeSet controller create DataPlaneDeployments as inputs change.
	DeploymentAuto DeploymentPolicy = "Auto"
	// DeploymentManual leaves creating DataPlaneDeployments to the user.
	DeploymentManual DeploymentPolicy = "Manual"
)

// NodeSetSpec is the intent for a set of nodes.
// +kubebuilder:validation:XValidation:rule="has(self.replicas) || (has(self.nodes) && size(self.nodes) > 0)",message="set spec.replicas (with spec.hostNameTemplate), spec.nodes, or both"
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || has(self.hostNameTemplate)",message="spec.replicas needs spec.hostNameTemplate, for example compute-%02d"
// +kubebuilder:validation:XValidation:rule="(has(self.preProvisioned) && self.preProvisioned) || has(self.image)",message="spec.image is required unless spec.preProvisioned is true: name the image to write to the hosts"
// +kubebuilder:validation:XValidation:rule="!(has(self.preProvisioned) && self.preProvisioned) || !has(self.replicas)",message="a preProvisioned set lists its nodes in spec.nodes; remove spec.replicas"
// +kubebuilder:validation:XValidation:rule="!(has(self.preProvisioned) && self.preProvisioned) || !has(self.image)",message="a preProvisioned set is not imaged; remove spec.image"
// +kubebuilder:validation:XValidation:rule="(has(self.preProvisioned) && self.preProvisioned) == (has(oldSelf.preProvisioned) && oldSelf.preProvisioned)",message="spec.preProvisioned cannot change: make a new NodeSet"
// +kubebuilder:validation:XValidation:rule="!(has(self.preProvisioned) && self.preProvisioned) || !has(self.nodes) || self.nodes.all(n, has(self.nodes[n].ansible) && has(self.nodes[n].ansible.ansibleHost))",message="a preProvisioned node needs ansible.ansibleHost: the address it answers on"
// +kubebuilder:validation:XValidation:rule="!(has(self.preProvisioned) && self.preProvisioned) || !has(self.nodes) || self.nodes.all(n, has(self.nodes[n].sshHostKeys))",message="a preProvisioned node needs sshHostKeys: the public host keys it answers with (ssh-keyscan them on a trusted path, or read /etc/ssh/ssh_host_*_key.pub)"
type NodeSetSpec struct {
	// preProvisioned is true for nodes that already run an operating system and are reached over SSH only: no host is claimed, powered or imaged.
	// +optional
	PreProvisioned bool `json:"preProvisioned,omitempty"`

	// replicas is the number of nodes named by hostNameTemplate, indices 0 to replicas-1. Nodes named in nodes come on top.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	Replicas *int32 `json:"replicas,omitempty"`

	// hostNameTemplate names the nodes of replicas: a host name with one integer verb such as %d or %02d.
	// +optional
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9-])?%(0[1-9])?d([a-z0-9-]*[a-z0-9])?$`
	HostNameTemplate string `json:"hostNameTemplate,omitempty"`

	// nodes are explicit nodes by name, each overriding nodeTemplate. The key is the node's name and its default host name.
	// +optional
	// +kubebuilder:validation:MaxProperties=1000
	// +kubebuilder:validation:XValidation:rule="self.all(n, n.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'))",messageExpression="'the names in spec.nodes are at most 63 lower-case letters, digits and dashes; rename ' + self.filter(n, !n.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'))[0]"
	// +kubebuilder:validation:XValidation:rule="self.all(n, !(n in ['all', 'localhost', 'ungrouped']))",message="all, localhost and ungrouped mean something else to Ansible: rename the node in spec.nodes"
	Nodes map[string]NodeSection `json:"nodes,omitempty"`

	// hosts says which BareMetalHosts may serve this set's nodes.
	// +optional
	Hosts HostSelection `json:"hosts,omitempty,omitzero"`

	// image is written to each claimed host.
	// +optional
	Image *Image `json:"image,omitempty"`

	// nodeTemplate applies to every node of the set.
	// +required
	NodeTemplate NodeTemplate `json:"nodeTemplate,omitzero"`

	// services are the names of DataPlaneServices in this namespace, run in this order on each node.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(s, s.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$'))",message="spec.services lists what is not the name of a DataPlaneService: write it as kubectl get shows it"
	// +kubebuilder:validation:XValidation:rule="self.all(s, self.exists_one(t, t == s))",message="spec.services lists a service twice: remove the second one"
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:MinLength=1
	Services []string `json:"services,omitempty"`

	// openstack is the cloud the nodes join as computes. Without it a node is Ready once it is Configured.
	// +optional
	OpenStack *OpenStackJoin `json:"openstack,omitempty"`

	// deletionPolicy says what becomes of the server of a node that is deleted, with the set or alone: Delete (default)
	// drains, erases and frees it; Retain leaves it running and claimed, and only the objects go.
	// +optional
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// adoption says what a pre-provisioned node may look like before the first service runs on it.
	// +optional
	Adoption AdoptionSpec `json:"adoption,omitempty,omitzero"`

	// deployment says how service runs are rolled out.
	// +optional
	Deployment RolloutSpec `json:"deployment,omitempty,omitzero"`
}

// RolloutSpec says how service runs reach the nodes.
type RolloutSpec struct {
	// policy is Auto (default) or Manual.
	// +optional
	// +kubebuilder:default=Auto
	Policy DeploymentPolicy `json:"policy,omitempty"`
}

// HostSelection picks BareMetalHosts.
type HostSelection struct {
	// namespace of the BareMetalHosts; empty means the NodeSet's own.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')",message="hosts.namespace is not the name of a namespace: write it as kubectl get shows it"
	Namespace string `json:"namespace,omitempty"`

	// selector must match the host's labels; empty matches every host of the namespace.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// requirements the host's inspected hardware must meet.
	// +optional
	Requirements HardwareRequirements `json:"requirements,omitempty,omitzero"`
}

// HardwareRequirements are lower bounds on inspected hardware. Zero asks for nothing.
type HardwareRequirements struct {
	// cpu bounds the processors.
	// +optional
	CPU CPURequirement `json:"cpu,omitempty,omitzero"`
	// memory bounds the RAM.
	// +optional
	Memory MemoryRequirement `json:"memory,omitempty,omitzero"`
	// nics bounds the network interfaces.
	// +optional
	NICs NICRequirement `json:"nics,omitempty,omitzero"`
	// disk bounds the largest disk.
	// +optional
	Disk DiskRequirement `json:"disk,omitempty,omitzero"`
}

// CPURequirement bounds processors.
type CPURequirement struct {
	// arch as Ironic's inspection reports it, for example x86_64 or aarch64.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9_]+$')",message="cpu.arch must be a processor's name such as x86_64 or aarch64"
	Arch string `json:"arch,omitempty"`
	// minCount is the least number of logical processors.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinCount int32 `json:"minCount,omitempty"`
}

// MemoryRequirement bounds RAM.
type MemoryRequirement struct {
	// minGiB is the least RAM in GiB.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinGiB int32 `json:"minGiB,omitempty"`
}

// NICRequirement bounds network interfaces.
type NICRequirement struct {
	// minCount is the least number of interfaces of at least minGbps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinCount int32 `json:"minCount,omitempty"`
	// minGbps is the least speed in Gbit/s that makes an interface count.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinGbps int32 `json:"minGbps,omitempty"`
}

// DiskRequirement bounds disks.
type DiskRequirement struct {
	// minGiB is the least size in GiB of the host's largest disk.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinGiB int32 `json:"minGiB,omitempty"`
}

// Image is an operating system image, as Metal3's BareMetalHost spec.image.
type Image struct {
	// url of the image, http or https.
	// +required
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://') && isURL(self)",message="image.url must be a URL, http or https, of what is written to the disk"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?#]*@')",message="image.url holds a user name or password, which everybody who may read the NodeSet would see: serve the image without, or on a network of the servers alone"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]*$')",message="image.url holds spaces or characters that URLs have not: percent-encode them"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://(169[.]254[.]|[[](fe[89abAB]|FE[89abAB]|fd00:ec2:|FD00:EC2:|::ffff:|::FFFF:))')",message="image.url names a link-local or metadata address: name the image server"
	URL string `json:"url,omitempty"`
	// checksum of the image, or the URL of a file that holds it. Required: an image that cannot be verified is not deployed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9a-fA-F]+$') || (self.matches('^https?://[!-~]*$') && isURL(self))",message="image.checksum must be hexadecimal, or the URL (http or https) of a file that holds it"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://[^/?#]*@')",message="image.checksum holds a user name or password, which everybody who may read the NodeSet would see: serve it without"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[a-z]+://(169[.]254[.]|[[](fe[89abAB]|FE[89abAB]|fd00:ec2:|FD00:EC2:|::ffff:|::FFFF:))')",message="image.checksum names a link-local or metadata address: name the image server"
	Checksum string `json:"checksum,omitempty"`
	// checksumType is sha256 (default), sha512 or auto (told by length).
	// +optional
	// +kubebuilder:default=sha256
	// +kubebuilder:validation:Enum=sha256;sha512;auto
	ChecksumType string `json:"checksumType,omitempty"`
	// format is qcow2 (default) or raw.
	// +optional
	// +kubebuilder:default=qcow2
	// +kubebuilder:validation:Enum=qcow2;raw
	Format string `json:"format,omitempty"`
}

// NodeTemplate applies to all nodes of a set.
type NodeTemplate struct {
	// ansibleSSHPrivateKeySecret names a Secret in the NodeSet's namespace whose key ssh-privatekey logs in to the nodes.
	// For bare-metal nodes its public half (key authorized_keys or ssh-publickey, else derived) is installed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="ansibleSSHPrivateKeySecret is not the name of a Secret: write it as kubectl get shows it"
	AnsibleSSHPrivateKeySecret string `json:"ansibleSSHPrivateKeySecret,omitempty"`

	// ansible variables and login shared by all nodes.
	// +optional
	Ansible AnsibleOptions `json:"ansible,omitempty,omitzero"`

	// networks each node gets an address on. The control-plane network (NetConfig serviceNetwork ctlplane) must be among them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Networks []NodeNetwork `json:"networks,omitempty"`

	// networkConfig lays the networks out on the host's interfaces. When absent, ctlplane goes untagged on the card the host boots
	// over (its bootMACAddress, if that card has a link), every other network is tagged with its VLAN on it, and networks without
	// a VLAN go untagged on the next cards, those with a link first.
	// +optional
	NetworkConfig *NetworkConfig `json:"networkConfig,omitempty"`
}

// NodeSection is one explicit node. What is set here replaces what nodeTemplate says.
type NodeSection struct {
	// hostName of the node; default its key.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')",message="hostName must be a lower-case DNS name whose labels have at most 63 characters, such as compute-0.example.com"
	HostName string `json:"hostName,omitempty"`
	// bmhLabelSelector are labels the node's BareMetalHost must have, on top of spec.hosts.selector.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	BMHLabelSelector map[string]string `json:"bmhLabelSelector,omitempty"`
	// networks replaces nodeTemplate.networks.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Networks []NodeNetwork `json:"networks,omitempty"`
	// networkConfig replaces nodeTemplate.networkConfig.
	// +optional
	NetworkConfig *NetworkConfig `json:"networkConfig,omitempty"`
	// nics are the node's cards as the layout calls them: nic0 to nic99, each a MAC address or the name the card was inspected
	// under. What is named here goes before what is counted, so that nodes which are cabled otherwise share a layout.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NICs map[string]NICReference `json:"nics,omitempty"`
	// ansible adds to and overrides nodeTemplate.ansible, variable by variable.
	// +optional
	Ansible AnsibleOptions `json:"ansible,omitempty,omitzero"`
	// sshHostKeys pins a pre-provisioned node's public host keys, each in authorized_keys form ("ssh-ed25519 AAAA...").
	// Nodes deployed by Rackplane get a generated key instead; leave this empty for them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MaxLength=2048
	// +kubebuilder:validation:items:Pattern=`^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)) [A-Za-z0-9+/]+={0,2}( [ -~]*)?$`
	SSHHostKeys []string `json:"sshHostKeys,omitempty"`
}

// NICReference is a card's MAC address or name.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=17
// +kubebuilder:validation:Pattern=`^(([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}|[a-z][a-z0-9_.-]{0,14})$`
type NICReference string

// AnsibleOptions are how Ansible logs in and the variables it gets.
type AnsibleOptions struct {
	// ansibleUser logs in; default cloud-admin.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-zA-Z0-9_][a-zA-Z0-9_.@-]*$')",message="ansibleUser must be a user name: letters, digits, dots, dashes, underscores and @, and begin with none of .-@"
	AnsibleUser string `json:"ansibleUser,omitempty"`
	// ansibleHost is the address SSH connects to; default the node's ctlplane address.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || isIP(self) || (self.matches('^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?([.][a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$') && !self.matches('(^|[.])(0[xX][0-9a-fA-F]*|[0-9]+)$'))",message="ansibleHost must be an IP address or a DNS name"
	AnsibleHost string `json:"ansibleHost,omitempty"`
	// ansiblePort is the SSH port; default 22.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	AnsiblePort int32 `json:"ansiblePort,omitempty"`
	// ansibleVars are inventory variables: any JSON value by name.
	// +optional
	// +kubebuilder:validation:MaxProperties=256
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:pruning:PreserveUnknownFields
	// +kubebuilder:validation:Type=object
	AnsibleVars map[string]apiextensionsv1.JSON `json:"ansibleVars,omitempty"`
}

// NodeNetwork asks for an address on one subnet.
type NodeNetwork struct {
	// name of the network in the NetConfig.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z][a-zA-Z0-9_-]*$')",message="the name of a network must begin with a letter and hold letters, digits, dashes and underscores alone"
	Name string `json:"name,omitempty"`
	// subnetName of that network; may be left out when the network has one subnet.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-zA-Z0-9][a-zA-Z0-9_.-]*$')",message="subnetName must begin with a letter or digit and hold letters, digits, dots, dashes and underscores alone"
	SubnetName string `json:"subnetName,omitempty"`
	// fixedIP asks for this very address, which may lie outside the allocation ranges. A server that runs keeps the address
	// it has all the same, and Planned tells: delete its node to have it come back with this one.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="self == '' || isIP(self)",message="fixedIP must be an IP address such as 192.168.122.10 or fd00:122::10"
	FixedIP string `json:"fixedIP,omitempty"`
	// defaultRoute makes this subnet's gateway the node's default route.
	// +optional
	DefaultRoute bool `json:"defaultRoute,omitempty"`
}

// NodeSetStatus is what the NodeSet controller last saw. Losing it is harmless.
type NodeSetStatus struct {
	// conditions are what the last pass saw; see conditions.go.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the spec generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// cloud identifies the cloud that the set joins, by its Keystone and region: sets of any namespace with the same one
	// share their host names.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Cloud string `json:"cloud,omitempty"`
	// replicas is the number of nodes the set has now.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// readyReplicas is the number of nodes whose Ready condition is True.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`
	// updatedReplicas is the number of nodes with a good result for every service's current input.
	// +optional
	UpdatedReplicas int32 `json:"updatedReplicas,omitempty"`
	// settling is a change of what global services get (deployOnAllNodeSets) that nodes which have an earlier input wait for:
	// other nodes are coming, and change it again. Losing it makes them wait longer, never run twice.
	// +optional
	Settling *Settling `json:"settling,omitempty"`
}

// Settling is a change that waits for others.
type Settling struct {
	// input identifies what global services get now.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Input string `json:"input,omitempty"`
	// since is when the first change was seen that nodes wait for.
	// +required
	Since metav1.Time `json:"since,omitzero"`
	// changed is when the last was seen.
	// +required
	Changed metav1.Time `json:"changed,omitzero"`
}

// NodeSet is the intent for a set of OpenStack computes.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas
// +kubebuilder:resource:path=nodesets,singular=nodeset,shortName=nset,categories=rackplane
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Updated",type=integer,JSONPath=`.status.updatedReplicas`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="!(self.metadata.name in ['all', 'localhost', 'ungrouped'])",message="metadata.name: all, localhost and ungrouped mean something else to Ansible: rename the NodeSet"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name of a NodeSet is at most 40 characters: names of Secrets and runs are made from it"
type NodeSet struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the intent.
	// +required
	Spec NodeSetSpec `json:"spec,omitzero"`
	// status is what was seen.
	// +optional
	Status NodeSetStatus `json:"status,omitempty,omitzero"`
}

// NodeSetList is a list of NodeSets.
//
// +kubebuilder:object:root=true
type NodeSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeSet `json:"items"`
}
