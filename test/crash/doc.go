// Package crash kills the engine before and after every write to the API
// server and every effect of a whole journey of test/world, and checks that
// what comes out is what comes out without. One journey is made on a real API
// server, where watches drive it.
package crash
