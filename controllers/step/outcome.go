package step

import (
	"context"
	"errors"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
)

// Result is what Reconcile returns. Only this package makes one that is not empty.
type Result = ctrl.Result

const (
	// Resync is when a pass that waits for nothing in particular is made again all the same.
	Resync = 10 * time.Minute
	// Soon is when a pass that lost a race, or just wrote a decision that the next one acts on, is made again.
	Soon = 50 * time.Millisecond
	// busyPoll is when to ask again whoever was busy.
	busyPoll = 2 * time.Second
)

type verdict int

const (
	done verdict = iota
	later
	waiting
	unsure
	hold
	lost
	gone
	pending
)

// Outcome is how a step ended. The zero value is done: the condition is True and the next step runs.
type Outcome struct {
	verdict verdict
	reason  string
	message string
	after   time.Duration
}

// Pass is done with a reason or a message worth telling, for example NotNeeded.
func Pass(reason, message string) Outcome { return Outcome{reason: reason, message: message} }

// Waiting stops the pass: time will tell. It is made again after poll, or when a watch wakes it; 0 leaves it to the watches.
func Waiting(reason, message string, poll time.Duration) Outcome {
	return Outcome{verdict: waiting, reason: reason, message: message, after: poll}
}

// Unsure stops the pass: what could tell whether the condition is still True does not answer. The condition is Unknown,
// and so is Ready; neither is claimed to have ceased. The pass is made again as for Waiting.
func Unsure(reason, message string, poll time.Duration) Outcome {
	return Outcome{verdict: unsure, reason: reason, message: message, after: poll}
}

// Later lowers the condition but goes on with the next step. The pass is made again as for Waiting.
func Later(reason, message string, poll time.Duration) Outcome {
	return Outcome{verdict: later, reason: reason, message: message, after: poll}
}

// Hold stops the pass until a user acts. Any watch event and the slow resync look again: nothing is held for good.
func Hold(reason, message string) Outcome {
	return Outcome{verdict: hold, reason: reason, message: message}
}

// Lost stops the pass because what this step had established is gone; the conditions of later steps go with it.
func Lost(reason, message string, poll time.Duration) Outcome {
	return Outcome{verdict: lost, reason: reason, message: message, after: poll}
}

// Gone ends the pass because the object itself has ceased to exist: no status is written any more.
func Gone() Outcome { return Outcome{verdict: gone} }

// Pending stops the pass while what the step needs to know is being asked for, and what its condition says may still be so: that
// and Ready stay as they are, if they are there, else it is Waiting. Whoever asks wakes the next pass.
func Pending(reason, message string) Outcome {
	return Outcome{verdict: pending, reason: reason, message: message}
}

// Again asks for another pass after d at the latest, whatever else the outcome says.
func (o Outcome) Again(d time.Duration) Outcome {
	o.after = sooner(o.after, d)
	return o
}

// After returns when another pass was asked for; 0 is never.
func (o Outcome) After() time.Duration { return o.after }

// IsDone reports whether the step's condition is True.
func (o Outcome) IsDone() bool { return o.verdict == done }

// Reason of the outcome; Done when a step that is done gave none.
func (o Outcome) Reason() string {
	if o.reason == "" && o.verdict == done {
		return v1alpha1.ReasonDone
	}
	return o.reason
}

// Message of the outcome.
func (o Outcome) Message() string { return o.message }

// FromError is the Outcome that an effect's error means, by its fault kind; nil is done.
func FromError(err error) Outcome {
	switch fault.KindOf(err) {
	case "":
		return Outcome{}
	case fault.Busy:
		return Waiting(v1alpha1.ReasonBusy, err.Error(), busyPoll)
	case fault.Lost:
		return Lost(v1alpha1.ReasonLost, err.Error(), Soon)
	case fault.Denied:
		return Hold(v1alpha1.ReasonDenied, err.Error())
	case fault.Rejected:
		return Hold(v1alpha1.ReasonRejected, err.Error())
	case fault.Missing:
		return Hold(v1alpha1.ReasonMissing, err.Error())
	case fault.Unsupported:
		return Hold(v1alpha1.ReasonUnsupported, err.Error())
	case fault.Transient:
	}
	return Waiting(v1alpha1.ReasonTransient, err.Error(), 0)
}

// Answer is what a controller that has no conditions answers for an outcome or an error.
// A lost race (HTTP 409) comes back soon and is no error; a Transient error is left to the queue's backoff.
func Answer(o Outcome, err error) (Result, error) {
	switch {
	case err == nil:
	case raced(err):
		return Result{RequeueAfter: Soon}, nil
	case fault.Is(err, fault.Transient) || isCancelled(err):
		return Result{}, err
	default:
		o = FromError(err)
	}
	if o.after == 0 && o.verdict != done && o.verdict != gone {
		o.after = Resync
	}
	return Result{RequeueAfter: o.after}, nil
}

// raced reports an answer of the API server that only says the pass read an older world than it wrote to.
func raced(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err)
}

// unanswered reports that the API server did not answer, or had no time: 429, 500, 503, 504, or no connection. An error with
// a fault kind is somebody else's.
func unanswered(err error) bool {
	var transport *url.Error
	return !fault.Classified(err) && (errors.As(err, &transport) || apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err))
}

func isCancelled(err error) bool {
	return errors.Is(err, context.Canceled)
}

// sooner is the earlier of two delays, of which 0 means never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
