// Package api sees and changes clouds: Nova, Placement and Neutron
// through gophercloud, OVN's southbound database over its own protocol.
//
// All nodes of a cloud share one survey of some list calls, so that a thousand
// nodes cost as many calls as one. A survey is made when somebody asks and the
// last one is older than a few seconds; while a slow cloud is being asked, the
// others go on with the last answer. Failures are answers too, kept for a
// while, however many nodes there are; but that a cloud did not answer is not
// kept the first time, for it may have been one packet. A password that
// Keystone refused is not tried again for 20 minutes.
//
// Whoever may write a NodeSet names the places that are asked. None of them is
// trusted: answers are bounded, and package wire says where connections go.
//
// Credentials come from openstack.Access alone, never from the
// environment; certificates are always verified.
package api
