package local

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/line"
)

// event is one line of the file that the callback plugin osp.edpm.rackplane writes; playbooks/README.md has the format.
type event struct {
	Event string `json:"event"`
	// Time is in seconds since 1970.
	Time    float64 `json:"time"`
	Host    string  `json:"host"`
	Task    string  `json:"task"`
	Result  string  `json:"result"`
	Message string  `json:"msg"`
	Notice  string  `json:"notice"`
	Ignored bool    `json:"ignored"`
	// TimedOut is the limit in seconds that a task did not keep.
	TimedOut int64             `json:"timedout"`
	Hosts    map[string]totals `json:"hosts"`
}

// totals are a node's counts as Ansible's recap gives them.
type totals struct {
	Changed     int32 `json:"changed"`
	Failures    int32 `json:"failures"`
	Unreachable int32 `json:"unreachable"`
}

// journal is what a run's events say so far; each look reads only what is new. The events come from the run's side of the
// wall, where playbooks may write anything: what the journal holds is bounded by the run's nodes, whatever it reads.
type journal struct {
	offset int64
	// skipping means that offset is inside a line that is too long to be one of the callback's.
	skipping bool
	done     int
	last     time.Time               // when the newest line that was read was written
	nodes    map[string]*nodeJournal // those of the run; nothing is kept of others
	over     bool                    // the run itself said that it is over
	// stopped is the node whose failure may have ended the play on all nodes.
	stopped string
}

// nodeJournal is what the events say of one node.
type nodeJournal struct {
	task, failure string
	pace          ansible.Pace
	notices       []string // each once, in the order they came
	changed       int32
	// reached means that the node was seen at the end of the last play, seen that the recap has it.
	reached, seen bool
	totals        totals
}

const (
	// maxNotices bounds how many different notices are kept of a node; one message could not hold more anyway.
	maxNotices = 16
	// maxLine and maxHostLine bound a line: the recap, the longest, has an entry for each host.
	maxLine, maxHostLine = 64 << 10, 1 << 10
)

func newJournal(nodes []string) *journal {
	j := &journal{nodes: make(map[string]*nodeJournal, len(nodes))}
	for _, node := range nodes {
		j.nodes[node] = &nodeJournal{}
	}
	return j
}

func (j *journal) progress() ansible.Progress {
	p := ansible.Progress{Task: map[string]string{}, Done: j.done, Last: j.last, Pace: map[string]ansible.Pace{}}
	for name, n := range j.nodes {
		if !n.pace.Began.IsZero() {
			p.Pace[name] = n.pace
		}
		if n.task != "" {
			p.Task[name] = n.task
		}
	}
	return p
}

// read takes in the whole lines that were added; a missing file has none.
func (j *journal) read(path string) error {
	f, err := openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == j.offset {
		return err
	}
	j.last = info.ModTime()
	if _, err := f.Seek(j.offset, io.SeekStart); err != nil {
		return err
	}
	return j.take(f)
}

// openRegular opens a file that a run may have had its hands on: nothing that a link leads to, nothing that makes one wait.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ended are the results of the nodes that have reached the end of a run that goes on.
func (j *journal) ended() map[string]ansible.NodeResult {
	ended := map[string]ansible.NodeResult{}
	for name, n := range j.nodes {
		if n.reached {
			ended[name] = n.result("")
		}
	}
	return ended
}

// take takes in the whole lines of what was added. What is left is a line still being written.
func (j *journal) take(added io.Reader) error {
	in := bufio.NewReaderSize(added, maxLine+maxHostLine*len(j.nodes))
	for {
		written, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			j.skipping = true
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case j.skipping:
			j.skipping = false
		default:
			j.add(written)
		}
		j.offset += int64(len(written))
	}
}

func (j *journal) add(written []byte) {
	var e event
	if json.Unmarshal(written, &e) != nil {
		return // torn by a crash of Ansible; the end decides, not single lines
	}
	switch e.Event {
	case "stats":
		j.over = true
		for name, n := range j.nodes {
			n.totals, n.seen = e.Hosts[name]
		}
		return
	case "task":
		j.done++
	}
	if n := j.nodes[e.Host]; n != nil {
		n.heard(e.at(j.last))
		n.add(e)
		if e.Event == "stopped" {
			j.stopped = e.Host
		}
	}
}

// at is when the event happened: before it was read, whatever the run says.
func (e event) at(latest time.Time) time.Time {
	return time.UnixMilli(int64(min(max(e.Time, 0)*1e3, float64(latest.UnixMilli()))))
}

// heard moves the node's pace on. Nothing moves it back.
func (n *nodeJournal) heard(at time.Time) {
	if n.pace.Began.IsZero() {
		n.pace.Began, n.pace.Last = at, at
	}
	if silent := at.Sub(n.pace.Last); silent > 0 {
		n.pace.Last, n.pace.Longest = at, max(n.pace.Longest, silent)
	}
}

func (n *nodeJournal) add(e event) {
	switch e.Event {
	case "task":
		n.task = oneLine(e.Task)
		if (e.Result == "failed" || e.Result == "unreachable") && !e.Ignored {
			n.failure = oneLine(e.Task + ": " + plain(e))
		}
		if e.Result == "changed" {
			n.changed++
		}
		if told := oneLine(e.Notice); told != "" && len(n.notices) < maxNotices && !slices.Contains(n.notices, told) {
			n.notices = append(n.notices, told)
		}
	case "end":
		n.reached = true
	}
}

// plain says in words what to do where the message does not: about a task that took too long, and OpenSSH's banner about
// a changed host key.
func plain(e event) string {
	if e.TimedOut > 0 {
		return fmt.Sprintf("it had not ended after %d s and was stopped: if it may take longer, raise spec.taskTimeoutSeconds "+
			"of the DataPlaneService, or timeout where the task sets one", e.TimedOut)
	}
	if strings.Contains(e.Message, "REMOTE HOST IDENTIFICATION HAS CHANGED") {
		return "the address answered with another SSH host key than the one pinned for the node and was not trusted: " +
			"find out who answers there; pin the new key only if the node was reinstalled on purpose"
	}
	return e.Message
}

// oneLine makes a message fit a status: one line, bounded, without what a terminal would take for a command.
func oneLine(s string) string {
	const most = 600
	return line.Short(s, most)
}
