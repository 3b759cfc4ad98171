package step

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
)

// settle takes in the outcome of step i.
func (p *pass) settle(i int, out Outcome) {
	p.after = sooner(p.after, out.after)
	if out.verdict != done && p.trouble == nil {
		p.trouble = &out
	}
	condition, rest := p.order[i], p.order[i+1:]
	switch {
	case condition == v1alpha1.ConditionReady:
		p.readiness = out
	case condition == "" || p.lowered[condition]:
	case out.verdict == done && slices.Contains(rest, condition):
		// The steps that share it have yet to say.
	default:
		p.set(condition, out)
	}
	if out.verdict != done {
		if p.lowered == nil {
			p.lowered = map[string]bool{}
		}
		p.lowered[condition] = true
	}
	if out.verdict == lost {
		p.forget(condition, rest)
	}
}

// forget removes the conditions of the steps after the one that lost its ground.
func (p *pass) forget(condition string, rest []string) {
	p.conditions = slices.DeleteFunc(slices.Clone(p.conditions), func(c metav1.Condition) bool {
		return c.Type != condition && c.Type != v1alpha1.ConditionReady && slices.Contains(rest, c.Type)
	})
}

// close sets Ready and hands the conditions to the target; it returns those that changed.
func (p *pass) close(t Target) []change {
	ready := p.readiness
	if p.trouble != nil {
		ready = *p.trouble
	}
	p.set(v1alpha1.ConditionReady, ready)
	slices.SortStableFunc(p.conditions, func(a, b metav1.Condition) int {
		return cmp.Compare(p.rank(a.Type), p.rank(b.Type))
	})
	*t.Conditions = p.conditions
	if !p.isPending() {
		*t.ObservedGeneration = p.generation
	}
	return p.changes
}

// rank orders conditions as their steps run, then those of no step in the order they have, Ready last.
func (p *pass) rank(condition string) int {
	if condition == v1alpha1.ConditionReady {
		return len(p.order) + 1
	}
	if i := slices.Index(p.order, condition); i >= 0 {
		return i
	}
	return len(p.order)
}

func (p *pass) set(condition string, out Outcome) {
	old := meta.FindStatusCondition(p.conditions, condition)
	if out.verdict == pending && old != nil {
		return
	}
	status := metav1.ConditionFalse
	switch out.verdict {
	case done:
		status = metav1.ConditionTrue
	case unsure:
		status = metav1.ConditionUnknown
	case later, waiting, hold, lost, gone, pending:
	}
	next := metav1.Condition{
		Type: condition, Status: status, Reason: out.Reason(), Message: shown(out.message),
		ObservedGeneration: p.generation, LastTransitionTime: metav1.NewTime(p.now),
	}
	if old == nil || old.Status != next.Status || old.Reason != next.Reason {
		p.changes = append(p.changes, change{old, next})
	}
	conditions := slices.Clone(p.conditions)
	meta.SetStatusCondition(&conditions, next)
	p.conditions = conditions
}

// maxMessage is the longest message of a condition (k8s.io/apimachinery metav1.Condition, MaxLength).
const maxMessage = 32768

// shown is a message as a condition has it: errors that were joined, a line each, become one.
func shown(message string) string {
	return line.Short(strings.ReplaceAll(strings.TrimSpace(message), "\n", "; "), maxMessage)
}

// maxNote is the longest note of an event (events.k8s.io/v1 Event.note, 1 kB).
const maxNote = 1000

// change is a condition that changed its status or reason; old is nil for one that was not there.
type change struct {
	old *metav1.Condition
	now metav1.Condition
}

// announce tells what a person would want to know: milestones, what has ceased to hold, trouble and its end. All of one
// pass is at most one event, and one more for trouble. That an object waits for one thing after another on its way is told
// by its conditions alone.
func announce(r events.EventRecorder, t Target, changes []change) {
	notes := map[string][]string{}
	subject := map[string]metav1.Condition{}
	for _, c := range changes {
		if !c.isNews(t.Milestones) || c.repeats(changes) {
			continue
		}
		note := c.now.Type + " is " + string(c.now.Status)
		if c.now.Message != "" {
			note += ": " + c.now.Message
		}
		kind := eventType(c.now)
		if _, ok := subject[kind]; !ok || kind == corev1.EventTypeNormal {
			subject[kind] = c.now // the first trouble and the last milestone say most
		}
		notes[kind] = append(notes[kind], note)
	}
	for _, kind := range []string{corev1.EventTypeWarning, corev1.EventTypeNormal} {
		if c := subject[kind]; c.Type != "" {
			r.Eventf(t.Object, nil, kind, c.Reason, c.Type, "%s", line.Short(strings.Join(notes[kind], "; "), maxNote))
		}
	}
}

// isNews reports whether a person would want to know.
func (c change) isNews(milestones []string) bool {
	switch {
	case !calm(c.now), c.old != nil && !calm(*c.old):
		return true
	case c.now.Status == metav1.ConditionTrue:
		return c.now.Reason != v1alpha1.ReasonNotNeeded && (milestones == nil || slices.Contains(milestones, c.now.Type))
	case c.old == nil || c.old.Status != metav1.ConditionTrue:
		return false
	}
	return !slices.Contains([]string{v1alpha1.ReasonProgressing, v1alpha1.ReasonReleasing, v1alpha1.ReasonWaitingForServices}, c.now.Reason)
}

// repeats reports that c is Ready saying what another condition of the pass says.
func (c change) repeats(changes []change) bool {
	return c.now.Type == v1alpha1.ConditionReady && c.now.Status != metav1.ConditionTrue && slices.ContainsFunc(changes, func(other change) bool {
		return other.now.Type != v1alpha1.ConditionReady && other.now.Status == c.now.Status && other.now.Reason == c.now.Reason
	})
}

// eventType is Warning for what needs attention.
func eventType(c metav1.Condition) string {
	if calm(c) {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}

// calm reports whether a condition needs nobody's attention: see the reasons in api/v1alpha1/conditions.go.
func calm(c metav1.Condition) bool {
	return c.Status == metav1.ConditionTrue || strings.HasPrefix(c.Reason, "Waiting") ||
		c.Reason == v1alpha1.ReasonProgressing || c.Reason == v1alpha1.ReasonReleasing || c.Reason == v1alpha1.ReasonBusy
}
