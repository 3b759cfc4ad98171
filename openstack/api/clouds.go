package api

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/wire"
)

const (
	// fresh is how long an answer is the answer.
	fresh = 5 * time.Second
	// freshFailure is the same for a failure.
	freshFailure = 15 * time.Second
	// freshFlood is the same for a place that answers more than anyone wants: it is not what it should be, and costs.
	freshFlood = 5 * time.Minute
	// bearable is how long an answer will do while another is being fetched.
	bearable = time.Minute
	// forgotten is how long after its last use a cloud is dropped, with its credentials.
	forgotten = 10 * time.Minute
	// defaultTimeout bounds one call.
	defaultTimeout = 15 * time.Second
)

// Clouds is the adapter to real OpenStacks. Safe for concurrent use. Make one with New.
type Clouds struct {
	clock   clock.PassiveClock
	timeout time.Duration
	reach   *wire.Reach

	mu       sync.Mutex
	sessions map[openstack.Access]*session
}

var _ openstack.Cloud = (*Clouds)(nil)

// New returns the adapter. It makes no call. timeout bounds one call; 0 means 15 s. reach says where clouds may be; nil
// means everywhere.
func New(c clock.PassiveClock, timeout time.Duration, reach *wire.Reach) *Clouds {
	return &Clouds{clock: c, timeout: cmp.Or(timeout, defaultTimeout), reach: reach, sessions: map[openstack.Access]*session{}}
}

// See implements openstack.Cloud.
func (c *Clouds) See(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	s := c.session(access)
	seen, err := s.sight(ctx)
	if err != nil {
		return openstack.Compute{}, err
	}
	compute := seen.Of(host)
	for i := range compute.Providers {
		if err := s.stock(ctx, seen, &compute, i); err != nil {
			return openstack.Compute{}, err
		}
	}
	return compute, nil
}

// Servers implements openstack.Cloud.
func (c *Clouds) Servers(ctx context.Context, access openstack.Access, host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*c.timeout)
	defer cancel()
	a, err := c.session(access).login(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := list[struct {
		Name string `json:"name"`
	}](ctx, a.compute, "servers", "servers?all_tenants=1&host="+url.QueryEscape(host))
	if err != nil {
		rules := &blame{access: access}
		return nil, rules.classify("list the servers of all projects", err)
	}
	names := make([]string, 0, len(rows))
	for _, r := range rows {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names, nil
}

// session is the one of an access. Those nobody asks for any more are dropped.
func (c *Clouds) session(access openstack.Access) *session {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	for key, s := range c.sessions {
		if now.Sub(s.used) > forgotten {
			delete(c.sessions, key)
		}
	}
	s := c.sessions[access]
	if s == nil {
		s = &session{clouds: c, access: access, stocks: map[string]stock{}}
		c.sessions[access] = s
	}
	s.used = now
	return s
}

// session is what is known of one cloud.
type session struct {
	clouds *Clouds
	access openstack.Access
	used   time.Time // guarded by clouds.mu

	entry sync.Mutex // held while logging in, so that nobody else does
	gate  gate

	mu      sync.Mutex
	api     *api             // nil until logged in
	last    *answer          // nil after a Do
	silent  bool             // whether the last survey was not answered
	epoch   int              // counts Dos: an answer that was fetched across one is not kept
	fetched chan struct{}    // closed when the survey under way ends; nil when there is none
	stocks  map[string]stock // by provider
}

// answer is what a survey brought.
type answer struct {
	survey *survey
	err    error
	at     time.Time
}

// sight is an answer that is fresh enough.
func (s *session) sight(ctx context.Context) (*survey, error) {
	for {
		next := s.turn()
		switch {
		case next.last != nil:
			return next.last.survey, next.last.err
		case next.mine:
			return s.fetch(ctx, next.epoch)
		}
		select {
		case <-next.fetched:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// turn is what a caller has of a cloud: a usable answer, else the survey under way to wait for, or one to make.
type turn struct {
	last    *answer
	fetched chan struct{}
	mine    bool
	epoch   int // of the survey to make
}

func (s *session) turn() turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil {
		age, limit := s.clouds.clock.Since(s.last.at), fresh
		if s.last.err != nil {
			limit = freshFailure
		}
		if errors.Is(s.last.err, errFlood) {
			limit = freshFlood
		}
		if age < limit || (s.fetched != nil && age < bearable) {
			return turn{last: s.last}
		}
	}
	if s.fetched != nil {
		return turn{fetched: s.fetched}
	}
	s.fetched = make(chan struct{})
	return turn{fetched: s.fetched, mine: true, epoch: s.epoch}
}

// fetch makes a survey and keeps it, unless the caller gave up or something was done meanwhile.
func (s *session) fetch(ctx context.Context, epoch int) (*survey, error) {
	made, err := s.survey(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.fetched)
	s.fetched = nil
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		s.api = nil // logs in anew: token, catalog or endpoints may have changed
	}
	news := !fault.Is(err, fault.Transient) || s.silent // who asks again at once really asks
	s.silent = fault.Is(err, fault.Transient)
	if epoch == s.epoch && news {
		s.last = &answer{made, err, s.clouds.clock.Now()}
	}
	return made, err
}

// forget drops the last answer.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.last = nil
}

// login is the logged-in API.
func (s *session) login(ctx context.Context) (*api, error) {
	s.entry.Lock()
	defer s.entry.Unlock()
	s.mu.Lock()
	known := s.api
	s.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.api = made
	return made, nil
}
