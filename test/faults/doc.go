// Package faults answers the engine's acts with failures: every write to the
// API server and every effect of the journeys of test/world in turn with a
// conflict, "too many requests", a server error, and a time-out after which the
// act was done all the same; and every look with silence.
//
// After each of them the world settles, its invariants hold, the end is the one
// without any fault, and the engine did little more than without. So it is, but
// for how much is done, when besides each kind is seen up to twenty writes
// late. `make test` takes a sample, `make soak` all of them and pairs.
package faults
