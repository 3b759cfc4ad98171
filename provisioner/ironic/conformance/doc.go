// Package conformance runs the provisioner's conformance suite, and the host
// controller's decisions, against real Ironic and sushy-tools on a simulated
// rack. It has tests only; they need root.
package conformance
