// Package onhosts is a bench for the collection osp.edpm: Debian containers of
// the simulated rack, reached over SSH, each with systemd, cloud-init and
// NetworkManager. It proves for every service that a check run predicts what
// the run changes, that a second run changes nothing, that drift is repaired
// and that bad input is refused in words. The packages below it say which
// services, each with a rack of its own, so that they run side by side.
//
// Like the rack, it needs root; see package test/rack.
package onhosts
