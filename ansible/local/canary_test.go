package local

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// canary is what a run must not get at, by what is tried and a name for it; testdata/canary.py tries.
type canary map[string]map[string]any

// hatch surrounds the lab with what a run of another tenant must not reach: a run that goes on, the engine's state, its
// sockets, a process with a secret in its environment.
func hatch(t *testing.T, l *lab, r *Runner) canary {
	t.Helper()
	victim := slow(l, "victim")
	victim.Namespace = "another"
	victim.ExtraVars["word"] = secret
	start(t, r, victim)
	l.waitUnderWay(t, r, victim.Key)

	kubeconfig := filepath.Join(filepath.Dir(l.config.Dir), "kubeconfig")
	write(t, kubeconfig, "a kubeconfig of system:masters")
	api, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	address, ok := api.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listens on %v", api.Addr())
	}
	port := address.Port
	abstract := "@rackplane-canary-" + strconv.Itoa(os.Getpid())
	socket := filepath.Join(l.dir, "engine.sock")
	for _, name := range []string{abstract, socket} {
		local, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { local.Close() })
	}
	other := exec.CommandContext(t.Context(), "sleep", "1000")
	other.Env = []string{"CANARY=a secret of another process"}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Process.Kill(); other.Wait() })
	f := r.folder(victim.Key)
	return canary{
		"read": {
			"another run's key": f.work(fileKey), "another run's inventory": f.work(fileInventory), "the store": l.config.Dir,
			"the state directory": filepath.Dir(l.config.Dir), "a kubeconfig": kubeconfig, "passwords": "/etc/shadow", "/root": "/root/.bashrc",
		},
		"write": {
			"another run": f.work(fileEvents), "the state directory": filepath.Join(filepath.Dir(l.config.Dir), "canary"),
			"another run's results": f.path(fileEnding), "this machine": filepath.Join(l.dir, "canary"),
			"the collection": "/run/rackplane/collections/ansible_collections/osp/edpm/galaxy.yml", "its own inputs": fileInventory,
			"programs": "/usr/bin/canary", "settings": "/etc/canary", "the kernel": "/proc/sys/kernel/core_pattern",
		},
		"hold up": {"its nodes": fileLimit, "its key": fileKey},
		"open up": {"its nodes": fileLimit, "its events": fileEvents},
		"connect": {"a port of this machine": []any{"127.0.0.1", port}, "a node": []any{"127.0.0.1", l.port}},
		"unix":    {"abstract": abstract, "the engine's socket": socket},
		"dial":    {"the API server": fmt.Sprintf("127.0.0.1:%d", port), "a node": fmt.Sprintf("127.0.0.1:%d", l.port)},
		"process": {"another process": "CANARY=", "the victim": "PRIVATE KEY"},
		"command": {
			"a namespace of users": []string{"unshare", "--user", "true"}, "a namespace of mounts": []string{"unshare", "--mount", "true"},
			"mount": []string{"mount", "-t", "tmpfs", "none", "/tmp"}, "kill the engine": []string{"kill", "-0", strconv.Itoa(os.Getpid())},
			"a device": []string{"mknod", "/tmp/canary", "c", "1", "1"}, "a privileged port": []string{"python3", "-c", "import socket; socket.socket().bind(('', 99))"},
		},
	}
}

// let runs the canary in the way given by the playbook, which prints what it says, and returns what it could do.
func (c canary) let(t *testing.T, l *lab, r *Runner, run ansible.Run) []string {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	run.Data = map[string][]byte{"canary.py": read(t, "testdata/canary.py"), "want.json": text}
	start(t, r, run)
	finish(t, r, run.Key)
	log := string(read(t, r.folder(run.Key).path(fileStdout)))
	if !strings.Contains(log, "DONE as") {
		t.Fatalf("the canary did not sing:\n%s\n%s", log, read(t, r.folder(run.Key).path(fileStderr)))
	}
	got := regexp.MustCompile(`REACHED [^"\\]*|DONE as [a-z ]*`).FindAllString(log, -1)
	slices.Sort(got)
	return slices.Compact(got)
}

// ways are how a user of the API gets code to run on the engine's machine.
func ways(l *lab) map[string]ansible.Run {
	sing := l.config.Venv + "/bin/python3 {{ edpm_service_data_dir }}/canary.py"
	direct := l.run("connection-local", `
- ansible.builtin.command: `+sing+`
  register: song
- ansible.builtin.debug: {var: song.stdout_lines}
`, nodeA)
	direct.PlaybookContents = strings.Replace(direct.PlaybookContents, "hosts: all", "hosts: all\n  connection: local", 1)
	lookup := l.run("lookup-in-variable", `- ansible.builtin.debug: {msg: "{{ song }}"}`, nodeA)
	lookup.Inventory = l.inventory(`, song: "{{ lookup('pipe', '` + l.config.Venv + `/bin/python3 ' ~ edpm_service_data_dir ~ '/canary.py').splitlines() }}"`)
	delegate := l.run("delegate-to-localhost", `
- ansible.builtin.command: `+sing+`
  delegate_to: localhost
  register: song
- ansible.builtin.debug: {var: song.stdout_lines}
`, nodeA)
	return map[string]ansible.Run{"lookup": lookup, "delegate": delegate, "connection": direct}
}

func TestNothingIsReachedFromTheSandbox(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	c := hatch(t, l, r)
	for name, run := range ways(l) {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff([]string{"DONE as somebody else", "REACHED dial a node"}, c.let(t, l, r, run)); diff != "" {
				t.Errorf("what the canary could do (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPlayOfLocalhostTouchesNothingHere: a play names localhost itself, or adds it first. The run's limit leaves it out, and were it
// not so, it would be inside.
func TestPlayOfLocalhostTouchesNothingHere(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := l.run("play-of-localhost", `- ansible.builtin.add_host: {name: localhost, ansible_connection: local, groups: here}`, nodeA)
	for _, hosts := range []string{"localhost", "here", "127.0.0.1"} {
		run.PlaybookContents += strings.ReplaceAll(`
- name: On NAME
  hosts: NAME
  connection: local
  gather_facts: false
  tasks:
  - ansible.builtin.copy: {content: NAME, dest: "{{ dir }}/canary-NAME"}
`, "NAME", hosts)
	}
	start(t, r, run)
	if got := finish(t, r, run.Key).Nodes[nodeA]; got.Result != v1alpha1.ServiceSucceeded {
		t.Errorf("%+v", got)
	}
	if log := string(read(t, r.folder(run.Key).path(fileStdout))); strings.Count(log, "PLAY [On ") != 3 {
		t.Errorf("the plays were not played:\n%s", log)
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, "canary-*")); len(left) > 0 {
		t.Errorf("written on this machine: %v", left)
	}
}

// TestTheCanaryIsAlive shows that the canary would find what there is to find: without walls it gets at everything.
func TestTheCanaryIsAlive(t *testing.T) {
	l := newLab(t)
	l.config.Sandbox = nil
	r := l.runner(t)
	c := hatch(t, l, r)
	// Of these only what does no harm here.
	c["write"] = map[string]any{"the state directory": filepath.Join(filepath.Dir(l.config.Dir), "canary")}
	c["command"] = map[string]any{"kill the engine": []string{"kill", "-0", strconv.Itoa(os.Getpid())}}
	want := []string{"DONE as root"}
	for verb, names := range c {
		for name := range names {
			if verb != "dial" && name != "the victim" {
				want = append(want, "REACHED "+verb+" "+name)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, c.let(t, l, r, ways(l)["lookup"])); diff != "" {
		t.Errorf("what the canary could do (-want +got):\n%s", diff)
	}
}
