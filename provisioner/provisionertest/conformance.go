package provisionertest

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/secret"
)

// Subject is what the conformance suite runs against: a provisioner and servers it can reach.
type Subject struct {
	Provisioner provisioner.Provisioner
	// Want returns what the n-th server's host asks for, with right credentials and Image set. Servers are numbered from
	// 0; the suite uses four, each for one journey. Two calls give the same.
	Want func(n int) provisioner.Want
	// WrongPassword is one the BMCs refuse.
	WrongPassword secret.Value
	// BadImage fails to verify against its checksum.
	BadImage provisioner.Image
	// Pause lets some time pass.
	Pause func()
	// Patience is how long a server may take for one action, counted in pauses.
	Patience int
}

// Conformance checks the contract of provisioner.Provisioner. Journeys of different servers run side by side.
func Conformance(t *testing.T, s Subject) {
	t.Helper()
	for name, journey := range map[string]func(*traveller){
		"registration": (*traveller).registration,
		"credentials":  (*traveller).credentials,
		"deployment":   (*traveller).deployment,
		"bad image":    (*traveller).badImage,
	} {
		n := map[string]int{"registration": 0, "credentials": 1, "deployment": 2, "bad image": 3}[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			journey(&traveller{T: t, s: s, want: s.Want(n)})
		})
	}
}

// traveller takes one server through a journey.
type traveller struct {
	*testing.T
	s    Subject
	want provisioner.Want
}

func (t *traveller) do(a provisioner.Action) {
	t.Helper()
	began := time.Now()
	for range t.s.Patience {
		err := t.s.Provisioner.Do(t.Context(), t.want, a)
		if err == nil {
			t.Logf("%s accepted after %s", a, time.Since(began).Round(time.Millisecond))
			return
		}
		if !fault.Is(err, fault.Busy) && !fault.Is(err, fault.Transient) {
			t.Fatalf("%s: %s: %v", a, fault.KindOf(err), err)
		}
		t.s.Pause()
	}
	t.Fatalf("%s: busy for ever", a)
}

func (t *traveller) wantFault(a provisioner.Action, kinds ...fault.Kind) {
	t.Helper()
	for range t.s.Patience {
		err := t.s.Provisioner.Do(t.Context(), t.want, a)
		if slices.Contains(kinds, fault.KindOf(err)) {
			t.hidden(err.Error())
			return
		}
		if !fault.Is(err, fault.Busy) {
			t.Fatalf("%s answered %q: %v, want one of %v", a, fault.KindOf(err), err, kinds)
		}
		t.s.Pause()
	}
	t.Fatalf("%s: busy for ever", a)
}

// hidden checks that nothing tells the password.
func (t *traveller) hidden(text string) {
	t.Helper()
	if p := t.want.BMC.Password.Reveal(); p != "" && strings.Contains(text, p) {
		t.Errorf("a password is told: %s", text)
	}
}

func (t *traveller) observe() provisioner.Observation {
	t.Helper()
	var err error
	for range t.s.Patience {
		var o provisioner.Observation
		if o, err = t.s.Provisioner.Observe(t.Context(), t.want.Host); err == nil {
			return o
		}
		if !fault.Is(err, fault.Transient) {
			break
		}
		t.s.Pause()
	}
	t.Fatalf("Observe: %v", err)
	return provisioner.Observation{}
}

// still is what is observed, without the time that goes on.
func (t *traveller) still() provisioner.Observation {
	t.Helper()
	o := t.observe()
	o.Now = time.Time{}
	return o
}

// until waits for one of the states and no power change under way.
func (t *traveller) until(states ...provisioner.NodeState) provisioner.Observation {
	t.Helper()
	var o provisioner.Observation
	for range t.s.Patience {
		o = t.observe()
		if slices.Contains(states, o.State) && o.PowerTarget == "" {
			return o
		}
		t.s.Pause()
	}
	t.Fatalf("not %v in time but %+v", states, o)
	return o
}

func (t *traveller) missing() {
	t.Helper()
	if o, err := t.s.Provisioner.Observe(t.Context(), t.want.Host); !fault.Is(err, fault.Missing) {
		t.Fatalf("Observe of nothing: %+v, %v", o, err)
	}
	if _, err := t.s.Provisioner.Inventory(t.Context(), t.want.Host); !fault.Is(err, fault.Missing) {
		t.Fatalf("Inventory of nothing: %v", err)
	}
}

func (t *traveller) forget() {
	t.Helper()
	t.do(provisioner.Delete)
	t.missing()
	t.do(provisioner.Delete)
}

// registration: what is not there is Missing, registering twice is registering once, nobody else's server is touched.
func (t *traveller) registration() {
	t.missing()
	t.wantFault(provisioner.Manage, fault.Missing)
	t.do(provisioner.Delete)

	t.do(provisioner.Register)
	first := t.still()
	if first.State != provisioner.StateEnroll || first.ID == "" || first.HostUID != t.want.Host.UID || first.Registration != t.want.Registration() {
		t.Fatalf("registered as %+v", first)
	}
	t.do(provisioner.Register)
	if diff := cmp.Diff(first, t.still()); diff != "" {
		t.Errorf("registering again changed (-before +after):\n%s", diff)
	}
	t.wantFault(provisioner.Deploy, fault.Lost)
	t.wantFault(provisioner.Undeploy, fault.Lost)

	mine := t.want
	t.want.Host.UID = AnyUID(99)
	for _, a := range provisioner.Actions() {
		if a != provisioner.TakeOver { // nothing is on the server: ownership has the rest
			t.wantFault(a, fault.Rejected)
		}
	}
	t.want = mine
	if diff := cmp.Diff(first, t.still()); diff != "" {
		t.Errorf("a stranger changed (-before +after):\n%s", diff)
	}

	t.want.SkipCleaning = !t.want.SkipCleaning
	t.do(provisioner.Register)
	if o := t.observe(); o.ID != first.ID || o.Registration != t.want.Registration() {
		t.Errorf("changed settings were not taken: %+v", o)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := t.s.Provisioner.Observe(cancelled, t.want.Host); err == nil {
		t.Error("Observe ignores a context that has ended")
	}
	t.forget()
}

// credentials: a wrong password ends in enroll with a last error, and a right one gets on from there.
func (t *traveller) credentials() {
	right := t.want.BMC
	t.want.BMC.Password, t.want.BMC.CredentialsVersion = t.s.WrongPassword, "wrong"
	t.do(provisioner.Register)
	t.do(provisioner.Manage)
	var o provisioner.Observation
	for range t.s.Patience {
		if o = t.until(provisioner.StateEnroll, provisioner.StateVerifying); o.LastError != "" {
			break
		}
		t.s.Pause()
	}
	if o.State != provisioner.StateEnroll || o.LastError == "" || o.Since.IsZero() || strings.Contains(o.LastError, "\n") {
		t.Fatalf("after a wrong password: %+v", o)
	}
	t.hidden(o.LastError)
	t.want.BMC = right
	t.do(provisioner.Register)
	t.do(provisioner.Manage)
	o = t.until(provisioner.StateManageable)
	if o.LastError != "" {
		t.Errorf("the error stays: %s", o.LastError)
	}
	t.do(provisioner.Manage)
	if again := t.observe(); again.State != provisioner.StateManageable {
		t.Errorf("Manage again moved it to %s", again.State)
	}
	t.forget()
}

// up leads a new server to available.
func (t *traveller) up() {
	t.do(provisioner.Register)
	t.do(provisioner.Manage)
	t.until(provisioner.StateManageable)
	t.do(provisioner.Inspect)
	t.do(provisioner.Inspect)
	if o := t.until(provisioner.StateManageable, provisioner.StateInspectFail); o.State != provisioner.StateManageable || o.Inspected.IsZero() {
		t.Fatalf("inspected: %+v", o)
	}
	hw, err := t.s.Provisioner.Inventory(t.Context(), t.want.Host)
	if err != nil || hw.CPU.Arch == "" || hw.CPU.Count == 0 || hw.RAMMebibytes == 0 || len(hw.NIC) == 0 || len(hw.Storage) == 0 {
		t.Fatalf("Inventory: %v, %+v", err, hw)
	}
	t.do(provisioner.Provide)
	if o := t.until(provisioner.StateAvailable, provisioner.StateCleanFail); o.State != provisioner.StateAvailable {
		t.Fatalf("provided: %+v", o)
	}
	t.do(provisioner.Provide)
}

// deployment: the whole life of a server, every action twice.
func (t *traveller) deployment() {
	t.up()
	t.want.Deployment = "first"
	t.wantFault(provisioner.Inspect, fault.Lost)
	t.do(provisioner.Deploy)
	t.do(provisioner.Deploy)
	other := *t.want.Image
	other.URL += ".other"
	mine := t.want
	t.want.Image = &other
	t.wantFault(provisioner.Deploy, fault.Lost)
	t.want = mine
	o := t.until(provisioner.StateActive, provisioner.StateDeployFail, provisioner.StateError)
	if o.State != provisioner.StateActive {
		t.Fatalf("deployed: %+v", o)
	}
	if diff := cmp.Diff(t.want.Image, o.Image); diff != "" {
		t.Errorf("image (-want +seen):\n%s", diff)
	}
	t.holds("first")
	t.ownership()
	t.powerTo(provisioner.SwitchOff, provisioner.PowerOff)
	t.powerTo(provisioner.SwitchOn, provisioner.PowerOn)
	t.holds("first")
	t.do(provisioner.Undeploy)
	t.do(provisioner.Undeploy)
	o = t.until(provisioner.StateAvailable, provisioner.StateError, provisioner.StateCleanFail)
	if o.State != provisioner.StateAvailable || o.Image != nil {
		t.Errorf("undeployed: %+v", o)
	}
	t.holds("first") // until it is said that it ended
	t.do(provisioner.Vacate)
	t.holds("")
	t.do(provisioner.Vacate)
	t.forget()
	t.adoption(mine)
}

// holds checks what the record says is on the server.
func (t *traveller) holds(deployment string) {
	t.Helper()
	if o := t.observe(); o.Deployment != deployment || o.NotOurs {
		t.Errorf("holds %q (not ours: %t), want %q of ours", o.Deployment, o.NotOurs, deployment)
	}
}

// holdsOfOthers checks that the record says that someone else put it there.
func (t *traveller) holdsOfOthers(deployment string) {
	t.Helper()
	if o := t.observe(); o.Deployment != deployment || !o.NotOurs {
		t.Errorf("holds %q (not ours: %t), want %q of someone else", o.Deployment, o.NotOurs, deployment)
	}
}

// ownership: a server in use goes to a host made anew only with its deployment, or when that is given up; nothing of it
// touches the server.
func (t *traveller) ownership() {
	mine, before := t.want, t.still()
	t.want.Host.UID, t.want.Deployment = AnyUID(98), "second"
	t.wantFault(provisioner.TakeOver, fault.Rejected)
	t.wantFault(provisioner.Undeploy, fault.Rejected)
	t.wantFault(provisioner.Mark, fault.Rejected)
	t.want.GivenUp = "first"
	t.want.BootMAC = "02:00:00:00:00:99"
	t.wantFault(provisioner.TakeOver, fault.Rejected)
	t.want.BootMAC = mine.BootMAC
	t.do(provisioner.TakeOver)
	if o := t.observe(); o.HostUID != AnyUID(98) || o.Registration != "" {
		t.Errorf("given up and not taken over: %+v", o)
	}
	t.wantFault(provisioner.Mark, fault.Rejected)
	t.want = mine
	t.do(provisioner.TakeOver)
	t.do(provisioner.TakeOver)
	t.do(provisioner.Register)
	t.do(provisioner.Mark)
	if diff := cmp.Diff(before, t.still()); diff != "" {
		t.Errorf("changing hands changed (-before +after):\n%s", diff)
	}
}

// adoption: a server whose records were lost is taken over with its image, and nothing is written to it.
func (t *traveller) adoption(mine provisioner.Want) {
	t.want.Installed, t.want.Deployment = mine.Image, "again"
	t.do(provisioner.Register)
	t.do(provisioner.Manage)
	t.until(provisioner.StateManageable)
	t.do(provisioner.Adopt)
	t.do(provisioner.Adopt)
	o := t.until(provisioner.StateActive, provisioner.StateAdoptFail)
	if o.State != provisioner.StateActive || o.Image == nil || *o.Image != *mine.Image {
		t.Errorf("adopted: %+v", o)
	}
	t.holds("again")
	t.forget()
	t.want.Installed, t.want.External = nil, true
	t.do(provisioner.Register)
	t.do(provisioner.Manage)
	t.until(provisioner.StateManageable)
	t.do(provisioner.Adopt)
	if o = t.until(provisioner.StateActive, provisioner.StateAdoptFail); o.State != provisioner.StateActive {
		t.Errorf("adopted as externally provisioned: %+v", o)
	}
	t.holdsOfOthers("again")
	t.forget()
}

func (t *traveller) powerTo(a provisioner.Action, power provisioner.Power) {
	t.Helper()
	t.do(a)
	t.do(a)
	for range t.s.Patience {
		if o := t.observe(); o.Power == power && o.PowerTarget == "" {
			t.do(a)
			return
		}
		t.s.Pause()
	}
	t.Fatalf("never %s", power)
}

// badImage: a checksum mismatch ends as a failed deployment that can be undone.
func (t *traveller) badImage() {
	t.up()
	t.want.Image = &t.s.BadImage
	t.do(provisioner.Deploy)
	o := t.until(provisioner.StateDeployFail, provisioner.StateActive)
	if o.State != provisioner.StateDeployFail || !strings.Contains(strings.ToLower(o.LastError), "checksum") || strings.Contains(o.LastError, "\n") {
		t.Fatalf("a bad image ended as %+v", o)
	}
	t.Logf("last error: %s", o.LastError)
	t.do(provisioner.Undeploy)
	if o = t.until(provisioner.StateAvailable, provisioner.StateError, provisioner.StateCleanFail); o.State != provisioner.StateAvailable {
		t.Fatalf("undone: %+v", o)
	}
	t.forget()
}
