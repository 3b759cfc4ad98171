package lifecycle

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"

	"github.com/rackplane/rackplane/provisioner"
)

// Kind of decision.
type Kind string

const (
	// Act starts Decision.Action.
	Act Kind = "Act"
	// Write changes the API's record of the deployment as Decision.Record tells, before anything is done to the server.
	Write Kind = "Write"
	// Wait means that something is under way, or a retry is not due yet; look again after Poll.
	Wait Kind = "Wait"
	// Hold means that only a person can help; look again after Poll all the same.
	Hold Kind = "Hold"
	// Settled means that the server is as wanted.
	Settled Kind = "Settled"
)

// Record is what the API is to say of a server's deployment.
type Record string

const (
	// Begin is a fresh Want.Deployment, never used before.
	Begin Record = "Begin"
	// End is neither Want.Deployment nor Want.GivenUp: nothing is on the server any more.
	End Record = "End"
)

// Decision is what to do next with one server.
type Decision struct {
	Kind Kind
	// Action to start when Kind is Act.
	Action provisioner.Action
	// Record to write when Kind is Write.
	Record Record
	// Holding is set on a Hold that ends when a person decides about what is on the server: it names what that is, as
	// Want.GivenUp would.
	Holding string
	// State to show, in Metal3's words.
	State metal3v1alpha1.ProvisioningState
	// Reason in one line. It holds no time, so that nothing changed gives the same line.
	Reason string
	// Poll is when to look again at the latest.
	Poll time.Duration
	// Deadline of a wait, by the service's clock; zero when it has none.
	Deadline time.Time
	// Failure is one that Past has not counted yet; nil when there is none. The caller counts it.
	Failure *Failure
	// Retry: count the action as one more failed attempt before it is started, because the service keeps no time
	// of failure that would tell the next failure from this one.
	Retry bool
	// Excused: a failure was let pass because the want has changed since. That the new want was seen has to be written down
	// before the action is started, or the next failure is let pass as well.
	Excused bool
	// Cleared: the failure Past shows is over.
	Cleared bool
}

// Failure is one thing that went wrong.
type Failure struct {
	Type metal3v1alpha1.ErrorType
	// Message names the object, the field and the remedy, in one line.
	Message string
	// When it happened by the service's clock: identifies the failure. Zero when the service does not say.
	When time.Time
}

// String prints the decision in one line, such as "Act{Inspect} inspecting: hardware is not known".
func (d Decision) String() string {
	var b strings.Builder
	b.WriteString(string(d.Kind))
	if what := string(d.Action) + string(d.Record); what != "" {
		fmt.Fprintf(&b, "{%s}", what)
	}
	fmt.Fprintf(&b, " %s: %s", d.State, d.Reason)
	if d.Failure != nil {
		fmt.Fprintf(&b, " [%s: %s]", d.Failure.Type, d.Failure.Message)
	}
	return b.String()
}

// Past is what was shown of the server before. The zero value is always safe.
type Past struct {
	// Failures in a row, counted by the caller, and At, when the last one was, by the caller's clock.
	Failures int
	At       time.Time
	// Counted holds Failure.When of the failures counted so far, to the second; only the last of each kind is needed.
	Counted []time.Time
	// Error is the kind of failure shown; empty when none.
	Error metal3v1alpha1.ErrorType
	// Anew: the want changed since, so earlier failures say nothing about it.
	Anew bool
}

const (
	// BackoffBase is the wait after the first failure; it doubles with each further one in a row.
	BackoffBase = 15 * time.Second
	// BackoffMax bounds the wait.
	BackoffMax = 10 * time.Minute
)

// Backoff is how long to wait after that many failures in a row: 0 for none, then 15 s doubling to 10 min.
func Backoff(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	return min(BackoffBase<<min(failures-1, 6), BackoffMax)
}

func (p Past) counted(when time.Time) bool {
	same := func(t time.Time) bool { return t.Truncate(time.Second).Equal(when.Truncate(time.Second)) }
	return slices.ContainsFunc(p.Counted, same)
}

// due is how long a retry still has to wait. A wait longer than any backoff is that of a failure written down by a clock
// that ran ahead, and is over.
func (p Past) due(now time.Time) time.Duration {
	wait := p.At.Add(Backoff(p.Failures)).Sub(now)
	if p.Anew || wait > BackoffMax {
		return 0
	}
	return max(0, wait)
}

// stage orders Metal3's states by what a server must have passed to get there; 0 for those that tell nothing.
func stage(s metal3v1alpha1.ProvisioningState) int {
	return map[metal3v1alpha1.ProvisioningState]int{
		metal3v1alpha1.StateRegistering:             1,
		metal3v1alpha1.StateInspecting:              2,
		metal3v1alpha1.StatePreparing:               3,
		metal3v1alpha1.StateAvailable:               4,
		metal3v1alpha1.StateProvisioning:            5,
		metal3v1alpha1.StateDeprovisioning:          5,
		metal3v1alpha1.StateProvisioned:             6,
		metal3v1alpha1.StateExternallyProvisioned:   6,
		metal3v1alpha1.StatePoweringOffBeforeDelete: 6,
		metal3v1alpha1.StateDeleting:                6,
	}[s]
}

// over tells whether showing the state proves that the kind of failure is past.
func over(e metal3v1alpha1.ErrorType, s metal3v1alpha1.ProvisioningState) bool {
	switch e {
	case "":
		return true
	case metal3v1alpha1.RegistrationError:
		return stage(s) > stage(metal3v1alpha1.StateRegistering)
	case metal3v1alpha1.InspectionError:
		return stage(s) > stage(metal3v1alpha1.StateInspecting)
	case metal3v1alpha1.PreparationError:
		return stage(s) > stage(metal3v1alpha1.StatePreparing)
	case metal3v1alpha1.ProvisioningError:
		return stage(s) > stage(metal3v1alpha1.StateProvisioning)
	case metal3v1alpha1.ProvisionedRegistrationError, metal3v1alpha1.PowerManagementError,
		metal3v1alpha1.DetachError, metal3v1alpha1.ServicingError:
		return false // only a settled server proves it
	default:
		return false
	}
}

// Record is the past after the decision was taken: what the next one must know.
func (p Past) Record(d Decision, now time.Time) Past {
	p.Counted = slices.Clone(p.Counted)
	if p.Anew || d.Cleared {
		p.Failures, p.Error = 0, ""
	}
	p.Anew = false
	if d.Failure != nil {
		p = p.Count(*d.Failure, now)
	}
	if d.Retry {
		p.Failures, p.At = p.Failures+1, now
	}
	return p
}

// Count is the past after one more failure.
func (p Past) Count(f Failure, now time.Time) Past {
	p.Failures, p.At, p.Error = p.Failures+1, now, f.Type
	if !f.When.IsZero() {
		p.Counted = append(slices.Clone(p.Counted), f.When)
	}
	return p
}
