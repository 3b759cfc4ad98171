// Package crash kills the engine before and after every write to the API
// server and every effect of a whole journey, and checks that what comes out
// is what comes out without.
//
// The world (API server, servers, Ansible runs) is simulated and outlives the
// engine, whose controllers are rebuilt from nothing after every death. All is
// driven in a fixed order by a fake clock. After every write the invariants
// hold: no host is claimed twice, no address is held twice.
package crash
