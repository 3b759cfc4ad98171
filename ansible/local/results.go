package local

import (
	"cmp"
	"os"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// results returns how an ended run went on each of its nodes, or the cause when it got none of them to its end.
func (f folder) results(j *journal) (map[string]ansible.NodeResult, string) {
	cause := ""
	if !j.over {
		if cause = f.cause(); !j.anyReached() {
			return nil, cause
		}
	}
	nodes := make(map[string]ansible.NodeResult, len(j.nodes))
	for name, n := range j.nodes {
		nodes[name] = n.result(cmp.Or(cause, j.stop()))
	}
	return nodes, ""
}

func (j *journal) anyReached() bool {
	for _, n := range j.nodes {
		if n.reached {
			return true
		}
	}
	return false
}

// stop says why a node may not have got to its end although nothing went wrong on it.
func (j *journal) stop() string {
	if j.stopped == "" {
		return "the run ended before the node had reached the end of the playbook"
	}
	return "the play stopped on all nodes when " + j.stopped + " failed: the playbook asks for that with any_errors_fatal or max_fail_percentage"
}

// result is how the run went on the node. It succeeded only if it was seen to reach the end: Ansible's recap shows a
// node that was taken out half way like one that did all. otherwise says what kept a node from it that did not fail.
func (n *nodeJournal) result(otherwise string) ansible.NodeResult {
	r := ansible.NodeResult{Result: v1alpha1.ServiceFailed, Changed: n.changed}
	if n.seen {
		r.Changed = n.totals.Changed
	}
	// A failure says more than the notices of the tasks before it: they come again with the run that mends it.
	switch {
	case n.totals.Failures > 0:
		r.Message = cmp.Or(n.failure, "a task failed without saying why")
	case n.totals.Unreachable > 0:
		r.Result, r.Message = v1alpha1.ServiceUnreachable, cmp.Or(n.failure, "the node did not answer")
	case n.reached:
		r.Result, r.Message = v1alpha1.ServiceSucceeded, oneLine(strings.Join(n.notices, "; "))
	case n.task == "" && !n.seen:
		r.Message = "no task ran on the node: the playbook's hosts leave it out, or " + otherwise
	case n.task == "":
		r.Message = otherwise
	default:
		r.Message = otherwise + "; the last task that ended on the node: " + n.task
	}
	return r
}

// cause says why the run never reached its nodes: what the supervisor says of it, Ansible's own error, else its exit code.
func (f folder) cause() string {
	end, err := f.ending()
	if err != nil {
		return "ansible-playbook left no result"
	}
	if end.Cause != "" {
		return end.Cause
	}
	stderr, err := os.ReadFile(f.path(fileStderr))
	if err == nil {
		if line := firstError(string(stderr)); line != "" {
			return oneLine(line)
		}
	}
	// Ansible itself uses 250.
	if end.Code > 128 && end.Code <= 128+31 {
		return "ansible-playbook was killed by signal " + strconv.Itoa(end.Code-128)
	}
	return "ansible-playbook ended with code " + strconv.Itoa(end.Code) + " and left no result"
}

// firstError finds the error in what Ansible wrote: "[ERROR]: text" since ansible-core 2.19, "ERROR! text" before,
// else the last line.
func firstError(stderr string) string {
	last := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		for _, mark := range []string{"[ERROR]: ", "ERROR! "} {
			if text, ok := strings.CutPrefix(line, mark); ok {
				return text
			}
		}
		if line != "" {
			last = line
		}
	}
	return last
}
