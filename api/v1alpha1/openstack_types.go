package v1alpha1

// OpenStackJoin says which cloud a set's nodes join as computes, and what must be so for them to be Ready.
type OpenStackJoin struct {
	// cloudsSecret is a Secret in this namespace with the key clouds.yaml (openstacksdk's format; passwords or an
	// application credential of a user that may list compute services, hypervisors, resource providers and network
	// agents, and change aggregates and traits where they are asked for) and, for a private CA, the key ca.crt.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="cloudsSecret is not the name of a Secret: write it as kubectl get shows it"
	CloudsSecret string `json:"cloudsSecret,omitempty"`

	// cloud is the entry of clouds.yaml to use.
	// +optional
	// +default="default"
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^[:cntrl:]]*$')",message="openstack.cloud holds control characters: write it as in clouds.yaml"
	Cloud string `json:"cloud,omitempty"`

	// southbound is OVN's southbound database, where each node's chassis is looked for. Without it the chassis is
	// taken from Neutron's list of agents, which shows neither encapsulation nor bridge mappings.
	// +optional
	Southbound *OVNSouthbound `json:"southbound,omitempty"`

	// discovery says how a new compute gets mapped into its cell.
	// +optional
	Discovery CellDiscovery `json:"discovery,omitempty,omitzero"`

	// availabilityZone the nodes are in: a host aggregate of this name and zone is made when there is none.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[^:/[:cntrl:]]+$')",message="availabilityZone must be a name without colons, slashes and control characters"
	AvailabilityZone string `json:"availabilityZone,omitempty"`

	// aggregates are host aggregates the nodes are members of; a missing one is made. Other memberships are left alone.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.all(a, a.matches('^[^[:cntrl:]]+$'))",message="aggregates must be names without control characters"
	Aggregates []string `json:"aggregates,omitempty"`

	// traits are set on each node's resource provider; a missing CUSTOM_ one is made. Other traits are left alone.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:Pattern=`^[A-Z0-9_]+$`
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	Traits []string `json:"traits,omitempty"`
}

// OVNSouthbound is how OVN's southbound database is reached.
// +kubebuilder:validation:XValidation:rule="!self.endpoints.exists(e, e.startsWith('ssl:')) || has(self.tlsSecret)",message="ssl endpoints need tlsSecret: name the Secret with tls.crt, tls.key and ca.crt"
type OVNSouthbound struct {
	// endpoints are each tcp:ADDRESS:PORT or ssl:ADDRESS:PORT.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=9
	// +kubebuilder:validation:items:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="self.all(e, e.matches('^(tcp|ssl):([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?|[[][0-9a-fA-F:.]+[]]):[0-9]{1,5}$'))",message="southbound.endpoints are each tcp:ADDRESS:PORT or ssl:ADDRESS:PORT, an IPv6 address in [brackets]"
	Endpoints []string `json:"endpoints,omitempty"`

	// tlsSecret is a Secret in this namespace with tls.crt, tls.key and ca.crt; needed for ssl endpoints.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="southbound.tlsSecret is not the name of a Secret: write it as kubectl get shows it"
	TLSSecret string `json:"tlsSecret,omitempty"`
}

// CellDiscovery says how a new compute gets mapped into its cell.
type CellDiscovery struct {
	// cronJob names a CronJob in this namespace, usually suspended, whose Job runs
	// "nova-manage cell_v2 discover_hosts"; it is started when a node's compute service is up and not mapped.
	// The cluster has to run Jobs, as "rackplane standalone" does not.
	// It must carry the annotation dataplane.rackplane.dev/discovery with the value "true".
	// Empty: the scheduler's own periodic discovery is waited for
	// ([scheduler] discover_hosts_in_cells_interval; off in Nova by default).
	// +optional
	// +kubebuilder:validation:MaxLength=52
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="discovery.cronJob is not the name of a CronJob: write it as kubectl get shows it"
	CronJob string `json:"cronJob,omitempty"`
}

// ComputeStatus is what the cloud calls a node.
type ComputeStatus struct {
	// host is the name nova-compute runs under.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	Host string `json:"host,omitempty"`
	// serviceID is the nova-compute service's UUID.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ServiceID string `json:"serviceID,omitempty"`
	// hypervisorID is the hypervisor's and the resource provider's UUID.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	HypervisorID string `json:"hypervisorID,omitempty"`
	// chassis is the node's name in OVN: its Open vSwitch system-id.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Chassis string `json:"chassis,omitempty"`
}

// AdoptionFinding names one thing the read-only check of a pre-provisioned node looks at.
// +kubebuilder:validation:Enum=OperatingSystem;Kernel;Packages;Services;RunningVMs;OpenVSwitch;OVN;Containers;Time;Disk;Endpoints;Identity
type AdoptionFinding string

// What the read-only check looks at.
const (
	FindingOperatingSystem AdoptionFinding = "OperatingSystem"
	FindingKernel          AdoptionFinding = "Kernel"
	FindingPackages        AdoptionFinding = "Packages"
	FindingServices        AdoptionFinding = "Services"
	FindingRunningVMs      AdoptionFinding = "RunningVMs"
	FindingOpenVSwitch     AdoptionFinding = "OpenVSwitch"
	FindingOVN             AdoptionFinding = "OVN"
	FindingContainers      AdoptionFinding = "Containers"
	FindingTime            AdoptionFinding = "Time"
	FindingDisk            AdoptionFinding = "Disk"
	FindingEndpoints       AdoptionFinding = "Endpoints"
	FindingIdentity        AdoptionFinding = "Identity"
)

// AdoptionSpec says what a pre-provisioned node may look like before the first service runs on it.
type AdoptionSpec struct {
	// accept lists findings that do not hold a node back although they are not as wanted.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Accept []AdoptionFinding `json:"accept,omitempty"`

	// minFreeGiB is the least free space in GiB on each file system that services write to (/, /var, /var/lib/nova).
	// Default: 10 with nova or libvirt among the services, else 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1048576
	MinFreeGiB int32 `json:"minFreeGiB,omitempty"`
}
