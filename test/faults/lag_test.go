package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/test/world"
)

// refusal is a world.Hook that answers one write in its own way, looks not counted.
type refusal struct {
	injection
	writes int
	given  string
}

// Act implements world.Hook.
func (f *refusal) Act(a world.Act, do func() error) error {
	if a.Boundary == world.Look {
		return do()
	}
	if f.writes++; f.writes != f.at {
		return do()
	}
	f.given = fmt.Sprintf("%s %s: %s", a.Boundary, a.What, f.answer)
	return f.answer.give(a.Boundary, do)
}

// Died implements world.Hook.
func (f *refusal) Died(*world.World) {}

// lateTrip is a journey with a fault at one write, seen through caches that lag as the seed says.
type lateTrip struct {
	*smooth
	injection
	lag uint64
}

func (t lateTrip) String() string {
	return fmt.Sprintf("%s write %d %s lag %d", t.Name, t.at, t.answer, t.lag)
}

// sampledLate is how many are tried without -soak.
const sampledLate = 100

// TestFaultsWhileCachesLag: whatever write is answered by whatever failure while each kind is seen up to twenty writes late, the
// world settles, its invariants hold, nothing is done twice and the end is as with neither.
func TestFaultsWhileCachesLag(t *testing.T) {
	r := seeded(t)
	trips := lateTrips(t, r)
	if *soak == 0 {
		r.Shuffle(len(trips), func(i, j int) { trips[i], trips[j] = trips[j], trips[i] })
		trips = trips[:sampledLate]
	}
	for _, trip := range trips {
		t.Run(trip.String(), func(t *testing.T) {
			t.Parallel()
			trip.take(t)
		})
	}
}

// lateTrips are all writes of all journeys with each answer, each on a lag of its own.
func lateTrips(t *testing.T, r *rand.Rand) (all []lateTrip) {
	t.Helper()
	for _, j := range []world.Journey{world.Furnished(), world.Adoption(), world.Hung()} {
		w := j.Make()
		states, _ := j.Travel(t, w, world.Smooth{})
		whole := &smooth{Journey: j, states: states, writes: len(w.Acts)}
		for at := range whole.writes {
			for _, a := range answers(world.API) {
				all = append(all, lateTrip{whole, injection{at + 1, a}, r.Uint64N(1 << 20)})
			}
		}
	}
	return all
}

func (t lateTrip) take(tb testing.TB) {
	tb.Helper()
	hook, w := &refusal{injection: t.injection}, t.Make()
	w.Lagging(t.lag)
	states, _ := t.Travel(tb, w, hook)
	if hook.given == "" && len(w.Acts) >= t.at {
		tb.Errorf("write %d of %d was not answered", t.at, len(w.Acts))
	}
	same := slices.Equal(places(states), places(t.states))
	for i := range states {
		if diff := gocmp.Diff(world.Bare(world.Unnumbered(t.states[i])), world.Bare(world.Unnumbered(states[i]))); same && diff != "" {
			tb.Errorf("after %q %s is another (-without +with):\n%s", hook.given, t.Parts[i].Name, diff)
		}
		if part := t.Parts[i]; part.Nodes > 0 && !strings.Contains(states[i], fmt.Sprintf(`"readyReplicas":%d,"replicas":%[1]d`, part.Nodes)) {
			tb.Errorf("after %q %s does not end well:\n%s", hook.given, part.Name, states[i])
		}
	}
}
