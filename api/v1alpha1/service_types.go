package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DataPlaneServiceSpec is one playbook and its inputs.
// +kubebuilder:validation:XValidation:rule="has(self.playbook) || has(self.playbookContents) || has(self.role)",message="set one of spec.playbook, spec.playbookContents or spec.role"
// +kubebuilder:validation:XValidation:rule="!has(self.runTimeoutSeconds) || !has(self.taskTimeoutSeconds) || self.runTimeoutSeconds >= self.taskTimeoutSeconds",message="a task cannot take longer than the run it is in: raise spec.runTimeoutSeconds or lower spec.taskTimeoutSeconds"
type DataPlaneServiceSpec struct {
	// playbook to run: a name in a collection (osp.edpm.bootstrap). Wins over playbookContents and role, as in RHOSO.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$`
	Playbook string `json:"playbook,omitempty"`
	// playbookContents is a playbook as text.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	PlaybookContents string `json:"playbookContents,omitempty"`
	// role to run: a name in a collection (osp.edpm.edpm_bootstrap).
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)*$`
	Role string `json:"role,omitempty"`
	// dataSources are Secrets and ConfigMaps whose keys are laid out for the run as files under
	// /var/lib/openstack/configs/SERVICETYPE/KEY (a path on the controller side, variable edpm_service_data_dir).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	DataSources []DataSource `json:"dataSources,omitempty"`
	// edpmServiceType is the service's type; default its name. Two services of one type do the same thing.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-zA-Z0-9][a-zA-Z0-9_-]*$')",message="edpmServiceType names a folder and a variable's value: begin with a letter or digit and use letters, digits, dashes and underscores alone"
	EDPMServiceType string `json:"edpmServiceType,omitempty"`
	// deployOnAllNodeSets makes the service global: its input covers every node of the namespace, so a node that
	// comes or goes makes it run again on all.
	// +optional
	DeployOnAllNodeSets bool `json:"deployOnAllNodeSets,omitempty"`
	// taskTimeoutSeconds is how long one task may take on one node, each time it is tried; then it has failed there. A task
	// with a timeout of its own keeps that one, and an asynchronous task (async) what it says there.
	// Changing it makes nothing run again.
	// +optional
	// +kubebuilder:default=600
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	TaskTimeoutSeconds int32 `json:"taskTimeoutSeconds,omitempty"`
	// runTimeoutSeconds is how long one run of the service may take on all its nodes together; then it is ended, and has
	// failed on those that had not reached the end. Changing it makes nothing run again.
	// +optional
	// +kubebuilder:default=7200
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	RunTimeoutSeconds int32 `json:"runTimeoutSeconds,omitempty"`
}

const (
	// DefaultTaskTimeoutSeconds is taskTimeoutSeconds where nobody set it.
	DefaultTaskTimeoutSeconds = 600
	// DefaultRunTimeoutSeconds is runTimeoutSeconds where nobody set it.
	DefaultRunTimeoutSeconds = 7200
)

// DataSource is one Secret or ConfigMap.
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.configMapRef)",message="set exactly one of secretRef and configMapRef"
type DataSource struct {
	// secretRef names a Secret in the service's namespace.
	// +optional
	SecretRef *DataSourceRef `json:"secretRef,omitempty"`
	// configMapRef names a ConfigMap in the service's namespace.
	// +optional
	ConfigMapRef *DataSourceRef `json:"configMapRef,omitempty"`
}

// DataSourceRef names an object of data.
type DataSourceRef struct {
	// name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="the name of a data source is not the name of a Secret or ConfigMap: write it as kubectl get shows it"
	Name string `json:"name,omitempty"`
	// optional is true when the service runs without it.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// DataPlaneService is one step of a node's configuration.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:path=dataplaneservices,singular=dataplaneservice,shortName=dps,categories=rackplane
// +kubebuilder:printcolumn:name="Playbook",type=string,JSONPath=`.spec.playbook`
// +kubebuilder:printcolumn:name="Global",type=boolean,JSONPath=`.spec.deployOnAllNodeSets`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DataPlaneService struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the service.
	// +required
	Spec DataPlaneServiceSpec `json:"spec,omitzero"`
}

// DataPlaneServiceList is a list of DataPlaneServices.
//
// +kubebuilder:object:root=true
type DataPlaneServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DataPlaneService `json:"items"`
}
