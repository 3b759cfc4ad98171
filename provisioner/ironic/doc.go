// Package ironic is the provisioner.Provisioner on Ironic's API.
//
// A host's node is named namespace~name, as Metal3 names it; extra holds whose
// it is (rackplane_host_uid) and what it was last registered with
// (rackplane_registration); instance_info holds the image as the host asked
// for it (rackplane_image), because Ironic rewrites its own checksum fields.
// Nothing else is remembered anywhere.
//
// Do looks at the node first, so that repeating it has no second effect.
// Passwords go to driver_info only, never into an error.
//
// Spoken microversions: 1.81 (node inventory) to 1.110 (abort in deploy wait),
// the newest that the service has (ironic 39.0.0 has 1.115).
package ironic
