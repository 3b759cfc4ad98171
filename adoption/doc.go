// Package adoption decides whether services may run on a server that already
// runs: what was read on it (Facts) is held against what the NodeSet wants of
// it (Wanted), one Finding after the other.
//
// It is pure, and knows nothing of how the facts are read. Nothing here is
// ever put right: a Finding says what was found, what is wanted and what a
// person can do. Running virtual machines do not refuse a node, adopting them
// is the point; whatever a service would change under them does.
// Facts come from a machine that is not trusted yet: they are bounded and
// cleaned before a word of them reaches a message or a terminal.
package adoption
