// Package broker is the one door to each BMC for all who ask it: one session, two requests in flight, a budget for each class
// of callers, one request for what several ask at the same time, bounded answers, a rest for a BMC that does not answer, and
// a latch that never tries a refused password again. It speaks HTTP and knows of Redfish only how to log in.
package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/secret"
)

// idleSession is how long a session nobody uses is kept: BMCs have few.
const idleSession = 5 * time.Minute

// Target is a BMC and how it is logged in to.
type Target struct {
	// Endpoint is bmc.Address.Endpoint.
	Endpoint string
	Login    Login
	Trust    Trust
}

// Login is an account of a BMC.
type Login struct {
	Username, Password secret.Value
	// Secret it is from, for messages, and its version: while that stays, a refused password is not tried again.
	Secret, Version string
}

// same reports whether two logins would be the same try.
func (l Login) same(other Login) bool {
	if l.Version != "" && other.Version != "" {
		return l.Version == other.Version
	}
	return l.Username == other.Username && l.Password == other.Password
}

// Trust is how a BMC proves that it is the one. The zero value asks the system's authorities.
type Trust struct {
	// CAs that may have signed its certificate.
	CAs *x509.CertPool
	// Fingerprint is the SHA-256 of its certificate in hex, with or without colons; it is asked instead of any authority.
	Fingerprint string
	// Insecure takes any certificate.
	Insecure bool
}

// Broker holds the doors.
type Broker struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	doors   map[string]*Door
	latched map[string]Login
}

// New returns a broker that has opened no door.
func New(c clock.PassiveClock) *Broker {
	return &Broker{clock: c, doors: map[string]*Door{}, latched: map[string]Login{}}
}

// Door returns the door to a BMC. Whoever names the same endpoint gets the same one; one that names another login or trust
// changes it for all, and the old session is given back before the new login is tried.
func (b *Broker) Door(t Target) (*Door, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.doors[t.Endpoint]
	if d == nil {
		d = newDoor(b, t.Endpoint)
		b.doors[t.Endpoint] = d
	}
	return d, d.become(t)
}

// Refused reports whether the BMC has refused this login, or somebody who tried it has told so.
func (b *Broker) Refused(t Target) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	was, ok := b.latched[t.Endpoint]
	return ok && was.same(t.Login)
}

// Refuse remembers that a BMC has refused a login, so that nobody tries it again until it is another. Others that log in to
// the BMC tell what they were answered this way, and a restarted engine what it had written down.
func (b *Broker) Refuse(t Target) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latched[t.Endpoint] = t.Login
}

// Sweep gives back the sessions that nobody has used for a while.
func (b *Broker) Sweep(ctx context.Context) error {
	return b.leave(ctx, b.clock.Now().Add(-idleSession))
}

// Close gives back all sessions. The doors can be used afterwards; whoever does logs in again.
func (b *Broker) Close(ctx context.Context) error { return b.leave(ctx, time.Time{}) }

// leave gives back the sessions that were not used since; the zero time means all.
func (b *Broker) leave(ctx context.Context, since time.Time) error {
	b.mu.Lock()
	doors := make([]*Door, 0, len(b.doors))
	for _, d := range b.doors {
		doors = append(doors, d)
	}
	b.mu.Unlock()
	var failed []error
	for _, d := range doors {
		if since.IsZero() || d.lastUsed().Before(since) {
			failed = append(failed, d.Leave(ctx))
		}
	}
	return errors.Join(failed...)
}
