// Package controlplane runs a Kubernetes API for a site that has none: etcd and
// kube-apiserver as child processes, their data, certificates, ports and
// kubeconfig in one state directory, on loopback unless told otherwise.
//
// Contract: one instance per state directory; the children never outlive the
// process that started them, however it ends, and a new Start on the same
// directory goes on from the same data behind the same address. All
// connections are mutually authenticated TLS; nobody is let in anonymously.
// There is no controller manager, so nothing collects garbage by owner
// reference or finishes deleting a namespace.
//
// InstallCRDs serves any cluster, embedded or not. Linux only.
package controlplane
