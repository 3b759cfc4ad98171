// Package inputs reads what plans, inventories and input hashes are made from.
//
// World is read once per pass, uncached, and never written; everything derived
// from it is a pure function, so that an offline plan derives the same. What a
// user got wrong is an error of kind fault.Missing or fault.Rejected that names
// object, field and remedy; anything else is a failure to read.
// Secrets read here stay in memory: they reach Secrets and runs, never a
// status, an event or a log.
package inputs
