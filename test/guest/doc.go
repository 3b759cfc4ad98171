// Package guest boots the node image that "make image" publishes as a virtual machine: UEFI firmware, Debian's signed
// boot loader and kernel, every processor instruction emulated by QEMU. It is for what the rack's containers cannot
// show: that the image boots a server, and services that need a kernel of their own, such as Open vSwitch's datapath.
//
// A guest is cabled to bridges of the network namespace it is started in and reaches nothing else. Call rack.Isolate with
// Prepare, which may install and download, then Start. Tests that boot one carry the build tag e2eguest.
package guest
