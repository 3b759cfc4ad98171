// Package rack is a simulated rack of bare-metal servers for the demo and for tests: real sushy-tools as the
// servers' BMCs, real Ironic, and behind them hosts that behave like hardware. A host that is powered on with
// virtual media inserted runs the deploy agent (package agent); powered on from disk, it boots what Ironic
// deployed to it as a systemd-nspawn container with two network cards. Power off stops it.
//
// Whoever drives the rack sees addresses and credentials only: Ironic's URL, BMC addresses, an image URL.
//
// A rack needs root and lives in namespaces of its own: call Isolate with Prepare (which may install and download),
// then Start. Nothing inside reaches outside, and when the top process dies, however it dies,
// no process, mount, interface or control group is left. State lives in Config.Dir.
package rack
