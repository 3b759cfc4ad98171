// Package openstack holds the words for a cloud that servers join, the boundary
// Cloud, and how an entry of clouds.yaml is read. Effects are in package api,
// decisions in the pure package join.
package openstack
