package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// HostReference names a BareMetalHost. The UID is part of it because host names are reused:
// a host that was deleted and made again is another host.
type HostReference struct {
	// namespace of the host.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="host.namespace is not the name of a namespace: write it as kubectl get shows it"
	Namespace string `json:"namespace,omitempty"`
	// name of the host.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="host.name is not the name of a BareMetalHost: write it as kubectl get shows it"
	Name string `json:"name,omitempty"`
	// uid of the host.
	// +required
	UID types.UID `json:"uid,omitempty"`
}

// Address is an address held by a node. The AddressBlock it is in names the node first: that is what reserves it.
type Address struct {
	// network is the NetConfig network's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z][a-zA-Z0-9_-]*$')",message="the name of a network must begin with a letter and hold letters, digits, dashes and underscores alone"
	Network string `json:"network,omitempty"`
	// subnet is the NetConfig subnet's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][a-zA-Z0-9_.-]*$')",message="the name of a subnet must begin with a letter or digit and hold letters, digits, dots, dashes and underscores alone"
	Subnet string `json:"subnet,omitempty"`
	// address without prefix length.
	// +required
	// +kubebuilder:validation:MaxLength=45
	// +kubebuilder:validation:XValidation:rule="isIP(self)",message="address must be an IP address such as 192.168.122.10 or fd00:122::10"
	Address string `json:"address,omitempty"`
	// defaultRoute is true on the network whose gateway is the node's default route.
	// +optional
	DefaultRoute bool `json:"defaultRoute,omitempty"`
}

// ServiceInput is the decision which input of a service a node should have.
type ServiceInput struct {
	// name of the DataPlaneService.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="the name of a service is not the name of a DataPlaneService: write it as kubectl get shows it"
	Name string `json:"name,omitempty"`
	// inputHash identifies everything the run would give this node: playbook, variables, data sources.
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-z]*$`
	InputHash string `json:"inputHash,omitempty"`
}

// DataPlaneNodeSpec is what was decided for a node. The NodeSet controller is its only writer.
type DataPlaneNodeSpec struct {
	// hostName of the node.
	// +required
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?([.][a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$')",message="hostName must be a lower-case DNS name whose labels have at most 63 characters, such as compute-0.example.com"
	HostName string `json:"hostName,omitempty"`
	// host is the BareMetalHost planned for the node; nil while none fits, or for pre-provisioned nodes.
	// +optional
	Host *HostReference `json:"host,omitempty"`
	// networks are the addresses the node holds.
	// +optional
	// +listType=map
	// +listMapKey=network
	// +kubebuilder:validation:MaxItems=32
	Networks []Address `json:"networks,omitempty"`
	// networkHash identifies the network that was rendered from the addresses, the set's layout and the host's interfaces.
	// Nothing acts on another rendering. Empty while there is none: condition Addressed tells why.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]*$`
	NetworkHash string `json:"networkHash,omitempty"`
	// services are the wanted inputs, in run order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Services []ServiceInput `json:"services,omitempty"`
}

// ServiceResultState is how the last run of a service on a node ended.
// +kubebuilder:validation:Enum=Succeeded;Failed;Unreachable
type ServiceResultState string

const (
	// ServiceSucceeded means the run ended well on this node.
	ServiceSucceeded ServiceResultState = "Succeeded"
	// ServiceFailed means a task failed on this node.
	ServiceFailed ServiceResultState = "Failed"
	// ServiceUnreachable means Ansible lost or never got the connection to this node.
	ServiceUnreachable ServiceResultState = "Unreachable"
)

// ServiceResult is the last run of one service on a node.
type ServiceResult struct {
	// name of the DataPlaneService.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`
	// inputHash the run was made with.
	// +required
	// +kubebuilder:validation:MaxLength=64
	InputHash string `json:"inputHash,omitempty"`
	// result of the run.
	// +required
	Result ServiceResultState `json:"result,omitempty"`
	// changed is the number of tasks that changed the node; 0, too, when the machine that the run was on was lost before it
	// was written.
	// +optional
	Changed int32 `json:"changed,omitempty"`
	// failures counts failed runs in a row with this inputHash; 0 after a good one.
	// +optional
	Failures int32 `json:"failures,omitempty"`
	// message says in one line which task failed and why; on success what there is to tell that is no failure,
	// such as a reboot that is due and was not asked for, else it is empty.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	Message string `json:"message,omitempty"`
	// deployment is the DataPlaneDeployment that ran it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Deployment string `json:"deployment,omitempty"`
	// finishedAt is when the run ended.
	// +required
	FinishedAt metav1.Time `json:"finishedAt,omitzero"`
}

// DataPlaneNodeStatus is what was seen of a node. The node controller writes all of it but services,
// which only the deployment controller writes.
type DataPlaneNodeStatus struct {
	// conditions are what the last pass saw; see conditions.go.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the spec generation the conditions speak of. One that changes nothing else of the status, such as
	// another input of a global service, is only written with what does.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// sshHostKey is the public host key the node must answer with, in authorized_keys form.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	SSHHostKey string `json:"sshHostKey,omitempty"`
	// address of the node on the control-plane network, which any network may be by its role.
	// +optional
	// +kubebuilder:validation:MaxLength=45
	Address string `json:"address,omitempty"`
	// deployedHash identifies image, user data and network data that were last handed to the host for writing.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	DeployedHash string `json:"deployedHash,omitempty"`
	// openstack is what the cloud called the node when it was last seen there.
	// +optional
	OpenStack *ComputeStatus `json:"openstack,omitempty"`
	// services are the last results, one per service.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Services []ServiceResult `json:"services,omitempty"`
}

// DataPlaneNode is one node of a NodeSet: the unit of retry, backoff, conditions and events.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=dataplanenodes,singular=dataplanenode,shortName=dpn,categories=rackplane
// +kubebuilder:printcolumn:name="Host",type=string,JSONPath=`.spec.host.name`
// +kubebuilder:printcolumn:name="Address",type=string,JSONPath=`.status.address`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.conditions[?(@.type=="Ready")].lastTransitionTime`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type DataPlaneNode struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what was decided.
	// +required
	Spec DataPlaneNodeSpec `json:"spec,omitzero"`
	// status is what was seen.
	// +optional
	Status DataPlaneNodeStatus `json:"status,omitempty,omitzero"`
}

// DataPlaneNodeList is a list of DataPlaneNodes.
//
// +kubebuilder:object:root=true
type DataPlaneNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DataPlaneNode `json:"items"`
}
