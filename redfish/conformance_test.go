package redfish_test

import (
	"context"
	"testing"
	"time"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/redfish"
	"github.com/rackplane/rackplane/redfish/broker"
	"github.com/rackplane/rackplane/redfish/conformance"
	"github.com/rackplane/rackplane/redfish/redfishtest"
)

var (
	_ redfish.Power     = (*redfish.Server)(nil)
	_ redfish.Boot      = (*redfish.Server)(nil)
	_ redfish.Media     = (*redfish.Server)(nil)
	_ redfish.Inspector = (*redfish.Server)(nil)
	_ redfish.Health    = (*redfish.Server)(nil)
)

// TestConformance runs the suite on each vendor's simulated BMC.
func TestConformance(t *testing.T) {
	t.Parallel()
	for _, name := range redfishtest.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, name)
			conformance.Suite(t, subjectOf(b))
			if c := b.Counts(); c.LoginsRefused != 1 || c.SessionsOpen != 0 || c.InFlight > 2 {
				t.Errorf("%+v", c)
			}
		})
	}
}

func start(t *testing.T, name string) *redfishtest.BMC {
	t.Helper()
	p, err := redfishtest.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	b := redfishtest.Start(p)
	t.Cleanup(b.Close)
	return b
}

func subjectOf(b *redfishtest.BMC) conformance.Subject {
	return conformance.Subject{Address: b.Address(), User: redfishtest.User, Password: redfishtest.Password, Images: "http://192.0.2.9", Fingerprint: broker.Fingerprint(b.Certificate())}
}

// TestFaultsAtEveryStep: whichever request of whichever change meets whichever fault, it is told with a kind, and the same
// change made again once the BMC is well comes to its end; the server was never reset twice, nor a session left behind.
func TestFaultsAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, kind := range redfishtest.Kinds() {
		if kind == redfishtest.Huge {
			continue // TestHugeAnswer: it is slow to send
		}
		for _, method := range []string{"GET", "POST", "PATCH"} {
			b := start(t, "lenovo")
			s := subjectOf(b)
			br, server, clock := s.Login(t)
			if _, err := server.Power(t.Context()); err != nil {
				t.Fatal(err)
			}
			trouble := redfishtest.Fault{Kind: kind, Method: method, To: "https://192.0.2.1"}
			if kind == redfishtest.Unauthorized && method == "POST" {
				trouble.Path = "/Actions/" // or it is the login that is refused, for good
			}
			b.Fail(trouble)
			changes := map[string]func(context.Context) (redfish.Result, error){
				"power": func(ctx context.Context) (redfish.Result, error) { return server.SetPower(ctx, redfish.On) },
				"boot": func(ctx context.Context) (redfish.Result, error) {
					return server.SetOverride(ctx, redfish.Override{Target: "Cd", Enabled: "Continuous"})
				},
				"media": func(ctx context.Context) (redfish.Result, error) { return server.Insert(ctx, "http://192.0.2.9/a.iso") },
			}
			for name, change := range changes {
				if r, err := change(t.Context()); err != nil && !fault.Classified(err) || r.State == redfish.Complete && err != nil {
					t.Errorf("%s at %s of %s: %+v %v", kind, method, name, r, err)
				}
			}
			b.Heal()
			clock.Step(time.Hour)
			for name, change := range changes {
				if r, err := change(t.Context()); err != nil || r.State == redfish.Blocked {
					t.Errorf("%s at %s of %s, afterwards: %+v %v", kind, method, name, r, err)
				}
			}
			if b.Power() != "On" || b.Image() != "http://192.0.2.9/a.iso" || b.Counts().Resets != 1 || b.Counts().LoginsRefused != 0 {
				t.Errorf("%s at %s: %s %q %+v", kind, method, b.Power(), b.Image(), b.Counts())
			}
			if err := br.Close(t.Context()); err != nil || b.Counts().SessionsOpen != 0 {
				t.Errorf("%s at %s: %v %+v", kind, method, err, b.Counts())
			}
		}
	}
}
