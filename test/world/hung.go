package world

import (
	"testing"

	"github.com/rackplane/rackplane/ansible/ansibletest"
)

// Hung is two servers that already run; the first service hangs on one of them for a while, and the other goes on.
func Hung() Journey {
	start := func() *World {
		w := New()
		w.Nodes = running{World: w, right: w.Clock.Now()}
		w.Runner.Follow(w.Clock)
		w.Runner.Hang(ansibletest.Hang{What: "osp.edpm." + services()[0], Node: "n1", Looks: 12})
		w.laws = append(w.laws, w.oneRunPerNode)
		return w
	}
	return Journey{Name: "hung", Make: start, Parts: []Part{{"2 servers", func(tb testing.TB, w *World) { tb.Helper(); w.furnish(tb) }, 2}}}
}

// oneRunPerNode holds at every moment: at most one run has something left to do on a node.
func (w *World) oneRunPerNode(tb testing.TB) {
	tb.Helper()
	at := map[string]string{}
	for _, run := range w.Runner.Started() {
		for _, node := range w.Runner.AtWork(run.Key) {
			if other := at[node]; other != "" && other != run.Key {
				tb.Errorf("runs %s and %s are at work on %s", other, run.Key, node)
			}
			at[node] = run.Key
		}
	}
}
