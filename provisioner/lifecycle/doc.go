// Package lifecycle decides what to do next with a server. Pure: the same want,
// observation, past and time give the same Decision, whoever asks.
//
// The decision comes from one table (table.go), read from the top: the first
// row whose states and conditions fit decides. docs/lifecycle.md is generated
// from it. Everything the table reads comes from the want and from what Ironic
// holds; Past only spaces out retries, so that losing it costs one early retry.
//
// A failure is counted once: Ironic's own time of the failed transition tells
// whether it was counted. Retries wait 15 s, doubling to 10 min; a changed want
// is tried at once.
package lifecycle
