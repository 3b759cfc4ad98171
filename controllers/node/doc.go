// Package node brings one DataPlaneNode from a plan to a running node, and
// hands its host back when it is deleted.
//
// Claiming a host is a compare-and-swap of its consumerRef, made only for the
// host that the NodeSet controller has written to spec.host. The host's image
// is set once: what is on the host's spec is what was handed over, and a later
// change of image, user data or network data never re-images a node. A node is
// trusted by its pinned host key alone. Release undoes this in reverse and
// gives up the claim last; it needs no object but the node and the hosts that
// carry its claim.
// The only writer of DataPlaneNode.status but status.services.
package node
