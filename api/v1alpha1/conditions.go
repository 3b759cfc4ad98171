package v1alpha1

// Condition types of DataPlaneNode, in the order a node passes them. Each says what the last pass
// saw: True = so, False = not (reason Waiting... = time will tell, any other = needs attention),
// Unknown = was so, and what could tell does not answer, absent = an earlier step has not passed yet. Messages name what
// is waited for or wrong and the remedy; they hold no time, so that two passes over the same world write nothing.
const (
	// ConditionClaimed: the host in spec.host carries a consumerRef with this node's UID.
	ConditionClaimed = "Claimed"
	// ConditionAddressed: every wanted network has an address in spec.networks.
	ConditionAddressed = "Addressed"
	// ConditionProvisioned: the wanted image is on the host, it is powered on and answers SSH with the pinned host key.
	ConditionProvisioned = "Provisioned"
	// ConditionAdoptable: a pre-provisioned node was looked at, and nothing found speaks against running services on it.
	ConditionAdoptable = "Adoptable"
	// ConditionNetworked: the node has the network that is rendered for it.
	ConditionNetworked = "Networked"
	// ConditionConfigured: every service has a good result for its current input; a global one that is to run again, since it has
	// something new to tell of other nodes, for an earlier one.
	ConditionConfigured = "Configured"
	// ConditionJoined: the cloud that spec.openstack names has the node as a compute that is up, mapped into its cell
	// and reached by its network. Lowered when that ceases, raised again when it is back; Unknown while the cloud itself
	// does not answer.
	ConditionJoined = "Joined"
	// ConditionReady: all of the above, on every kind. On NodeSets: every wanted node exists and is Ready. On deployments: all runs succeeded.
	ConditionReady = "Ready"
)

// Condition types of NodeSet and DataPlaneDeployment beside Ready.
const (
	// ConditionInputReady: every object the spec names exists and makes sense. On NodeSets and deployments.
	ConditionInputReady = "InputReady"
	// ConditionPlanned: every wanted node has a host and addresses. On NodeSets.
	ConditionPlanned = "Planned"
)

// Condition reasons.
const (
	// ReasonDone: the condition is True.
	ReasonDone = "Done"
	// ReasonNotNeeded: the condition is True because the node does not need the step (pre-provisioned).
	ReasonNotNeeded = "NotNeeded"

	// ReasonNoHost: no eligible host is left for the node; the message says what excludes each remaining one.
	ReasonNoHost = "NoHost"
	// ReasonHostLost: the host is gone, was made anew, or another consumer took it first.
	ReasonHostLost = "HostLost"
	// ReasonAddressExhausted: a subnet has no free address in its ranges.
	ReasonAddressExhausted = "AddressExhausted"
	// ReasonInvalidInput: a spec names something missing or malformed; the message names object, field and remedy.
	ReasonInvalidInput = "InvalidInput"

	// ReasonWaitingForPlan: the NodeSet controller has decided nothing for the node; its condition Planned tells if something is missing.
	ReasonWaitingForPlan = "WaitingForPlan"
	// ReasonWaitingForHost: the host is being registered, inspected, cleaned or imaged.
	ReasonWaitingForHost = "WaitingForHost"
	// ReasonHostError: the host's own status reports an error; it is retried on the host's schedule.
	ReasonHostError = "HostError"
	// ReasonWaitingForSSH: the host is on but does not answer SSH with the pinned key yet.
	ReasonWaitingForSSH = "WaitingForSSH"
	// ReasonSSHUnreachable: the host is on and has not answered SSH within the expected time; still tried.
	ReasonSSHUnreachable = "SSHUnreachable"
	// ReasonHostKeyMismatch: something answers SSH with another host key; never trusted.
	ReasonHostKeyMismatch = "HostKeyMismatch"
	// ReasonWaitingForNetwork: the rendered network has not been applied yet.
	ReasonWaitingForNetwork = "WaitingForNetwork"
	// ReasonWaitingForServices: services are still to run.
	ReasonWaitingForServices = "WaitingForServices"
	// ReasonServiceFailed: a service failed on the node; the message names it and the task; retried with backoff.
	ReasonServiceFailed = "ServiceFailed"
	// ReasonNotAdoptable: what was found on a pre-provisioned node is not what is wanted; nothing was changed on it.
	ReasonNotAdoptable = "NotAdoptable"
	// ReasonWaitingForCompute: nova-compute has not reported to the cloud yet.
	ReasonWaitingForCompute = "WaitingForCompute"
	// ReasonWaitingForMapping: the compute is not mapped into its cell yet.
	ReasonWaitingForMapping = "WaitingForMapping"
	// ReasonWaitingForInventory: the resource provider is not there yet, or has no processors, memory or disk.
	ReasonWaitingForInventory = "WaitingForInventory"
	// ReasonWaitingForChassis: OVN does not have the node's chassis yet, or not as wanted.
	ReasonWaitingForChassis = "WaitingForChassis"
	// ReasonWaitingForAgent: a network agent of the node has not reported to Neutron yet.
	ReasonWaitingForAgent = "WaitingForAgent"
	// ReasonWaitingForAggregates: aggregates, availability zone or traits are being set.
	ReasonWaitingForAggregates = "WaitingForAggregates"
	// ReasonServiceDown: the compute service or a network agent was up and no longer is.
	ReasonServiceDown = "ServiceDown"
	// ReasonServiceDisabled: an operator disabled the compute service; the message gives the reason kept in Nova.
	ReasonServiceDisabled = "ServiceDisabled"
	// ReasonNameClash: another compute or chassis of the cloud has the node's name, address or identity.
	ReasonNameClash = "NameClash"
	// ReasonReleasing: the node is being deleted and its host handed back.
	ReasonReleasing = "Releasing"
	// ReasonProgressing: nodes or runs are still under way.
	ReasonProgressing = "Progressing"
	// ReasonQueued: another deployment comes first on one of the nodes; the message names it.
	ReasonQueued = "Queued"
	// ReasonDegraded: some nodes need attention; the message names the first ones.
	ReasonDegraded = "Degraded"
	// ReasonFailed: the deployment ended with failed nodes.
	ReasonFailed = "Failed"
	// ReasonTransient: an effect failed in a way that passes by itself (API or Ironic unreachable); retried with backoff.
	ReasonTransient = "Transient"
	// ReasonBusy: someone else holds what the step needs right now; asked again soon.
	ReasonBusy = "Busy"
	// ReasonLost: a decision no longer holds; it is made again.
	ReasonLost = "Lost"
	// ReasonDenied: credentials are refused; the message says which and where to correct them.
	ReasonDenied = "Denied"
	// ReasonRejected: what was asked for is wrong as written; only a changed spec helps.
	ReasonRejected = "Rejected"
	// ReasonMissing: something the step acts on does not exist.
	ReasonMissing = "Missing"
	// ReasonUnsupported: the other side cannot do what is asked of it.
	ReasonUnsupported = "Unsupported"
)

// DeletionPolicy says what the deletion of an object means for the servers it stands for.
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionPolicy string

const (
	// DeletionDelete hands the servers back: drained, erased, off and free.
	DeletionDelete DeletionPolicy = "Delete"
	// DeletionRetain lets the object go and leaves the servers running, untouched.
	DeletionRetain DeletionPolicy = "Retain"
)

const (
	// Finalizer holds a DataPlaneNode until its host is handed back, a DataPlaneDeployment until none of its runs
	// is under way, and a NodeSet until its nodes and deployments are gone.
	Finalizer = "dataplane.rackplane.dev/release"
	// NodeSetLabel on DataPlaneNodes and DataPlaneDeployments names their NodeSet.
	NodeSetLabel = "dataplane.rackplane.dev/nodeset"
	// NodeLabel on Secrets made for a node names the DataPlaneNode.
	NodeLabel = "dataplane.rackplane.dev/node"
	// DeploymentAnnotation on a BareMetalHost is the id of what was last handed over to its server, written before anything
	// is done. What is on a server is changed only while Ironic's node records the same id.
	DeploymentAnnotation = "dataplane.rackplane.dev/deployment"
	// ReleaseAnnotation on a BareMetalHost orders that what is on the server may be erased although nothing else says so,
	// as long as it is what the value names. `rackplane release --force` writes it, once.
	ReleaseAnnotation = "dataplane.rackplane.dev/release"
	// CordonAnnotation on a BareMetalHost keeps it from being given out; the value is the reason. A node that has it keeps it.
	CordonAnnotation = "dataplane.rackplane.dev/cordon"
	// MaintenanceAnnotation says the same of a server that somebody works on.
	MaintenanceAnnotation = "dataplane.rackplane.dev/maintenance"
	// QuarantineAnnotation says the same of a server that keeps failing.
	QuarantineAnnotation = "dataplane.rackplane.dev/quarantine"
	// HeldAnnotation on a BareMetalHost that is held names what is on its server, for ReleaseAnnotation.
	HeldAnnotation = "dataplane.rackplane.dev/held"
	// DeletionPolicyAnnotation on a BareMetalHost or DataPlaneNode is a DeletionPolicy; on a node it goes before its set's.
	DeletionPolicyAnnotation = "dataplane.rackplane.dev/deletion-policy"
	// DiscoveryAnnotation on a CronJob, with the value "true", is its owner's word that a NodeSet may name it for cell
	// discovery and have it started whenever a compute waits to be mapped, whatever its schedule and suspend say.
	DiscoveryAnnotation = "dataplane.rackplane.dev/discovery"
	// CtlplaneNetwork is the control-plane network's name or serviceNetwork.
	CtlplaneNetwork = "ctlplane"
	// DefaultAnsibleUser logs in to nodes when no ansibleUser is given (RHOSO 18 webhook default).
	DefaultAnsibleUser = "cloud-admin"
)
