package timeline

import (
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/test/world"
)

// TestWhatANewcomerCostsTheOthers: a node that comes costs each that was there before one write of its spec, one of its status and its
// Lease, and so does one that goes.
func TestWhatANewcomerCostsTheOthers(t *testing.T) {
	j := world.Rack()
	w := j.Make()
	j.Parts[0].Do(t, w)
	w.Settle(t, world.Smooth{})
	for _, part := range j.Parts[1:3] {
		before := len(w.Acts)
		part.Do(t, w)
		w.Settle(t, world.Smooth{})
		for _, node := range []string{"n0", "n1", "n2"} {
			cost := map[string]int{}
			for _, act := range w.Acts[before:] {
				if strings.HasSuffix(act.What, " "+node) || strings.HasSuffix(act.What, "-"+node) {
					cost[act.What]++
				}
			}
			want := map[string]int{"patch *v1alpha1.DataPlaneNode " + node: 1, "patch status *v1alpha1.DataPlaneNode " + node: 1, "update *v1.Lease rackplane-node-" + node: 1}
			if diff := gocmp.Diff(want, cost); diff != "" {
				t.Errorf("%s: what %s costs (-want +got):\n%s", part.Name, node, diff)
			}
		}
	}
}
