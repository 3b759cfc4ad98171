package local

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// BenchmarkSandbox runs five services, with the 24 tasks that Rackplane's have, on three nodes where nothing changes; once with
// walls and once without, by turns, and reports both and the ratio of what each took at best. At best, because other load
// on the machine only ever adds. Run it with -benchtime 5x or more.
func BenchmarkSandbox(b *testing.B) {
	l := newLab(b)
	open := *l
	open.config.Sandbox = nil
	open.config.Dir += "-open"
	walled, bare := l.runner(b), open.runner(b)
	took := map[*Runner][]time.Duration{}
	for i := range b.N {
		for _, r := range []*Runner{walled, bare} {
			began := time.Now()
			for service, tasks := range []int{6, 4, 6, 5, 3} {
				run := l.unchanged(fmt.Sprintf("service-%d-%d", i, service), tasks)
				if err := r.Start(b.Context(), run); err != nil {
					b.Fatal(err)
				}
				for node, got := range finished(b, r, run.Key) {
					if got.Result != v1alpha1.ServiceSucceeded || got.Changed != 0 {
						b.Fatalf("%s: %+v", node, got)
					}
				}
			}
			took[r] = append(took[r], time.Since(began))
		}
	}
	best := func(r *Runner) float64 { return slices.Min(took[r]).Seconds() }
	b.ReportMetric(best(walled), "s/walled")
	b.ReportMetric(best(bare), "s/bare")
	b.ReportMetric(best(walled)/best(bare), "ratio")
	b.ReportMetric(0, "ns/op")
}

// unchanged is a run that gathers facts and changes nothing, on three nodes; two of them are one server.
func (l *lab) unchanged(key string, tasks int) ansible.Run {
	run := l.run(key, strings.Repeat("- ansible.builtin.command: \"true\"\n  changed_when: false\n", tasks), nodeA, nodeB, nodeNowhere)
	run.PlaybookContents = strings.Replace(run.PlaybookContents, "gather_facts: false", "gather_facts: true", 1)
	run.Inventory = bytes.ReplaceAll(run.Inventory, []byte("127.0.0.3"), []byte("127.0.0.1"))
	run.Targets[nodeNowhere] = net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port))
	return run
}

// finished looks more often than the engine does, whose second would hide what is measured.
func finished(b *testing.B, r *Runner, key string) map[string]ansible.NodeResult {
	b.Helper()
	for {
		s, err := r.Status(b.Context(), key)
		if err != nil {
			b.Fatal(err)
		}
		if s.State != ansible.Running {
			return s.Nodes
		}
		time.Sleep(5 * time.Millisecond)
	}
}
