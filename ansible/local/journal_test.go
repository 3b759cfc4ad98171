package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
{"event": "task", "host": "c", "task": "Gathering Facts", "result": "unreachable", "msg": "no route", "ignored": false}
not JSON
{"event": "stats", "hosts": {"a": {"changed": 1, "failures": 1, "unreachable": 0}, "b": {"changed": 2, "failures": 0, "unreachable": 0}, "c": {"unreachable": 1}, "d": {"failures": 1}}}
`

// TestJournalReadsAnyPiece feeds the events in two pieces, cut anywhere: what is known must not depend on the cut.
func TestJournalReadsAnyPiece(t *testing.T) {
	want := map[string]ansible.NodeResult{
		"a": {Result: v1alpha1.ServiceFailed, Changed: 1, Message: "edpm_bootstrap : Two: no space"},
		"b": {Result: v1alpha1.ServiceSucceeded, Changed: 2, Message: "a reboot is due; a disk is slow"},
		"c": {Result: v1alpha1.ServiceUnreachable, Message: "Gathering Facts: no route"},
		"d": {Result: v1alpha1.ServiceFailed, Message: "a task failed without saying why"},
	}
	f := folder{dir: t.TempDir()}
	write(t, f.path(fileLimit), "a\nb\nc\nd\n")
	path := f.path(fileEvents)
	for cut := range len(lines) + 1 {
		j := newJournal()
		for _, text := range []string{lines[:cut], lines} {
			write(t, path, text)
			if err := j.read(path); err != nil {
				t.Fatal(err)
			}
			if j.ended() != (text == lines) {
				t.Fatalf("cut at %d: ended is %t", cut, j.ended())
			}
		}
		got, cause, err := f.results(j)
		if diff := cmp.Diff(want, got); diff != "" || cause != "" || err != nil {
			t.Fatalf("cut at %d (-want +got):\n%s%s%v", cut, diff, cause, err)
		}
		if p := j.progress(); p.Done != 7 || p.Task["a"] != "edpm_bootstrap : Two" {
			t.Fatalf("cut at %d: progress %+v", cut, p)
		}
	}
}

func TestNoticesAreBounded(t *testing.T) {
	j := newJournal()
	for i := range 100 {
		j.add(fmt.Appendf(nil, `{"event": "task", "host": "a", "result": "ok", "notice": "%d %s"}`, i, strings.Repeat("x", 400)))
	}
	j.add([]byte(`{"event": "stats", "hosts": {"a": {}}}`))
	if got := j.result("a").Message; len(got) != 600 || !strings.HasSuffix(got, "...") {
		t.Errorf("%d bytes: %s", len(got), got)
	}
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
			if err := f.writeWhole(fileEnding, tc.end); err != nil {
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
	if err := f.write(run); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{fileKey: "key\n", fileLimit: "a\nb\n", filepath.Join(dirData, "tls/ca.crt"): "c"} {
		if got := string(read(t, f.path(name))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if info, err := os.Stat(f.path(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
