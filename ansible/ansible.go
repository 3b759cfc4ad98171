// Package ansible is the boundary to whatever runs Ansible: a process on this
// machine (ansible/local) or, later, a Kubernetes Job.
//
// A Run is identified by its Key, which the caller derives from its content.
// Starting the same key twice starts one run. A run's result is kept until the
// runner's store is removed, so a controller that was killed asks again and
// gets the same answer. No secret of a Run may reach a log, an argument or the
// environment of a process: implementations lay them down as files of mode 0600.
package ansible

import (
	"context"
	"time"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// Run is one playbook over some nodes.
type Run struct {
	// Key identifies the run: lower-case letters, digits and dashes, at most 63.
	Key string
	// Playbook, PlaybookContents and Role say what to run; the first that is set wins (RHOSO 18's precedence).
	Playbook, PlaybookContents, Role string
	// Inventory is an Ansible YAML inventory holding at least Nodes.
	Inventory []byte
	// ExtraVars are passed as a file, never on the command line. Texts in them are data: Ansible evaluates nothing in them.
	ExtraVars map[string]any
	// Nodes limits the run; sorted.
	Nodes []string
	// SSHPrivateKey logs in to the nodes, OpenSSH or PEM form.
	SSHPrivateKey []byte
	// KnownHosts is a known_hosts file with each node's keys under the node's name, whatever its address; a node that is
	// not in it cannot be reached.
	KnownHosts []byte
	// Data are files laid out for the playbook, by relative path; their folder is the variable edpm_service_data_dir.
	Data map[string][]byte
	// Namespace of the objects that asked for the run. Runs of two namespaces never share a user, a file or a slot.
	Namespace string
	// Targets are where the nodes are reached, by node, as host:port. The run reaches nothing else.
	Targets map[string]string
	// Timeout bounds the run, TaskTimeout each of its tasks on a node; 0 leaves it to the runner.
	Timeout, TaskTimeout time.Duration
	// Tokens fence the run: by node, a number higher than that of every run that was let onto the node before. Empty means
	// that nobody else can run on the nodes.
	Tokens map[string]int64
	// Lease is what the run holds its nodes by, where several in a row share one; empty is its own, Key.
	Lease string
	// Leaves are the keys of runs that go on for nodes that are late, which this run's nodes have left. They wait more than
	// they work, so they take none of the runner's slots from then on, within the runner's bounds.
	Leaves []string
}

// State is where a run stands.
type State string

const (
	// Absent means nobody runs it and it has no result: never started, or lost half way.
	Absent State = "Absent"
	// Running means it has not ended.
	Running State = "Running"
	// Finished means it ended and its result is known.
	Finished State = "Finished"
)

// NodeResult is how a run ended on one node.
type NodeResult struct {
	// Result on the node.
	Result v1alpha1.ServiceResultState
	// Changed is the number of tasks that changed the node.
	Changed int32
	// Message is one line of bounded length, without anything that no_log hides. On failure it names the failed task and
	// its error. On success it holds the notices of the node's tasks, each once: what a module has to tell a person that
	// is no failure, such as a reboot that is due and was not asked for; empty when there are none.
	Message string
}

// Progress is what a running run is doing.
type Progress struct {
	// Task is the last task seen per node.
	Task map[string]string
	// Done is the number of task results seen on all nodes together.
	Done int
	// Last is when the last of them was seen; zero when there is none.
	Last time.Time
	// Pace of the nodes whose first task has begun.
	Pace map[string]Pace
}

// Pace is how a node goes through a run.
type Pace struct {
	// Began is when its first task did, Last when a task last ended on it or, once the node has reached the end, when it did.
	Began, Last time.Time
	// Longest is the longest time between two of these, up to Last.
	Longest time.Duration
}

// Status is what is known of a run.
type Status struct {
	// State of the run.
	State State
	// Nodes holds a result for every node of the run once it is Finished. While it is Running, it holds the good results of
	// those that were seen to have reached the end of the last play: nothing of the run is left to be done on them. Not
	// every playbook lets that be known before the run is over.
	Nodes map[string]NodeResult
	// Progress while it is Running.
	Progress Progress
	// Since is when a run that is Running began, Until when it is ended at the latest; zero when that is not known.
	Since, Until time.Time
	// Cause says in one line why a finished run never reached its nodes, for example a playbook that does not exist.
	Cause string
}

// Runner runs Ansible.
type Runner interface {
	// Start begins the run. It is idempotent on Run.Key: a run that is Running or Finished is left alone,
	// an Absent one starts from the beginning. It returns as soon as the run is under way.
	// Errors: fault.Rejected for a Run that can never start, fault.Busy when no slot is free, else fault.Transient.
	// No message names a namespace but the run's own.
	Start(ctx context.Context, r Run) error
	// Status of a run; an unknown key is Absent, not an error.
	Status(ctx context.Context, key string) (Status, error)
	// Cancel stops the run and returns when nothing of it runs any more. Idempotent; an unknown key is no error.
	Cancel(ctx context.Context, key string) error
}
