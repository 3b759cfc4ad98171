// Package redfishtest is a stateful BMC in this process: vendor-shaped trees from profiles (profiles/*.yaml), sessions with a
// cap, tasks, ETags, power that changes late, and faults on demand. It counts what a client costs. Time never passes in it by
// itself: what is late is late by reads, so tests need not wait.
package redfishtest
