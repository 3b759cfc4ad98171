package main

import (
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// served is the API server's clock, as the header Date of its answers tells it; this machine's until one has come.
type served struct {
	clock.PassiveClock // this machine's

	ahead atomic.Int64 // of this machine, as time.Duration
}

// noticeable is the difference from which on two clocks are told apart: Date has whole seconds.
const noticeable = 2 * time.Second

// Now implements clock.PassiveClock.
func (s *served) Now() time.Time { return s.PassiveClock.Now().Add(time.Duration(s.ahead.Load())) }

// Since implements clock.PassiveClock.
func (s *served) Since(t time.Time) time.Duration { return s.Now().Sub(t) }

// watch makes clients of the configuration tell what their answers say.
func (s *served) watch(cfg *rest.Config) *rest.Config {
	watched := rest.CopyConfig(cfg)
	watched.Wrap(func(next http.RoundTripper) http.RoundTripper { return dated{next, s} })
	return watched
}

// dated reads the time of every answer.
type dated struct {
	http.RoundTripper
	clock *served
}

// RoundTrip implements http.RoundTripper.
func (d dated) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := d.RoundTripper.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		ahead := at.Sub(d.clock.PassiveClock.Now())
		if ahead.Abs() < noticeable {
			ahead = 0
		}
		d.clock.ahead.Store(int64(ahead))
	}
	return resp, nil
}
