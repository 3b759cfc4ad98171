// Package claim decides which BareMetalHost serves which node.
//
// It is pure: the same needs and hosts give the same Plan, whatever their
// order. A host that a node holds stays with it as long as it exists and
// nobody else claimed it; the others are given out as a maximum bipartite
// matching, so as many nodes as possible get a host. Every node that gets none
// is told, per host, the first rule that refuses it, and which nodes use up
// the hosts that would fit. A Plan is a decision only: it must be persisted
// before anything acts on it, and the claim itself is a compare-and-swap on
// the host that may still be lost. Whoever claims asks Refused again, of the
// host as it is then: the same rules that made the plan.
//
// A host serves nodes of its own namespace; others only see it when a
// HostClaimPolicy there lends it to them. What a node's namespace may not see
// is counted in explanations and never named.
package claim

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// OwnerKind is the kind of a consumerRef that names a node of ours.
const OwnerKind = "DataPlaneNode"

// Owner is a DataPlaneNode.
type Owner struct {
	// Namespace and Name of the node.
	Namespace, Name string
	// UID of the node; empty in offline plans, where names alone tell nodes apart.
	UID types.UID
}

// String is namespace/name.
func (o Owner) String() string { return o.Namespace + "/" + o.Name }

// same reports whether both are one node. An unknown UID matches any.
func (o Owner) same(other Owner) bool {
	return o.Namespace == other.Namespace && o.Name == other.Name &&
		(o.UID == "" || other.UID == "" || o.UID == other.UID)
}

// Host is what is known of a BareMetalHost.
type Host struct {
	// Ref names the host.
	Ref v1alpha1.HostReference
	// Labels of the BareMetalHost.
	Labels map[string]string
	// State is Metal3's status.provisioning.state.
	State string
	// Consumer is what spec.consumerRef names; nil when the host is free.
	Consumer *Owner
	// ConsumerKind is spec.consumerRef.kind.
	ConsumerKind string
	// Paused and Detached are Metal3's annotations; Deleting means a deletion timestamp is set.
	Paused, Detached, Deleting, ExternallyProvisioned bool
	// HasImage means spec.image or spec.customDeploy is set.
	HasImage bool
	// CustomDeploy means that spec.customDeploy is set.
	CustomDeploy bool
	// Marks say why the host is not to be given out, in words: cordoned, in maintenance, kept for others, unhealthy, held off.
	Marks []string
	// Error is the host's own error in one line; empty when it has none.
	Error string
	// Hardware is nil until the host has been inspected.
	Hardware *hardware.Details
	// BMC is spec.bmc.address without the scheme, and BootMAC spec.bootMACAddress in lower case: what tells one server
	// that is written down twice.
	BMC, BootMAC string
	// UserData is the Secret that spec.userData names. It is set with the image, so it tells whose image that is.
	UserData string

	// Version identifies all of the above: hosts of one UID and version are the same. Empty when it is not known.
	Version string `json:"-"`

	// LentTo are the other namespaces that may have the host, sorted; filled by Lend.
	LentTo []string
	// Twin says which other host of the namespace is the same server, and by what; filled by Pair.
	Twin string
	// ConsumerGone means that there is no DataPlaneNode of the consumer's name.
	ConsumerGone bool
}

// Need is a node that wants a host.
type Need struct {
	// Node that needs the host.
	Node Owner
	// HostNamespace the host must be in.
	HostNamespace string
	// Selector the host's labels must match; nil matches every host.
	Selector *metav1.LabelSelector
	// Labels the host must have on top.
	Labels map[string]string
	// Requirements of the host's inspected hardware.
	Requirements v1alpha1.HardwareRequirements
	// Held is the host decided earlier; nil when there is none.
	Held *v1alpha1.HostReference
	// OnlyKeeps is set for a node that may keep a host that carries its claim, and gets no other.
	OnlyKeeps bool
}

// Assignment pairs a node with a host.
type Assignment struct {
	Node Owner
	Host v1alpha1.HostReference
}

// Refusal is one reason and the hosts it excludes.
type Refusal struct {
	// Reason in words a user can act on, for example "memory 64 GiB, needs 256 GiB".
	Reason string
	// Hosts it excludes, sorted: names, or namespace/name for hosts outside the node's host namespace.
	Hosts []string
	// Unnamed is how many hosts there are that the node's namespace may not see.
	Unnamed int
}

// Unmet is a node that gets no host.
type Unmet struct {
	Node Owner
	// Refusals are the reasons per host, in the order of the rules. Nodes that ask for the same share one slice.
	Refusals []Refusal
	// Asks: the Refusals are hosts that may run as this very node, and until a person tells, the node gets no other one.
	Asks bool
	// Blocking is the smallest group of nodes with new hosts that leaves none for this one: however they are placed
	// among all hosts that fit any of them, one host is missing. Empty when no host fits. Nodes that ask for the same
	// share one slice.
	Blocking []Owner
}

// Plan is who gets what. Each list is sorted by node.
type Plan struct {
	// Keep are held hosts that stay.
	Keep []Assignment
	// Take are new decisions.
	Take []Assignment
	// Drop are held hosts that are gone, were made anew, belong to someone else now, or were never claimed and do not
	// fit any more.
	Drop []Assignment
	// Unmet are the nodes without a host.
	Unmet []Unmet
}
