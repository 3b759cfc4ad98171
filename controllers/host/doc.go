// Package host drives BareMetalHosts as Metal3's operator would, through a
// provisioner.Provisioner: the builtin host backend.
//
// A pass gathers what the host wants and what the service shows, lets
// lifecycle.Next decide, shows the decision in the status and acts on it.
// Nothing is read back from the status but what spaces out retries and
// what keeps a running server from being wiped when the service forgot it;
// those are written before the act, and what nobody decides by waits to be
// written with other news (step.Quiet).
//
// Only writer of a BareMetalHost's status, of its finalizer, of its annotation
// held, of its annotation deployment but for `rackplane keep`, and of the
// HardwareData of the same name. While its gate is closed it shows what it would
// do. Paused hosts are left alone, detached ones
// too, until they are deleted. A host that a DataPlaneNode consumes is not
// deleted before that node.
package host
