package broker

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Class is on whose behalf a BMC is asked. Lower ones go first.
type Class int

const (
	// User is somebody who waits.
	User Class = iota
	// Lifecycle is a host on its way to a state.
	Lifecycle
	// Inventory is what a server is made of.
	Inventory
	// Telemetry is how a server at rest is doing.
	Telemetry
	classes
)

func (c Class) String() string { return [...]string{"user", "lifecycle", "inventory", "telemetry"}[c] }

const (
	// inventoryRefill is how often the inventory of one BMC may make another request.
	inventoryRefill = 15 * time.Second
	// telemetryRefill keeps a server at rest to 12 requests an hour.
	telemetryRefill = 5 * time.Minute
)

// budget is how many requests a class may make at once, and how soon one more is there; no refill means no end.
type budget struct {
	burst  int
	refill time.Duration
}

func budgets() [classes]budget {
	return [classes]budget{Inventory: {burst: 120, refill: inventoryRefill}, Telemetry: {burst: 12, refill: telemetryRefill}}
}

// purse is what is left of a budget.
type purse struct {
	budget
	spent int
	since time.Time
}

// spend takes one request out; when there is none it returns how long until there is.
func (p *purse) spend(now time.Time) (time.Duration, bool) {
	if p.refill == 0 {
		return 0, true
	}
	if back := int(now.Sub(p.since) / p.refill); back > 0 {
		p.spent = max(0, p.spent-back)
		p.since = p.since.Add(time.Duration(back) * p.refill)
	}
	if p.spent == 0 {
		p.since = now
	}
	if p.spent >= p.burst {
		return p.since.Add(p.refill).Sub(now), false
	}
	p.spent++
	return 0, true
}

// flights is how many requests a BMC has in flight; slowFrom is the mean answer time from which it gets one at a time.
const (
	flights  = 2
	slowFrom = 2 * time.Second
)

// gate lets so many in, the lowest class first and in order of arrival within it.
type gate struct {
	mu      sync.Mutex
	inside  int
	mean    time.Duration // of answers, the newest weighing a quarter
	waiting [classes][]chan struct{}
}

func (g *gate) limit() int {
	if g.mean >= slowFrom {
		return 1
	}
	return flights
}

// enter waits for a place. Whoever got one calls leave.
func (g *gate) enter(ctx context.Context, c Class) error {
	g.mu.Lock()
	if g.inside < g.limit() && !g.anyoneWaits(c) {
		g.inside++
		g.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	g.waiting[c] = append(g.waiting[c], turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.waiting[c], turn); i >= 0 {
		g.waiting[c] = slices.Delete(g.waiting[c], i, i+1)
		return ctx.Err()
	}
	g.inside-- // the turn had come
	g.next()
	return ctx.Err()
}

func (g *gate) anyoneWaits(c Class) bool {
	for before := range c + 1 {
		if len(g.waiting[before]) > 0 {
			return true
		}
	}
	return false
}

// leave gives the place to the next. took is how long the answer took; 0 when there was none.
func (g *gate) leave(took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if took > 0 {
		g.mean += (took - g.mean) / 4
	}
	g.inside--
	g.next()
}

func (g *gate) next() {
	for c := range g.waiting {
		for len(g.waiting[c]) > 0 && g.inside < g.limit() {
			g.inside++
			close(g.waiting[c][0])
			g.waiting[c] = g.waiting[c][1:]
		}
	}
}

const (
	// restFirst is how long a BMC that did not answer restAfter times in a row is left alone; doubled by each further time.
	restFirst = 15 * time.Second
	// restMost is the most of that.
	restMost  = 5 * time.Minute
	restAfter = 3
)

// breaker leaves a BMC alone that does not answer.
type breaker struct {
	failed int
	until  time.Time
	last   error
}

// open returns how long nobody may ask, and why. When that is over, one may, and decides for all.
func (b *breaker) open(now time.Time) (time.Duration, error) {
	if b.failed < restAfter {
		return 0, nil
	}
	if left := b.until.Sub(now); left > 0 {
		return left, b.last
	}
	b.until = now.Add(restFirst) // this one is the probe; the others wait for what it finds
	return 0, nil
}

func (b *breaker) answered() { *b = breaker{} }

func (b *breaker) silent(now time.Time, err error) {
	b.failed++
	b.last = err
	if over := b.failed - restAfter; over >= 0 {
		b.until = now.Add(min(restMost, restFirst<<min(over, 10)))
	}
}
