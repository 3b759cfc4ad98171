package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/redfish/redfishtest"
	"github.com/rackplane/rackplane/secret"
)

// world is a BMC and a broker with a clock that stands.
type world struct {
	*testing.T
	bmc    *redfishtest.BMC
	broker *Broker
	clock  *testingclock.FakeClock
	target Target
}

func newWorld(t *testing.T, profile string) *world {
	t.Helper()
	p, err := redfishtest.Load(profile)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, bmc: redfishtest.Start(p), clock: testingclock.NewFakeClock(time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC))}
	t.Cleanup(w.bmc.Close)
	w.broker = New(w.clock)
	w.target = Target{
		Endpoint: w.bmc.URL(), Login: Login{Username: redfishtest.User, Password: redfishtest.Password, Secret: "bmc-1", Version: "1"},
		Trust: Trust{Fingerprint: Fingerprint(w.bmc.Certificate())},
	}
	return w
}

func (w *world) door() *Door {
	w.Helper()
	d, err := w.broker.Door(w.target)
	if err != nil {
		w.Fatal(err)
	}
	return d
}

func (w *world) get(c Class) error {
	w.Helper()
	a, err := w.door().Get(w.Context(), c, w.bmc.SystemPath())
	if err == nil && a.Status != http.StatusOK {
		return fault.New(fault.Transient, "%s answers %d", w.bmc.URL(), a.Status)
	}
	return err
}

// close gives all sessions back and holds the BMC to it.
func (w *world) close() {
	w.Helper()
	if err := w.broker.Close(w.Context()); err != nil {
		w.Error(err)
	}
	if c := w.bmc.Counts(); c.SessionsOpen != 0 {
		w.Errorf("%d sessions of %d were never given back", c.SessionsOpen, c.SessionsMade)
	}
}

// TestManyCallersAreOne: whoever asks, the BMC sees one session, two connections, and what is asked at the same time once.
func TestManyCallersAreOne(t *testing.T) {
	t.Parallel()
	for _, profile := range redfishtest.Names() {
		w := newWorld(t, profile)
		w.bmc.Fail(redfishtest.Fault{Kind: redfishtest.Delayed, Delay: 5 * time.Millisecond})
		paths := []string{"/redfish/v1/Systems", "/redfish/v1/Managers", "/redfish/v1/Chassis", w.bmc.SystemPath()}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				if _, err := w.door().Get(t.Context(), Class(i%3), paths[i%len(paths)]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		made := 1
		if w.bmc.Profile().Sessions == "" {
			made = 0
		}
		if c := w.bmc.Counts(); c.SessionsMade != made || c.Connections > 2 || c.InFlight > 2 || c.Requests > 20 {
			t.Errorf("%s: %+v", profile, c)
		}
		w.close()
	}
}

// TestRefusedPasswordIsTriedOnce: whoever asks and however often, until the Secret is another.
func TestRefusedPasswordIsTriedOnce(t *testing.T) {
	t.Parallel()
	for _, profile := range redfishtest.Names() {
		w := newWorld(t, profile)
		w.target.Login.Password = "wrong"
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				if err := w.get(Class(i % 3)); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "Secret bmc-1") {
					t.Error(profile, err)
				}
			})
		}
		wg.Wait()
		w.close()
		w.clock.Step(24 * time.Hour)
		if err := w.get(User); !fault.Is(err, fault.Denied) || strings.Contains(err.Error(), "wrong") {
			t.Error(profile, err)
		}
		if got := w.bmc.Counts().LoginsRefused; got != 1 {
			t.Errorf("%s: the password was refused %d times", profile, got)
		}
		if !w.broker.Refused(w.target) {
			t.Error("nobody is told")
		}
		w.target.Login.Version, w.target.Login.Password = "2", redfishtest.Password
		if err := w.get(User); err != nil {
			t.Error(profile, err)
		}
		if got := w.bmc.Counts().LoginsRefused; got != 1 {
			t.Errorf("%s: refused %d times", profile, got)
		}
		w.close()
	}
}

// TestToldRefusal: what Ironic was refused is not tried here either.
func TestToldRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "dell")
	w.broker.Refuse(w.target)
	if err := w.get(User); !fault.Is(err, fault.Denied) || w.bmc.Counts().Requests != 0 {
		t.Error(err, w.bmc.Counts())
	}
}

// TestPasswordChangesUnderway: the session lives on; when it is lost, the old password is tried once, and the old session of a
// new Secret is given back before the new one is made.
func TestPasswordChangesUnderway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "supermicro")
	if err := w.get(User); err != nil {
		t.Fatal(err)
	}
	w.bmc.SetPassword("new")
	if err := w.get(User); err != nil {
		t.Fatal(err)
	}
	w.bmc.ForgetSessions()
	for range 5 {
		if err := w.get(Lifecycle); !fault.Is(err, fault.Denied) {
			t.Fatal(err)
		}
	}
	if got := w.bmc.Counts(); got.LoginsRefused != 1 || got.SessionsMade != 1 {
		t.Errorf("%+v", got)
	}
	for i := range 6 { // more than there can be sessions
		w.target.Login = Login{Username: redfishtest.User, Password: "new", Secret: "bmc-1", Version: string(rune('a' + i))}
		if err := w.get(User); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
}

func TestLostSessionIsMadeAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "hpe")
	for range 3 {
		w.bmc.ForgetSessions()
		if err := w.get(User); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.bmc.Counts(); got.SessionsMade != 3 || got.LoginsRefused != 0 {
		t.Errorf("%+v", got)
	}
	w.close()
}

// TestSessionCap: all sessions in use is no refusal.
func TestSessionCap(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"supermicro", "hpe"} {
		p, err := redfishtest.Load(profile)
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, profile)
		others := make([]*Broker, p.SessionCap)
		for i := range others {
			others[i] = New(w.clock)
			d, err := others[i].Door(w.target)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = d.Get(t.Context(), User, w.bmc.SystemPath()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.get(User); !fault.Is(err, fault.Busy) || w.broker.Refused(w.target) {
			t.Error(err)
		}
		if err := others[0].Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.get(User); err != nil {
			t.Error(err)
		}
		for _, other := range others {
			_ = other.Close(t.Context())
		}
		w.close()
	}
}

// TestEveryFault: whatever the BMC does, an error has the kind that is right, nothing is sent twice, no session is left behind
// and no password latched; once it is well again so is everything.
func TestEveryFault(t *testing.T) {
	t.Parallel()
	fine := map[redfishtest.Kind]bool{redfishtest.Delayed: true, redfishtest.Duplicated: true, redfishtest.WrongTypes: true, redfishtest.ClockSkew: true, redfishtest.Garbage: true}
	for _, kind := range redfishtest.Kinds() {
		w := newWorld(t, "hpe")
		w.bmc.Fail(redfishtest.Fault{Kind: kind, Path: w.bmc.SystemPath(), To: "https://192.0.2.1"})
		err := w.get(User)
		if (err == nil) != fine[kind] {
			t.Errorf("%s: %v", kind, err)
		}
		want := map[redfishtest.Kind]fault.Kind{redfishtest.Unauthorized: fault.Denied, redfishtest.RedirectAway: fault.Rejected}[kind]
		if want == "" {
			want = fault.Transient
		}
		if err != nil && (!fault.Is(err, want) || !strings.Contains(err.Error(), w.bmc.URL())) {
			t.Errorf("%s: %v", kind, err)
		}
		w.bmc.ResetCounts()
		w.clock.Step(time.Hour)
		_, _ = w.door().Send(t.Context(), User, Change{Method: http.MethodPost, Path: w.bmc.SystemPath() + "/Actions/ComputerSystem.Reset", Body: []byte(`{"ResetType":"ForceRestart"}`)})
		if got := w.bmc.Counts().Resets; got > 1 && kind != redfishtest.Duplicated {
			t.Errorf("%s: the server was reset %d times", kind, got)
		}
		if w.broker.Refused(w.target) {
			t.Errorf("%s: the password is taken for refused", kind)
		}
		w.bmc.Heal()
		w.clock.Step(time.Hour)
		if err := w.get(User); err != nil {
			t.Errorf("%s: afterwards: %v", kind, err)
		}
		w.close()
	}
}

// TestFaultsWhileLoggingIn: a fault of the login itself latches nothing, and a session whose answer was lost is all that is.
func TestFaultsWhileLoggingIn(t *testing.T) {
	t.Parallel()
	for _, kind := range redfishtest.Kinds() {
		if kind == redfishtest.Unauthorized {
			continue // is a refusal
		}
		for _, path := range []string{"/redfish/v1", "/Sessions"} {
			w := newWorld(t, "dell")
			w.bmc.Fail(redfishtest.Fault{Kind: kind, Path: path, Times: 1, To: "https://192.0.2.1"})
			_ = w.get(User)
			w.clock.Step(time.Hour)
			if err := w.get(User); err != nil || w.bmc.Counts().LoginsRefused != 0 {
				t.Errorf("%s at %s: %v, %+v", kind, path, err, w.bmc.Counts())
			}
		}
	}
}

// TestNothingGoesToStrangers: no request, so no password, reaches a BMC that is not trusted, or a host it points to.
func TestNothingGoesToStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "dell")
	pinned := w.target.Trust
	for _, trust := range []Trust{{}, {CAs: x509.NewCertPool()}, {Fingerprint: strings.Repeat("ab", 32)}} {
		w.target.Trust = trust
		if err := w.get(User); !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), Fingerprint(w.bmc.Certificate())) {
			t.Error(err)
		}
	}
	if got := w.bmc.Counts().Requests; got != 0 {
		t.Errorf("%d requests", got)
	}
	w.target.Trust = Trust{Fingerprint: "none"}
	if _, err := w.broker.Door(w.target); !fault.Is(err, fault.Rejected) {
		t.Error(err)
	}
	w.clock.Step(time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(w.bmc.Certificate())
	for _, trust := range []Trust{{CAs: pool}, pinned, {Insecure: true}} {
		w.target.Trust = trust
		if err := w.get(User); err != nil {
			t.Error(err)
		}
	}
	other := newWorld(t, "hpe")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		w.bmc.Fail(redfishtest.Fault{Kind: redfishtest.RedirectAway, Method: method, Path: "/Systems", To: other.bmc.URL(), Times: 1})
	}
	if err := w.get(User); !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "not followed") {
		t.Error(err)
	}
	if _, err := w.door().Send(t.Context(), User, Change{Method: http.MethodPost, Path: w.bmc.SystemPath() + "/x", Body: nil}); !fault.Is(err, fault.Rejected) {
		t.Error(err)
	}
	if got := other.bmc.Counts().Requests; got != 0 {
		t.Errorf("%d requests went to another host", got)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, other.bmc.URL()+"/redfish/v1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := w.door().Client(User).Do(req); !fault.Is(err, fault.Rejected) {
		resp.Body.Close()
		t.Error(err)
	}
	w.close()
}

func TestETagsSaveBodiesUntilSomethingIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "openbmc")
	for range 3 {
		if err := w.get(Inventory); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.bmc.Counts().NotModified; got != 2 {
		t.Errorf("%d answers without a body", got)
	}
	_, _ = w.door().Send(t.Context(), User, Change{Method: http.MethodPatch, Path: w.bmc.SystemPath(), Body: []byte(`{"Boot":{}}`)})
	if err := w.get(Inventory); err != nil || w.bmc.Counts().NotModified != 2 {
		t.Error(err, w.bmc.Counts())
	}
	w.close()
}

// TestSilentBMCIsLeftAlone: three times in a row, then nobody asks for a while, then one does.
func TestSilentBMCIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "dell")
	if err := w.get(User); err != nil {
		t.Fatal(err)
	}
	w.bmc.ResetCounts()
	w.bmc.Fail(redfishtest.Fault{Kind: redfishtest.Truncated})
	for range 50 {
		if err := w.get(User); !fault.Is(err, fault.Transient) {
			t.Fatal(err)
		}
	}
	if got := w.bmc.Counts().Requests; got != restAfter {
		t.Errorf("asked %d times", got)
	}
	w.clock.Step(restFirst)
	for range 5 {
		_ = w.get(User)
	}
	if got := w.bmc.Counts().Requests; got != restAfter+1 {
		t.Errorf("asked %d times after the rest", got)
	}
	w.bmc.Heal()
	w.clock.Step(restMost)
	if err := w.get(User); err != nil {
		t.Error(err)
	}
	w.close()
}

func TestIdleSessionsAreGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "dell")
	if err := w.get(User); err != nil {
		t.Fatal(err)
	}
	open := func() int {
		if err := w.broker.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w.bmc.Counts().SessionsOpen
	}
	w.clock.Step(idleSession)
	if got := open(); got != 1 {
		t.Error("given back too soon")
	}
	w.clock.Step(time.Second)
	if got := open(); got != 0 {
		t.Error("kept")
	}
	gone, cancel := context.WithCancel(t.Context())
	if err := w.get(User); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := w.broker.Close(gone); err != nil || w.bmc.Counts().SessionsOpen != 0 {
		t.Error("a session is left behind when the engine stops", err)
	}
}

// TestTelemetryHasABudget: 12 an hour, whatever else is asked.
func TestTelemetryHasABudget(t *testing.T) {
	t.Parallel()
	var p purse
	p.budget = budgets()[Telemetry]
	now, asked := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC), 0
	for range 24 * 60 * 2 {
		if left, ok := p.spend(now); ok {
			asked++
		} else if left <= 0 || left > telemetryRefill {
			t.Fatal(left)
		}
		now = now.Add(30 * time.Second)
	}
	if asked > 24*12+12 || asked < 24*12 {
		t.Errorf("%d in a day", asked)
	}
	w := newWorld(t, "hpe")
	for range 30 {
		_ = w.get(Telemetry)
	}
	if err := w.get(Telemetry); !fault.Is(err, fault.Busy) {
		t.Error(err)
	}
	if err := w.get(User); err != nil {
		t.Error(err)
	}
	if got := w.bmc.Counts().Requests; got > 12+2+1 { // and the login
		t.Errorf("%d requests", got)
	}
}

// TestGate: a person goes first, nobody is forgotten, and a slow BMC gets one at a time.
func TestGate(t *testing.T) {
	t.Parallel()
	var g gate
	for range flights {
		if err := g.enter(t.Context(), Inventory); err != nil {
			t.Fatal(err)
		}
	}
	order := make(chan Class, 3)
	for i, c := range []Class{Telemetry, Inventory, User} {
		go func() {
			if err := g.enter(t.Context(), c); err != nil {
				t.Error(err)
			}
			order <- c
		}()
		for waits := 0; waits <= i; {
			g.mu.Lock()
			waits = 0
			for _, queue := range g.waiting {
				waits += len(queue)
			}
			g.mu.Unlock()
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.enter(gone, User); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, want := range []Class{User, Inventory, Telemetry} {
		g.leave(0)
		if got := <-order; got != want {
			t.Errorf("%s before %s", got, want)
		}
	}
	g.leave(time.Minute)
	if g.limit() != 1 {
		t.Error("a slow BMC gets as much as another")
	}
	for range 20 {
		g.inside++
		g.leave(time.Millisecond)
	}
	if g.limit() != flights {
		t.Error("a BMC stays slow for ever")
	}
}

func TestNoSecretShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "dell")
	w.target.Login.Password = secret.Value("hunter2")
	err := w.get(User)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
}
