// Package provisioner holds the words and the boundary interface of what
// provisions servers. Implementations are in its subpackages; decisions are
// in the pure ones (claim, lifecycle).
package provisioner

import (
	"context"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
)

// Provisioner registers, inspects, images and powers servers. Progress is seen only through Observe.
//
// Errors of every method: fault.Transient (the service does not answer), fault.Denied (the service refuses our own
// credentials), fault.Missing (no such server), and for Do also fault.Busy (someone else acts on the server right now:
// ask again soon), fault.Lost (the server is no longer in a state that allows the action: observe again and decide anew),
// fault.Rejected (the service will not accept the want as it is) and fault.Unsupported (the want asks for something
// this backend cannot do).
type Provisioner interface {
	// Observe tells how the service sees the server. It has no side effect. It answers for the name: whose server it
	// is, is Observation.HostUID. fault.Missing when the server is not registered.
	Observe(ctx context.Context, host HostID) (Observation, error)
	// Do starts the action and returns; it never waits for its end. It is idempotent: an action that already is under
	// way or done succeeds without a second effect, so an answer lost on the way does no harm. It never acts on a server
	// that records another host's UID (fault.Rejected).
	Do(ctx context.Context, want Want, action Action) error
	// Inventory returns what the last inspection found. It has no side effect. fault.Missing when the server is not
	// registered or was never inspected.
	Inventory(ctx context.Context, host HostID) (metal3v1alpha1.HardwareDetails, error)
	// Words returns the service's words for texts that people read. They never change.
	Words() Words
}

// Words are what a service is called, and what a person does there by hand. {node} in a command stands for the server's ID.
type Words struct {
	// Service is its name, such as Ironic.
	Service string
	// Delete makes the service forget a server, EndMaintenance lets it care for one again.
	Delete, EndMaintenance string
	// Unhold goes on after a step that holds, Unrescue and Abort end rescue mode and servicing.
	Unhold, Unrescue, Abort string
}
