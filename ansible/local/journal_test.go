package local

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

const lines = `{"event": "start", "pid": 1}
{"event": "task", "host": "a", "task": "edpm_bootstrap : One", "result": "ok", "notice": "lost behind the failure"}
{"event": "task", "host": "a", "task": "edpm_bootstrap : Two", "result": "failed", "msg": "no\n  space", "ignored": false}
{"event": "task", "host": "b", "task": "edpm_bootstrap : Two", "result": "failed", "msg": "never mind", "ignored": true}
{"event": "task", "host": "b", "task": "edpm_bootstrap : Three", "result": "ok", "notice": "\u001b a reboot\n is due"}
{"event": "task", "host": "b", "task": "edpm_bootstrap : Four", "result": "changed", "notice": "a disk is slow"}
{"event": "task", "host": "b", "task": "edpm_bootstrap : Five", "result": "ok", "notice": "a reboot is due"}
{"event": "end", "host": "b"}
{"event": "task", "host": "c", "task": "Gathering Facts", "result": "unreachable", "msg": "no route", "ignored": false}
not JSON
{"event": "stats", "hosts": {"a": {"changed": 1, "failures": 1, "unreachable": 0}, "b": {"changed": 2, "failures": 0, "unreachable": 0}, "c": {"unreachable": 1}, "d": {"failures": 1}, "e": {"ok": 7}}}
`

// workFolder is a run's folder with nothing laid out.
func workFolder(t *testing.T) folder {
	t.Helper()
	f := folder{dir: t.TempDir()}
	if err := os.Mkdir(f.work(""), 0o700); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEventsAreAFile: what the run puts in the place of its events is neither followed nor waited for.
func TestEventsAreAFile(t *testing.T) {
	f := workFolder(t)
	write(t, f.path("elsewhere"), lines)
	for name, put := range map[string]func(string) error{
		"link":   func(path string) error { return os.Symlink(f.path("elsewhere"), path) },
		"pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"folder": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		if err := put(f.work(fileEvents)); err != nil {
			t.Fatal(err)
		}
		if j := newJournal([]string{"a"}); j.read(f.work(fileEvents)) == nil || j.done > 0 {
			t.Errorf("a %s was read: %d events", name, j.done)
		}
		if err := os.Remove(f.work(fileEvents)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestJournalReadsAnyPiece feeds the events in two pieces, cut anywhere: what is known must not depend on the cut.
func TestJournalReadsAnyPiece(t *testing.T) {
	want := map[string]ansible.NodeResult{
		"a": {Result: v1alpha1.ServiceFailed, Changed: 1, Message: "edpm_bootstrap : Two: no space"},
		"b": {Result: v1alpha1.ServiceSucceeded, Changed: 2, Message: "a reboot is due; a disk is slow"},
		"c": {Result: v1alpha1.ServiceUnreachable, Message: "Gathering Facts: no route"},
		"d": {Result: v1alpha1.ServiceFailed, Message: "a task failed without saying why"},
		"e": {Result: v1alpha1.ServiceFailed, Message: "the run ended before the node had reached the end of the playbook"},
	}
	f := workFolder(t)
	path := f.work(fileEvents)
	for cut := range len(lines) + 1 {
		j := newJournal([]string{"a", "b", "c", "d", "e"})
		for _, text := range []string{lines[:cut], lines} {
			write(t, path, text)
			if err := j.read(path); err != nil {
				t.Fatal(err)
			}
			if j.over != (text == lines) {
				t.Fatalf("cut at %d: over is %t", cut, j.over)
			}
		}
		got, cause := f.results(j)
		if diff := cmp.Diff(want, got); diff != "" || cause != "" {
			t.Fatalf("cut at %d (-want +got):\n%s%s", cut, diff, cause)
		}
		if p := j.progress(); p.Done != 7 || p.Task["a"] != "edpm_bootstrap : Two" {
			t.Fatalf("cut at %d: progress %+v", cut, p)
		}
	}
}

// TestPace: how nodes go on is measured by the events' own times, of which none lies after the file was written, nor before
// one that was told earlier.
func TestPace(t *testing.T) {
	f := workFolder(t)
	write(t, f.work(fileEvents), `{"event": "begin", "time": 1000.5, "host": "a"}
{"event": "task", "time": 1002, "host": "a", "task": "t", "result": "ok"}
{"event": "task", "time": 990, "host": "a", "task": "t", "result": "ok"}
{"event": "task", "time": 1009, "host": "a", "task": "t", "result": "ok"}
{"event": "end", "time": 1010, "host": "a"}
{"event": "begin", "time": 9e300, "host": "b"}
{"event": "begin", "time": -9e300, "host": "c"}
`)
	written := time.Unix(2000, 0)
	if err := os.Chtimes(f.work(fileEvents), written, written); err != nil {
		t.Fatal(err)
	}
	j := newJournal([]string{"a", "b", "c", "d"})
	if err := j.read(f.work(fileEvents)); err != nil {
		t.Fatal(err)
	}
	want := map[string]ansible.Pace{
		"a": {Began: time.UnixMilli(1000500), Last: time.Unix(1010, 0), Longest: 7 * time.Second},
		"b": {Began: written, Last: written}, "c": {Began: time.Unix(0, 0), Last: time.Unix(0, 0)},
	}
	if diff := cmp.Diff(want, j.progress().Pace); diff != "" {
		t.Errorf("pace (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]ansible.NodeResult{"a": {Result: v1alpha1.ServiceSucceeded}}, j.ended()); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
}

// TestJournalIsBounded feeds what a hostile playbook may write: the journal must not grow with it, nor lose its place.
func TestJournalIsBounded(t *testing.T) {
	long := strings.Repeat("x", 5000)
	j := newJournal([]string{"a"})
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "{\"event\": \"task\", \"host\": \"a\", \"task\": %q, \"result\": \"failed\", \"msg\": %q, \"notice\": \"%d %s\"}\n", long, long, i, long)
		fmt.Fprintf(&text, "{\"event\": \"task\", \"host\": \"other-%d\", \"task\": \"t\"}\n{\"event\": \"end\", \"host\": \"other-%d\"}\n", i, i)
	}
	text.WriteString(`{"event": "end", "host": "` + strings.Repeat("a", 1<<20) + "\"}\n" + `{"event": "end", "host": "a"}` + "\n")
	if err := j.take(strings.NewReader(text.String())); err != nil {
		t.Fatal(err)
	}
	n := j.nodes["a"]
	if len(j.nodes) != 1 || len(n.task) > 600 || len(n.failure) > 600 || len(n.notices) != maxNotices || len(n.notices[0]) > 600 {
		t.Errorf("%d nodes, task of %d bytes, failure of %d, %d notices", len(j.nodes), len(n.task), len(n.failure), len(n.notices))
	}
	if !n.reached || j.offset != int64(text.Len()) {
		t.Errorf("after a line that is too long: reached %t, at %d of %d", n.reached, j.offset, text.Len())
	}
	if got := n.result("").Message; len(got) != 600 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}

// FuzzEvents writes anything into the events of a run: whatever it says, in whatever pieces, every node of the run gets one
// result that fits a status, and no other node gets any.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(lines), 40)
	f.Add([]byte("{\"event\": \"stats\", \"hosts\": null}\n{\"event\": \"end\", \"host\": \"a\"}\n"), 1)
	f.Add([]byte("{\"event\": \"task\", \"host\": \"a\", \"result\": \"failed\", \"timedout\": -1, \"msg\": \"\\u001b[2J\\u0000\"}\n[]\nnull\n"), 7)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		nodes := []string{"a", "b", "c"}
		whole, pieces := newJournal(nodes), newJournal(nodes)
		if err := whole.take(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		cut = max(0, min(cut, len(data)))
		for _, end := range []int{cut, len(data)} {
			if err := pieces.take(bytes.NewReader(data[pieces.offset:end])); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(whole, pieces, cmp.AllowUnexported(journal{}, nodeJournal{})); diff != "" {
			t.Fatalf("in two pieces (-whole +pieces):\n%s", diff)
		}
		if len(whole.nodes) != len(nodes) {
			t.Fatalf("%d nodes", len(whole.nodes))
		}
		for _, name := range nodes {
			n := whole.nodes[name]
			r := n.result(whole.stop())
			if r.Result == v1alpha1.ServiceSucceeded && !n.reached || len(r.Message) > 1500 || strings.ContainsFunc(r.Message, unicode.IsControl) || !utf8.ValidString(r.Message) {
				t.Errorf("%s: %+v", name, r)
			}
		}
	})
}

func TestCause(t *testing.T) {
	for _, tc := range []struct {
		name, stderr string
		end          ending
		want         string
	}{
		{"new style", "[WARNING]: careful\n[ERROR]: the playbook: x could not be found\nOrigin: y\n", ending{Code: 1}, "the playbook: x could not be found"},
		{"old style", "ERROR! Syntax Error\n\nThe error appears\n", ending{Code: 4}, "Syntax Error"},
		{"supervisor", "[ERROR]: the last thing seen\n", ending{Code: 143, Cause: "the run took too long"}, "the run took too long"},
		{"killed", "", ending{Code: 137}, "ansible-playbook was killed by signal 9"},
		{"silent", "", ending{Code: 250}, "ansible-playbook ended with code 250 and left no result"},
		{"endless", "[ERROR]: " + strings.Repeat("x", 5000), ending{Code: 1}, strings.Repeat("x", 597) + "..."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := folder{dir: t.TempDir()}
			write(t, f.path(fileStderr), tc.stderr)
			if err := writeWhole(f.path(fileEnding), tc.end); err != nil {
				t.Fatal(err)
			}
			if got := f.cause(); got != tc.want {
				t.Errorf("cause: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestPlaybookText(t *testing.T) {
	for _, tc := range []struct {
		run  ansible.Run
		want string
	}{
		{ansible.Run{Playbook: "osp.edpm.x", PlaybookContents: "c", Role: "r"}, ""},
		{ansible.Run{PlaybookContents: "c", Role: "r"}, "c"},
		{ansible.Run{Role: "osp.edpm.r"}, "- hosts: all\n  name: Run role osp.edpm.r\n  roles:\n  - osp.edpm.r\n"},
	} {
		if got, err := playbookText(tc.run); string(got) != tc.want || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, tc.want)
		}
	}
}

func TestKeyEndsWithNewline(t *testing.T) {
	key := []byte("keyX")[:3]
	if got := string(withNewline(key)); got != "key\n" || string(key[:4]) != "keyX" {
		t.Errorf("got %q, the caller's bytes are now %q", got, key[:4])
	}
}

func TestFolderIsLaidOutPrivately(t *testing.T) {
	f := folder{dir: t.TempDir()}
	run := ansible.Run{Key: "k", Role: "r", Nodes: []string{"a", "b"}, SSHPrivateKey: []byte("key"), Data: map[string][]byte{"tls/ca.crt": []byte("c")}}
	files, err := layOut(run, view{work: f.work("")})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.writeWork(prepared{files: files, user: testUsers}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{fileKey: "key\n", fileLimit: "a\nb\n", filepath.Join(dirData, "tls/ca.crt"): "c"} {
		if got := string(read(t, f.work(name))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	err = filepath.WalkDir(f.work(""), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		// What it does not own it can neither lease nor open up to others.
		if owner, ok := info.Sys().(*syscall.Stat_t); !ok || info.Mode().Perm()&0o007 != 0 || owner.Uid == testUsers || owner.Gid != testUsers ||
			(info.Mode().Perm()&0o020 != 0) != (entry.Name() == fileEvents) {
			t.Errorf("%s: %v of %+v", path, info.Mode(), owner)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
