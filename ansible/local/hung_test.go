package local

import (
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// tarpit makes nodeNowhere a node that accepts connections and says nothing.
func (l *lab) tarpit(tb testing.TB) {
	tb.Helper()
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.3:%d", l.port))
	if err != nil {
		tb.Fatal(err)
	}
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
		}
	}()
	tb.Cleanup(func() {
		listener.Close()
		<-done
		for _, c := range open {
			c.Close()
		}
	})
}

// tasksOnEach is how many tasks the runs below have.
const tasksOnEach = 6

// hung is a run of tasksOnEach tasks that log in, by the strategy.
func hung(l *lab, key, strategy string, nodes ...string) ansible.Run {
	run := l.run(key, strings.Repeat("- ansible.builtin.raw: 'true'\n", tasksOnEach), nodes...)
	run.PlaybookContents = strings.Replace(run.PlaybookContents, "hosts: all", "hosts: all\n  strategy: "+strategy, 1)
	return run
}

// headway is what the events of a run say of its nodes but the one that hangs.
type headway struct {
	// before is how many of their tasks had ended when the one that hangs was given up.
	before int
	// seconds until the last of them had reached its end, and until the run was over.
	seconds, over float64
}

func headwayOf(tb testing.TB, r *Runner, key string) headway {
	tb.Helper()
	var h headway
	var began float64
	given := false
	for text := range strings.Lines(string(read(tb, r.folder(key).work(fileEvents)))) {
		var e struct {
			event
			Time float64 `json:"time"`
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			tb.Fatal(err)
		}
		switch {
		case e.Event == "start":
			began = e.Time
		case e.Event == "task" && e.Host == nodeNowhere:
			given = true
		case e.Event == "task" && !given:
			h.before++
		case e.Event == "end":
			h.seconds = e.Time - began
		case e.Event == "stats":
			h.over = e.Time - began
		}
	}
	return h
}

// TestHungNode: one node accepts connections and says nothing. With our playbooks' strategy the others go on meanwhile;
// with Ansible's default they wait for it in the first task.
func TestHungNode(t *testing.T) {
	l := newLab(t)
	l.tarpit(t)
	r := l.runner(t)
	waits := map[string]bool{"linear": true, "host_pinned": false}
	for strategy := range waits {
		start(t, r, hung(l, strings.ReplaceAll(strategy, "_", "-"), strategy, nodeA, nodeB, nodeNowhere))
	}
	for strategy, wait := range waits {
		key := strings.ReplaceAll(strategy, "_", "-")
		got := finish(t, r, key).Nodes
		if got[nodeA].Result != v1alpha1.ServiceSucceeded || got[nodeB].Result != v1alpha1.ServiceSucceeded || got[nodeNowhere].Result != v1alpha1.ServiceUnreachable {
			t.Errorf("%s: %+v", strategy, got)
		}
		if h := headwayOf(t, r, key); h.before < 2 || (h.before == 2) != wait {
			t.Errorf("%s: the two others had done %d tasks when the node that hangs was given up", strategy, h.before)
		}
	}
}

// BenchmarkHungNode measures until when the others have reached their end, and until when the run is over, without a node
// that hangs and with one. The strategies alternate, so that both meet the same machine.
func BenchmarkHungNode(b *testing.B) {
	l := newLab(b)
	l.tarpit(b)
	r := l.runner(b)
	sum := map[string]headway{}
	for i := range b.N {
		for _, strategy := range []string{"linear", "host_pinned"} {
			for name, nodes := range map[string][]string{"alone": {nodeA, nodeB}, "hung": {nodeA, nodeB, nodeNowhere}} {
				key := fmt.Sprintf("%s-%s-%d", strings.ReplaceAll(strategy, "_", "-"), name, i)
				start(b, r, hung(l, key, strategy, nodes...))
				finish(b, r, key)
				h, s := headwayOf(b, r, key), sum[strategy+"-"+name]
				sum[strategy+"-"+name] = headway{seconds: s.seconds + h.seconds, over: s.over + h.over}
			}
		}
	}
	for _, strategy := range []string{"linear", "host_pinned"} {
		alone, with := sum[strategy+"-alone"], sum[strategy+"-hung"]
		b.ReportMetric(with.seconds/alone.seconds, strategy+"-others-ratio")
		b.ReportMetric(with.over/float64(b.N), strategy+"-over-s")
	}
}
