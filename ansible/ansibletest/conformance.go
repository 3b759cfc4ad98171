package ansibletest

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
)

// Ending is how a run of the conformance suite ends.
type Ending string

const (
	// Succeeds ends well on every node.
	Succeeds Ending = "succeeds"
	// FailsOnOne fails a task on the first of two nodes and ends well on the other.
	FailsOnOne Ending = "fails-on-one"
	// Breaks never reaches its nodes, for example because the playbook does not exist.
	Breaks Ending = "breaks"
	// Tells ends well on two nodes. Two tasks on the first have the notice Notice; one that hides its output has another.
	Tells Ending = "tells"
	// Hangs goes on until it is cancelled.
	Hangs Ending = "hangs"
	// HangsOnOne never ends on the first of two nodes until it is cancelled, and ends well on the other.
	HangsOnOne Ending = "hangs-on-one"
)

// Notice is what a run that ends with Tells has to tell.
const Notice = "a reboot is due"

// Fixture is a runner to be tested.
type Fixture struct {
	// Runner under test.
	Runner ansible.Runner
	// Reopen makes another runner over the same runs, as the next engine has after the first was killed.
	Reopen func(t *testing.T) ansible.Runner
	// Make makes a run on two nodes that ends as asked. Key is to be used as it is.
	Make func(t *testing.T, key string, e Ending) ansible.Run
	// Pause lets a running run make headway between two looks at it; nil when a look is enough.
	Pause func()
}

// looks bounds how often a run is looked at before it counts as stuck.
const looks = 600

// Conformance tests that a runner keeps the contract of ansible.Runner. newFixture is called for every case.
func Conformance(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	cases := []struct {
		name string
		run  func(*testing.T, Fixture)
	}{
		{"an unknown run is absent and can be cancelled", unknown},
		{"a good run ends with a result for every node", good},
		{"a failing node does not hide the others", failing},
		{"a node that has ended is told while another hangs", hanging},
		{"what tasks have to tell is in the result", tells},
		{"a run that never reaches its nodes says why", broken},
		{"starting twice starts once", twice},
		{"a finished run is left alone", finished},
		{"cancel stops a run", cancelled},
		{"the next engine sees the runs of the last", reopened},
		{"a run that can never start is rejected", rejected},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(t, newFixture(t)) })
	}
}

func unknown(t *testing.T, f Fixture) {
	t.Helper()
	if s := look(t, f.Runner, "never-started"); s.State != ansible.Absent {
		t.Errorf("state %q, want %q", s.State, ansible.Absent)
	}
	if err := f.Runner.Cancel(t.Context(), "never-started"); err != nil {
		t.Errorf("cancel: %v", err)
	}
}

func good(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "good", Succeeds)
	status := f.wait(t, f.Runner, run.Key)
	if status.Cause != "" || len(status.Nodes) != len(run.Nodes) {
		t.Fatalf("status %+v, want a result for each of %v", status, run.Nodes)
	}
	for _, node := range run.Nodes {
		if r := status.Nodes[node]; r.Result != v1alpha1.ServiceSucceeded || r.Message != "" {
			t.Errorf("%s: %+v, want success without a message", node, r)
		}
	}
}

func failing(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "failing", FailsOnOne)
	status := f.wait(t, f.Runner, run.Key)
	if r := status.Nodes[run.Nodes[0]]; r.Result != v1alpha1.ServiceFailed || r.Message == "" {
		t.Errorf("%s: %+v, want a failure with a message", run.Nodes[0], r)
	}
	if r := status.Nodes[run.Nodes[1]]; r.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("%s: %+v, want success", run.Nodes[1], r)
	}
}

func hanging(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "hanging", HangsOnOne)
	hung, good := run.Nodes[0], run.Nodes[1]
	var status ansible.Status
	f.until(t, "the end on one node is told", func() bool {
		status = look(t, f.Runner, run.Key)
		if _, told := status.Nodes[hung]; told || status.State != ansible.Running {
			t.Fatalf("status %+v, want it to run and to have no result for the node that hangs", status)
		}
		return len(status.Nodes) > 0
	})
	if r := status.Nodes[good]; r.Result != v1alpha1.ServiceSucceeded || r.Message != "" {
		t.Errorf("%s: %+v, want success", good, r)
	}
	checkPace(t, status.Progress.Pace, run.Nodes)
	if again := look(t, f.Reopen(t), run.Key); again.State == ansible.Running && again.Nodes[good] != status.Nodes[good] {
		t.Errorf("the next engine sees %+v, want %+v", again.Nodes, status.Nodes)
	}
	if err := f.Runner.Cancel(t.Context(), run.Key); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	if s := look(t, f.Runner, run.Key); s.State != ansible.Absent || len(s.Nodes) > 0 {
		t.Errorf("status %+v after cancel, want nothing to be left", s)
	}
}

// checkPace wants a pace of each node. Which was heard of last, it leaves open: one that hangs may have ended the task before at any time.
func checkPace(t *testing.T, pace map[string]ansible.Pace, nodes []string) {
	t.Helper()
	if len(pace) != len(nodes) {
		t.Errorf("pace %+v, want that of %v", pace, nodes)
	}
	for _, name := range nodes {
		if p := pace[name]; p.Began.IsZero() || p.Last.Before(p.Began) || p.Longest > p.Last.Sub(p.Began) {
			t.Errorf("%s: pace %+v", name, p)
		}
	}
}

func tells(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "telling", Tells)
	status := f.wait(t, f.Runner, run.Key)
	for i, want := range []string{Notice, ""} {
		if r := status.Nodes[run.Nodes[i]]; r.Result != v1alpha1.ServiceSucceeded || r.Message != want {
			t.Errorf("%s: %+v, want success with the message %q", run.Nodes[i], r, want)
		}
	}
	// The next engine tells the same.
	again := look(t, f.Reopen(t), run.Key)
	if diff := cmp.Diff(status.Nodes, again.Nodes); diff != "" {
		t.Errorf("another engine (-first +other):\n%s", diff)
	}
}

func broken(t *testing.T, f Fixture) {
	t.Helper()
	run := f.Make(t, "broken", Breaks)
	err := f.Runner.Start(t.Context(), run)
	if fault.Is(err, fault.Rejected) {
		return // it could be told at once
	}
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	if status := f.wait(t, f.Runner, run.Key); status.Cause == "" || len(status.Nodes) != 0 {
		t.Errorf("status %+v, want a cause and no nodes", status)
	}
}

func twice(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "twice", Hangs)
	if err := f.Runner.Start(t.Context(), run); err != nil {
		t.Errorf("second start: %v", err)
	}
	if s := look(t, f.Runner, run.Key); s.State != ansible.Running {
		t.Errorf("state %q, want %q", s.State, ansible.Running)
	}
	// One cancel ends everything that was started under the key.
	if err := f.Runner.Cancel(t.Context(), run.Key); err != nil {
		t.Fatalf("cancel: %v", err)
	}
	if s := look(t, f.Runner, run.Key); s.State == ansible.Running {
		t.Errorf("something still runs after cancel")
	}
}

func finished(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "finished", FailsOnOne)
	first := f.wait(t, f.Runner, run.Key)
	if err := f.Runner.Start(t.Context(), run); err != nil {
		t.Errorf("start again: %v", err)
	}
	if err := f.Runner.Cancel(t.Context(), run.Key); err != nil {
		t.Errorf("cancel: %v", err)
	}
	again := look(t, f.Runner, run.Key)
	if again.State != ansible.Finished || again.Nodes[run.Nodes[0]] != first.Nodes[run.Nodes[0]] {
		t.Errorf("status %+v, want it to stay %+v", again, first)
	}
}

func cancelled(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "cancelled", Hangs)
	for range 2 {
		if err := f.Runner.Cancel(t.Context(), run.Key); err != nil {
			t.Fatalf("cancel: %v", err)
		}
		if s := look(t, f.Runner, run.Key); s.State == ansible.Running {
			t.Errorf("still running after cancel")
		}
	}
}

func reopened(t *testing.T, f Fixture) {
	t.Helper()
	run := begin(t, f, "reopened", Succeeds)
	next := f.Reopen(t)
	// Whether the run survived or was lost half way: starting it again must lead to its one result.
	if err := next.Start(t.Context(), run); err != nil {
		t.Fatalf("start again: %v", err)
	}
	status := f.wait(t, next, run.Key)
	if len(status.Nodes) != len(run.Nodes) {
		t.Errorf("status %+v, want a result for each of %v", status, run.Nodes)
	}
	if s := look(t, f.Reopen(t), run.Key); s.State != ansible.Finished {
		t.Errorf("a third engine sees %q, want %q", s.State, ansible.Finished)
	}
}

func rejected(t *testing.T, f Fixture) {
	t.Helper()
	run := f.Make(t, "rejected", Succeeds)
	run.Playbook, run.PlaybookContents, run.Role = "", "", ""
	if err := f.Runner.Start(t.Context(), run); !fault.Is(err, fault.Rejected) {
		t.Errorf("start without anything to run: %v, want %s", err, fault.Rejected)
	}
	if s := look(t, f.Runner, run.Key); s.State != ansible.Absent {
		t.Errorf("state %q, want %q", s.State, ansible.Absent)
	}
}

func begin(t *testing.T, f Fixture, key string, e Ending) ansible.Run {
	t.Helper()
	run := f.Make(t, key, e)
	if run.Key != key || len(run.Nodes) != 2 || !slices.IsSorted(run.Nodes) {
		t.Fatalf("the fixture made key %q on %v, want %q on two sorted nodes", run.Key, run.Nodes, key)
	}
	if err := f.Runner.Start(t.Context(), run); err != nil {
		t.Fatalf("start: %v", err)
	}
	return run
}

func look(t *testing.T, r ansible.Runner, key string) ansible.Status {
	t.Helper()
	status, err := r.Status(t.Context(), key)
	if err != nil {
		t.Fatalf("status of %s: %v", key, err)
	}
	return status
}

func (f Fixture) wait(t *testing.T, r ansible.Runner, key string) ansible.Status {
	t.Helper()
	var status ansible.Status
	f.until(t, "run "+key+" has ended", func() bool {
		if status = look(t, r, key); status.State == ansible.Absent {
			t.Fatalf("run %s was lost", key)
		}
		return status.State == ansible.Finished
	})
	return status
}

func (f Fixture) until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range looks {
		if is() {
			return
		}
		if f.Pause != nil {
			f.Pause()
		}
	}
	t.Fatalf("after %d looks it is still not so that %s", looks, what)
}
