// Package schedules lets two managers act at once on one API server, each with
// caches that lag behind it, and looks whether a host or an address ever has
// two owners.
//
// A schedule is made from a seed and can be made again. It decides which manager
// goes on at every write and every live read, so a manager is paused in the middle
// of a pass and goes on later with what it had read; how many writes each kind of
// each cache is behind; and what a user does meanwhile. Most schedules are small on
// purpose (four NodeSets over five hosts and seven addresses a network): what two
// managers can do to each other needs few objects that are short, and many orders.
// A few have 50 NodeSets, 1,000 hosts and 100 addresses a network.
// The node and NodeSet controllers are the real ones. Lists of the NodeSet
// controller lag even where it asks for a live one, which is worse than in the product.
package schedules
