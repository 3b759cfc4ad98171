// Package world is what surrounds the engine in tests: an API server in
// memory, servers, Ansible runs and a cloud, all simulated, and what a user
// does with them. It outlives the engine, whose controllers can be rebuilt
// from nothing at any time.
//
// All is driven in a fixed order by a fake clock, so that a journey made twice
// is the same to the last write. Every act of the engine goes through a Hook,
// which can kill the engine at it or answer it with a failure. After every
// round the invariants hold: no host is claimed twice, no address is held
// twice.
package world
