// Package adoption proves on hosts of the simulated rack what a look at a
// server that already runs finds, and that it leaves no trace: the rackplane
// binary's `plan --check` against one server as installed and one that another
// cloud has had. It needs root; nothing else uses it.
package adoption
