// Package onhosts tests the collection osp.edpm on hosts: Debian containers of
// the simulated rack, reached over SSH, each with systemd, cloud-init and
// NetworkManager. It proves for every service that a check run predicts what
// the run changes, that a second run changes nothing, that drift is repaired
// and that bad input is refused in words. It has no code of its own.
//
// Like the rack, it needs root; see package test/rack.
package onhosts
