// Package openstack sees and changes clouds: Nova, Placement and Neutron
// through gophercloud, OVN's southbound database through libovsdb.
//
// All nodes of a cloud share one survey of some list calls, so that a thousand
// nodes cost as many calls as one. A survey is made when somebody asks and the
// last one is older than a few seconds; while a slow cloud is being asked, the
// others go on with the last answer. Failures are answers too: a wrong
// password is tried four times a minute, however many nodes there are.
//
// Credentials come from provisioner.CloudAccess alone, never from the
// environment; certificates are always verified.
package openstack
