package crash

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/test/world"
)

var lags = flag.Int("lags", 30, "how many seeds of lagging caches each journey is made with")

// TestLag: what the engine reads may be up to twenty writes old, of each kind by another number. It ends as with what there is
// now, no host, address or name has two owners on the way, and no effect happens twice.
func TestLag(t *testing.T) {
	for _, journey := range []world.Journey{world.Furnished(), world.Adoption(), world.Hung()} {
		w := journey.Make()
		want, _ := journey.Travel(t, w, world.Smooth{})
		for seed := range uint64(*lags) {
			t.Run(fmt.Sprintf("%s %d", journey.Name, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 1))
				late := journey.Make()
				late.Lagging(seed)
				k := &killer{at: 1 + r.IntN(len(w.Acts)), after: r.IntN(2) == 0}
				if seed%3 == 0 {
					k.at = 0 // nobody dies
				}
				got, _ := journey.Travel(t, late, k)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("died at %q; what comes out differs (-without lag +with):\n%s", k.act.What, diff)
				}
			})
		}
	}
}
