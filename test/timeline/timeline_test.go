package timeline

import (
	"flag"
	"os"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/test/world"
)

var (
	update = flag.Bool("update", false, "write the record of the fleet anew")
	seeds  = flag.Uint64("seeds", 1, "in how many orders the fleet is held to the record")
	nodes  = flag.Int("nodes", 30, "of how many nodes a fleet is whose orders are held to each other")
)

const (
	fleet  = 300
	orders = 4
	record = "testdata/fleet.golden"
)

// made is what came of a fleet.
type made struct {
	timeline, effects []string
	states            []string
}

// inOrder makes a fleet with its objects looked at in the order of the seed; 0 is the usual one.
func inOrder(t *testing.T, nodes int32, seed uint64) made {
	t.Helper()
	j := world.Fleet(nodes, seed)
	w := j.Make()
	states, _ := j.Travel(t, w, world.Smooth{})
	for i := range states {
		states[i] = world.Unnumbered(states[i])
	}
	return made{strings.Split(w.Timeline(), "\n"), w.Effects(), states}
}

// same wants another order to have come to the same.
func (m made) same(t *testing.T, seed uint64, other made) {
	t.Helper()
	if diff := gocmp.Diff(m.timeline, other.timeline); diff != "" {
		t.Errorf("order %d decides otherwise (-usual +this):\n%s", seed, diff)
	}
	if diff := gocmp.Diff(m.effects, other.effects); diff != "" {
		t.Errorf("order %d does otherwise (-usual +this):\n%s", seed, diff)
	}
	for i := range m.states {
		if diff := gocmp.Diff(world.Bare(m.states[i]), world.Bare(other.states[i])); diff != "" {
			t.Errorf("order %d ends otherwise (-usual +this):\n%s", seed, diff)
		}
	}
}

// TestFleet: 300 nodes become what the record says, in whatever order their objects are looked at. What is recorded comes of
// the usual one.
func TestFleet(t *testing.T) {
	if *update {
		if err := os.WriteFile(record, []byte(strings.Join(inOrder(t, fleet, 0).timeline, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range *seeds {
		got := inOrder(t, fleet, seed+1)
		if diff := gocmp.Diff(strings.Split(string(want), "\n"), got.timeline); diff != "" {
			t.Errorf("order %d is not as recorded; if that is meant, go test ./test/timeline -update (-record +now):\n%s", seed+1, diff)
		}
	}
}

// TestOrders: in whatever order their objects are looked at, the same is decided and done, and the end is the same to the byte.
func TestOrders(t *testing.T) {
	usual := inOrder(t, int32(*nodes), 0)
	for seed := range uint64(orders) {
		usual.same(t, seed+1, inOrder(t, int32(*nodes), seed+1))
	}
}
