// Package takeover proves that a node is one run's at a time, whatever becomes
// of the machines that run: two managers with state directories of their own
// against a real API server, and a real OpenSSH server as the node, which keeps
// the log that counts. Machines are killed, frozen and thawed, and cut off from
// the API server. It needs the assets of `make kube-assets ansible-assets`.
package takeover
