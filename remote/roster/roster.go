// Package roster decides when which node is asked whether it answers, and knows
// what each last answered. It asks nobody itself: package pool does.
//
// So many nodes are asked at once. Those that answer may use all of these logins,
// those that may come up any moment three quarters, and those that have been
// silent for long half: a node that answers waits for none that does not, and a
// new one for none that is known to be dead. A silent node is asked again and
// again by itself, the longer it is silent the later; one that answers only when
// somebody wants to know. Losing a roster costs one login per node.
package roster

import (
	"container/heap"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/remote"
)

const (
	// Logins is how many nodes are asked at once.
	Logins = 128
	// silentFirst is how soon a node that did not answer is asked again. The longer it is silent the later, by a quarter of
	// that time, at most silentMost.
	silentFirst = 3 * time.Second
	silentMost  = 2 * time.Minute
	// forgotten is after what time a silent node is dropped that nobody wants to know of.
	forgotten = time.Hour
)

// lane is how pressing it is to ask a node; less is sooner.
type lane int

const (
	answering lane = iota // answered when it was last asked
	young                 // was not asked yet, or has not been silent for long
	dead                  // has been silent for so long that it rests as long as any
)

// most is how many logins may go on when one of the lane begins.
func (l lane) most() int { return [...]int{Logins, Logins * 3 / 4, Logins / 2}[l] }

// Roster is a list of nodes. The zero value is ready to use, by one at a time.
type Roster struct {
	nodes   map[types.NamespacedName]*node
	ready   readyQueue
	resting restingQueue
	asked   int // logins that go on
	order   int
}

// node is what is known of one node by one login.
type node struct {
	wanted   remote.Wanted
	identity [sha256.Size]byte
	wantedAt time.Time
	dropped  bool // another took its place, or it is forgotten: what is still in a queue is left out

	known bool // seen, err and at are an answer
	seen  remote.Seen
	err   error
	at    time.Time // when it was asked
	doubt bool      // it answered, and failed since: one packet lost is no news

	busy    bool // queued or asked
	lane    lane // it was queued in
	awaited bool // somebody was told to wait
	owed    bool // somebody who was told to wait has not come for the answer yet
	order   int

	since time.Time     // the first of its failures in a row
	tries int           // how many these are
	rest  time.Duration // after the last of them; 0 for one that is not silent
	due   time.Time     // when that ends
}

// Job is a node to be asked now.
type Job struct {
	Target remote.Target
	node   *node
	began  time.Time
}

// Node is whom the job asks.
func (j Job) Node() types.NamespacedName { return j.node.wanted.Node }

// Last returns what is known, with the errors of remote.Answers.
func (r *Roster) Last(w remote.Wanted, now time.Time) (remote.Seen, error) {
	n, identity := r.nodes[w.Node], identify(w)
	if n == nil || n.identity != identity {
		r.Forget(w.Node)
		if r.nodes == nil {
			r.nodes = map[types.NamespacedName]*node{}
		}
		n = &node{identity: identity}
		r.nodes[w.Node] = n
	}
	n.wanted, n.wantedAt = w, now
	switch {
	case n.known && n.err != nil:
		return remote.Seen{}, n.err // it is asked again by itself
	case n.known && (n.owed || now.Sub(n.at) < w.MaxAge):
		n.owed = false // once: else who always comes late would have it asked for ever
		return n.seen, nil
	}
	n.awaited = true
	r.queue(n)
	return remote.Seen{}, fault.New(fault.Busy, "%s is being asked", w.Address)
}

// Forget drops a node. A login that goes on ends as if it had not been.
func (r *Roster) Forget(name types.NamespacedName) {
	if n := r.nodes[name]; n != nil {
		n.dropped = true
		delete(r.nodes, name)
	}
}

// Len is how many nodes are known.
func (r *Roster) Len() int { return len(r.nodes) }

func (r *Roster) queue(n *node) {
	if n.busy {
		return
	}
	n.busy, n.lane = true, n.next()
	r.order++
	n.order = r.order
	heap.Push(&r.ready, n)
}

// Take returns the nodes that are to be asked now, and counts them as asked until Told says otherwise.
func (r *Roster) Take(now time.Time) []Job {
	for len(r.resting.queue) > 0 && !r.resting.queue[0].due.After(now) {
		n := pop(&r.resting)
		switch {
		case n.dropped:
		case now.Sub(n.wantedAt) >= forgotten:
			r.Forget(n.wanted.Node)
		default:
			r.queue(n)
		}
	}
	var jobs []Job
	for len(r.ready.queue) > 0 && (r.ready.queue[0].dropped || r.asked < r.ready.queue[0].lane.most()) {
		n := pop(&r.ready)
		if n.dropped {
			continue
		}
		r.asked++
		jobs = append(jobs, Job{n.wanted.Target, n, now})
	}
	return jobs
}

// Next returns when the next silent node is due; false when none rests.
func (r *Roster) Next() (time.Time, bool) {
	if len(r.resting.queue) == 0 {
		return time.Time{}, false
	}
	return r.resting.queue[0].due, true
}

// Told takes in how a job ended, and reports whether the node is to be looked at for it: its answer is another than before,
// or is waited for.
func (r *Roster) Told(j Job, seen remote.Seen, err error, now time.Time) bool {
	n := j.node
	r.asked--
	n.busy = false
	if n.dropped {
		return false
	}
	if n.lane == answering && fault.Is(err, fault.Transient) {
		n.doubt = true
		r.queue(n)
		return false
	}
	news := n.awaited || !n.known || n.seen != seen || text(n.err) != text(err)
	if n.tries++; n.err == nil {
		n.since, n.tries = j.began, 1
	}
	n.known, n.seen, n.err, n.at, n.doubt = true, seen, err, j.began, false
	n.owed, n.awaited = n.awaited, false
	if n.rest = 0; err != nil {
		n.rest = Rest(now.Sub(n.since))
		n.due = now.Add(n.spread())
		heap.Push(&r.resting, n)
	}
	return news
}

// Rest returns how long a node rests that has been silent for so long, before it is spread.
func Rest(silence time.Duration) time.Duration { return min(max(silence/4, silentFirst), silentMost) }

// spread is the rest give or take a quarter, the same for a node's same try, so that a thousand that failed together part.
func (n *node) spread() time.Duration {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d", n.wanted.Node, n.tries)
	return n.rest*3/4 + n.rest/2*time.Duration(h.Sum32()%1024)/1024
}

// next is the lane the node is to be queued in.
func (n *node) next() lane {
	switch {
	case n.rest == silentMost:
		return dead
	case n.doubt || n.rest > 0 || !n.known && !n.wanted.Answered:
		return young
	default:
		return answering
	}
}

// before reports whether n is asked before o: by lane, then who rested least and is likeliest to have come up, then who came first.
func (n *node) before(o *node) bool {
	switch {
	case n.lane != o.lane:
		return n.lane < o.lane
	case n.rest != o.rest:
		return n.rest < o.rest
	default:
		return n.order < o.order
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return string(fault.KindOf(err)) + " " + err.Error()
}

// identify tells what answers are of without keeping a private key: whatever a login depends on is part of it.
func identify(w remote.Wanted) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %d %q %q %q %q", w.Address, w.Port, w.User, w.PrivateKey, w.HostKeys, w.Of))
}
