package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/bmc"
	"github.com/rackplane/rackplane/provisioner/lifecycle"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
)

// world is a simulated server with the loop that drives it.
type world struct {
	now  time.Time
	sim  *provisionertest.Simulator
	want provisioner.Want
	past lifecycle.Past
	log  []lifecycle.Decision
	made int // deployment ids
}

func newWorld(stepTime time.Duration) *world {
	w := &world{now: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), want: want()}
	w.sim = provisionertest.New(func() time.Time { return w.now }, stepTime)
	return w
}

// words are those of the simulator, which plays Ironic.
func words() provisioner.Words { return (*provisionertest.Simulator)(nil).Words() }

func want() provisioner.Want {
	return provisioner.Want{
		Host:     provisioner.HostID{Namespace: "metal", Name: "h1", UID: provisionertest.AnyUID(1)},
		BMC:      bmc.Access{Address: "redfish://bmc1", Username: "admin", Password: "secret", CredentialsName: "h1-bmc", CredentialsVersion: "1"},
		BootMode: metal3v1alpha1.UEFI,
	}
}

// pass makes one pass and moves the clock on to the next one.
func (w *world) pass(tb errorer) lifecycle.Decision {
	ctx := context.Background()
	seen, err := w.sim.Observe(ctx, w.want.Host)
	if err != nil && !fault.Is(err, fault.Missing) {
		w.now = w.now.Add(5 * time.Second)
		return lifecycle.Decision{}
	}
	d := lifecycle.Next(words(), w.want, seen, w.past, w.now)
	if again := lifecycle.Next(words(), w.want, seen, w.past, w.now); d.String() != again.String() {
		tb.Fatalf("not deterministic: %s then %s", d, again)
	}
	w.past = w.past.Record(d, w.now)
	w.log = append(w.log, d)
	if seen.State == provisioner.StateAvailable {
		w.want.Installed = nil // as the status shows it
	}
	switch d.Record {
	case lifecycle.Begin:
		w.made++
		w.want.Deployment = fmt.Sprintf("deployment-%d", w.made)
	case lifecycle.End:
		w.want.Deployment, w.want.GivenUp = "", ""
	}
	if d.Kind == lifecycle.Act {
		mustBeAllowed(tb, w.want, seen, d.Action)
		if err := w.sim.Do(ctx, w.want, d.Action); fault.Is(err, fault.Rejected) {
			w.past = w.past.Count(lifecycle.Refused(words(), w.want, d, err.Error()), w.now)
		}
	}
	if d.Poll <= 0 {
		tb.Fatalf("%s has no poll", d)
	}
	w.now = w.now.Add(d.Poll)
	return d
}

// mustBeAllowed is the law of the table, told apart from it: what is on a server goes, and a server in use is switched off,
// only if Ironic records what the API records, or what a person gave up.
func mustBeAllowed(tb errorer, want provisioner.Want, seen provisioner.Observation, a provisioner.Action) {
	matches := seen.Deployment != "" && seen.Deployment == want.Deployment
	givenUp := want.GivenUp != "" && want.GivenUp == seen.Holding()
	empty := seen.Deployment == "" && want.Deployment == "" && want.Installed == nil
	free := seen.State == provisioner.StateAvailable
	allowed := true
	switch a {
	case provisioner.Undeploy:
		allowed = (matches && !seen.NotOurs) || givenUp
	case provisioner.Provide, provisioner.Inspect:
		allowed = matches || givenUp || empty
	case provisioner.SwitchOff, provisioner.CutPower:
		allowed = matches || givenUp || empty || free
	case provisioner.Deploy:
		allowed = free && want.Deployment != ""
	case provisioner.Abort:
		allowed = matches || givenUp || !slices.Contains([]provisioner.NodeState{provisioner.StateDeployWait, provisioner.StateDeployHold}, seen.State)
	case provisioner.TakeOver:
		allowed = matches || givenUp || empty
	case provisioner.Mark, provisioner.Adopt:
		allowed = want.Deployment != "" && (seen.Deployment == "" || matches || givenUp)
	case provisioner.Register, provisioner.Manage, provisioner.Vacate, provisioner.Repair, provisioner.SwitchOn, provisioner.Delete:
		// Nothing on the server is changed by these.
	}
	if seen.HostUID != "" && seen.HostUID != want.Host.UID && a != provisioner.TakeOver {
		allowed = false
	}
	if !allowed {
		tb.Fatalf("%s of %+v while %+v is wanted", a, seen, want)
	}
}

type errorer interface{ Fatalf(string, ...any) }

// settle drives until settled, and fails when that takes too many passes.
func (w *world) settle(tb errorer) lifecycle.Decision {
	for range 3000 {
		if d := w.pass(tb); d.Kind == lifecycle.Settled || d.Holding != "" {
			return d
		}
	}
	tb.Fatalf("not settled after 3000 passes; the last decisions: %v", w.log[max(0, len(w.log)-12):])
	return lifecycle.Decision{}
}

func image(url string) *provisioner.Image {
	return &provisioner.Image{URL: url, Checksum: "abc", ChecksumType: "sha256"}
}

func TestLadder(t *testing.T) {
	t.Parallel()
	w := newWorld(time.Second)
	d := w.settle(t)
	if d.State != metal3v1alpha1.StateAvailable {
		t.Fatalf("state %s, want available", d.State)
	}
	w.want.Image, w.want.Online = image("http://images/a"), true
	if d = w.settle(t); d.State != metal3v1alpha1.StateProvisioned {
		t.Fatalf("state %s, want provisioned", d.State)
	}
	w.want.Image, w.want.Online = nil, false
	if d = w.settle(t); d.State != metal3v1alpha1.StateAvailable {
		t.Fatalf("state %s, want available again", d.State)
	}
	w.want.Deleting = true
	if d = w.settle(t); d.State != metal3v1alpha1.StateDeleting {
		t.Fatalf("state %s, want deleting", d.State)
	}
	if _, found := w.sim.Node(w.want.Host); found {
		t.Error("the node is still registered")
	}
	var states []metal3v1alpha1.ProvisioningState
	for _, d := range w.log {
		if len(states) == 0 || states[len(states)-1] != d.State {
			states = append(states, d.State)
		}
	}
	t.Log(states)
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(time.Second)
	w.sim.SetBMC("redfish://bmc1", "admin", "other")
	start := w.now
	for w.now.Before(start.Add(20 * time.Minute)) {
		w.pass(t)
	}
	if w.past.Error != metal3v1alpha1.RegistrationError {
		t.Errorf("error %q, want a registration error", w.past.Error)
	}
	// 15+30+60+120+240+480 s is 15 min 45 s: seven attempts in 20 minutes.
	if n := w.sim.Effects(w.want.Host)[provisioner.Manage]; n != 7 {
		t.Errorf("%d attempts in 20 minutes, want 7", n)
	}
	w.want.BMC.Password, w.want.BMC.CredentialsVersion = "other", "2"
	w.past.Anew = true
	fixed := w.now
	w.settle(t)
	if took := w.now.Sub(fixed); took > 2*time.Minute {
		t.Errorf("took %s after the Secret was corrected", took)
	}
	if w.past.Error != "" || w.past.Failures != 0 {
		t.Errorf("the error stayed: %+v", w.past)
	}
}

func TestChecksumMismatch(t *testing.T) {
	t.Parallel()
	w := newWorld(time.Second)
	w.want.Image, w.want.Online = image("http://images/bad"), true
	w.sim.BreakImage(*w.want.Image, provisionertest.ChecksumMismatch)
	for w.past.Failures < 2 {
		w.pass(t)
	}
	if w.past.Error != metal3v1alpha1.ProvisioningError {
		t.Errorf("error %q, want a provisioning error", w.past.Error)
	}
	w.want.Image, w.past.Anew = image("http://images/good"), true
	if d := w.settle(t); d.State != metal3v1alpha1.StateProvisioned || w.past.Error != "" {
		t.Errorf("settled in %s with error %q", d.State, w.past.Error)
	}
}

func TestRunningHostSurvivesLostIronic(t *testing.T) {
	t.Parallel()
	w := newWorld(time.Second)
	w.want.Image, w.want.Online = image("http://images/a"), true
	w.settle(t)
	w.sim.Forget()
	w.want.Installed = w.want.Image
	w.past = lifecycle.Past{}
	before := w.sim.Effects(w.want.Host)
	if d := w.settle(t); d.State != metal3v1alpha1.StateProvisioned {
		t.Errorf("settled in %s", d.State)
	}
	after := w.sim.Effects(w.want.Host)
	if after[provisioner.Deploy] != before[provisioner.Deploy] || after[provisioner.Provide] != before[provisioner.Provide] {
		t.Errorf("the running host was wiped: %v then %v", before, after)
	}
}

// TestConverges: whatever Ironic holds and whatever is wanted, following the decisions ends where the want says, also
// when faults hit on the way and when the past is lost again and again.
func TestConverges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(time.Duration(rapid.IntRange(0, 3).Draw(rt, "step")) * time.Second)
		w.want = drawWant(rt)
		seen := drawSeen(rt, w)
		w.sim.Set(w.want.Host, seen)
		for range rapid.IntRange(0, 4).Draw(rt, "faults") {
			w.sim.Inject(drawFault(rt))
		}
		for range rapid.IntRange(0, 30).Draw(rt, "passes") {
			w.pass(rt)
			if rapid.IntRange(0, 5).Draw(rt, "lose") == 0 {
				w.past = lifecycle.Past{}
			}
		}
		w.sim.Heal()
		waits := slices.Contains([]provisioner.NodeState{
			provisioner.StateCleanWait, provisioner.StateInspectWait, provisioner.StateDeployWait,
		}, seen.State)
		if heldByPeople(seen) || (waits && (seen.HostUID == provisionertest.AnyUID(2) || w.want.Detached)) { // Ironic ends its own waits
			return
		}
		d := w.settle(rt)
		for tries := 0; d.Holding != "" && tries < 3; tries++ { // a person gives it up, and it goes on
			w.want.GivenUp = d.Holding
			w.past.Anew = true
			d = w.settle(rt)
		}
		checkEnd(rt, w, d)
	})
}

// TestNothingOfOthersIsTouched walks every state by every want and every pair of deployment ids.
func TestNothingOfOthersIsTouched(t *testing.T) {
	t.Parallel()
	acted := 0
	for _, state := range provisioner.NodeStates()[1:] {
		for bits := range 1 << 6 { // a few seconds of a processor
			on := func(i int) bool { return bits&(1<<i) != 0 }
			w := want()
			w.Online, w.Deleting, w.External, w.SkipInspection = on(0), on(1), on(2), on(0)
			seen := provisioner.Observation{
				ID: "n", State: state, HostUID: w.Host.UID, Server: w.Server(), Registration: w.Registration(), Power: provisioner.PowerOn, NotOurs: on(3),
			}
			if on(4) {
				seen.HostUID = provisionertest.AnyUID(2)
			}
			if on(5) {
				w.Installed = image("http://images/a")
			}
			acted += everyID(t, w, seen)
		}
	}
	if acted == 0 {
		t.Error("nothing was ever done")
	}
}

// everyID asks for a decision under every image wanted, deployment decided, recorded and given up; it counts the actions.
func everyID(t *testing.T, want provisioner.Want, seen provisioner.Observation) (acted int) {
	t.Helper()
	for _, wanted := range []*provisioner.Image{nil, image("http://images/a")} {
		for _, decided := range []string{"", "a", "b"} {
			for _, recorded := range []string{"", "a"} {
				if seen.NotOurs && recorded == "" {
					continue
				}
				for _, givenUp := range []string{"", seen.ID, "a"}[:2+len(recorded)] {
					want.Image, want.Deployment, want.GivenUp, seen.Deployment = wanted, decided, givenUp, recorded
					seen.Image = image("http://images/a")
					if d := lifecycle.Next(words(), want, seen, lifecycle.Past{}, time.Unix(0, 0)); d.Kind == lifecycle.Act {
						mustBeAllowed(t, want, seen, d.Action)
						acted++
					}
				}
			}
		}
	}
	return acted
}

// heldByPeople tells the starts that only a person (or deleting the host) ends, and those where the simulator would wait
// for ever because it was put there with nothing under way.
func heldByPeople(o provisioner.Observation) bool {
	return o.Maintenance || slices.Contains([]provisioner.NodeState{
		provisioner.StateRescue, provisioner.StateRescueFail, provisioner.StateRescueWait, provisioner.StateUnrescueFail,
		provisioner.StateServiceFail, provisioner.StateServiceWait, provisioner.StateServiceHold, provisioner.StateCleanHold,
		provisioner.StateDeployHold, provisioner.StateRescuing, provisioner.StateUnrescuing, provisioner.StateServicing,
		provisioner.StateVerifying, provisioner.StateInspecting, provisioner.StateCleaning, provisioner.StateDeploying,
		provisioner.StateDeployDone, provisioner.StateDeleting, provisioner.StateDeleted, provisioner.StateAdopting,
	}, o.State)
}

func checkEnd(rt *rapid.T, w *world, d lifecycle.Decision) {
	n, found := w.sim.Node(w.want.Host)
	switch {
	case w.want.Deleting && w.want.Retain:
		return
	case w.want.Deleting:
		if found && n.HostUID == w.want.Host.UID {
			rt.Fatalf("deleted host is still registered: %+v", n)
		}
	case w.want.Detached:
		if found && n.HostUID == w.want.Host.UID {
			rt.Fatalf("detached host is still registered: %+v", n)
		}
		return
	case w.want.External:
		if d.State != metal3v1alpha1.StateExternallyProvisioned {
			rt.Fatalf("external host ended as %s", d.State)
		}
	case w.want.Image != nil && w.want.Online:
		if d.State != metal3v1alpha1.StateProvisioned || n.Image == nil || n.Image.URL != w.want.Image.URL || n.Power != provisioner.PowerOn {
			rt.Fatalf("ended as %s with %+v", d.State, n)
		}
	case w.want.Image == nil:
		if d.State != metal3v1alpha1.StateAvailable {
			rt.Fatalf("ended as %s with %+v", d.State, n)
		}
	}
	if w.past.Error != "" || w.past.Failures != 0 {
		rt.Fatalf("settled and still shows %+v", w.past)
	}
	for range 3 {
		if again := w.pass(rt); again.Kind != lifecycle.Settled {
			rt.Fatalf("did not stay settled: %s", again)
		}
	}
}

func drawWant(rt *rapid.T) provisioner.Want {
	w := want()
	if rapid.Bool().Draw(rt, "image") {
		w.Image = image(rapid.SampledFrom([]string{"http://images/a", "http://images/b"}).Draw(rt, "url"))
	}
	w.Online = rapid.Bool().Draw(rt, "online")
	w.SkipInspection = rapid.Bool().Draw(rt, "skipInspection")
	w.SkipCleaning = rapid.Bool().Draw(rt, "skipCleaning")
	w.External = rapid.IntRange(0, 5).Draw(rt, "external") == 0
	w.Deleting = rapid.IntRange(0, 3).Draw(rt, "deleting") == 0
	w.Detached = rapid.IntRange(0, 5).Draw(rt, "detached") == 0
	w.Deployment = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "decided")
	w.Retain = rapid.IntRange(0, 5).Draw(rt, "retain") == 0
	if rapid.IntRange(0, 3).Draw(rt, "installed") == 0 {
		w.Installed = image("http://images/a")
	}
	return w
}

func drawSeen(rt *rapid.T, w *world) provisioner.Observation {
	o := provisioner.Observation{
		ID:        "n",
		HostUID:   rapid.SampledFrom([]types.UID{"", provisionertest.AnyUID(1), provisionertest.AnyUID(1), provisionertest.AnyUID(2)}).Draw(rt, "owner"),
		Server:    w.want.Server(),
		NotOurs:   rapid.IntRange(0, 5).Draw(rt, "notOurs") == 0,
		State:     rapid.SampledFrom(provisioner.NodeStates()).Draw(rt, "state"),
		Since:     w.now.Add(-time.Duration(rapid.IntRange(0, 7200).Draw(rt, "age")) * time.Second),
		Power:     rapid.SampledFrom([]provisioner.Power{provisioner.PowerOn, provisioner.PowerOff}).Draw(rt, "power"),
		LastError: rapid.SampledFrom([]string{"", "it broke"}).Draw(rt, "lastError"),
	}
	o.Deployment = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "recorded")
	if rapid.Bool().Draw(rt, "registered") {
		o.Registration = w.want.Registration()
	}
	if rapid.Bool().Draw(rt, "inspected") {
		o.Inspected = w.now.Add(-time.Hour)
	}
	if rapid.Bool().Draw(rt, "hasImage") {
		o.Image = image("http://images/a")
	}
	if rapid.IntRange(0, 4).Draw(rt, "fault") == 0 {
		o.Maintenance, o.Fault = true, provisioner.FaultClean
	}
	return o
}

func drawFault(rt *rapid.T) provisionertest.Fault {
	on := []string{
		"", provisionertest.CallObserve, string(provisioner.Register), string(provisioner.Deploy), provisionertest.FailVerify,
		provisionertest.FailInspect, provisionertest.FailClean, provisionertest.FailDeploy, provisionertest.FailUndeploy,
		provisionertest.FailAdopt, provisionertest.FailPower,
	}
	f := provisionertest.Fault{
		On:    rapid.SampledFrom(on).Draw(rt, "on"),
		Kind:  rapid.SampledFrom([]fault.Kind{fault.Transient, fault.Busy, fault.Denied, fault.Rejected, fault.Lost}).Draw(rt, "kind"),
		Times: rapid.IntRange(1, 5).Draw(rt, "times"),
	}
	if rapid.Bool().Draw(rt, "answerLost") {
		f.Lost = errors.New("the answer got lost")
	}
	return f
}

// TestClockThatRanAhead: a failure that was counted a year ahead of the clock keeps no host waiting.
func TestClockThatRanAhead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	seen := provisioner.Observation{ID: "n", State: provisioner.StateEnroll, Since: now, Registration: want().Registration(), HostUID: want().Host.UID}
	for ahead, wait := range map[time.Duration]bool{365 * 24 * time.Hour: false, 5 * time.Minute: true} {
		past := lifecycle.Past{Failures: 2, At: now.Add(ahead), Error: metal3v1alpha1.RegistrationError}
		d := lifecycle.Next(words(), want(), seen, past, now)
		if (d.Kind == lifecycle.Wait) != wait || d.Poll > lifecycle.BackoffMax {
			t.Errorf("failed %s ahead: %s, again in %s", ahead, d, d.Poll)
		}
	}
}

// TestDeadlinesAreByTheServicesClock: an engine whose clock is wrong by more than a deadline aborts nothing, and sees a
// deadline pass when it passes.
func TestDeadlinesAreByTheServicesClock(t *testing.T) {
	t.Parallel()
	service := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, skew := range []time.Duration{0, time.Hour, 365 * 24 * time.Hour, -time.Hour, -365 * 24 * time.Hour} {
		for _, state := range []provisioner.NodeState{provisioner.StateInspectWait, provisioner.StateCleanWait, provisioner.StateDeployWait} {
			w := want()
			w.Image, w.Online, w.Deployment = image("http://images/a"), true, "a"
			seen := provisioner.Observation{
				ID: "n", Deployment: "a", State: state, Since: service.Add(-time.Minute), Now: service,
				Registration: w.Registration(), HostUID: w.Host.UID, Image: w.Image,
			}
			if d := lifecycle.Next(words(), w, seen, lifecycle.Past{}, service.Add(skew)); d.Kind != lifecycle.Wait || d.Failure != nil {
				t.Errorf("%s, engine %s ahead: %s", state, skew, d)
			}
			seen.Since = service.Add(-36 * time.Minute)
			if d := lifecycle.Next(words(), w, seen, lifecycle.Past{}, service.Add(skew)); d.Action != provisioner.Abort {
				t.Errorf("%s, engine %s ahead, without a sign of life: %s", state, skew, d)
			}
		}
	}
}

// TestExplainShowsNoLogin: people put passwords into addresses, and what a service says may drive a terminal.
func TestExplainShowsNoLogin(t *testing.T) {
	t.Parallel()
	w := want()
	w.BMC.Address = "redfish://admin:HUNTER2@bmc1/redfish"
	w.Image = image("https://admin:HUNTER2@images/a")
	for _, kind := range []metal3v1alpha1.ErrorType{metal3v1alpha1.RegistrationError, metal3v1alpha1.ProvisioningError, metal3v1alpha1.PowerManagementError} {
		text := lifecycle.Explain(words(), w, kind, "cannot reach https://admin:HUNTER2@bmc1\x1b[2J\nnow")
		if strings.Contains(text, "HUNTER2") || strings.ContainsAny(text, "\x1b\n") || !strings.Contains(text, "[redacted]@") {
			t.Errorf("%s: %q", kind, text)
		}
	}
}
