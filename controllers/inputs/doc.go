// Package inputs reads what package plan decides from.
//
// The world is read once per pass, from the reader that is given, and never written. What a
// user got wrong is an error of kind fault.Missing or fault.Rejected that names
// object, field and remedy; anything else is a failure to read.
// Secrets read here stay in memory: they reach Secrets and runs, never a
// status, an event or a log.
package inputs
