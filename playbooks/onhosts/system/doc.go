// Package system tests the services that make a host a node of its rack. It has no code of its own.
package system
