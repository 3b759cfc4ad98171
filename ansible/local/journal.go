package local

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/rackplane/rackplane/ansible"
)

// event is one line of the file that the callback plugin osp.edpm.rackplane writes; playbooks/README.md has the format.
type event struct {
	Event   string            `json:"event"`
	Host    string            `json:"host"`
	Task    string            `json:"task"`
	Result  string            `json:"result"`
	Message string            `json:"msg"`
	Notice  string            `json:"notice"`
	Ignored bool              `json:"ignored"`
	Hosts   map[string]totals `json:"hosts"`
}

// totals are a node's counts as Ansible's recap gives them.
type totals struct {
	Changed     int32 `json:"changed"`
	Failures    int32 `json:"failures"`
	Unreachable int32 `json:"unreachable"`
}

// journal is what a run's events say so far; each look reads only what is new.
type journal struct {
	offset  int64
	done    int
	tasks   map[string]string
	errors  map[string]string
	notices map[string][]string // each once, in the order they came
	totals  map[string]totals   // nil until the run's own end
	// stopped is the node whose failure ended the play on all nodes; the totals of the others do not tell.
	stopped string
}

func newJournal() *journal {
	return &journal{tasks: map[string]string{}, errors: map[string]string{}, notices: map[string][]string{}}
}

// ended reports whether the run itself said that it is over.
func (j *journal) ended() bool { return j.totals != nil }

func (j *journal) progress() ansible.Progress {
	return ansible.Progress{Task: maps.Clone(j.tasks), Done: j.done}
}

// read takes in the whole lines that were added; a missing file has none.
func (j *journal) read(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(j.offset, io.SeekStart); err != nil {
		return err
	}
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what is left is a line still being written
		}
		if err != nil {
			return err
		}
		j.offset += int64(len(line))
		j.add(line)
	}
}

func (j *journal) add(line []byte) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		return // torn by a crash of Ansible; the totals decide, not single lines
	}
	switch e.Event {
	case "task":
		j.done++
		j.tasks[e.Host] = e.Task
		if (e.Result == "failed" || e.Result == "unreachable") && !e.Ignored {
			j.errors[e.Host] = oneLine(e.Task + ": " + plain(e.Message))
		}
		if told := oneLine(e.Notice); told != "" && !slices.Contains(j.notices[e.Host], told) {
			j.notices[e.Host] = append(j.notices[e.Host], told)
		}
	case "stopped":
		j.stopped = e.Host
	case "stats":
		j.totals = e.Hosts
		if j.totals == nil {
			j.totals = map[string]totals{}
		}
	}
}

// plain puts OpenSSH's banner about a changed host key, which says all but what to do, in words.
func plain(message string) string {
	if strings.Contains(message, "REMOTE HOST IDENTIFICATION HAS CHANGED") {
		return "the address answered with another SSH host key than the one pinned for the node and was not trusted: " +
			"find out who answers there; pin the new key only if the node was reinstalled on purpose"
	}
	return message
}

// oneLine makes a message fit a status: one line, bounded, without what a terminal would take for a command.
func oneLine(s string) string {
	const most = 600
	blank := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), blank), " ")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most-3], "") + "..."
	}
	return s
}
