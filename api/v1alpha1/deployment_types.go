package v1alpha1

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DataPlaneDeploymentSpec is one run of services over nodes. It cannot change: make another one.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a DataPlaneDeployment (nodeSet, nodes, servicesOverride) cannot change: make a new one"
type DataPlaneDeploymentSpec struct {
	// nodeSet whose nodes are run.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="nodeSet is not the name of a NodeSet: write it as kubectl get shows it"
	NodeSet string `json:"nodeSet,omitempty"`
	// nodes limits the run to these DataPlaneNodes; empty means all of the set.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=5000
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Nodes []string `json:"nodes,omitempty"`
	// servicesOverride replaces the NodeSet's services for this run, in this order.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	ServicesOverride []string `json:"servicesOverride,omitempty"`
}

// RunState is where one Ansible run stands.
// +kubebuilder:validation:Enum=Running;Succeeded;Failed
type RunState string

const (
	// RunRunning means the run was decided and may have started.
	RunRunning RunState = "Running"
	// RunSucceeded means every node of the run ended well.
	RunSucceeded RunState = "Succeeded"
	// RunFailed means at least one node failed or was unreachable; the others went on.
	RunFailed RunState = "Failed"
)

// RunStatus is one Ansible run: one service over some nodes. It is written before the run starts.
type RunStatus struct {
	// service is the DataPlaneService's name.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Service string `json:"service,omitempty"`
	// key identifies the run by content: playbook, inventory, nodes and deployment.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
	// lease is the key of the Lease that the run holds its nodes by (named rackplane-run-KEY): runs that follow one another on
	// the same nodes share one. Empty means the run's own key.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Lease string `json:"lease,omitempty"`
	// nodeIndexes are the nodes of the run, as places in spec.nodes, or in status.nodes where that names none.
	// +required
	NodeIndexes Indexes `json:"nodeIndexes,omitempty"`
	// nodeCount is how many they are.
	// +optional
	NodeCount int32 `json:"nodeCount,omitempty"`
	// leftIndexes are the nodes that have reached the end of a run, well, that goes on for others, which are late: they go on to
	// their next service. Empty once the run has ended.
	// +optional
	LeftIndexes Indexes `json:"leftIndexes,omitempty"`
	// state of the run.
	// +required
	State RunState `json:"state,omitempty"`
	// failedIndexes are the nodes on which it failed; each node's status.services says why.
	// +optional
	FailedIndexes Indexes `json:"failedIndexes,omitempty"`
	// failedCount is how many they are.
	// +optional
	FailedCount int32 `json:"failedCount,omitempty"`
	// startedAt is when the run was decided.
	// +required
	StartedAt metav1.Time `json:"startedAt,omitzero"`
	// finishedAt is when the run was seen to have ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// LeaseKey is the key of the Lease that the run holds its nodes by.
func (r *RunStatus) LeaseKey() string { return cmp.Or(r.Lease, r.Key) }

// DataPlaneDeploymentStatus is where the runs stand.
type DataPlaneDeploymentStatus struct {
	// conditions are what the last pass saw; see conditions.go.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the spec generation the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// inputsSecret names the immutable Secret that holds the snapshot of the inputs the runs use.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	InputsSecret string `json:"inputsSecret,omitempty"`
	// nodes that the deployment is about, by name, where spec.nodes names none: those that the set had when its inputs were taken.
	// No name stands twice in a deployment: its runs tell places in the list.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=6000
	// +kubebuilder:validation:items:MaxLength=253
	Nodes []string `json:"nodes,omitempty"`
	// runs made so far, in the order they were decided: one per service, and more where nodes that are late were left behind.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MaxItems=256
	Runs []RunStatus `json:"runs,omitempty"`
}

// DataPlaneDeployment is one run of services over the nodes of a NodeSet.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=dataplanedeployments,singular=dataplanedeployment,shortName=dpd,categories=rackplane
// +kubebuilder:printcolumn:name="NodeSet",type=string,JSONPath=`.spec.nodeSet`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type DataPlaneDeployment struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is the standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what to run.
	// +required
	Spec DataPlaneDeploymentSpec `json:"spec,omitzero"`
	// status is where it stands.
	// +optional
	Status DataPlaneDeploymentStatus `json:"status,omitempty,omitzero"`
}

// NodeNames is the list that the indexes of the runs are places in. It never changes once a run was decided.
func (d *DataPlaneDeployment) NodeNames() []string {
	if len(d.Spec.Nodes) > 0 {
		return d.Spec.Nodes
	}
	return d.Status.Nodes
}

// RunOn returns the run that goes on for the node; nil when none does.
func (d *DataPlaneDeployment) RunOn(node string) *RunStatus {
	place := slices.Index(d.NodeNames(), node)
	if place < 0 {
		return nil
	}
	for i := range d.Status.Runs {
		run := &d.Status.Runs[i]
		if run.State == RunRunning && run.NodeIndexes.Has(place) && !run.LeftIndexes.Has(place) {
			return run
		}
	}
	return nil
}

// DataPlaneDeploymentList is a list of DataPlaneDeployments.
//
// +kubebuilder:object:root=true
type DataPlaneDeploymentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []DataPlaneDeployment `json:"items"`
}
