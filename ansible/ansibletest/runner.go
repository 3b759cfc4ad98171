package ansibletest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
)

// Failure makes runs fail.
type Failure struct {
	// What is the playbook or role that fails; "" is any.
	What string
	// Node it fails on; "" is any.
	Node string
	// Result and Message of the node. An empty Result breaks the whole run: it ends with Message as its Cause.
	Result  v1alpha1.ServiceResultState
	Message string
	// Times it happens; 0 is always.
	Times int
}

// Hang keeps nodes from reaching the end of runs.
type Hang struct {
	// What is the playbook or role that hangs; "" is any.
	What string
	// Node it hangs on.
	Node string
	// Looks that it hangs beyond those that the other nodes take; 0 is for ever.
	Looks int
}

// Runner is an ansible.Runner in memory. Make one with New.
type Runner struct {
	mu       sync.Mutex
	looks    int
	slots    int
	runs     map[string]*run
	started  []ansible.Run
	failures []*failure
	tellings []telling
	hangs    []Hang
	clock    clock.PassiveClock
	times    ansible.Status // of runs that go on
}

// telling is a notice of every run of what on a node.
type telling struct{ what, node, notice string }

type failure struct {
	Failure
	used int
}

type run struct {
	ansible.Run
	looks  int // left until the nodes that do not hang end
	began  time.Time
	ended  time.Time // when these did
	late   bool      // others have left it
	status ansible.Status
}

// New makes a runner whose runs are seen Running looks times before they end.
func New(looks int) *Runner {
	return &Runner{looks: looks, runs: map[string]*run{}, clock: clock.RealClock{}, times: ansible.Status{State: ansible.Running}}
}

// Limit bounds how many runs may run at once, beside those that others have left; 0 is no bound.
func (r *Runner) Limit(slots int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots = slots
}

// Inject makes runs fail from now on.
func (r *Runner) Inject(f Failure) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, &failure{Failure: f})
}

// Tell makes runs of what on the node tell the notice from now on where they end well; "" is any run and any node.
func (r *Runner) Tell(what, node, notice string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tellings = append(r.tellings, telling{what, node, notice})
}

// Hang makes runs hang from now on; those that have begun, too. Where none of a run's nodes hangs, all end together.
func (r *Runner) Hang(h Hang) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hangs = append(r.hangs, h)
}

// Follow makes the runner tell the pace of nodes by the clock.
func (r *Runner) Follow(c clock.PassiveClock) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = c
}

// Times says of the runs that begin from now on since when they go on, until when they may, and when something last ended.
func (r *Runner) Times(since, until, last time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.times = ansible.Status{State: ansible.Running, Since: since, Until: until, Progress: ansible.Progress{Last: last}}
}

// Lose forgets the runs that are under way, and returns how many there were.
func (r *Runner) Lose() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := 0
	for key, run := range r.runs {
		if run.status.State == ansible.Running {
			delete(r.runs, key)
			lost++
		}
	}
	return lost
}

// Started are the runs that really began, in order.
func (r *Runner) Started() []ansible.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.started)
}

// Succeeded reports whether the run has ended well on the node. It moves nothing.
func (r *Runner) Succeeded(key, node string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.runs[key]
	return run != nil && run.status.Nodes[node].Result == v1alpha1.ServiceSucceeded
}

// Running is the number of runs under way.
func (r *Runner) Running() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running()
}

func (r *Runner) running() int {
	n := 0
	for _, run := range r.runs {
		if run.status.State == ansible.Running {
			n++
		}
	}
	return n
}

// slotsUsed counts the runs under way that others have not left.
func (r *Runner) slotsUsed() int {
	n := r.running()
	for _, run := range r.runs {
		if run.status.State == ansible.Running && run.late {
			n--
		}
	}
	return n
}

// Start implements ansible.Runner.
func (r *Runner) Start(ctx context.Context, what ansible.Run) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Transient, err, "start run %s", what.Key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, key := range what.Leaves {
		if left := r.runs[key]; left != nil {
			left.late = true
		}
	}
	switch {
	case what.Key == "" || len(what.Key) > 63 || len(what.Nodes) == 0 || cmp.Or(what.Playbook, what.PlaybookContents, what.Role) == "":
		return fault.New(fault.Rejected, "run %q: needs a key of at most 63 characters, a playbook and nodes", what.Key)
	case r.runs[what.Key] != nil:
		return nil
	case r.slots > 0 && r.slotsUsed() >= r.slots:
		return fault.New(fault.Busy, "run %s: no slot is free", what.Key)
	}
	r.runs[what.Key] = &run{Run: what, looks: r.looks, began: r.clock.Now(), status: r.times}
	r.started = append(r.started, what)
	return nil
}

// Status implements ansible.Runner.
func (r *Runner) Status(ctx context.Context, key string) (ansible.Status, error) {
	if err := ctx.Err(); err != nil {
		return ansible.Status{}, fault.Wrap(fault.Transient, err, "look at run %s", key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.runs[key]
	if run == nil {
		return ansible.Status{State: ansible.Absent}, nil
	}
	if run.status.State == ansible.Running {
		r.look(run)
	}
	return run.status, nil
}

// look lets the run make headway.
func (r *Runner) look(run *run) {
	run.looks--
	over := run.looks < 0
	if over && run.ended.IsZero() {
		run.ended = r.clock.Now()
	}
	pace, ended := map[string]ansible.Pace{}, map[string]ansible.NodeResult{}
	for _, node := range run.Nodes {
		pace[node] = ansible.Pace{Began: run.began, Last: run.began}
		switch {
		case run.looks >= 0:
		case r.hanging(run, node):
			over = false
		case r.fails(run, node, 0) == nil:
			pace[node] = ansible.Pace{Began: run.began, Last: run.ended, Longest: run.ended.Sub(run.began)}
			ended[node] = r.good(run, node)
		}
	}
	if over {
		run.status = r.end(run)
		return
	}
	run.status.Nodes, run.status.Progress.Pace = ended, pace
}

// hanging reports whether the run, whose other nodes have ended, still hangs on the node.
func (r *Runner) hanging(run *run, node string) bool {
	return slices.ContainsFunc(r.hangs, func(h Hang) bool {
		return (h.What == "" || h.What == run.what()) && h.Node == node && (h.Looks == 0 || h.Looks >= -run.looks)
	})
}

// AtWork are the nodes on which the run has something left to do, as of the last look at it.
func (r *Runner) AtWork(key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	run := r.runs[key]
	if run == nil || run.status.State != ansible.Running {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(run.Nodes), func(node string) bool {
		_, ended := run.status.Nodes[node]
		return ended
	})
}

// Cancel implements ansible.Runner.
func (r *Runner) Cancel(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Transient, err, "cancel run %s", key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.runs[key]; run != nil && run.status.State == ansible.Running {
		delete(r.runs, key)
	}
	return nil
}

func (r *Runner) end(run *run) ansible.Status {
	status := ansible.Status{State: ansible.Finished, Nodes: map[string]ansible.NodeResult{}}
	for _, node := range run.Nodes {
		f := r.fails(run, node, 1)
		switch {
		case f == nil:
			status.Nodes[node] = r.good(run, node)
		case f.Result == "":
			return ansible.Status{State: ansible.Finished, Cause: f.Message}
		default:
			status.Nodes[node] = ansible.NodeResult{Result: f.Result, Message: f.Message}
		}
	}
	return status
}

func (r *Runner) good(run *run, node string) ansible.NodeResult {
	return ansible.NodeResult{Result: v1alpha1.ServiceSucceeded, Changed: 1, Message: r.notices(run, node)}
}

func (r *Runner) notices(run *run, node string) string {
	var told []string
	for _, t := range r.tellings {
		if (t.what == "" || t.what == run.what()) && (t.node == "" || t.node == node) && !slices.Contains(told, t.notice) {
			told = append(told, t.notice)
		}
	}
	return strings.Join(told, "; ")
}

func (r *run) what() string { return cmp.Or(r.Playbook, r.PlaybookContents, r.Role) }

// fails returns the failure of the run on the node, and uses it up so many times.
func (r *Runner) fails(run *run, node string, times int) *Failure {
	what := run.what()
	for _, f := range r.failures {
		if (f.What == "" || f.What == what) && (f.Node == "" || f.Node == node) && (f.Times == 0 || f.used < f.Times) {
			f.used += times
			return &f.Failure
		}
	}
	return nil
}
