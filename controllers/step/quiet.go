package step

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Hush is how long news that nobody decides by waits for other news, to be written with them; half of it for a host, and where
// nothing was ever told.
const Hush = time.Minute

// Quiet keeps since when an object has news that are not written yet. The zero value is ready to use. Losing it is harmless:
// the next pass sees the same, and it is written one Hush later.
type Quiet struct {
	mu    sync.Mutex
	since map[types.UID]time.Time
}

// Left returns how much longer of hush news of the object may wait; 0 when they are to be written now.
func (q *Quiet) Left(uid types.UID, now clock.PassiveClock, hush time.Duration) time.Duration {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.since == nil {
		q.since = map[types.UID]time.Time{}
	}
	since, ok := q.since[uid]
	if !ok {
		since = now.Now()
		q.since[uid] = since
	}
	return max(0, hush-now.Since(since).Abs()) // a clock that was set back keeps nothing waiting for longer
}

// Told forgets the object: everything of it is written, or it is gone.
func (q *Quiet) Told(uid types.UID) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.since, uid)
}

// isMinor reports whether the change of a status may wait: nothing in it was decided by, ceased to hold, or is trouble or
// its end. A text that changes, waiting that goes on for another reason, and progress on the way to Ready are minor. An
// object of which nothing was ever told may wait with all of it, for as long as all it has to tell is what it waits for.
func (t Target) isMinor(patch []byte, old []metav1.Condition) bool {
	now := *t.Conditions
	if len(old) == 0 {
		return !slices.ContainsFunc(now, func(c metav1.Condition) bool { return c.Status != metav1.ConditionFalse || !calm(c) })
	}
	if !onlyConditions(patch) || len(now) < len(old) {
		return false
	}
	for _, c := range now {
		if before := meta.FindStatusCondition(old, c.Type); urgent(before, c, t.Decides) || (before != nil && isSeenAnew(*before, c, t.Versioned)) {
			return false
		}
	}
	return true
}

// onlyGenerations reports whether a merge patch of a status changes nothing but generations that nobody asks for.
func onlyGenerations(patch []byte, old, now []metav1.Condition, versioned []string) bool {
	return versioned != nil && onlyConditions(patch) && slices.EqualFunc(old, now, func(before, after metav1.Condition) bool {
		if isSeenAnew(before, after, versioned) {
			return false
		}
		before.ObservedGeneration = after.ObservedGeneration
		return before == after
	})
}

// isSeenAnew reports whether a condition of which somebody asks by which generation it was seen says another one.
func isSeenAnew(before, after metav1.Condition, versioned []string) bool {
	return slices.Contains(versioned, after.Type) && after.Reason != v1alpha1.ReasonNotNeeded && before.ObservedGeneration != after.ObservedGeneration
}

// onlyConditions reports whether a merge patch of a status changes nothing but conditions.
func onlyConditions(patch []byte) bool {
	var changed struct {
		Status map[string]json.RawMessage `json:"status"`
	}
	if json.Unmarshal(patch, &changed) != nil {
		return false
	}
	delete(changed.Status, "conditions")
	delete(changed.Status, "observedGeneration")
	return len(changed.Status) == 0
}

// urgent reports whether one condition's change is to be written at once.
func urgent(old *metav1.Condition, now metav1.Condition, decides []string) bool {
	switch {
	case old != nil && old.Status == now.Status && old.Reason == now.Reason:
		return now.Status == metav1.ConditionTrue && old.Message != now.Message // a notice; else at most another text
	case !calm(now) || (old != nil && !calm(*old)):
		return true
	case now.Status == metav1.ConditionTrue:
		return now.Type == v1alpha1.ConditionReady || slices.Contains(decides, now.Type)
	default:
		return old != nil && old.Status == metav1.ConditionTrue
	}
}
