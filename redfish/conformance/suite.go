// Package conformance is the suite that every BMC passes through redfish.Server, simulated or real.
package conformance

import (
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/redfish"
	"github.com/rackplane/rackplane/redfish/broker"
	"github.com/rackplane/rackplane/redfish/vendor"
	"github.com/rackplane/rackplane/secret"
)

// Subject is a BMC that the suite is run against, simulated or real.
type Subject struct {
	// Address is spec.bmc.address; User and Password log in; Fingerprint is the certificate's, empty without TLS.
	Address, User, Password, Fingerprint string
	// Images is where a.iso and b.iso can be had; a real BMC looks.
	Images string
	// Poke lets time pass in it: power comes by itself or by being read.
	Poke func()
}

// Login returns the BMC's server behind a broker of its own, whose clock stands.
func (s Subject) Login(t *testing.T) (*broker.Broker, *redfish.Server, *testingclock.FakeClock) {
	t.Helper()
	clock := testingclock.NewFakeClock(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))
	b := broker.New(clock)
	return b, s.server(t, b), clock
}

func (s Subject) server(t *testing.T, b *broker.Broker) *redfish.Server {
	t.Helper()
	a, err := bmc.Parse(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := vendor.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	target := broker.Target{Endpoint: a.Endpoint(), Trust: broker.Trust{Fingerprint: s.Fingerprint}}
	target.Login = broker.Login{Username: secret.Value(s.User), Password: secret.Value(s.Password), Secret: "bmc-1", Version: s.User + s.Password}
	d, err := b.Door(target)
	if err != nil {
		t.Fatal(err)
	}
	return redfish.New(d, broker.User, a.Path, rules)
}

// Suite is what every BMC must do, whoever made it.
func Suite(t *testing.T, s Subject) {
	t.Helper()
	b, server, _ := s.Login(t)
	defer func() {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	t.Run("power", func(t *testing.T) { powerSuite(t, server, s.Poke) })
	t.Run("boot", func(t *testing.T) { bootSuite(t, server) })
	t.Run("media", func(t *testing.T) { mediaSuite(t, server, s) })
	t.Run("wrong password", func(t *testing.T) {
		wrong := s
		wrong.Password = "not-this"
		other, refused, _ := wrong.Login(t)
		defer func() { _ = other.Close(t.Context()) }()
		for range 3 {
			if _, err := refused.Power(t.Context()); !fault.Is(err, fault.Denied) {
				t.Error(err)
			}
		}
	})
	t.Run("no such system", func(t *testing.T) {
		lost := s
		lost.Address = s.Address[:strings.LastIndex(s.Address, "/")] + "/nowhere"
		if _, err := lost.server(t, b).Power(t.Context()); !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "spec.bmc.address") {
			t.Error(err)
		}
	})
}

// finish follows a change to its end.
func finish(t *testing.T, server *redfish.Server, r redfish.Result, err error, done func() bool) {
	t.Helper()
	if err != nil || r.State == redfish.Blocked {
		t.Fatalf("%+v %v", r, err)
	}
	for range 600 {
		if r.Receipt != "" && r.State == redfish.Accepted {
			if r, err = server.Follow(t.Context(), r.Receipt); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if done() {
			return
		}
	}
	t.Fatal("it never came to be")
}

func powerSuite(t *testing.T, server *redfish.Server, poke func()) {
	t.Helper()
	is := func(want string) func() bool {
		return func() bool {
			got, err := server.Power(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got != want && poke != nil {
				poke()
			}
			return got == want
		}
	}
	set := func(a redfish.Action, want string) {
		t.Helper()
		r, err := server.SetPower(t.Context(), a)
		finish(t, server, r, err, is(want))
	}
	set(redfish.Off, "Off")
	if r, err := server.SetPower(t.Context(), redfish.Off); err != nil || r.State != redfish.Complete {
		t.Errorf("off again: %+v %v", r, err)
	}
	if r, err := server.SetPower(t.Context(), redfish.Restart); err != nil || r.State != redfish.Blocked || r.Need == "" {
		t.Errorf("restart of a server that is off: %+v %v", r, err)
	}
	set(redfish.On, "On")
	set(redfish.Restart, "On")
	set(redfish.Off, "Off")
	if c, err := server.Condition(t.Context()); err != nil || c.Power != "Off" {
		t.Error(c, err)
	}
}

func bootSuite(t *testing.T, server *redfish.Server) {
	t.Helper()
	keeps, err := server.KeepsOnce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []redfish.Override{
		{Target: "Cd", Enabled: "Once"}, {Target: "Pxe", Enabled: "Continuous"}, {Target: "None"},
	} {
		for range 2 { // the second finds it done
			if r, err := server.SetOverride(t.Context(), want); err != nil || r.State != redfish.Complete {
				t.Fatalf("%+v: %+v %v", want, r, err)
			}
		}
		got, err := server.Override(t.Context())
		if err != nil || got.Target != want.Target || want.Target != "None" && got.Enabled != want.Enabled && !keeps {
			t.Errorf("%+v reads %+v %v", want, got, err)
		}
	}
}

func mediaSuite(t *testing.T, server *redfish.Server, s Subject) {
	t.Helper()
	holds := func(want redfish.Medium) func() bool {
		return func() bool {
			got, err := server.Medium(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return got == want
		}
	}
	for _, image := range []string{s.Images + "/a.iso", s.Images + "/b.iso"} {
		r, err := server.Insert(t.Context(), image)
		for err == nil && r.State == redfish.Blocked { // the old one goes first
			if r, err = server.Follow(t.Context(), r.Receipt); err == nil && r.State == redfish.Complete {
				r, err = server.Insert(t.Context(), image)
			} else if err == nil {
				r.State = redfish.Blocked
			}
		}
		finish(t, server, r, err, holds(redfish.Medium{Image: image, Inserted: true}))
		if r, err = server.Insert(t.Context(), image); err != nil || r.State != redfish.Complete {
			t.Errorf("again: %+v %v", r, err)
		}
	}
	for range 2 {
		r, err := server.Eject(t.Context())
		finish(t, server, r, err, holds(redfish.Medium{}))
	}
}
