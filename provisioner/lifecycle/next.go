package lifecycle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
)

// How soon to look again.
const (
	pollAct     = 300 * time.Millisecond
	pollQuick   = time.Second
	pollWork    = 2 * time.Second
	pollSlow    = 10 * time.Second
	pollSettled = time.Minute
)

// Next decides what to do next with the server, and says so in the service's words. It always decides: a state that no
// row knows is held, with its name.
func Next(words provisioner.Words, want provisioner.Want, seen provisioner.Observation, past Past, now time.Time) Decision {
	f := gather(want, seen, past, now)
	f.words = words
	for _, r := range table() {
		if r.fits(f) {
			return r.decide(f, now)
		}
	}
	return Decision{
		Kind: Hold, State: f.shown(), Poll: pollSettled,
		Reason: fmt.Sprintf("%s shows the node in state %q, which is not known here", words.Service, seen.State),
	}
}

// tell fills a text's {words} in.
func (f facts) tell(text string) string {
	return strings.NewReplacer(
		"{decided}", cmp.Or(f.want.Deployment, "none"),
		"{recorded}", cmp.Or(f.seen.Deployment, "none"),
		"{owner}", string(f.seen.HostUID),
		"{node}", f.seen.ID,
		"{fence}", f.want.Fence,
		"{host}", "-n "+f.want.Host.Namespace+" "+f.want.Host.Name,
	).Replace(spoken(f.words, text))
}

// spoken fills those of a service in.
func spoken(words provisioner.Words, text string) string {
	return strings.NewReplacer(
		"{service}", words.Service,
		"{delete}", words.Delete,
		"{endMaintenance}", words.EndMaintenance,
		"{unhold}", words.Unhold,
		"{unrescue}", words.Unrescue,
		"{abort}", words.Abort,
	).Replace(text)
}

func (r row) fits(f facts) bool {
	if r.in == nil && f.seen.State == provisioner.StateAbsent {
		return false
	}
	return (r.in == nil || slices.Contains(r.in, f.seen.State)) && f.all(r.when)
}

func (r row) decide(f facts, now time.Time) Decision {
	d := Decision{State: r.show}
	if d.State == "" {
		d.State = f.shown()
	}
	if r.done != "" || over(f.past.Error, d.State) {
		d.Cleared = f.past.Error != ""
		f.past.Failures, f.past.Error = 0, ""
	}
	switch {
	case r.uncounted(f):
		d.Kind, d.Reason, d.Poll = Wait, "it failed; tried again after a while", Backoff(1)
		d.Failure = r.failure(f, f.seen.LastError)
	case r.do != "" && !r.soon && f.past.due(now) > 0 && !f.answers[refused]:
		d.Kind, d.Reason, d.Poll = Wait, "it failed; tried again after a while", f.past.due(now)
	case r.do != "":
		d.Kind, d.Action, d.Reason, d.Poll = Act, r.do, f.tell(r.why), pollAct
		d.Retry = r.fails == powerManagement
		d.Excused = r.fails != "" && f.past.Anew
	case r.record != "":
		d.Kind, d.Record, d.Reason, d.Poll = Write, r.record, f.tell(r.why), pollAct
	case r.wait != "":
		r.waits(f, &d)
	case r.hold != "":
		d.Kind, d.Reason, d.Poll = Hold, f.tell(r.hold), pollSettled
		if r.asks {
			d.Holding = f.seen.Holding()
		}
	default:
		d.Kind, d.Reason, d.Poll = Settled, f.tell(r.done), pollSettled
	}
	return d
}

// uncounted reports whether the row speaks of a failure that was not counted yet. Power failures have no time of
// their own in Ironic: there the kind shown tells, and each retry is counted as it is made. A changed want makes an
// old failure void.
func (r row) uncounted(f facts) bool {
	switch {
	case r.fails == "" || (f.past.Anew && r.do != ""):
		return false
	case r.fails == powerManagement:
		return f.past.Error != r.fails
	default:
		return !f.past.counted(f.seen.Since)
	}
}

func (r row) waits(f facts, d *Decision) {
	d.Kind, d.Reason, d.Poll = Wait, f.tell(r.wait), cmp.Or(r.poll, pollWork)
	if r.within == 0 {
		return
	}
	d.Deadline = f.seen.Since.Add(r.within)
	switch {
	case f.now.Before(d.Deadline):
	case r.exit != "":
		d.Kind, d.Action, d.Poll = Act, r.exit, pollAct
		d.Reason = fmt.Sprintf("no sign of life for %s while %s", r.within, d.Reason)
	case !f.past.counted(f.seen.Since):
		r.fails = errorOf(d.State)
		d.Failure = r.failure(f, fmt.Sprintf("no progress for %s while %s", r.within, d.Reason))
	}
}

// failure describes what happened.
func (r row) failure(f facts, cause string) *Failure {
	if cause == "" && f.seen.MaintenanceReason != "" {
		cause = f.seen.MaintenanceReason
	}
	fail := Failure{Type: r.fails, When: f.seen.Since}
	if r.fails == powerManagement {
		fail.When = time.Time{}
	}
	fail.Message = Explain(f.words, f.want, fail.Type, cause)
	return &fail
}

// errorOf is the kind of failure of something that went wrong while the state was shown.
func errorOf(s metal3v1alpha1.ProvisioningState) metal3v1alpha1.ErrorType {
	return cmp.Or(map[metal3v1alpha1.ProvisioningState]metal3v1alpha1.ErrorType{
		metal3v1alpha1.StateInspecting:              metal3v1alpha1.InspectionError,
		metal3v1alpha1.StatePreparing:               metal3v1alpha1.PreparationError,
		metal3v1alpha1.StateProvisioning:            metal3v1alpha1.ProvisioningError,
		metal3v1alpha1.StateDeprovisioning:          metal3v1alpha1.ProvisioningError,
		metal3v1alpha1.StateAvailable:               metal3v1alpha1.ProvisionedRegistrationError,
		metal3v1alpha1.StateProvisioned:             metal3v1alpha1.ProvisionedRegistrationError,
		metal3v1alpha1.StateExternallyProvisioned:   metal3v1alpha1.ProvisionedRegistrationError,
		metal3v1alpha1.StatePoweringOffBeforeDelete: metal3v1alpha1.PowerManagementError,
	}[s], metal3v1alpha1.RegistrationError)
}

// Refused is the failure of an action the service would not start, for the caller to count. cause is one line.
func Refused(words provisioner.Words, want provisioner.Want, d Decision, cause string) Failure {
	t := errorOf(d.State)
	if slices.Contains([]provisioner.Action{provisioner.SwitchOn, provisioner.SwitchOff, provisioner.CutPower}, d.Action) {
		t = metal3v1alpha1.PowerManagementError
	}
	return Failure{Type: t, Message: Explain(words, want, t, cause)}
}
