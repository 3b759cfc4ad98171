// Package nodeset turns a NodeSet into DataPlaneNodes and keeps deciding for
// them: which host, which addresses, which service inputs, and when services
// run. It is the only writer of DataPlaneNode.spec.
//
// Hosts and addresses are planned over all sets and nodes, read uncached, by
// one worker: decisions are written with the resourceVersion they were made
// on, and one that lost a race is made again. Addresses are unique within a
// namespace, whose NetConfig is their scope. What is wrong with one service
// or node stops only what builds on it.
//
// A NodeSet that is deleted takes its deployments and nodes along itself: the
// embedded control plane has no garbage collector.
package nodeset
