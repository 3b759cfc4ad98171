package step

import (
	"cmp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

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
func (p *pass) close(t Target) []metav1.Condition {
	ready := p.readiness
	if p.trouble != nil {
		ready = *p.trouble
	}
	p.set(v1alpha1.ConditionReady, ready)
	slices.SortStableFunc(p.conditions, func(a, b metav1.Condition) int {
		return cmp.Compare(p.rank(a.Type), p.rank(b.Type))
	})
	*t.Conditions = p.conditions
	*t.ObservedGeneration = p.generation
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
	status := metav1.ConditionFalse
	switch out.verdict {
	case done:
		status = metav1.ConditionTrue
	case unsure:
		status = metav1.ConditionUnknown
	case later, waiting, hold, lost, gone:
	}
	next := metav1.Condition{
		Type: condition, Status: status, Reason: out.Reason(), Message: shown(out.message),
		ObservedGeneration: p.generation, LastTransitionTime: metav1.NewTime(p.now),
	}
	old := meta.FindStatusCondition(p.conditions, condition)
	if old == nil || old.Status != next.Status || old.Reason != next.Reason {
		p.changes = append(p.changes, next)
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

// announce tells of changed conditions. Ready repeats another condition while it is not True, so then it is left out.
func announce(r events.EventRecorder, obj client.Object, changes []metav1.Condition) {
	for _, c := range changes {
		if c.Type == v1alpha1.ConditionReady && c.Status != metav1.ConditionTrue && len(changes) > 1 {
			continue
		}
		note := c.Type + " is " + string(c.Status)
		if c.Message != "" {
			note += ": " + c.Message
		}
		r.Eventf(obj, nil, eventType(c), c.Reason, c.Type, "%s", line.Short(note, maxNote))
	}
}

// eventType is Warning for what needs attention: see the reasons in api/v1alpha1/conditions.go.
func eventType(c metav1.Condition) string {
	calm := c.Status == metav1.ConditionTrue || strings.HasPrefix(c.Reason, "Waiting") ||
		c.Reason == v1alpha1.ReasonProgressing || c.Reason == v1alpha1.ReasonReleasing || c.Reason == v1alpha1.ReasonBusy
	if calm {
		return corev1.EventTypeNormal
	}
	return corev1.EventTypeWarning
}
