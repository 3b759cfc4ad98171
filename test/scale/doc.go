// Command scale measures what the engine costs with many nodes (`make bench-scale`).
//
// etcd and kube-apiserver are real; Ironic, Ansible, SSH and OpenStack are the
// simulators of the conformance suites, so that what is counted is the engine's
// own: calls, writes and bytes at the API server, allocations and heap. For each
// size it brings a NodeSet up, lets it rest, changes one thing at a time, and
// grows the set by a tenth; then it prints one JSON object on a line.
//
// Counts say the same on every machine; seconds do not. Nothing here is a test,
// and nothing fails because it is slow.
package main
