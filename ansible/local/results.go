package local

import (
	"os"
	"strconv"
	"strings"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// results returns how an ended run went on each of its nodes, or the cause when it never reached them.
func (f folder) results(j *journal) (map[string]ansible.NodeResult, string, error) {
	if !j.ended() {
		return nil, f.cause(), nil
	}
	limit, err := os.ReadFile(f.path(fileLimit))
	if err != nil {
		return nil, "", err
	}
	nodes := map[string]ansible.NodeResult{}
	for node := range strings.FieldsSeq(string(limit)) {
		nodes[node] = j.result(node)
	}
	return nodes, "", nil
}

func (j *journal) result(node string) ansible.NodeResult {
	t, reached := j.totals[node]
	// A failure says more than the notices of the tasks before it: they come again with the run that mends it.
	r := ansible.NodeResult{Result: v1alpha1.ServiceSucceeded, Changed: t.Changed, Message: oneLine(strings.Join(j.notices[node], "; "))}
	switch {
	case !reached:
		r.Result = v1alpha1.ServiceFailed
		r.Message = "no task ran on the node: the playbook's hosts leave it out"
	case t.Failures > 0:
		r.Result, r.Message = v1alpha1.ServiceFailed, orText(j.errors[node], "a task failed without saying why")
	case t.Unreachable > 0:
		r.Result, r.Message = v1alpha1.ServiceUnreachable, orText(j.errors[node], "the node did not answer")
	case j.stopped != "":
		r.Result = v1alpha1.ServiceFailed
		r.Message = "the play stopped on all nodes when " + j.stopped + " failed: the playbook asks for that with any_errors_fatal or max_fail_percentage"
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

func orText(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
