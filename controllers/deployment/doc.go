// Package deployment runs services over nodes, one Ansible run after the
// other, for one DataPlaneDeployment. Nodes that are late stay behind in their
// run, and the others go on without them.
//
// All inputs are snapshotted first, into immutable Secrets that no API server
// finds too large; only the login key is read fresh. A run is written to the status, read back by the next
// pass, and only then started, under a key made from its content: starting
// twice makes one run, and a run that was lost half way is started again.
// Results go to each node's status.services (this controller writes nothing
// else there) before the run is closed. A node that fails a service gets no
// later one of the deployment; the others go on. What has ended stays ended:
// trying again is a new deployment.
package deployment
