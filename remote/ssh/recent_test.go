package ssh_test

import (
	"context"
	"errors"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/remote/ssh"
)

// counted counts the logins it stands for.
type counted struct {
	logins int
	err    error
}

func (c *counted) Probe(context.Context, remote.Target) (remote.Seen, error) {
	c.logins++
	return remote.Seen{NetworkHash: "hash"}, c.err
}

func TestRecentAnswersAsOldAsTheCallerTakes(t *testing.T) {
	now := testclock.NewFakePassiveClock(time.Unix(1_800_000_000, 0))
	logins := &counted{}
	recent := &ssh.Recent{Prober: logins, Clock: now}
	target := remote.Target{Address: "192.0.2.1", PrivateKey: []byte("key"), HostKeys: []string{"a"}}
	stale := target
	stale.MaxAge = 5 * time.Minute
	other := stale
	other.HostKeys = []string{"b"}
	steps := []struct {
		what   string
		after  time.Duration
		target remote.Target
		fails  bool
		logins int
	}{
		{what: "the first", target: stale, logins: 1},
		{what: "soon again", after: time.Minute, target: stale, logins: 1},
		{what: "who takes no old answer", after: time.Second, target: target, logins: 2},
		{what: "with another pinned key", after: time.Second, target: other, logins: 3},
		{what: "when it is too old", after: 5 * time.Minute, target: stale, logins: 4},
		{what: "a failure", after: 5 * time.Minute, target: stale, fails: true, logins: 5},
		{what: "after a failure", after: time.Second, target: stale, fails: true, logins: 6},
		{what: "when it is back", after: time.Second, target: stale, logins: 7},
	}
	for _, s := range steps {
		now.SetTime(now.Now().Add(s.after))
		logins.err = nil
		if s.fails {
			logins.err = errors.New("no answer")
		}
		seen, err := recent.Probe(t.Context(), s.target)
		if !errors.Is(err, logins.err) || (err == nil && seen.NetworkHash != "hash") {
			t.Errorf("%s: %v, %v", s.what, seen, err)
		}
		if logins.logins != s.logins {
			t.Errorf("%s: %d logins, want %d", s.what, logins.logins, s.logins)
		}
	}
}
