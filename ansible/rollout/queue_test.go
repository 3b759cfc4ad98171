package rollout_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/ansible/rollout"
)

func turn(name string, age int, nodes ...string) rollout.Turn {
	return rollout.Turn{Name: name, UID: types.UID(name), Created: time.Unix(int64(1000-age), 0), Nodes: nodes}
}

func begun(t rollout.Turn) rollout.Turn {
	t.Begun = true
	return t
}

func TestBehind(t *testing.T) {
	cases := []struct {
		name   string
		turn   rollout.Turn
		others []rollout.Turn
		want   string
	}{
		{"alone", turn("d", 1), nil, ""},
		{"itself", turn("d", 1), []rollout.Turn{turn("d", 1)}, ""},
		{"an older one on the same node", turn("d", 1, "a", "b"), []rollout.Turn{turn("o", 2, "b")}, "o"},
		{"an older one on other nodes", turn("d", 1, "a"), []rollout.Turn{turn("o", 2, "b")}, ""},
		{"an older one on all nodes", turn("d", 1, "a"), []rollout.Turn{turn("o", 2)}, "o"},
		{"all nodes, an older one on one", turn("d", 1), []rollout.Turn{turn("o", 2, "b")}, "o"},
		{"a younger one", turn("d", 2, "a"), []rollout.Turn{turn("y", 1, "a")}, ""},
		{"a younger one that has begun", turn("d", 2, "a"), []rollout.Turn{begun(turn("y", 1, "a"))}, "y"},
		{"begun, an older one waits", begun(turn("d", 1, "a")), []rollout.Turn{turn("o", 2, "a")}, ""},
		{"of the same second the name decides", turn("b", 1, "a"), []rollout.Turn{turn("c", 1, "a"), turn("a", 1, "a")}, "a"},
		{"both on all nodes", turn("d", 1), []rollout.Turn{turn("o", 2)}, "o"},
		{"the first of several", turn("d", 1, "a"), []rollout.Turn{turn("o", 2, "a"), turn("p", 3, "a"), turn("q", 4, "x")}, "p"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, waits := rollout.Behind(c.turn, c.others)
			if got.Name != c.want || waits != (c.want != "") {
				t.Errorf("behind %q (%t), want %q", got.Name, waits, c.want)
			}
		})
	}
}

// TestTurnsEnd: whatever deployments there are, letting all go that wait for nobody, again and again, lets every one go, and
// never two at once that share a node unless both had begun before.
func TestTurnsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		node := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		var queue []rollout.Turn
		for i := range rapid.IntRange(1, 8).Draw(t, "deployments") {
			d := turn(fmt.Sprint("d", i), rapid.IntRange(0, 2).Draw(t, "age"), rapid.SliceOfDistinct(node, rapid.ID).Draw(t, "nodes")...)
			d.Begun = rapid.Bool().Draw(t, "begun")
			queue = append(queue, d)
		}
		for len(queue) > 0 {
			var going, waiting []rollout.Turn
			for _, d := range queue {
				if _, waits := rollout.Behind(d, queue); waits {
					waiting = append(waiting, d)
				} else {
					going = append(going, d)
				}
			}
			if len(going) == 0 {
				t.Fatalf("all wait: %+v", waiting)
			}
			for i, a := range going {
				for _, b := range going[i+1:] {
					if _, both := rollout.Shared(a, b); both && (!a.Begun || !b.Begun) {
						t.Fatalf("side by side: %+v and %+v", a, b)
					}
				}
			}
			queue = slices.Clone(waiting)
		}
	})
}
