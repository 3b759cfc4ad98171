// Package openstacktest holds a simulator of a cloud and the conformance
// suite that every openstack.Cloud must pass.
//
// The simulator is in process and has no time: what its world holds is what
// is seen. Faults are injected by call. Every effect is logged.
package openstacktest
