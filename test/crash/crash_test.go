package crash

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/test/world"
)

// killer counts the engine's acts and dies at one of them.
type killer struct {
	acts  int
	at    int // the act to die at
	after bool
	act   world.Act // it died at
}

// Act implements world.Hook.
func (k *killer) Act(a world.Act, do func() error) error {
	if a.Boundary == world.Look {
		return do()
	}
	k.acts++
	if k.acts != k.at {
		return do()
	}
	k.act = a
	if k.after {
		_ = do() // the engine is dead before it hears the answer
	}
	panic(world.Death{Act: a})
}

// Died implements world.Hook.
func (k *killer) Died(w *world.World) {
	if k.after {
		w.Runner.Lose() // a machine that dies takes its runs along; an engine alone does not
	}
}

func TestDieAtEveryAct(t *testing.T) {
	w := world.Rack().Make()
	want, _ := world.Rack().Travel(t, w, world.Smooth{})
	for i, part := range world.Rack().Parts[:3] {
		n := strconv.Itoa(int(part.Nodes))
		if !strings.Contains(want[i], `"readyReplicas":`+n+`,"replicas":`+n) {
			t.Fatalf("%s does not end well without any death:\n%s", part.Name, want[i])
		}
		if strings.Count(want[i], ".example.com") < 2*int(part.Nodes) || !strings.Contains(want[i], "aggregate {Name:rack Zone:rack") {
			t.Fatalf("%s: the nodes are not in their zone:\n%s", part.Name, want[i])
		}
	}
	t.Logf("%d acts of the engine, %d runs, deploys %v", len(w.Acts), len(w.Runner.Started()), w.Deploys())
	dieEverywhere(t, world.Rack(), len(w.Acts), want)
}

// TestDieWhileAdopting: wherever the engine dies, nothing runs on a server before it was found fit, and what its own runs
// do to a server never counts against it.
func TestDieWhileAdopting(t *testing.T) {
	w := world.Adoption().Make()
	want, _ := world.Adoption().Travel(t, w, world.Smooth{})
	if !strings.Contains(want[0], `"readyReplicas":2,"replicas":2`) {
		t.Fatalf("both servers are not adopted without any death:\n%s", want)
	}
	t.Logf("%d acts of the engine", len(w.Acts))
	dieEverywhere(t, world.Adoption(), len(w.Acts), want)
}

// TestDieWhileANodeHangs: wherever the engine dies, the node that hangs and the one that goes on without it are one run's each
// at a time, and both end well.
func TestDieWhileANodeHangs(t *testing.T) {
	w := world.Hung().Make()
	want, _ := world.Hung().Travel(t, w, world.Smooth{})
	var on []string
	for _, run := range w.Runner.Started() {
		on = append(on, strings.Join(run.Nodes, ","))
	}
	if !slices.Equal(on, []string{"n0,n1", "n0", "n0", "n1", "n1"}) || !strings.Contains(want[0], `"readyReplicas":2,"replicas":2`) {
		t.Fatalf("runs on %s; want n0 to go on alone, and then n1\n%s", on, want)
	}
	t.Logf("%d acts of the engine", len(w.Acts))
	dieEverywhere(t, world.Hung(), len(w.Acts), want)
}

// dieEverywhere makes the journey once for every act and dies there, before it and after it.
func dieEverywhere(t *testing.T, journey world.Journey, acts int, want []string) {
	t.Helper()
	for _, after := range []bool{false, true} {
		for at := 1; at <= acts; at++ {
			t.Run(fmt.Sprintf("%d after=%t", at, after), func(t *testing.T) {
				t.Parallel()
				k := &killer{at: at, after: after}
				got, deaths := journey.Travel(t, journey.Make(), k)
				if deaths != 1 {
					t.Errorf("the engine died %d times, want once", deaths)
				}
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("died at %q; what comes out differs (-without +with):\n%s", k.act.What, diff)
				}
			})
		}
	}
}
