// Package ansibletest holds an in-memory ansible.Runner for tests, and the
// conformance suite that every ansible.Runner must pass.
//
// The runner moves only when it is asked: a run ends after a given number of
// looks at it, well unless told otherwise. It outlives the engine that uses it,
// as processes and folders do; Lose is what a killed machine does to its runs.
package ansibletest
