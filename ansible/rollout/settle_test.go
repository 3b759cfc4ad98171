package rollout

import (
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

func TestSettle(t *testing.T) {
	noted := func(input string, since, changed time.Duration) *v1alpha1.Settling {
		return &v1alpha1.Settling{Input: input, Since: metav1.NewTime(epoch.Add(since)), Changed: metav1.NewTime(epoch.Add(changed))}
	}
	for _, c := range []struct {
		name   string
		before *v1alpha1.Settling
		coming int
		now    time.Duration
		after  *v1alpha1.Settling
		until  time.Duration // 0: it has settled
	}{
		{"nobody is coming", nil, 0, 0, nil, 0},
		{"nobody is coming any more", noted("b", 0, 0), 0, time.Second, nil, 0},
		{"a first change", nil, 1, 0, noted("b", 0, 0), Arrival},
		{"three are coming", nil, 3, 0, noted("b", 0, 0), 3 * Arrival},
		{"six are coming", nil, 6, 0, noted("b", 0, 0), Quiet},
		{"a thousand are coming", nil, 1000, 0, noted("b", 0, 0), Quiet},
		{"no further one", noted("b", 0, 0), 1000, 59 * time.Second, noted("b", 0, 0), Quiet},
		{"no further one for long", noted("b", 0, 0), 1000, Quiet, noted("b", 0, 0), 0},
		{"all but one have come", noted("b", 0, 0), 1, 20 * time.Second, noted("b", 0, 0), 0},
		{"more are coming", noted("b", 0, 0), 2, 11 * time.Second, noted("b", 0, 0), 2 * Arrival},
		{"a further one", noted("a", 0, 0), 1, 9 * time.Second, noted("b", 0, 9*time.Second), 9*time.Second + Arrival},
		{"further ones without end", noted("a", 0, 570*time.Second), 50, 590 * time.Second, noted("b", 0, 590*time.Second), SettleMax},
		{"the most it waits", noted("a", 0, 590*time.Second), 1, SettleMax, noted("b", 0, SettleMax), 0},
		{"a clock that ran ahead", noted("b", time.Hour, time.Hour), 1, 0, noted("b", time.Hour, time.Hour), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			after, until := Settle(c.before, "b", c.coming, epoch.Add(c.now))
			if (after == nil) != (c.after == nil) || after != nil && (after.Input != c.after.Input || !after.Since.Equal(&c.after.Since) || !after.Changed.Equal(&c.after.Changed)) {
				t.Errorf("noted %+v, want %+v", after, c.after)
			}
			if c.until == 0 && !until.IsZero() || c.until != 0 && !until.Equal(epoch.Add(c.until)) {
				t.Errorf("waits until %s", until)
			}
		})
	}
}

// TestSettleIsBounded: whatever changes how often, nothing waits longer than SettleMax, also when each note is read back from
// the API, which knows whole seconds.
func TestSettleIsBounded(t *testing.T) {
	const look = 700 * time.Millisecond
	var noted *v1alpha1.Settling
	for at := time.Duration(0); at < time.Hour; at += look {
		after, until := Settle(noted, strconv.Itoa(int(at)), 1, epoch.Add(at))
		if until.IsZero() {
			if at >= SettleMax+look {
				t.Errorf("settled only after %s", at)
			}
			return
		}
		noted = after
	}
	t.Error("it never settles")
}
