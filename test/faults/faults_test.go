package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/test/world"
)

// answer is what an act is answered with.
type answer string

const (
	conflict answer = "conflict"
	busy     answer = "too many requests"
	broken   answer = "server error"
	lost     answer = "done, answer lost"
	silence  answer = "silence"
)

// answers are those a boundary gives.
func answers(b world.Boundary) []answer {
	if b == world.Look {
		return []answer{silence}
	}
	return []answer{conflict, busy, broken, lost}
}

// allowed is how many acts more than without it a fault may cost: to do it again, to tell of it and to take that back.
// Looks are no acts: while one thing is waited for the others are looked at as ever. They are counted apart.
const allowed = 3

// give answers an act of the boundary; the act itself is done only if the answer is lost.
func (a answer) give(b world.Boundary, do func() error) error {
	if a == lost {
		if err := do(); err != nil {
			return err
		}
	}
	switch {
	case b != world.API && a == conflict:
		return fault.New(fault.Busy, "injected: locked")
	case b != world.API:
		return fault.New(fault.Transient, "injected: %s", a)
	}
	return map[answer]error{
		conflict: apierrors.NewConflict(schema.GroupResource{Resource: "injected"}, "injected", errors.New("injected")),
		busy:     apierrors.NewTooManyRequests("injected", 1),
		broken:   apierrors.NewInternalError(errors.New("injected")),
		lost:     &url.Error{Op: "Patch", URL: "https://192.0.2.1:6443", Err: context.DeadlineExceeded},
	}[a]
}

// injection is one fault: the act of that number, looks counted too, gets the answer.
type injection struct {
	at     int
	answer answer
}

// injector is a world.Hook that gives the answers planned.
type injector struct {
	plan  []injection
	acts  []world.Act // every act so far, looks too
	given []string
	kinds []string // of what was given
}

// Act implements world.Hook.
func (i *injector) Act(a world.Act, do func() error) error {
	i.acts = append(i.acts, a)
	at := slices.IndexFunc(i.plan, func(p injection) bool { return p.at == len(i.acts) })
	if at < 0 {
		return do()
	}
	answer := i.plan[at].answer
	if !slices.Contains(answers(a.Boundary), answer) {
		answer = answers(a.Boundary)[0] // an earlier fault has made another act of this one
	}
	i.given = append(i.given, fmt.Sprintf("%s %s: %s", a.Boundary, a.What, answer))
	i.kinds = append(i.kinds, fmt.Sprintf("%s: %s", a.Boundary, answer))
	return answer.give(a.Boundary, do)
}

// Died implements world.Hook.
func (i *injector) Died(*world.World) {}

// smooth is a journey without any fault.
type smooth struct {
	world.Journey
	states []string
	acts   []world.Act
	writes int
}

// trip is a journey with faults.
type trip struct {
	*smooth
	plan []injection
}

func (t trip) String() string {
	parts := make([]string, 0, len(t.plan))
	for _, p := range t.plan {
		parts = append(parts, fmt.Sprintf("%d %s", p.at, p.answer))
	}
	return t.Name + " " + strings.Join(parts, " and ")
}

func travel(t *testing.T) (journeys []*smooth) {
	t.Helper()
	for _, j := range []world.Journey{world.Rack(), world.Adoption()} {
		hook, w := &injector{}, j.Make()
		states, _ := j.Travel(t, w, hook)
		journeys = append(journeys, &smooth{j, states, hook.acts, len(w.Acts)})
	}
	return journeys
}

// singles are all journeys with one fault, each act with each answer.
func singles(journeys []*smooth) (all []trip) {
	for _, j := range journeys {
		for i, act := range j.acts {
			for _, a := range answers(act.Boundary) {
				all = append(all, trip{j, []injection{{i + 1, a}}})
			}
		}
	}
	return all
}

// pair is some journey with two faults.
func pair(r *rand.Rand, journeys []*smooth) trip {
	j := journeys[r.IntN(len(journeys))]
	var plan []injection
	for range 2 {
		i := r.IntN(len(j.acts))
		among := answers(j.acts[i].Boundary)
		plan = append(plan, injection{i + 1, among[r.IntN(len(among))]})
	}
	return trip{j, plan}
}

var (
	// soak is how long pairs are tried, after every single fault; 0 takes a sample of both.
	soak = flag.Duration("soak", 0, "try every single fault, and then pairs for so long")
	seed = flag.Uint64("seed", 0, "seed of what is sampled; 0 takes FAULTS_SEED, or with -soak some")
)

// usualSeed is that of an ordinary run: what fails there is to have been changed, not drawn. -soak draws others.
const usualSeed = 8

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	if *seed == 0 {
		*seed, _ = strconv.ParseUint(os.Getenv("FAULTS_SEED"), 10, 64)
	}
	if *seed == 0 && *soak == 0 {
		*seed = usualSeed
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("FAULTS_SEED=%d", *seed)
	return rand.New(rand.NewPCG(*seed, 0))
}

const (
	// sampledSingles and sampledPairs are what is tried without -soak.
	sampledSingles, sampledPairs = 130, 30
)

// TestFaults: whatever act fails in whatever way, the world settles, its invariants hold, nothing is done twice, the end is
// the same, and the engine did little more.
func TestFaults(t *testing.T) {
	r, journeys := seeded(t), travel(t)
	trips := singles(journeys)
	var table table
	t.Cleanup(func() { t.Log(table.String()) })
	if *soak == 0 {
		r.Shuffle(len(trips), func(i, j int) { trips[i], trips[j] = trips[j], trips[i] })
		trips = trips[:sampledSingles]
		for range sampledPairs {
			trips = append(trips, pair(r, journeys))
		}
	}
	table.try(t, trips)
	for end := time.Now().Add(*soak); *soak > 0 && time.Now().Before(end); {
		trips = trips[:0]
		for range 200 {
			trips = append(trips, pair(r, journeys))
		}
		table.try(t, trips)
	}
}

// table counts what faults cost.
type table struct {
	sync.Mutex
	trips, moved int
	costs        map[string]*cost // by kind of fault
}

// cost is how often faults of a kind cost so many acts and looks more than there are without.
type cost struct{ acts, looks map[int]int }

func (c *table) count(kind string, acts, looks int) {
	if c.costs == nil {
		c.costs = map[string]*cost{}
	}
	if c.costs[kind] == nil {
		c.costs[kind] = &cost{map[int]int{}, map[int]int{}}
	}
	c.costs[kind].acts[acts]++
	c.costs[kind].looks[looks]++
}

func (c *table) try(t *testing.T, trips []trip) {
	t.Helper()
	t.Run("faults", func(t *testing.T) {
		for _, trip := range trips {
			t.Run(trip.String(), func(t *testing.T) {
				t.Parallel()
				c.take(t, trip)
			})
		}
	})
}

func (c *table) take(t *testing.T, trip trip) {
	t.Helper()
	hook, w := &injector{plan: trip.plan}, trip.Make()
	states, _ := trip.Travel(t, w, hook)
	extra := len(w.Acts) - trip.writes
	if most := allowed * len(hook.given); extra > most {
		t.Errorf("%d acts more than without, want at most %d: %q\n%s", extra, most, hook.given, gocmp.Diff(writes(trip.acts), writes(hook.acts)))
	}
	same := slices.Equal(places(states), places(trip.states))
	for i := range states {
		if diff := gocmp.Diff(world.Bare(trip.states[i]), world.Bare(states[i])); same && diff != "" {
			t.Errorf("after %q %s is another (-without +with):\n%s", hook.given, trip.Parts[i].Name, diff)
		}
		if part := trip.Parts[i]; part.Nodes > 0 && !strings.Contains(states[i], fmt.Sprintf(`"readyReplicas":%d,"replicas":%[1]d`, part.Nodes)) {
			t.Errorf("after %q %s does not end well:\n%s", hook.given, part.Name, states[i])
		}
	}
	c.Lock()
	defer c.Unlock()
	c.count(hook.kind(), extra, len(hook.acts)-len(w.Acts)-(len(trip.acts)-trip.writes))
	c.trips++
	if !same {
		c.moved++
	}
}

// kind is what was given, for a table.
func (i *injector) kind() string {
	if len(i.kinds) != 1 {
		return fmt.Sprintf("%d faults", len(i.kinds))
	}
	return i.kinds[0]
}

func writes(acts []world.Act) (what []string) {
	for _, a := range acts {
		if a.Boundary != world.Look {
			what = append(what, string(a.Boundary)+" "+a.What)
		}
	}
	return what
}

var place = regexp.MustCompile(`"spec":\{"host":\{"name":"[^"]*"`)

// places are the hosts the nodes are on. A host that comes later than without the fault may not be there yet when one is
// chosen; all are as good, and what is written on them differs then.
func places(states []string) (all []string) {
	for _, s := range states {
		all = append(all, place.FindAllString(s, -1)...)
	}
	return all
}

func (c *table) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%d journeys with faults, %d of them on other hosts", c.trips, c.moved)
	for _, kind := range slices.Sorted(maps.Keys(c.costs)) {
		fmt.Fprintf(&text, "\n%-28s acts more than without: %s; looks: %s", kind, histogram(c.costs[kind].acts), histogram(c.costs[kind].looks))
	}
	return text.String()
}

// histogram is how often each number came, as "times x number".
func histogram(counts map[int]int) string {
	parts := make([]string, 0, len(counts))
	for _, n := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%dx%d", counts[n], n))
	}
	return strings.Join(parts, " ")
}
