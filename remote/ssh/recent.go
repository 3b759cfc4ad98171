package ssh

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/remote"
)

var _ remote.Prober = &Recent{}

// Recent answers from the last successful login as long as the caller's Target.MaxAge allows it: a node whose
// services are watched through the cloud every few seconds need not be logged in to that often. Failures are never
// kept. Losing what it holds costs one login per node.
type Recent struct {
	Prober remote.Prober
	Clock  clock.PassiveClock

	mu    sync.Mutex
	seen  map[[sha256.Size]byte]answer
	swept time.Time
}

// answer is what a login showed, and when.
type answer struct {
	seen remote.Seen
	at   time.Time
}

// longestKept is after what time an answer is dropped whoever asks, so that nodes that are gone are forgotten.
const longestKept = time.Hour

// Probe implements remote.Prober.
func (r *Recent) Probe(ctx context.Context, t remote.Target) (remote.Seen, error) {
	key := identify(t)
	if known, ok := r.recall(key); ok && r.Clock.Since(known.at) < t.MaxAge {
		return known.seen, nil
	}
	seen, err := r.Prober.Probe(ctx, t)
	r.keep(key, seen, err)
	return seen, err
}

func (r *Recent) recall(key [sha256.Size]byte) (answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.seen[key]
	return known, ok
}

// keep remembers a success and forgets what a failure contradicts.
func (r *Recent) keep(key [sha256.Size]byte, seen remote.Seen, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.seen, key)
		return
	}
	if r.seen == nil {
		r.seen = map[[sha256.Size]byte]answer{}
	}
	now := r.Clock.Now()
	r.seen[key] = answer{seen, now}
	if now.Sub(r.swept) < longestKept {
		return
	}
	r.swept = now
	maps.DeleteFunc(r.seen, func(_ [sha256.Size]byte, a answer) bool { return now.Sub(a.at) >= longestKept })
}

// identify tells targets apart without keeping a private key: whatever a login depends on is part of it.
func identify(t remote.Target) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(nil, "%q %d %q %q %q", t.Address, t.Port, t.User, t.PrivateKey, t.HostKeys))
}
