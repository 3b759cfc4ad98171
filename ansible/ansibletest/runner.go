package ansibletest

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

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

// Runner is an ansible.Runner in memory. Make one with New.
type Runner struct {
	mu       sync.Mutex
	looks    int
	slots    int
	runs     map[string]*run
	started  []ansible.Run
	failures []*failure
	tellings []telling
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
	looks  int // left until it ends
	status ansible.Status
}

// New makes a runner whose runs are seen Running looks times before they end.
func New(looks int) *Runner {
	return &Runner{looks: looks, runs: map[string]*run{}, times: ansible.Status{State: ansible.Running}}
}

// Limit bounds how many runs may run at once; 0 is no bound.
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

// Start implements ansible.Runner.
func (r *Runner) Start(ctx context.Context, what ansible.Run) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.Transient, err, "start run %s", what.Key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case what.Key == "" || len(what.Key) > 63 || len(what.Nodes) == 0 || cmp.Or(what.Playbook, what.PlaybookContents, what.Role) == "":
		return fault.New(fault.Rejected, "run %q: needs a key of at most 63 characters, a playbook and nodes", what.Key)
	case r.runs[what.Key] != nil:
		return nil
	case r.slots > 0 && r.running() >= r.slots:
		return fault.New(fault.Busy, "run %s: no slot is free", what.Key)
	}
	r.runs[what.Key] = &run{Run: what, looks: r.looks, status: r.times}
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
		if run.looks--; run.looks < 0 {
			run.status = r.end(run)
		}
	}
	return run.status, nil
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
		f := r.fails(run, node)
		switch {
		case f == nil:
			status.Nodes[node] = ansible.NodeResult{Result: v1alpha1.ServiceSucceeded, Changed: 1, Message: r.notices(run, node)}
		case f.Result == "":
			return ansible.Status{State: ansible.Finished, Cause: f.Message}
		default:
			status.Nodes[node] = ansible.NodeResult{Result: f.Result, Message: f.Message}
		}
	}
	return status
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

func (r *Runner) fails(run *run, node string) *Failure {
	what := run.what()
	for _, f := range r.failures {
		if (f.What == "" || f.What == what) && (f.Node == "" || f.Node == node) && (f.Times == 0 || f.used < f.Times) {
			f.used++
			return &f.Failure
		}
	}
	return nil
}
