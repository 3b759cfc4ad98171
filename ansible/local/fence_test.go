package local

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// fenced is a run of the tasks on node a with the token. A folder of the test stands for the node's /run.
func (l *lab) fenced(key string, token int64, tasks string) ansible.Run {
	run := l.run(key, tasks, nodeA)
	run.Inventory = l.inventory(fmt.Sprintf(", rackplane_fence_dir: %s/fence, rackplane_fence_wait: 2", l.dir))
	run.Tokens = map[string]int64{nodeA: token}
	return run
}

// another is a second store with its runner, as on another machine.
func (l *lab) another(t *testing.T) *Runner {
	t.Helper()
	other := *l
	other.config.Dir = filepath.Join(t.TempDir(), "runs")
	return other.runner(t)
}

// spell is a command on the node that begins, waits for a file and ends, as the node's own log shows.
func (l *lab) spell(name string) string {
	return fmt.Sprintf(`
- ansible.builtin.raw: echo begin %[2]s >>%[1]s/log; until [ -e %[1]s/go-%[2]s ]; do sleep 0.1; done; echo end %[2]s >>%[1]s/log`, l.dir, name)
}

func (l *lab) goOn(t *testing.T, name string) {
	t.Helper()
	write(t, filepath.Join(l.dir, "go-"+name), "")
}

func (l *lab) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(l.dir, "log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

func TestFenceLetsEverythingThrough(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.fenced("all", 7, `
- ansible.builtin.wait_for_connection:
- ansible.builtin.setup: {gather_subset: "!all"}
- ansible.builtin.raw: "[[ fenced == fenced ]]; exit 3"
  register: raw
  failed_when: raw.rc != 3
- ansible.builtin.script: {cmd: "{{ edpm_service_data_dir }}/script argument"}
- ansible.builtin.copy: {src: "{{ edpm_service_data_dir }}/source", dest: "{{ dir }}/copied"}
  become: true
- ansible.builtin.copy: {content: "", dest: "{{ dir }}/empty"}
- ansible.builtin.fetch: {src: "{{ dir }}/copied", dest: "{{ lookup('env', 'HOME') }}/fetched", flat: true}
- ansible.builtin.copy: {content: "{{ lookup('file', lookup('env', 'HOME') ~ '/fetched') }}", dest: "{{ dir }}/fetched"}
- ansible.builtin.shell: "cat; echo error >&2; exit 4"
  args: {stdin: "{{ 'x' * 100000 }}"}
  become: true
  register: shell
  failed_when: shell.rc != 4 or shell.stdout | length != 100000 or shell.stderr != 'error'
- ansible.builtin.command: sleep 1
  async: 20
  poll: 1
- ansible.builtin.meta: reset_connection
- ansible.builtin.raw: echo again
  become: true
  vars: {ansible_pipelining: false}
- ansible.builtin.command: echo not here
  delegate_to: localhost`)
	run.Data = map[string][]byte{"source": []byte("text\n"), "script": []byte("#!/bin/sh\n[ \"$1\" = argument ]\n")}
	start(t, r, run)
	if s := finish(t, r, "all"); s.Nodes[nodeA].Result != v1alpha1.ServiceSucceeded {
		t.Fatalf("%+v\n%s", s, read(t, r.folder("all").path(fileStdout)))
	}
	if got := string(read(t, filepath.Join(l.dir, "fetched"))); got != "text" {
		t.Errorf("fetched %q", got)
	}
	if got := string(read(t, filepath.Join(l.dir, "fence", "token"))); got != "7\n" {
		t.Errorf("the node's token is %q", got)
	}
}

// TestLaterRunTakesTheNodeOver: the same run on two stores, as when its machine was taken for dead. What the first still does
// ends before the second does anything, and nothing of the first begins any more.
func TestLaterRunTakesTheNodeOver(t *testing.T) {
	l := newLab(t)
	first, second := l.runner(t), l.another(t)
	start(t, first, l.fenced("same", 5, l.spell("old")+l.spell("older")))
	eventually(t, time.Minute, "the first run is on the node", func() bool { return l.log(t) == "begin old" })
	run := l.fenced("same", 6, l.spell("new"))
	run.Inventory = []byte(strings.ReplaceAll(string(run.Inventory), "fence_wait: 2", "fence_wait: 60"))
	l.goOn(t, "new")
	l.goOn(t, "older")
	start(t, second, run)
	eventually(t, time.Minute, "the second run has raised the token", func() bool {
		token, err := os.ReadFile(filepath.Join(l.dir, "fence", "token"))
		return err == nil && string(token) == "6 draining\n"
	})
	if got := l.log(t); got != "begin old" {
		t.Fatalf("the second run did not wait: %s", got)
	}
	l.goOn(t, "old")
	s := finish(t, second, "same")
	if s.Nodes[nodeA].Result != v1alpha1.ServiceSucceeded {
		t.Errorf("%+v, want the second run to succeed", s)
	}
	s = finish(t, first, "same")
	if n := s.Nodes[nodeA]; n.Result != v1alpha1.ServiceFailed || !strings.Contains(n.Message, "another run took the node over: its token is 6, this run's 5") {
		t.Errorf("%+v, want the first run to be refused", s)
	}
	if got := l.log(t); got != "begin old end old begin new end new" {
		t.Errorf("log: %s", got)
	}
}

func TestBusyNode(t *testing.T) {
	l := newLab(t)
	first, second := l.runner(t), l.another(t)
	start(t, first, l.fenced("busy", 5, l.spell("old")))
	eventually(t, time.Minute, "the first run is on the node", func() bool { return l.log(t) == "begin old" })
	start(t, second, l.fenced("busy", 6, l.spell("new")))
	s := finish(t, second, "busy")
	if n := s.Nodes[nodeA]; n.Result != v1alpha1.ServiceFailed || !strings.Contains(n.Message, "the node is busy") {
		t.Errorf("%+v, want the node to be busy", s)
	}
	l.goOn(t, "old")
	finish(t, first, "busy")
	l.goOn(t, "new")
	start(t, second, l.fenced("again", 7, l.spell("new")))
	finish(t, second, "again")
	if got := l.log(t); got != "begin old end old begin new end new" {
		t.Errorf("log: %s", got)
	}
}

// TestNodeForgetsItsFenceWithABoot: a run that boots its node goes on behind a new fence.
func TestNodeForgetsItsFenceWithABoot(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	start(t, r, l.fenced("boot", 5, `
- ansible.builtin.raw: "echo 5 >{{ dir }}/went"
- ansible.builtin.raw: "rm -rf {{ dir }}/fence"
- ansible.builtin.raw: "cat {{ dir }}/went"`))
	if s := finish(t, r, "boot"); s.Nodes[nodeA].Result != v1alpha1.ServiceSucceeded {
		t.Errorf("%+v", s)
	}
	if got := string(read(t, filepath.Join(l.dir, "fence", "token"))); got != "5\n" {
		t.Errorf("the node's token is %q", got)
	}
}

func TestFenceIsForAllNodesOrNone(t *testing.T) {
	l := &lab{dir: t.TempDir(), config: labConfig(t)}
	run := l.fenced("half", 5, "- ansible.builtin.ping:")
	run.Nodes = append(run.Nodes, nodeB)
	if err := l.runner(t).Start(t.Context(), run); err == nil || !strings.Contains(err.Error(), "node-b has no token") {
		t.Errorf("error %v", err)
	}
}
