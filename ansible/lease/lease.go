// Package lease decides who may run on a node.
//
// It is pure. A run has a Lease of its own, which names the store of runs that
// runs it and which that store's machine renews; a node has one that names the
// run it is given to. A node is free when its run's Lease is gone, names nobody
// or has expired. So one object is renewed however many nodes a run has, and a
// run that is lost loses all of its nodes. A node that has nothing left to do in
// its run can be given to the next one while the run goes on for others.
//
// Nobody compares the clocks of two machines: a Lease has expired once the one
// who looks has seen it unchanged for its whole duration, by his own clock. The
// holder counts from before it asked for the renewal and ends its run earlier.
//
// Each start of a run has a token, higher than every token that was ever let
// onto one of its nodes. It is checked on the node, which is what stops a run
// whose machine does not know yet that it has lost: one that was frozen.
package lease

import (
	"slices"
	"time"
)

// Run is a run's Lease.
type Run struct {
	// Version changes with every write.
	Version string
	// Holder is the store that runs it; empty when nobody does any more.
	Holder string
	// Token of the start that is under way.
	Token int64
	// Duration after which an unchanged Lease has expired; 0 is never, where nobody else could run it.
	Duration time.Duration
	// Cancelled asks the holder to end the run.
	Cancelled bool
}

// Sighting is when a version of a Lease was first seen.
type Sighting struct {
	// Version that was seen.
	Version string
	// Since is when, by the clock of the one who looks.
	Since time.Time
}

// See returns the sighting of a Lease after another look at it.
func See(before Sighting, version string, now time.Time) Sighting {
	if before.Version == version && !before.Since.IsZero() {
		return before
	}
	return Sighting{Version: version, Since: now}
}

// Standing is how a run's Lease stands.
type Standing string

const (
	// Over means that nobody runs it.
	Over Standing = "Over"
	// Own means that this store holds it: whether it runs is the store's to say.
	Own Standing = "Own"
	// Elsewhere means that another store runs it, or may.
	Elsewhere Standing = "Elsewhere"
	// Expired means that another store held it and has not renewed it: its run has ended by itself.
	Expired Standing = "Expired"
)

// Stands judges a run's Lease, seen as it is since seen. A Lease that is not there is Over.
func (r Run) Stands(store string, seen Sighting, now time.Time) Standing {
	switch {
	case r.Holder == "":
		return Over
	case r.Holder == store:
		return Own
	case r.Duration > 0 && seen.Version == r.Version && now.Sub(seen.Since) >= r.Duration:
		return Expired
	}
	return Elsewhere
}

// Token returns the token of another start, given the last tokens of everything it must come after. The clock stands in for
// what was forgotten: the Lease of a node that is made anew, or restored from a backup, still gets a higher one.
func Token(now time.Time, last ...int64) int64 {
	token := now.UnixMilli()
	if len(last) > 0 {
		token = max(token, slices.Max(last)+1)
	}
	return token
}

// Starts is how many starts a Lease gives tokens for before those of its nodes are written again. Each is one more than the
// last, and whoever has the nodes next begins this much above the tokens that their Leases remember: above all of them.
const Starts = 4096

// Lost says why the start with the token must end, given the run's Lease as it is now; "" when it need not.
func Lost(r Run, token int64) string {
	switch {
	case r.Holder == "":
		return "the run's lease was given back"
	case r.Token != token:
		return "the run was started again as " + r.Holder
	case r.Cancelled:
		return "the run was cancelled"
	}
	return ""
}

// Renew is how often a Lease of that duration is renewed.
func Renew(d time.Duration) time.Duration { return d / 6 }

// GiveUp is how long after its last renewal a run must have begun to end: what is left is for its processes to do so.
func GiveUp(d time.Duration) time.Duration { return d / 2 }
