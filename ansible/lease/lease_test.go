package lease_test

import (
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/ansible/lease"
)

func at(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestStands(t *testing.T) {
	held := lease.Run{Version: "7", Holder: "a", Token: 5, Duration: 60 * time.Second}
	forever := held
	forever.Duration = 0
	cases := []struct {
		name  string
		run   lease.Run
		store string
		seen  lease.Sighting
		now   float64
		want  lease.Standing
	}{
		{"not there", lease.Run{}, "b", lease.Sighting{}, 0, lease.Over},
		{"given back", lease.Run{Version: "7", Token: 5}, "b", lease.Sighting{}, 0, lease.Over},
		{"our own", held, "a", lease.Sighting{}, 0, lease.Own},
		{"just seen", held, "b", lease.Sighting{Version: "7", Since: at(0)}, 0, lease.Elsewhere},
		{"seen for not quite its duration", held, "b", lease.Sighting{Version: "7", Since: at(0)}, 59.9, lease.Elsewhere},
		{"seen for its duration", held, "b", lease.Sighting{Version: "7", Since: at(0)}, 60, lease.Expired},
		{"another version was seen for its duration", held, "b", lease.Sighting{Version: "6", Since: at(0)}, 90, lease.Elsewhere},
		{"one that never expires", forever, "b", lease.Sighting{Version: "7", Since: at(0)}, 1e9, lease.Elsewhere},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.run.Stands(c.store, c.seen, at(c.now)); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestLost(t *testing.T) {
	for _, c := range []struct {
		run  lease.Run
		want string
	}{
		{lease.Run{}, "given back"},
		{lease.Run{Holder: "b", Token: 6}, "started again as b"},
		{lease.Run{Holder: "a", Token: 5, Cancelled: true}, "cancelled"},
		{lease.Run{Holder: "a", Token: 5}, ""},
	} {
		if got := lease.Lost(c.run, 5); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: %q, want %q", c.run, got, c.want)
		}
	}
}

// TestTokensGrow: a token is higher than all before it whatever the clock does, and a clock that goes on makes up for
// tokens that were forgotten.
func TestTokensGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		last := rapid.SliceOf(rapid.Int64Range(0, 1<<50)).Draw(t, "last")
		now := at(rapid.Float64Range(-1e6, 1e6).Draw(t, "now"))
		token := lease.Token(now, last...)
		for _, l := range last {
			if token <= l {
				t.Fatalf("token %d after %d", token, l)
			}
		}
		if later := lease.Token(now.Add(time.Millisecond)); later <= lease.Token(now) {
			t.Fatalf("token %d a millisecond after %d", later, lease.Token(now))
		}
	})
}

// TestNeverTwoAtOnce: whenever renewals are asked for, arrive and are seen, nobody finds a run's lease expired before the run
// has ended, although the clocks of the two machines show different times and one is a tenth faster than the other.
func TestNeverTwoAtOnce(t *testing.T) {
	const grace = 10.0 // what the run's processes take to end, in seconds
	rapid.Check(t, func(t *rapid.T) {
		duration := time.Duration(rapid.IntRange(30, 120).Draw(t, "duration")) * time.Second
		delay := rapid.Float64Range(0, 30)
		offset, fast := rapid.Float64Range(-1e7, 1e7).Draw(t, "offset"), rapid.Float64Range(1, 1.1).Draw(t, "fast")
		observer := func(seconds float64) time.Time { return at(offset + seconds*fast) }

		// The holder: each renewal is asked for when the one before has been answered; it counts from when it asked. What is
		// answered after the holder gave up is written all the same, and does not count.
		type renewal struct{ asked, written float64 }
		renewals, renewed := []renewal{}, 0.0
		for now := 0.0; len(renewals) < 10; {
			r := renewal{asked: now, written: now + delay.Draw(t, "way")}
			renewals = append(renewals, r)
			if len(renewals) > 1 && r.written-renewed > lease.GiveUp(duration).Seconds() {
				break
			}
			renewed = r.asked
			now = r.written + lease.Renew(duration).Seconds()
		}
		ended := renewed + lease.GiveUp(duration).Seconds() + grace
		if lease.GiveUp(duration).Seconds()+grace > duration.Seconds()/1.1 {
			return // a lease too short for its grace: the engine refuses the setting
		}
		// The observer looks when it likes.
		var seen lease.Sighting
		for now := 0.0; now < ended; now += rapid.Float64Range(0.1, 20).Draw(t, "look") {
			version := ""
			for i, r := range renewals {
				if r.written <= now {
					version = string(rune('a' + i))
				}
			}
			if version == "" {
				continue // it is not there yet
			}
			run := lease.Run{Version: version, Holder: "a", Duration: duration}
			seen = lease.See(seen, version, observer(now))
			if run.Stands("b", seen, observer(now)) == lease.Expired {
				t.Fatalf("expired at %.1f, the run goes on until %.1f", now, ended)
			}
		}
	})
}

func TestObject(t *testing.T) {
	l := &coordinationv1.Lease{}
	if got := lease.Of(l); got != (lease.Run{}) {
		t.Errorf("nothing reads as %+v", got)
	}
	lease.Hold(l, "a", 5, 1500*time.Millisecond, at(0))
	lease.Cancel(l)
	if got, want := lease.Of(l), (lease.Run{Holder: "a", Token: 5, Duration: 2 * time.Second, Cancelled: true}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	lease.Touch(l, at(1))
	if !l.Spec.RenewTime.Time.Equal(at(1)) || !l.Spec.AcquireTime.Time.Equal(at(0)) {
		t.Errorf("acquired %s, renewed %s", l.Spec.AcquireTime, l.Spec.RenewTime)
	}
	lease.Hold(l, "b", 6, 0, at(2))
	if got, want := lease.Of(l), (lease.Run{Holder: "b", Token: 6}); got != want || *l.Spec.LeaseTransitions != 2 {
		t.Errorf("%+v after %d transitions, want %+v after 2", got, *l.Spec.LeaseTransitions, want)
	}
	lease.GiveBack(l)
	if got, want := lease.Of(l), (lease.Run{Token: 6}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestNames(t *testing.T) {
	if got := lease.NodeName("n1"); got != "rackplane-node-n1" {
		t.Error(got)
	}
	long := strings.Repeat("a", 252)
	one, two := lease.NodeName(long+"1"), lease.NodeName(long+"2")
	if len(one) > 253 || one == two {
		t.Errorf("%q and %q: want two names of at most 253", one, two)
	}
}
