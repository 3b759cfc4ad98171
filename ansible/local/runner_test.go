package local

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	canaries "github.com/rackplane/rackplane/test/canary"
)

const secret = "s3cret-of-{{ the }}-run" // what is no template must not become one

func TestRunOnTwoNodes(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("two-nodes", `
- name: Write what was given
  ansible.builtin.copy:
    content: "{{ word }} {{ lookup('file', edpm_service_data_dir ~ '/tls/ca.crt') }}"
    dest: "{{ dir }}/{{ inventory_hostname }}"
- name: Change nothing
  ansible.builtin.command: "true"
  changed_when: false
`, nodeA, nodeB)
	run.ExtraVars["word"] = secret
	run.Data = map[string][]byte{"tls/ca.crt": []byte("CERT")}
	start(t, r, run)
	assertNoSecretInProcesses(t, r, run)
	want := ansible.Status{State: ansible.Finished, Nodes: map[string]ansible.NodeResult{
		nodeA: {Result: v1alpha1.ServiceSucceeded, Changed: 1},
		nodeB: {Result: v1alpha1.ServiceSucceeded, Changed: 1},
	}}
	if diff := cmp.Diff(want, finish(t, r, run.Key)); diff != "" {
		t.Errorf("status (-want +got):\n%s\n%s", diff, read(t, r.folder(run.Key).path(fileStderr)))
	}
	for _, node := range run.Nodes {
		if got := string(read(t, filepath.Join(l.dir, node))); got != secret+" CERT" {
			t.Errorf("%s was given %q", node, got)
		}
	}
	assertTidy(t, r, run)

	// Started again, and by another engine, it is left alone.
	if err := os.Remove(filepath.Join(l.dir, nodeA)); err != nil {
		t.Fatal(err)
	}
	next := l.runner(t)
	start(t, next, run)
	if diff := cmp.Diff(want, status(t, next, run.Key)); diff != "" {
		t.Errorf("status after a second start (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(filepath.Join(l.dir, nodeA)); err == nil {
		t.Error("a finished run ran again")
	}
}

// secretsOf are what a run is given and nobody is to see.
func secretsOf(run ansible.Run) *canaries.Nest {
	nest := canaries.New()
	nest.Watch("a variable", []byte(secret))
	nest.WatchKey("the login key", run.SSHPrivateKey)
	return nest
}

// assertNoSecretInProcesses looks at every process of the run while it goes on.
func assertNoSecretInProcesses(t *testing.T, r *Runner, run ansible.Run) {
	t.Helper()
	looked, secrets := 0, secretsOf(run)
	for status(t, r, run.Key).State == ansible.Running {
		for pid := range marked(t, r, run.Key) {
			for _, file := range []string{"cmdline", "environ"} {
				data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), file))
				if err == nil {
					secrets.Check(t, file+" of "+strings.ReplaceAll(string(data), "\x00", " "), data)
				}
			}
			looked++
		}
		time.Sleep(5 * time.Millisecond)
	}
	if looked == 0 {
		t.Error("no process of the run was seen")
	}
}

// assertTidy checks that an ended run left neither processes nor secrets, and nothing for others to read.
func assertTidy(t *testing.T, r *Runner, run ansible.Run) {
	t.Helper()
	if left := marked(t, r, run.Key); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	f := r.folder(run.Key)
	for _, name := range []string{fileKey, fileExtraVars, fileDial, dirData, dirControl, dirTemporary} {
		if _, err := os.Lstat(f.work(name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
	secrets := secretsOf(run)
	err := filepath.WalkDir(f.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		secrets.Check(t, path, read(t, path))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(f.dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

func TestOneNodeFailsAndOneIsUnreachable(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("mixed", `
- name: Ignored trouble
  ansible.builtin.command: "false"
  ignore_errors: true
- name: Rescued trouble
  block:
  - name: Broken
    ansible.builtin.command: "false"
  rescue:
  - name: Mended
    ansible.builtin.command: "true"
- name: Trouble
  ansible.builtin.fail: {msg: "disk\n  is full"}
  when: inventory_hostname == 'node-a'
- name: After it
  ansible.builtin.command: "true"
`, nodeA, nodeB, nodeNowhere)
	start(t, r, run)
	got := finish(t, r, run.Key).Nodes
	if unreachable := got[nodeNowhere]; unreachable.Result != v1alpha1.ServiceUnreachable || !strings.Contains(unreachable.Message, "127.0.0.3") {
		t.Errorf("unreachable node: %+v", unreachable)
	}
	delete(got, nodeNowhere)
	want := map[string]ansible.NodeResult{
		nodeA: {Result: v1alpha1.ServiceFailed, Changed: 2, Message: "Trouble: disk is full"},
		nodeB: {Result: v1alpha1.ServiceSucceeded, Changed: 3},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}

func TestOnlyKnownHostKeysAreTrusted(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	loose := ", ansible_host_key_checking: false, ansible_ssh_args: -o StrictHostKeyChecking=no, ansible_ssh_common_args: -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
	const another = "another SSH host key than the one pinned"
	for key, tc := range map[string]struct {
		want       string
		knownHosts []byte
		vars       string
	}{
		"wrong-key":       {another, l.wrongHosts, ""},
		"no-key":          {"Host key verification failed", nil, ""},
		"loose-inventory": {another, l.wrongHosts, loose},
	} {
		t.Run(key, func(t *testing.T) {
			run := l.run(key, `- ansible.builtin.copy: {content: x, dest: "{{ dir }}/reached"}`, nodeA)
			run.KnownHosts, run.Inventory = tc.knownHosts, l.inventory(tc.vars)
			start(t, r, run)
			got := finish(t, r, run.Key).Nodes[nodeA]
			if got.Result != v1alpha1.ServiceUnreachable || !strings.Contains(got.Message, tc.want) {
				t.Errorf("result: %+v", got)
			}
			if _, err := os.Stat(filepath.Join(l.dir, "reached")); err == nil {
				t.Error("a host that is not known was trusted")
			}
		})
	}
}

// TestOneKeyPerNodeWhateverTheAddress: a node is known by its own name alone. One that is said to be at another's address,
// where that one answers, is refused, although a connection to there is open already.
func TestOneKeyPerNodeWhateverTheAddress(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("same-address", `
- ansible.builtin.copy: {content: x, dest: "{{ dir }}/reached-{{ inventory_hostname }}"}
  when: inventory_hostname == 'node-a'
- ansible.builtin.copy: {content: x, dest: "{{ dir }}/reached-{{ inventory_hostname }}"}
`, nodeA, nodeB)
	run.Inventory = bytes.ReplaceAll(l.inventory(""), []byte("127.0.0.2"), []byte("127.0.0.1"))
	run.KnownHosts = slices.Concat(known(l.hostKey, nodeA), known(l.otherKey, nodeB), known(l.hostKey, "127.0.0.1", fmt.Sprintf("[127.0.0.1]:%d", l.port)))
	start(t, r, run)
	got := finish(t, r, run.Key).Nodes
	if got[nodeA].Result != v1alpha1.ServiceSucceeded || got[nodeB].Result != v1alpha1.ServiceUnreachable || !strings.Contains(got[nodeB].Message, "another SSH host key") {
		t.Errorf("results %+v", got)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "reached-"+nodeB)); err == nil {
		t.Error("a node was talked to over another's connection")
	}
}

// TestDelegatedTaskKnowsTheOtherNode: a task that runs on another node finds that node's key, not that of the one it runs for.
func TestDelegatedTaskKnowsTheOtherNode(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("delegated", `
- ansible.builtin.copy: {content: x, dest: "{{ dir }}/delegated"}
  delegate_to: node-a
`, nodeB)
	run.Inventory = bytes.Replace(l.inventory(""), []byte("{ansible_host: 127.0.0.1}"), []byte("{ansible_host: 127.0.0.1, rackplane_host_key_alias: node-a}"), 1)
	run.KnownHosts = slices.Concat(known(l.hostKey, nodeA), known(l.otherKey, nodeB))
	start(t, r, run)
	if got := finish(t, r, run.Key).Nodes[nodeB]; got.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("result %+v", got)
	}
}

func TestUserSettingsAreIgnored(t *testing.T) {
	l := newLab(t)
	home := t.TempDir()
	write(t, filepath.Join(home, ".ansible.cfg"), "[defaults]\nstrategy = nonsense\n[ssh_connection]\nssh_executable = /nonexistent\n")
	if err := os.Mkdir(filepath.Join(home, ".ssh"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(home, ".ssh", "config"), "Host *\n  ProxyCommand false\n")
	t.Setenv("HOME", home)
	t.Setenv("ANSIBLE_STRATEGY", "nonsense")
	t.Setenv("ANSIBLE_CONFIG", filepath.Join(home, ".ansible.cfg"))
	t.Setenv("SSH_AUTH_SOCK", "/nonexistent")
	r := l.runner(t)
	run := l.run("own-settings", `- ansible.builtin.command: "true"`, nodeA)
	start(t, r, run)
	if got := finish(t, r, run.Key).Nodes[nodeA]; got.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("result: %+v", got)
	}
}

func TestWhatNeverReachesANode(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	for key, tc := range map[string]struct {
		change func(*ansible.Run)
		want   string
	}{
		"syntax":           {func(run *ansible.Run) { run.PlaybookContents = "- hosts: [" }, "YAML parsing failed"},
		"unknown-playbook": {func(run *ansible.Run) { run.Playbook = "osp.edpm.nonsense" }, "osp.edpm.nonsense could not be found"},
		"unknown-role":     {func(run *ansible.Run) { run.PlaybookContents, run.Role = "", "osp.edpm.nonsense" }, "osp.edpm.nonsense"},
		"bad-inventory":    {func(run *ansible.Run) { run.Inventory = []byte("[") }, "inventory"},
		"unknown-node":     {func(run *ansible.Run) { run.Nodes = []string{"elsewhere"} }, "hosts"},
	} {
		t.Run(key, func(t *testing.T) {
			run := l.run(key, `- ansible.builtin.command: "true"`, nodeA)
			tc.change(&run)
			start(t, r, run)
			got := finish(t, r, key)
			if !strings.Contains(got.Cause, tc.want) || strings.Contains(got.Cause, "\n") {
				t.Errorf("cause: %q, want %q in one line", got.Cause, tc.want)
			}
			if len(got.Nodes) != 0 {
				t.Errorf("nodes: %v", got.Nodes)
			}
			assertTidy(t, r, run)
		})
	}
}

func TestPlayThatStopsOnAllNodes(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	for key, keyword := range map[string]string{"any-error": "any_errors_fatal: true", "no-failure": "max_fail_percentage: 0"} {
		t.Run(key, func(t *testing.T) {
			run := l.run(key, `
- ansible.builtin.command: "false"
  when: inventory_hostname == 'node-a'
- ansible.builtin.command: "true"
`, nodeA, nodeB)
			run.PlaybookContents = strings.Replace(run.PlaybookContents, "hosts: all", "hosts: all\n  "+keyword, 1)
			start(t, r, run)
			got := finish(t, r, run.Key).Nodes
			if got[nodeA].Result != v1alpha1.ServiceFailed || got[nodeB].Result != v1alpha1.ServiceFailed || !strings.Contains(got[nodeB].Message, "when node-a failed") {
				t.Errorf("results: %+v", got)
			}
		})
	}
}

// TestSuccessIsWhatWasSeen has playbooks that take nodes out half way: Ansible's recap shows those as good, and prints nothing.
func TestSuccessIsWhatWasSeen(t *testing.T) {
	l := newLab(t)
	l.config.Slots, l.config.SlotsPerNamespace = 20, 20
	r := l.runner(t)
	const (
		ok, failed = v1alpha1.ServiceSucceeded, v1alpha1.ServiceFailed
		two        = "\n    - ansible.builtin.debug:\n    - ansible.builtin.debug:\n"
		reach      = "\n    - ansible.builtin.raw: 'true'" + two
		onA        = "ansible.builtin.fail:\n      when: inventory_hostname == 'node-a'\n"
		failsOnA   = "\n    - " + onA + "    - ansible.builtin.debug:\n"
	)
	play := func(keywords, tasks string) string {
		return "- hosts: all\n  gather_facts: false\n" + keywords + "  tasks:" + tasks
	}
	cases := map[string]struct {
		playbook string
		a, b     v1alpha1.ServiceResultState
	}{
		"fatal-unreachable":    {play("  any_errors_fatal: true\n", reach), failed, failed},
		"pinned-unreachable":   {play("  strategy: host_pinned\n", reach), ok, ok},
		"too-many-failures":    {play("  max_fail_percentage: 40\n", failsOnA), failed, failed},
		"not-too-many":         {play("  max_fail_percentage: 60\n", failsOnA), failed, ok},
		"free-goes-on":         {play("  strategy: free\n  any_errors_fatal: true\n", failsOnA), failed, ok},
		"serial-stops":         {play("  serial: 1\n", failsOnA), failed, failed},
		"second-play-stops":    {play("", two) + play("  any_errors_fatal: true\n", failsOnA), failed, failed},
		"second-play-never":    {play("  max_fail_percentage: 40\n", failsOnA) + play("", two), failed, failed},
		"second-play-of-one":   {play("", two) + strings.Replace(play("", two), "all", nodeB, 1), ok, ok},
		"ends-by-itself":       {play("", "\n    - ansible.builtin.meta: end_host\n      when: inventory_hostname == 'node-a'"+two), ok, ok},
		"ends-for-all":         {play("", "\n    - ansible.builtin.meta: end_play\n"), ok, ok},
		"rescued":              {play("  any_errors_fatal: true\n", "\n    - block:\n      - ansible.builtin.fail:\n      rescue:\n      - ansible.builtin.debug:\n"), ok, ok},
		"handler-fails":        {play("", "\n    - ansible.builtin.debug:\n      changed_when: true\n      notify: Mend\n  handlers:\n    - name: Mend\n      "+onA), failed, ok},
		"free-last-task-fails": {play("  strategy: free\n", "\n    - ansible.builtin.include_tasks: \"{{ edpm_service_data_dir }}/more.yml\"\n"), failed, ok},
	}
	for key, tc := range cases {
		run := l.run(key, "", nodeA, nodeB)
		if strings.HasSuffix(key, "unreachable") {
			run.Nodes = append(run.Nodes, nodeNowhere)
		}
		run.PlaybookContents = tc.playbook
		run.Data = map[string][]byte{"more.yml": []byte("- " + strings.ReplaceAll(onA, "      ", "  "))}
		start(t, r, run)
	}
	for key, tc := range cases {
		got := finish(t, r, key).Nodes
		if got[nodeA].Result != tc.a || got[nodeB].Result != tc.b || got[nodeNowhere].Result == ok {
			t.Errorf("%s: %+v, want %s and %s\n%s", key, got, tc.a, tc.b, read(t, r.folder(key).path(fileStdout)))
		}
	}
}

func TestPlayThatLeavesANodeOut(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("left-out", `- ansible.builtin.command: "true"`, nodeA, nodeB)
	run.PlaybookContents = strings.Replace(run.PlaybookContents, "hosts: all", "hosts: "+nodeA, 1)
	start(t, r, run)
	got := finish(t, r, run.Key).Nodes
	if got[nodeA].Result != v1alpha1.ServiceSucceeded || got[nodeB].Result != v1alpha1.ServiceFailed || !strings.Contains(got[nodeB].Message, "no task ran on the node") {
		t.Errorf("results: %+v", got)
	}
}

// slow is a run that says where it is and goes on only when told to.
func slow(l *lab, key string) ansible.Run {
	return l.run(key, `
- name: Say so
  ansible.builtin.copy: {content: x, dest: "{{ dir }}/`+key+`-{{ inventory_hostname }}"}
- name: Wait
  ansible.builtin.wait_for: {path: "{{ dir }}/go", sleep: 1, timeout: 100}
`, nodeA, nodeB)
}

func (l *lab) waitUnderWay(t *testing.T, r *Runner, key string) {
	t.Helper()
	eventually(t, time.Minute, "run "+key+" is half way", func() bool {
		s := status(t, r, key)
		return s.State == ansible.Running && s.Progress.Done == 2 && s.Progress.Task[nodeA] == "Say so"
	})
}

func TestRunGoesOnWhenTheEngineIsKilled(t *testing.T) {
	l := newLab(t)
	run := slow(l, "survivor")
	engine := startEngine(t, l, run)
	r := l.runner(t)
	l.waitUnderWay(t, r, run.Key)
	if err := engine.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = engine.Wait() // killed: its error says nothing

	r = l.runner(t)
	supervisor := oldest(marked(t, r, run.Key))
	start(t, r, run)
	if err := syscall.Kill(supervisor, 0); err != nil || bytes.Count(read(t, r.folder(run.Key).work(fileEvents)), []byte(`"start"`)) != 1 {
		t.Errorf("a run that goes on was started again: %v", err)
	}
	write(t, filepath.Join(l.dir, "go"), "")
	for node, got := range finish(t, r, run.Key).Nodes {
		if got.Result != v1alpha1.ServiceSucceeded {
			t.Errorf("%s: %+v", node, got)
		}
	}
	assertTidy(t, r, run)
}

func TestRunThatIsKilledIsAbsentAndStartsAgain(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := slow(l, "lost")
	start(t, r, run)
	l.waitUnderWay(t, r, run.Key)
	eventually(t, 10*time.Second, "all its processes are killed", func() bool {
		left := slices.Sorted(maps.Keys(marked(t, r, run.Key)))
		for _, pid := range left { // the oldest first: it would have the last word otherwise
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				t.Fatal(err)
			}
		}
		return len(left) == 0
	})
	key := r.folder(run.Key).work(fileKey)
	lost, err := os.ReadFile(key)
	if err != nil {
		t.Error("a killed run cannot have removed its key")
	}
	eventually(t, 10*time.Second, "the run is gone", func() bool { return status(t, r, run.Key).State == ansible.Absent })
	if _, err := os.Stat(key); err == nil {
		t.Error("a look at a lost run left its key")
	}
	write(t, key, string(lost)) // as if nobody had looked
	r = l.runner(t)
	if _, err := os.Stat(key); err == nil {
		t.Error("the next engine left the key of a lost run")
	}
	write(t, filepath.Join(l.dir, "go"), "")
	start(t, r, run)
	if got := finish(t, r, run.Key).Nodes[nodeB]; got.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("second try: %+v", got)
	}
}

func TestCancel(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := slow(l, "canceled")
	start(t, r, run)
	l.waitUnderWay(t, r, run.Key)
	if masters, err := filepath.Glob(filepath.Join(insideOf(t, r, run.Key), dirControl, "*")); err != nil || len(masters) != 2 {
		t.Errorf("connection masters: %v, %v", masters, err)
	}
	for range 2 {
		if err := r.Cancel(t.Context(), run.Key); err != nil {
			t.Fatal(err)
		}
		assertTidy(t, r, run)
		if got := status(t, r, run.Key); got.State != ansible.Absent {
			t.Errorf("state: %s", got.State)
		}
	}
	for _, key := range []string{"unknown", "../hostile"} {
		if err := r.Cancel(t.Context(), key); err != nil {
			t.Errorf("cancel %s: %v", key, err)
		}
	}
	write(t, filepath.Join(l.dir, "go"), "")
	start(t, r, run)
	finish(t, r, run.Key)
	if err := r.Cancel(t.Context(), run.Key); err != nil {
		t.Fatal(err)
	}
	if got := status(t, r, run.Key); got.State != ansible.Finished {
		t.Errorf("a finished run was canceled into %s", got.State)
	}
}

func TestSlots(t *testing.T) {
	l := newLab(t)
	l.config.Slots = 1
	r := l.runner(t)
	first, second := slow(l, "first"), slow(l, "second")
	start(t, r, first)
	if err := r.Start(t.Context(), second); !fault.Is(err, fault.Busy) {
		t.Errorf("second run: %v", err)
	}
	start(t, r, first)
	if got := status(t, r, second.Key); got.State != ansible.Absent {
		t.Errorf("refused run: %s", got.State)
	}
	write(t, filepath.Join(l.dir, "go"), "")
	finish(t, r, first.Key)
	start(t, r, second)
	finish(t, r, second.Key)
}

func TestSlotsOfANamespace(t *testing.T) {
	l := newLab(t)
	l.config.Slots = 2
	r := l.runner(t)
	first, second, others := slow(l, "first"), slow(l, "second"), slow(l, "others")
	first.Namespace, second.Namespace, others.Namespace = "tenant-a", "tenant-a", "tenant-b"
	start(t, r, first)
	// The next engine knows whose runs go on.
	r = l.runner(t)
	if err := r.Start(t.Context(), second); !fault.Is(err, fault.Busy) || !strings.Contains(err.Error(), "of namespace tenant-a") {
		t.Errorf("second run of one namespace: %v", err)
	}
	start(t, r, others)
	if err := r.Cancel(t.Context(), first.Key); err != nil {
		t.Errorf("cancel while no slot is free: %v", err)
	}
	start(t, r, second)
}

// TestExtraVariablesAreData: they hold what users write into services and deployments, and go over every other variable.
func TestExtraVariablesAreData(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	const text = "{{ 6 * 7 }}"
	run := l.run("extra-variables", `
- ansible.builtin.assert:
    that: text | length == 11 and list | first | length == 11
`, nodeA)
	run.ExtraVars["text"], run.ExtraVars["list"] = text, []string{text}
	start(t, r, run)
	if got := finish(t, r, run.Key).Nodes[nodeA]; got.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("%+v", got)
	}
}

// TestIdleRunsMakeRoom: a run that others have left behind, or that has told nothing for minutes, keeps no other from starting;
// the runs beyond that have to wait.
func TestIdleRunsMakeRoom(t *testing.T) {
	l := newLab(t)
	l.config.Slots = 1
	r := l.runner(t)
	first, second, third := slow(l, "first"), slow(l, "second"), slow(l, "third")
	start(t, r, first)
	second.Leaves = []string{first.Key, "unknown", "../first"}
	start(t, r, second)
	third.Leaves = []string{second.Key}
	if err := r.Start(t.Context(), third); !fault.Is(err, fault.Busy) {
		t.Errorf("a third run beside two: %v", err)
	}
	if err := r.CancelAll(t.Context()); err != nil {
		t.Fatal(err)
	}

	clock := clocktesting.NewFakePassiveClock(time.Now())
	l.config.Clock = clock
	r = l.runner(t)
	start(t, r, first)
	eventually(t, 10*time.Second, "the run tells something", func() bool { return !status(t, r, first.Key).Progress.Last.IsZero() })
	second.Leaves = nil
	if err := r.Start(t.Context(), second); !fault.Is(err, fault.Busy) {
		t.Errorf("a second run beside one that is at work: %v", err)
	}
	clock.SetTime(time.Now().Add(quiet + time.Second))
	start(t, r, second)
}

// TestHungTask has a task that never ends on one node: it fails there, and the others go on to their end meanwhile.
func TestHungTask(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("hung-task", `
- name: Wait for ever
  ansible.builtin.command: sleep 1000
  when: inventory_hostname == 'node-a'
- name: Go on
  ansible.builtin.debug:
`, nodeA, nodeB)
	run.PlaybookContents = strings.Replace(run.PlaybookContents, "hosts: all", "hosts: all\n  strategy: host_pinned", 1)
	run.TaskTimeout = 3 * time.Second
	start(t, r, run)
	got := finish(t, r, run.Key).Nodes
	if a := got[nodeA]; a.Result != v1alpha1.ServiceFailed || !strings.Contains(a.Message, "Wait for ever: it had not ended after 3 s") || !strings.Contains(a.Message, "taskTimeoutSeconds") {
		t.Errorf("%s: %+v", nodeA, a)
	}
	if b := got[nodeB]; b.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("%s: %+v", nodeB, b)
	}
	events := string(read(t, r.folder(run.Key).work(fileEvents)))
	if end := strings.Index(events, `"event": "end"`); end < 0 || end > strings.Index(events, `"failed"`) {
		t.Errorf("the other node waited for the one that hung:\n%s", events)
	}
}

func TestLogsAreCapped(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("loud", `- ansible.builtin.debug: {msg: "{{ 'x' * 8000000 }}"}`, nodeA)
	start(t, r, run)
	if got := finish(t, r, run.Key).Nodes[nodeA]; got.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("result: %+v", got)
	}
	log := string(read(t, r.folder(run.Key).path(fileStdout)))
	if len(log) > headBytes+tailBytes+100 || !strings.Contains(log, "PLAY [Test]") || !strings.Contains(log, "bytes were cut here]") || !strings.Contains(log, "PLAY RECAP") {
		t.Errorf("a log of %d bytes, want its beginning, its end and a word on what was cut", len(log))
	}
}

// TestPruneByBytesAndAge lays down ended runs of 100 bytes, each a day older than the one before.
func TestPruneByBytesAndAge(t *testing.T) {
	now := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		change func(*Config)
		left   int
	}{
		"all fit": {func(*Config) {}, 5},
		"bytes":   {func(c *Config) { c.KeepBytes = 350 }, 3},
		"age":     {func(c *Config) { c.KeepFor = 36 * time.Hour }, 2},
		"count":   {func(c *Config) { c.Keep = 1 }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Dir: t.TempDir(), Clock: clocktesting.NewFakePassiveClock(now)}.withDefaults()
			tc.change(&c)
			r := &Runner{config: c, journals: map[string]*journal{}, slots: newSlots(c.Slots, c.SlotsPerNamespace)}
			for i := range 5 {
				f := r.folder(fmt.Sprintf("run-%d", i))
				if err := os.Mkdir(f.dir, 0o700); err != nil {
					t.Fatal(err)
				}
				write(t, f.path(fileStdout), strings.Repeat("x", 100))
				if old := now.AddDate(0, 0, -i); os.Chtimes(f.dir, old, old) != nil {
					t.Fatal("chtimes")
				}
			}
			if err := r.takeSlot("tenant"); err != nil {
				t.Fatal(err)
			}
			left, err := r.folders()
			if err != nil || len(left) != tc.left || !slices.Contains(left, r.folder("run-0")) {
				t.Errorf("left are %v, %v; want the newest %d", left, err, tc.left)
			}
		})
	}
}

func TestPrune(t *testing.T) {
	l := newLab(t)
	l.config.Slots, l.config.SlotsPerNamespace = 2, 2
	r := l.runner(t)
	kept := slow(l, "goes-on")
	start(t, r, kept)
	for i := range 3 {
		run := l.run(fmt.Sprintf("ended-%d", i), `- ansible.builtin.command: "true"`, nodeA)
		run.PlaybookContents = "- hosts: ["
		start(t, r, run)
		finish(t, r, run.Key)
	}
	if err := r.Prune(1); err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, key := range []string{"goes-on", "ended-0", "ended-1", "ended-2"} {
		states = append(states, string(status(t, r, key).State))
	}
	if diff := cmp.Diff([]string{"Running", "Absent", "Absent", "Finished"}, states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// supervise makes the test binary the supervisor of a run, inside a process of its sandbox.
const supervise, inside = "supervise-ansible-run", "inside-ansible-run"

// testUsers is the first of the users that runs are given.
const testUsers = 2100000000

// oldest is the supervisor's id.
func oldest(pids map[int]bool) int { return slices.Min(slices.Collect(maps.Keys(pids))) }

// engineRun makes the test binary an engine that starts the run of that file and waits to be killed.
const engineRun = "RACKPLANE_TEST_ENGINE"

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) == 3 && os.Args[1] == supervise:
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		err := Supervise(ctx, os.Args[2], nil)
		stop()
		exitOn(err)
	case len(os.Args) > 2 && os.Args[1] == inside:
		code, err := Inside(context.Background(), os.Args[2:])
		exitOn(err)
		os.Exit(code)
	case os.Getenv(engineRun) != "":
		exitOn(engineMain())
		select {}
	default:
		os.Exit(m.Run())
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestNewRefusesWhatCannotRun(t *testing.T) {
	good := labConfig(t)
	for want, change := range map[string]func(*Config){
		"Dir, Venv and Collections are required": func(c *Config) { c.Dir = "" },
		"hack/ansible/venv.sh":                   func(c *Config) { c.Venv = t.TempDir() },
		"not a directory":                        func(c *Config) { c.Dir = os.Args[0] },
	} {
		c := good
		change(&c)
		if _, err := New(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestStartRefusesHostileRuns(t *testing.T) {
	c := labConfig(t)
	r, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	good := ansible.Run{Key: "hostile", Namespace: "test", PlaybookContents: "[]", Nodes: []string{"a"}, Inventory: []byte("{}")}
	data := func(names ...string) func(*ansible.Run) {
		return func(run *ansible.Run) {
			run.Data = map[string][]byte{}
			for _, name := range names {
				run.Data[name] = nil
			}
		}
	}
	for name, change := range map[string]func(*ansible.Run){
		"key that climbs":            func(run *ansible.Run) { run.Key = "../x" },
		"empty key":                  func(run *ansible.Run) { run.Key = "" },
		"key with a newline":         func(run *ansible.Run) { run.Key = "a\n" },
		"upper-case key":             func(run *ansible.Run) { run.Key = "A" },
		"long key":                   func(run *ansible.Run) { run.Key = strings.Repeat("a", 64) },
		"no namespace":               func(run *ansible.Run) { run.Namespace = "" },
		"nothing to run":             func(run *ansible.Run) { run.PlaybookContents = "" },
		"playbook as an option":      func(run *ansible.Run) { run.Playbook = "--version" },
		"playbook as a path":         func(run *ansible.Run) { run.Playbook = "/etc/x.yml" },
		"role as a path":             func(run *ansible.Run) { run.Role = "../x" },
		"no nodes":                   func(run *ansible.Run) { run.Nodes = nil },
		"node as a pattern":          func(run *ansible.Run) { run.Nodes = []string{"all:!b"} },
		"node as a file":             func(run *ansible.Run) { run.Nodes = []string{"@/etc/passwd"} },
		"node with a newline":        func(run *ansible.Run) { run.Nodes = []string{"a\nb"} },
		"data that climbs":           data("../x"),
		"data that climbs in middle": data("a/../../x"),
		"absolute data":              data("/etc/x"),
		"empty data name":            data(""),
		"data named dot":             data("."),
		"data with a NUL":            data("a\x00b"),
		"data as file and folder":    data("a", "a/b"),
		"deep file and folder":       data("a/b", "a/b/c/d"),
		"extra vars beyond JSON":     func(run *ansible.Run) { run.ExtraVars = map[string]any{"f": func() {}} },
	} {
		t.Run(name, func(t *testing.T) {
			run := good
			change(&run)
			if err := r.Start(t.Context(), run); !fault.Is(err, fault.Rejected) {
				t.Errorf("got %v", err)
			}
		})
	}
	if outside, err := filepath.Glob(filepath.Join(filepath.Dir(c.Dir), "*")); err != nil || !slices.Equal(outside, []string{c.Dir}) {
		t.Errorf("files outside the store: %v, %v", outside, err)
	}
	if got := status(t, r, "../x"); got.State != ansible.Absent {
		t.Errorf("hostile key: %s", got.State)
	}
}

// startEngine starts the run from another process.
func startEngine(t *testing.T, l *lab, run ansible.Run) *exec.Cmd {
	t.Helper()
	path := filepath.Join(l.dir, "engine.json")
	writeEngine(t, path, l.config, run)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), engineRun+"="+path)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}
