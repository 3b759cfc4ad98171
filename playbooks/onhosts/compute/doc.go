// Package compute tests the services that make a node a compute of a real OpenStack. It has no code of its own.
package compute
