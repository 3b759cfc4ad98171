package local

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/fault"
)

const (
	defaultSlots = 4
	defaultForks = 20
	defaultKeep  = 500
	// A run leaves some 20 KiB, and 4 MiB at most of its output.
	defaultKeepBytes = 1 << 30
	defaultKeepFor   = 30 * 24 * time.Hour
)

// Config says what runs Ansible and where runs are kept.
type Config struct {
	// Dir is the store of runs. It is created with mode 0700 and belongs to this package.
	Dir string
	// Venv is the Python environment that holds bin/ansible-playbook (hack/ansible/venv.sh makes one).
	Venv string
	// Collections is a collections path: the directory that holds ansible_collections with osp.edpm.
	Collections string
	// Supervisor is the command that calls Supervise for the folder that is appended to it; empty means this program's
	// hidden command ansible-run.
	Supervisor []string
	// Sandbox walls the runs in. nil lets them do what this process may: read its files, use its network.
	Sandbox *Sandbox
	// Slots is how many runs may go on at once; 0 means 4.
	Slots int
	// SlotsPerNamespace is how many of them the runs of one namespace may take; 0 means half of them, rounded up.
	SlotsPerNamespace int
	// Forks bounds how many nodes one run works on at once; 0 means 20.
	Forks int
	// Keep is how many ended runs are kept for their result and logs; 0 means 500. It must exceed by far what can
	// end between two looks of the caller.
	Keep int
	// KeepBytes bounds what ended runs take of the disk together; 0 means 1 GiB.
	KeepBytes int64
	// KeepFor is how long ended runs are kept; 0 means 30 days.
	KeepFor time.Duration
	// Clock tells how old runs are; nil means the machine's.
	Clock clock.PassiveClock
}

// Runner runs playbooks as processes of this machine. It is safe for concurrent use.
type Runner struct {
	config Config

	mu       sync.Mutex // guards what follows and the passage from Absent to Running
	journals map[string]*journal
	slots    *slots
}

var _ ansible.Runner = (*Runner)(nil)

// New returns a Runner on the store, after trying the sandbox and removing what lost runs left of their secrets, as each look at
// a run that does not go on does, too.
func New(ctx context.Context, c Config) (*Runner, error) {
	var err error
	for _, path := range []*string{&c.Dir, &c.Venv, &c.Collections} {
		if *path == "" {
			return nil, errors.New("ansible runner: Dir, Venv and Collections are required")
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, fmt.Errorf("ansible runner: %w", err)
		}
	}
	c = c.withDefaults()
	if len(c.Supervisor) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("ansible runner: %w", err)
		}
		c.Supervisor = []string{self, "ansible-run"}
	}
	if _, err := os.Stat(c.playbookBinary()); err != nil {
		return nil, fmt.Errorf("ansible runner: no ansible-playbook in %s: name an environment made by hack/ansible/venv.sh: %w", c.Venv, err)
	}
	if c.Sandbox != nil {
		if err := c.trySandbox(ctx); err != nil {
			return nil, fmt.Errorf("ansible runner: %w: %w", ErrSandbox, err)
		}
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("ansible runner: %w", err)
	}
	r := &Runner{config: c, journals: map[string]*journal{}, slots: newSlots(c.Slots, c.SlotsPerNamespace)}
	folders, err := r.folders()
	if err != nil {
		return nil, err
	}
	for _, f := range folders {
		if running, err := f.running(); err == nil && !running {
			if err := f.removeSecrets(); err != nil {
				return nil, fmt.Errorf("ansible runner: %w", err)
			}
		}
	}
	return r, nil
}

func (c Config) withDefaults() Config {
	c.Slots, c.Forks = orDefault(c.Slots, defaultSlots), orDefault(c.Forks, defaultForks)
	c.SlotsPerNamespace = orDefault(c.SlotsPerNamespace, (c.Slots+1)/2)
	c.Keep, c.KeepBytes, c.KeepFor = orDefault(c.Keep, defaultKeep), orDefault(c.KeepBytes, defaultKeepBytes), orDefault(c.KeepFor, defaultKeepFor)
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	return c
}

func orDefault[N int | int64 | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// Start implements ansible.Runner.
func (r *Runner) Start(ctx context.Context, run ansible.Run) error {
	if err := validate(run); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.folder(run.Key)
	state, err := f.state(r.journal(run.Key))
	if err != nil {
		return fault.Wrap(fault.Transient, err, "ansible run %s", run.Key)
	}
	if state != ansible.Absent {
		return nil
	}
	if err := r.markLate(run.Leaves); err != nil {
		return err
	}
	if err := r.takeSlot(run.Namespace); err != nil {
		return err
	}
	delete(r.journals, run.Key)
	if err := r.begin(ctx, f, run); err != nil {
		if fault.Is(err, fault.Rejected) {
			return err
		}
		return fault.Wrap(fault.Transient, err, "ansible run %s", run.Key)
	}
	return nil
}

func (r *Runner) begin(ctx context.Context, f folder, run ansible.Run) error {
	id, err := r.config.userOf(run.Namespace)
	if err != nil {
		return err
	}
	p, err := r.config.prepare(f, run, id)
	if err != nil {
		return err
	}
	return f.begin(ctx, p)
}

// takeSlot makes room: it fails while no slot is free for the namespace, and removes what is too old or too much.
func (r *Runner) takeSlot(namespace string) error {
	folders, err := r.folders()
	if err != nil {
		return err
	}
	var runs []goingOn
	for _, f := range folders {
		if busy, err := f.running(); err != nil || !busy {
			continue
		}
		o, _ := f.order() // one that cannot be read takes a slot all the same
		runs = append(runs, goingOn{o.Bounds.Namespace, f.idle(r.config.Clock.Now())})
	}
	if err := r.slots.take(namespace, r.slots.used(runs)); err != nil {
		return err
	}
	return r.prune(r.config.Keep, r.config.KeepBytes, r.config.KeepFor)
}

// markLate marks runs that go on for late nodes only.
func (r *Runner) markLate(keys []string) error {
	for _, key := range keys {
		f := r.folder(key)
		if running, err := f.running(); !validKey(key) || err != nil || !running {
			continue
		}
		if err := os.WriteFile(f.path(fileLate), nil, 0o600); err != nil {
			return fault.Wrap(fault.Transient, err, "ansible run %s", key)
		}
	}
	return nil
}

// Status implements ansible.Runner.
func (r *Runner) Status(_ context.Context, key string) (ansible.Status, error) {
	if !validKey(key) {
		return ansible.Status{State: ansible.Absent}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f, j := r.folder(key), r.journal(key)
	state, err := f.state(j)
	if err != nil {
		return ansible.Status{}, fault.Wrap(fault.Transient, err, "ansible run %s", key)
	}
	status := ansible.Status{State: state}
	if state == ansible.Running {
		if err := j.read(f.work(fileEvents)); err != nil {
			return ansible.Status{}, fault.Wrap(fault.Transient, err, "ansible run %s", key)
		}
		status.Progress, status.Nodes = j.progress(), j.ended()
		status.Since, status.Until = f.times()
		return status, nil
	}
	// A supervisor that was killed removed nothing.
	if err := f.removeSecrets(); err != nil {
		return ansible.Status{}, fault.Wrap(fault.Transient, err, "ansible run %s", key)
	}
	if state == ansible.Finished {
		status.Nodes, status.Cause = f.results(j)
	}
	delete(r.journals, key)
	return status, nil
}

// Cancel implements ansible.Runner. A canceled run is Absent afterwards, a finished one stays Finished.
func (r *Runner) Cancel(ctx context.Context, key string) error {
	if !validKey(key) {
		return nil
	}
	f := r.folder(key)
	r.mu.Lock()
	running, err := f.running()
	if err == nil && running {
		// Written first: whatever the dying processes still leave behind is no result.
		err = os.WriteFile(f.path(fileCanceled), nil, 0o600)
	}
	r.mu.Unlock()
	if err != nil {
		return fault.Wrap(fault.Transient, err, "cancel ansible run %s", key)
	}
	if err := f.endProcesses(ctx); err != nil {
		return fault.Wrap(fault.Transient, err, "cancel ansible run %s", key)
	}
	if !running {
		return nil
	}
	return fault.Wrap(fault.Transient, f.removeSecrets(), "cancel ansible run %s", key)
}

// CancelAll cancels every run of the store, for a caller that gives the store up.
func (r *Runner) CancelAll(ctx context.Context) error {
	folders, err := r.folders()
	if err != nil {
		return err
	}
	var all error
	for _, f := range folders {
		all = errors.Join(all, r.Cancel(ctx, filepath.Base(f.dir)))
	}
	return all
}

// Prune removes the folders of ended runs but the newest keep; runs that go on are never touched.
// A removed run is Absent. Start prunes to Config.Keep, KeepBytes and KeepFor by itself.
func (r *Runner) Prune(keep int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.prune(keep, math.MaxInt64, math.MaxInt64)
}

func (r *Runner) prune(keep int, keepBytes int64, keepFor time.Duration) error {
	folders, err := r.folders()
	if err != nil {
		return err
	}
	ended := slices.DeleteFunc(folders, func(f folder) bool {
		running, err := f.running()
		return running || err != nil
	})
	slices.SortFunc(ended, func(a, b folder) int { return b.changed().Compare(a.changed()) })
	var size int64
	for i, f := range ended {
		size += f.size()
		if i < keep && size <= keepBytes && r.config.Clock.Since(f.changed()) <= keepFor {
			continue
		}
		if err := os.RemoveAll(f.dir); err != nil {
			return fault.Wrap(fault.Transient, err, "ansible runner: prune")
		}
		delete(r.journals, filepath.Base(f.dir))
	}
	return nil
}

func (r *Runner) folder(key string) folder { return folder{dir: filepath.Join(r.config.Dir, key)} }

func (r *Runner) folders() ([]folder, error) {
	entries, err := os.ReadDir(r.config.Dir)
	if err != nil {
		return nil, fault.Wrap(fault.Transient, err, "ansible runner")
	}
	var folders []folder
	for _, e := range entries {
		if e.IsDir() && validKey(e.Name()) {
			folders = append(folders, r.folder(e.Name()))
		}
	}
	return folders, nil
}

// journal returns what was read of the run's events so far.
func (r *Runner) journal(key string) *journal {
	j := r.journals[key]
	if j == nil || len(j.nodes) == 0 {
		j = newJournal(r.folder(key).nodes())
		r.journals[key] = j
	}
	return j
}
