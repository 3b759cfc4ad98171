package rollout

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

const (
	// Arrival is how long, for each node that is coming, nothing may have changed of what global services get before they run
	// again on nodes that have an earlier input: each that comes changes it again, and where many come they come for longer.
	Arrival = 10 * time.Second
	// Quiet is the most of that, and how long a node that has come still counts as coming: where one came, others may.
	Quiet = time.Minute
	// SettleMax is the most that a change waits for others, however many keep coming.
	SettleMax = 10 * time.Minute
)

// Calm is how long nothing may change before a change has settled, while so many nodes are on their way.
func Calm(coming int) time.Duration { return min(Arrival*time.Duration(coming), Quiet) }

// Settle says whether what global services get is given to nodes that have an earlier input, or waits for further changes.
// before is what was noted at the last look, nil when nothing waited; input identifies what they get now, and coming is how
// many nodes are still on their way. It returns what to note, and until when to wait: zero when the change has settled. A
// note that is lost begins anew: the change waits at most SettleMax longer. One of a clock that ran ahead keeps nothing waiting.
func Settle(before *v1alpha1.Settling, input string, coming int, now time.Time) (after *v1alpha1.Settling, until time.Time) {
	if coming == 0 {
		return nil, time.Time{}
	}
	at := metav1.NewTime(now).Rfc3339Copy()
	after = before.DeepCopy()
	if after == nil {
		after = &v1alpha1.Settling{Input: input, Since: at, Changed: at}
	}
	if after.Input != input {
		after.Input, after.Changed = input, at
	}
	until = after.Changed.Add(Calm(coming))
	if last := after.Since.Add(SettleMax); last.Before(until) {
		until = last
	}
	if !until.After(now) || until.Sub(now) > Quiet {
		return after, time.Time{}
	}
	return after, until
}
