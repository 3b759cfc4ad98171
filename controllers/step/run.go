package step

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Step is one step of a pass. What steps share is in the receiver of their Run methods.
type Step struct {
	// Condition the step sets; "" for one that only matters to Ready. Steps in a row may share one:
	// it is True when all of them are done.
	Condition string
	// Run does the step. An error that is not a fault counts as Transient.
	Run func(ctx context.Context) (Outcome, error)
}

// Target is the object a pass is about. Steps may change the fields of its status: they are written at the end.
type Target struct {
	// Object as it was read for this pass.
	Object client.Object
	// Conditions and ObservedGeneration point into the object's status.
	Conditions         *[]metav1.Condition
	ObservedGeneration *int64
	// Decides are the conditions, beside Ready, that somebody decides by: they are written as soon as they are True.
	Decides []string
	// Versioned are the conditions of which somebody asks by which generation they were seen: a newer one is written at once. A
	// generation that changes nothing else is not written at all, but with the next news. nil means that each is written.
	Versioned []string
	// Milestones are the conditions that get an event when they become True; nil means all.
	Milestones []string
}

// Loop is what a pass needs of its surroundings.
type Loop struct {
	// Client writes statuses.
	Client client.Client
	// Clock tells when a condition changed.
	Clock clock.PassiveClock
	// Events gets what a person would want to know of a pass: see announce.
	Events events.EventRecorder
	// Quiet has minor news wait for others; nil writes all news at once.
	Quiet *Quiet
}

// Run makes one pass: it runs the steps in order until one stops it, sets conditions, writes the status if it has changed
// by more than can wait, and says when to come back. When a write lost a race, or the API server did not answer, nothing is recorded and the pass
// is made again: a server that has no time for a write must not be given another one for it.
func Run(ctx context.Context, l Loop, t Target, steps []Step) (Result, error) {
	before, err := statusJSON(t.Object)
	if err != nil {
		return Result{}, err
	}
	order := make([]string, 0, len(steps))
	for _, s := range steps {
		order = append(order, s.Condition)
	}
	p := pass{now: l.Clock.Now(), generation: t.Object.GetGeneration(), order: order, conditions: *t.Conditions}
	var failure error
	for i, s := range steps {
		out, err := s.Run(ctx)
		if err != nil {
			if raced(err) || isCancelled(err) || unanswered(err) {
				return Answer(Outcome{}, err)
			}
			out, failure = FromError(err), err
		}
		if out.verdict == gone {
			l.Quiet.Told(t.Object.GetUID())
			return Result{}, nil
		}
		if p.settle(i, out); out.verdict > later {
			break
		}
	}
	wait, err := p.write(ctx, l, t, before)
	if err != nil {
		return Answer(Outcome{}, client.IgnoreNotFound(err))
	}
	return Answer(p.answer().Again(wait), failure)
}

// write writes the status and tells of it, or returns how much longer what is new in it may wait.
func (p *pass) write(ctx context.Context, l Loop, t Target, before []byte) (wait time.Duration, err error) {
	old := *t.Conditions
	changes := p.close(t)
	after, err := statusJSON(t.Object)
	if err != nil {
		return 0, err
	}
	patch, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return 0, fmt.Errorf("status of %s: %w", client.ObjectKeyFromObject(t.Object), err)
	}
	if string(patch) != "{}" && !onlyGenerations(patch, old, *t.Conditions, t.Versioned) {
		if wait := l.left(t, patch, old); wait > 0 {
			return wait, nil
		}
		if err := patchStatus(ctx, l.Client, t.Object, patch); err != nil {
			return 0, err
		}
		announce(l.Events, t, changes)
	} else if p.isPending() {
		return 0, nil // what earlier passes saw may still be untold, and waits no longer for it
	}
	l.Quiet.Told(t.Object.GetUID())
	return 0, nil
}

// left is how much longer the change of a status may wait.
func (l Loop) left(t Target, patch []byte, old []metav1.Condition) time.Duration {
	if !t.Object.GetDeletionTimestamp().IsZero() || !t.isMinor(patch, old) {
		return 0
	}
	hush := Hush
	if len(old) == 0 {
		hush /= 2
	}
	return l.Quiet.Left(t.Object.GetUID(), l.Clock, hush)
}

// pass collects what the steps of one pass saw.
type pass struct {
	now        time.Time
	generation int64
	order      []string
	conditions []metav1.Condition
	changes    []change
	lowered    map[string]bool
	trouble    *Outcome // the first outcome that is not done
	readiness  Outcome  // what the Ready step said, if there is one
	after      time.Duration
}

// isPending reports whether the pass ended because something is being asked for.
func (p *pass) isPending() bool { return p.trouble != nil && p.trouble.verdict == pending }

// answer is the outcome of the whole pass.
func (p *pass) answer() Outcome {
	if p.trouble == nil {
		return Outcome{after: p.after}
	}
	o := *p.trouble
	o.after = p.after
	return o
}

// patchStatus writes a merge patch: it names only the fields that changed, so that two writers of one status never undo each
// other. It is of the object as it was read: what was seen of one object must not be told of another that was made under its
// name since. The resourceVersion says so, as the UID would not: in a patch of a custom resource's status it is ignored
// (findings/uid-in-status-patches.sh).
func patchStatus(ctx context.Context, c client.Client, obj client.Object, patch []byte) error {
	guard := fmt.Sprintf(`{"metadata":{"resourceVersion":%q}}`, obj.GetResourceVersion())
	patch, err := jsonpatch.MergeMergePatches(patch, []byte(guard))
	if err != nil {
		return fmt.Errorf("status of %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	copied, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", obj)
	}
	return c.Status().Patch(ctx, copied, client.RawPatch(types.MergePatchType, patch))
}

// statusJSON is {"status": ...} of obj.
func statusJSON(obj client.Object) ([]byte, error) {
	all, err := json.Marshal(obj)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	var only struct {
		Status json.RawMessage `json:"status,omitempty"`
	}
	if err := json.Unmarshal(all, &only); err != nil {
		return nil, fmt.Errorf("decode %s: %w", client.ObjectKeyFromObject(obj), err)
	}
	if len(only.Status) == 0 {
		only.Status = json.RawMessage("{}")
	}
	return json.Marshal(only)
}
