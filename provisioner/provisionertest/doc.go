// Package provisionertest holds a simulator of Ironic and its servers, and the
// conformance suite that every provisioner.Provisioner must pass.
//
// The simulator is in process and deterministic: it moves only when it is
// asked, by the clock it was given. With zero delays every step under way is
// done at the next Observe. Faults are injected by host and call, or as bad
// outcomes of actions. Every call and every effect is logged.
package provisionertest
