// Package timeline holds what becomes of a fleet of 300 nodes to a record, in
// whatever order the controllers look at their objects: the same hosts,
// addresses, services and effects, and the same end.
package timeline
