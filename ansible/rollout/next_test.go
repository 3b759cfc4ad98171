package rollout

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// run is a run on n0 and n1.
func run(service string, state v1alpha1.RunState, failed ...string) Run {
	return Run{RunStatus: v1alpha1.RunStatus{Service: service, State: state}, Nodes: []string{"n0", "n1"}, FailedNodes: failed}
}

// left is a run on n0 and n1 that goes on without the first.
func left(service string) Run {
	r := run(service, v1alpha1.RunRunning)
	r.LeftNodes = []string{"n0"}
	return r
}

func alone(service, node string, state v1alpha1.RunState) Run {
	return Run{RunStatus: v1alpha1.RunStatus{Service: service, State: state}, Nodes: []string{node}}
}

func TestNext(t *testing.T) {
	services, nodes := []string{"a", "b", "a", "c"}, []string{"n1", "n0"}
	both := []string{"n0", "n1"}
	cases := []struct {
		name string
		runs []Run
		want []NextRun
		done bool
	}{
		{"first", nil, []NextRun{{"a", both}}, false},
		{"running", []Run{run("a", v1alpha1.RunRunning)}, nil, false},
		{"second", []Run{run("a", v1alpha1.RunSucceeded)}, []NextRun{{"b", both}}, false},
		{"without the failed", []Run{run("a", v1alpha1.RunFailed, "n0")}, []NextRun{{"b", []string{"n1"}}}, false},
		{"none left", []Run{run("a", v1alpha1.RunFailed, "n0", "n1")}, nil, true},
		{"done", []Run{run("a", v1alpha1.RunSucceeded), run("b", v1alpha1.RunSucceeded), run("c", v1alpha1.RunSucceeded)}, nil, true},
		{"one is late", []Run{left("a")}, []NextRun{{"b", []string{"n0"}}}, false},
		{"one is late and the other under way", []Run{left("a"), alone("b", "n0", v1alpha1.RunRunning)}, nil, false},
		{"one is late and the other done", []Run{left("a"), alone("b", "n0", v1alpha1.RunSucceeded), alone("c", "n0", v1alpha1.RunSucceeded)}, nil, false},
		{"each at its own", []Run{run("a", v1alpha1.RunSucceeded), alone("b", "n0", v1alpha1.RunSucceeded)}, []NextRun{{"b", []string{"n1"}}, {"c", []string{"n0"}}}, false},
		{"together again", []Run{run("a", v1alpha1.RunSucceeded), alone("b", "n0", v1alpha1.RunSucceeded), alone("b", "n1", v1alpha1.RunSucceeded)}, []NextRun{{"c", both}}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			next, done := Next(services, nodes, c.runs)
			if diff := cmp.Diff(c.want, next); diff != "" || done != c.done {
				t.Errorf("done %v\n%s", done, diff)
			}
		})
	}
	if next, done := Next(nil, nodes, nil); next != nil || !done {
		t.Error("nothing to run is done")
	}
	if next, done := Next(services, nil, nil); next != nil || !done {
		t.Error("nobody to run on is done")
	}
}

// at is a pace: when a node began, when it was last heard of and how long it was silent at most, in seconds.
func at(began, last, longest int) ansible.Pace {
	return ansible.Pace{Began: second(began), Last: second(last), Longest: time.Duration(longest) * time.Second}
}

func second(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

func TestLeaving(t *testing.T) {
	cases := []struct {
		name  string
		ended map[string]ansible.Pace
		rest  map[string]ansible.Pace
		now   int
		want  []string
	}{
		{"nobody has ended", nil, map[string]ansible.Pace{"x": at(0, 0, 0), "y": at(0, 0, 0)}, 600, nil},
		{"all have ended", map[string]ansible.Pace{"a": at(0, 10, 3)}, nil, 600, nil},
		{"silent from the first", map[string]ansible.Pace{"a": at(0, 10, 3), "b": at(0, 9, 4)}, map[string]ansible.Pace{"x": at(0, 0, 0)}, 10, []string{"a", "b"}},
		{"at work", map[string]ansible.Pace{"a": at(0, 10, 3)}, map[string]ansible.Pace{"x": at(0, 9, 3)}, 12, nil},
		{"silent for as long as a task took", map[string]ansible.Pace{"a": at(0, 10, 4)}, map[string]ansible.Pace{"x": at(0, 6, 3)}, 10, nil},
		{"silent for longer", map[string]ansible.Pace{"a": at(0, 10, 4)}, map[string]ansible.Pace{"x": at(0, 6, 3)}, 11, []string{"a"}},
		{"short tasks say little", map[string]ansible.Pace{"a": at(0, 2, 0)}, map[string]ansible.Pace{"x": at(0, 2, 0)}, 3, nil},
		{"silent in a short task after a long one", map[string]ansible.Pace{"a": at(0, 400, 300)}, map[string]ansible.Pace{"x": at(0, 395, 300)}, 499, nil},
		{"for a quarter of the run", map[string]ansible.Pace{"a": at(0, 400, 300)}, map[string]ansible.Pace{"x": at(0, 395, 300)}, 500, []string{"a"}},
		{"slow", map[string]ansible.Pace{"a": at(0, 40, 3)}, map[string]ansible.Pace{"x": at(0, 81, 3)}, 81, nil},
		{"twice as slow", map[string]ansible.Pace{"a": at(0, 40, 3)}, map[string]ansible.Pace{"x": at(0, 82, 3)}, 82, []string{"a"}},
		{"one late, one at work", map[string]ansible.Pace{"a": at(0, 10, 3)}, map[string]ansible.Pace{"x": at(0, 0, 0), "y": at(0, 10, 3)}, 11, nil},
		{"one waits for others at work", map[string]ansible.Pace{"a": at(0, 10, 3)}, map[string]ansible.Pace{"x": at(10, 12, 3), "y": {}}, 13, nil},
		{"one waits for the late", map[string]ansible.Pace{"a": at(0, 10, 3)}, map[string]ansible.Pace{"x": at(0, 0, 3), "y": {}}, 13, []string{"a"}},
		{"began later", map[string]ansible.Pace{"a": at(0, 10, 3)}, map[string]ansible.Pace{"x": at(30, 30, 3)}, 33, nil},
		{"from a clock that is ahead", map[string]ansible.Pace{"a": at(0, 10, 3)}, map[string]ansible.Pace{"x": at(900, 900, 0)}, 13, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status := ansible.Status{State: ansible.Running, Nodes: map[string]ansible.NodeResult{}, Progress: ansible.Progress{Pace: map[string]ansible.Pace{}}}
			var nodes []string
			for name, pace := range c.ended {
				nodes, status.Nodes[name], status.Progress.Pace[name] = append(nodes, name), ansible.NodeResult{}, pace
			}
			for name, pace := range c.rest {
				if nodes = append(nodes, name); pace != (ansible.Pace{}) {
					status.Progress.Pace[name] = pace
				}
			}
			if diff := cmp.Diff(c.want, Leaving(nodes, status, second(c.now))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMayPart(t *testing.T) {
	both := []string{"n0", "n1"}
	going := []Run{left("a"), left("a"), left("a"), left("a")}
	ended := slices.Repeat([]Run{run("a", v1alpha1.RunSucceeded)}, MaxRuns-2*64)
	cases := []struct {
		name     string
		services []string
		nodes    []string
		runs     []Run
		want     bool
	}{
		{"one run", []string{"a", "b"}, both, []Run{run("a", v1alpha1.RunRunning)}, true},
		{"three runs", []string{"a"}, nil, going[:3], true},
		{"four runs", []string{"a"}, nil, going, false},
		{"two runs and a group that has none yet", []string{"a", "b"}, []string{"n0"}, going[:2], true},
		{"three runs and a group that has none yet", []string{"a", "b"}, []string{"n0"}, going[:3], false},
		{"as many as there is room for", names("s", 64), nil, append(slices.Clone(ended[1:]), left("a")), true},
		{"one more", names("s", 64), nil, append(slices.Clone(ended), left("a")), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := MayPart(c.services, c.nodes, c.runs); got != c.want {
				t.Errorf("%t, want %t", got, c.want)
			}
		})
	}
}

// site carries a deployment out in a model of time: what a run does on a node takes so long, in four tasks.
type site struct {
	services, nodes []string
	takes           func(node, service string) time.Duration
	fails           func(node, service string) bool
	now             time.Time
	runs            []Run
	since           map[string]time.Time // of runs, by key
	done            map[string][]string  // the services that have ended on each node, in order
	ended           map[string]time.Time // when the last of them did
}

const (
	poll  = time.Second
	tasks = 4
	never = 1000 * time.Hour
)

func (s *site) status(r *Run) (status ansible.Status, over bool) {
	status = ansible.Status{State: ansible.Running, Nodes: map[string]ansible.NodeResult{}, Progress: ansible.Progress{Pace: map[string]ansible.Pace{}}}
	over = true
	for _, n := range r.Nodes {
		began, takes := s.since[r.Key], s.takes(n, r.Service)
		task := takes / tasks
		pace := ansible.Pace{Began: began, Last: began.Add(min(s.now.Sub(began).Truncate(task), tasks*task)), Longest: task}
		status.Progress.Pace[n] = pace
		ended := s.now.Sub(began) >= takes
		over = over && ended
		if ended && !s.fails(n, r.Service) {
			status.Nodes[n] = ansible.NodeResult{Result: v1alpha1.ServiceSucceeded}
		}
	}
	return status, over
}

// carry makes looks at the deployment until it has ended, or nothing but what never ends goes on.
func (s *site) carry(t *rapid.T) {
	s.since, s.done, s.ended = map[string]time.Time{}, map[string][]string{}, map[string]time.Time{}
	s.now = epoch
	for range 5000 {
		for i := range s.runs {
			s.follow(&s.runs[i])
		}
		next, done := Next(s.services, s.nodes, s.runs)
		if done || (len(next) == 0 && s.stuck()) {
			return
		}
		for _, n := range next {
			r := Run{RunStatus: v1alpha1.RunStatus{Service: n.Service, State: v1alpha1.RunRunning, Key: strconv.Itoa(len(s.runs))}, Nodes: n.Nodes}
			s.since[r.Key] = s.now
			s.runs = append(s.runs, r)
		}
		s.check(t)
		s.now = s.now.Add(poll)
	}
}

// stuck reports whether all that goes on never ends.
func (s *site) stuck() bool {
	for i := range s.runs {
		for _, n := range s.runs[i].Nodes {
			if s.runs[i].Uses(n) && s.takes(n, s.runs[i].Service) != never {
				return false
			}
		}
	}
	return true
}

func (s *site) follow(r *Run) {
	if r.State != v1alpha1.RunRunning {
		return
	}
	var staying []string
	for _, n := range r.Nodes {
		if r.Uses(n) {
			staying = append(staying, n)
		}
	}
	status, over := s.status(r)
	if !over {
		if leaving := Leaving(staying, status, s.now); MayPart(s.services, s.nodes, s.runs) {
			r.LeftNodes = append(r.LeftNodes, leaving...)
			s.record(leaving, r.Service)
		}
		return
	}
	r.State, r.LeftNodes = v1alpha1.RunSucceeded, nil
	for _, n := range staying {
		if s.fails(n, r.Service) {
			r.FailedNodes = append(r.FailedNodes, n)
		}
	}
	s.record(staying, r.Service)
}

func (s *site) record(nodes []string, service string) {
	for _, n := range nodes {
		s.done[n], s.ended[n] = append(s.done[n], service), s.now
	}
}

// check holds at every moment: no node is in two runs, and there is room for what is still to come.
func (s *site) check(t *rapid.T) {
	for _, n := range s.nodes {
		users := 0
		for i := range s.runs {
			if s.runs[i].Uses(n) {
				users++
			}
		}
		if users > 1 {
			t.Fatalf("%s is in %d runs: %+v", n, users, s.runs)
		}
	}
	running := 0
	for i := range s.runs {
		if s.runs[i].State == v1alpha1.RunRunning {
			running++
		}
	}
	if running > maxAtOnce || len(s.runs) > MaxRuns {
		t.Fatalf("%d runs, %d of them at once", len(s.runs), running)
	}
}

func names(prefix string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s%02d", prefix, i))
	}
	return out
}

// TestEachNodeGetsEachServiceOnceInOrder: whatever takes how long, and whatever fails.
func TestEachNodeGetsEachServiceOnceInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &site{services: names("s", rapid.IntRange(1, 64).Draw(t, "services")), nodes: names("n", rapid.IntRange(1, 8).Draw(t, "nodes"))}
		seconds, odds := map[string]int{}, map[string]bool{}
		for _, n := range s.nodes {
			for _, service := range s.services {
				seconds[n+service] = rapid.SampledFrom([]int{1, 2, 3, 20, 60}).Draw(t, "seconds")
				odds[n+service] = rapid.IntRange(0, 30).Draw(t, "fails") == 0
			}
		}
		s.takes = func(n, service string) time.Duration { return time.Duration(seconds[n+service]) * time.Second }
		s.fails = func(n, service string) bool { return odds[n+service] }
		s.carry(t)
		for _, n := range s.nodes {
			want := s.services
			if i := slices.IndexFunc(want, func(service string) bool { return odds[n+service] }); i >= 0 {
				want = want[:i+1]
			}
			if diff := cmp.Diff(want, s.done[n]); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", n, diff)
			}
		}
	})
}

// TestHungNodesCostOneGrace: a node that hangs costs the others one grace in all, however many services are still to come, and
// healthy nodes, whose times differ a little, are never parted.
func TestHungNodesCostOneGrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		services := names("s", rapid.IntRange(1, 12).Draw(t, "services"))
		healthy, hung := names("n", rapid.IntRange(1, 6).Draw(t, "nodes")), names("x", rapid.IntRange(0, 3).Draw(t, "hung"))
		seconds, hangs := map[string]time.Duration{}, map[string]string{}
		longest := time.Duration(0)
		for _, service := range services {
			usual := rapid.IntRange(2000, 100000).Draw(t, "usual")
			for _, n := range slices.Concat(healthy, hung) {
				seconds[n+service] = time.Duration(rapid.IntRange(usual, usual+usual/10).Draw(t, "takes")) * time.Millisecond
				longest = max(longest, seconds[n+service])
			}
		}
		for _, n := range hung {
			hangs[n] = rapid.SampledFrom(services).Draw(t, "hangs")
		}
		takes := func(n, service string) time.Duration {
			if hangs[n] == service {
				return never
			}
			return seconds[n+service]
		}
		none := func(string, string) bool { return false }
		alone, beside := &site{services: services, nodes: healthy, takes: takes, fails: none}, &site{services: services, nodes: append(hung, healthy...), takes: takes, fails: none}
		alone.carry(t)
		beside.carry(t)
		if len(alone.runs) != len(services) {
			t.Fatalf("%d runs for %d services although no node hangs", len(alone.runs), len(services))
		}
		grace := max(patience, longest/4) + longest/10 + poll
		for _, n := range healthy {
			if lost := beside.ended[n].Sub(alone.ended[n]); lost > time.Duration(len(hung))*grace || len(beside.done[n]) != len(services) {
				t.Fatalf("%s: lost %s, %v done of %d; more than %s for each of %d that hang", n, lost, beside.done[n], len(services), grace, len(hung))
			}
		}
	})
}
