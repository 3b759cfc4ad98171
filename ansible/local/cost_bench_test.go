package local

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/test/cgroup"
)

// BenchmarkWalls runs five services, with the 24 tasks that Rackplane's have, on three nodes where nothing changes: with
// all walls, as the program that users run has them (supervisor, sandbox, dialer, fence on the nodes), and as it was done
// before there were any, by turns. It reports what each took at best, because other load on the machine only ever adds:
// time, and CPU of the engine's machine and of the nodes. Time means something on an idle machine only.
func BenchmarkWalls(b *testing.B) {
	l := newLab(b)
	m := newMeter(b, l)
	walled, before := l.product(b), l.before(b)
	took := map[string][]cost{}
	for i := range b.N {
		ways := []string{"walled", "before"}
		if i%2 == 1 {
			slices.Reverse(ways)
		}
		for _, way := range ways {
			m.start(b)
			for service, tasks := range []int{6, 4, 6, 5, 3} {
				run := l.unchanged(fmt.Sprintf("service-%d-%d", i, service), tasks)
				if way == "walled" {
					l.runWalled(b, walled, run, int64(10*i+service+1))
				} else {
					before.run(b, run)
				}
			}
			took[way] = append(took[way], m.stop(b))
		}
	}
	report(b, took)
}

// cost is what some runs took: time, and CPU of the engine's machine and of the nodes.
type cost struct{ time, engine, nodes time.Duration }

func report(b *testing.B, took map[string][]cost) {
	b.Helper()
	for name, of := range map[string]func(cost) time.Duration{
		"s":        func(c cost) time.Duration { return c.time },
		"cpu-s":    func(c cost) time.Duration { return c.engine + c.nodes },
		"engine-s": func(c cost) time.Duration { return c.engine },
		"node-s":   func(c cost) time.Duration { return c.nodes },
	} {
		best := map[string]float64{}
		for way, costs := range took {
			best[way] = of(slices.MinFunc(costs, func(a, b cost) int { return int(of(a) - of(b)) })).Seconds()
			b.ReportMetric(best[way], name+"/"+way)
		}
		b.ReportMetric(best["walled"]/best["before"], name+"-ratio")
	}
	b.ReportMetric(0, "ns/op")
}

// meter counts the CPU of this process with all it starts, and of the nodes, in a control group for each: so also that of a
// process that has left its parent.
type meter struct {
	engine, nodes cgroup.Group
	began         time.Time
	before        cost
}

func newMeter(b *testing.B, l *lab) *meter {
	b.Helper()
	here, err := cgroup.Own()
	if err != nil {
		b.Fatal(err)
	}
	nodes := counted(b, here, l.server) // first: a new group is made below that of this process
	return &meter{engine: counted(b, here, os.Getpid()), nodes: nodes}
}

// counted returns a new group with the process in it, until the end of the benchmark.
func counted(b *testing.B, here string, pid int) cgroup.Group {
	b.Helper()
	enter := func(group string) error {
		return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o600)
	}
	group, err := cgroup.New("cost")
	if err == nil {
		err = enter(string(group))
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := enter(here); err != nil {
			b.Error(err)
		}
		eventually(b, 2*time.Minute, "all that was counted has ended", func() bool { return group.Remove() == nil })
	})
	return group
}

func (m *meter) start(b *testing.B) {
	b.Helper()
	m.before, m.began = cost{engine: usage(b, m.engine), nodes: usage(b, m.nodes)}, time.Now()
}

func (m *meter) stop(b *testing.B) cost {
	b.Helper()
	return cost{time: time.Since(m.began), engine: usage(b, m.engine) - m.before.engine, nodes: usage(b, m.nodes) - m.before.nodes}
}

// usage is the CPU time of a group as the kernel counts it (cgroup-v2.rst: cpu.stat).
func usage(b *testing.B, g cgroup.Group) time.Duration {
	b.Helper()
	for line := range strings.Lines(string(read(b, filepath.Join(string(g), "cpu.stat")))) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
			n, err := strconv.Atoi(text)
			if err != nil {
				b.Fatal(err)
			}
			return time.Duration(n) * time.Microsecond
		}
	}
	b.Fatalf("%s counts no CPU time", g)
	return 0
}

// unchanged is a run that gathers facts and changes nothing, on three nodes, which are addresses of one server.
func (l *lab) unchanged(key string, tasks int) ansible.Run {
	run := l.run(key, strings.Repeat("- ansible.builtin.command: \"true\"\n  changed_when: false\n", tasks), nodeA, nodeB, nodeNowhere)
	run.PlaybookContents = strings.Replace(run.PlaybookContents, "gather_facts: false", "gather_facts: true", 1)
	run.Inventory = bytes.ReplaceAll(run.Inventory, []byte("127.0.0.3"), []byte("127.0.0.4"))
	run.Targets[nodeNowhere] = net.JoinHostPort("127.0.0.4", strconv.Itoa(l.port))
	return run
}

// product is a runner whose supervisors and sandboxes are the program that users run: it takes longer to start than a
// test does.
func (l *lab) product(b *testing.B) *Runner {
	b.Helper()
	program := filepath.Join(b.TempDir(), "rackplane")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", program, "../../cmd/rackplane").CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	own, walls := *l, *l.config.Sandbox
	walls.Inside = []string{program, "ansible-inside"}
	own.config.Supervisor, own.config.Sandbox = []string{program, "ansible-run"}, &walls
	return own.runner(b)
}

// runWalled returns when the run has ended. Nothing asks for its status meanwhile: that would be counted.
func (l *lab) runWalled(b *testing.B, r *Runner, run ansible.Run, token int64) {
	b.Helper()
	run.Tokens = map[string]int64{}
	for _, node := range run.Nodes {
		run.Tokens[node] = token
		run.Inventory = bytes.ReplaceAll(run.Inventory, []byte(node+": {"), fmt.Appendf(nil, "%s: {rackplane_fence_dir: %s/%s, ", node, l.dir, node))
	}
	start(b, r, run)
	lock, err := os.Open(r.folder(run.Key).path(fileLock))
	if err != nil {
		b.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH); err != nil { // the run holds it
		b.Fatal(err)
	}
	lock.Close()
	got := status(b, r, run.Key)
	for _, node := range run.Nodes {
		if n := got.Nodes[node]; n.Result != v1alpha1.ServiceSucceeded || n.Changed != 0 {
			b.Fatalf("%s: %+v", node, got)
		}
	}
}

// before starts runs as the engine did before there were walls (commit 5e17442): a shell with ansible-playbook, root, the
// machine's network, OpenSSH's arguments of that time, Ansible's own poll interval. Less was done than then, never more: no
// events are written.
type before struct {
	config Config
	script string
	lab    *lab
	dir    string
}

func (l *lab) before(b *testing.B) before {
	b.Helper()
	w := before{config: l.config.withDefaults(), lab: l, dir: b.TempDir()}
	var err error
	if w.script, err = filepath.Abs("testdata/before.sh"); err == nil {
		w.config.Collections, err = filepath.Abs(w.config.Collections)
	}
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func (w before) run(b *testing.B, run ansible.Run) {
	b.Helper()
	v := view{work: filepath.Join(w.dir, run.Key), collections: w.config.Collections}
	files, err := w.files(run, v)
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		write(b, filepath.Join(v.work, path), string(files[path]))
	}
	words, err := command(w.config, run)
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), "/bin/sh", append([]string{w.script}, words...)...)
	cmd.Dir = v.work
	cmd.Env = slices.DeleteFunc(environment(v, run), func(setting string) bool {
		return strings.HasPrefix(setting, "RACKPLANE_EVENTS=") || strings.HasPrefix(setting, "ANSIBLE_TASK_TIMEOUT=")
	})
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	if code := string(read(b, filepath.Join(v.work, "exit"))); code != "0\n" {
		b.Fatalf("ansible-playbook ended with %s", code)
	}
}

// files are the run's, those of today but for what connections and Ansible's pace were. It makes their folders.
func (w before) files(run ansible.Run, v view) (map[string][]byte, error) {
	for _, dir := range []string{"", dirControl, dirTemporary} {
		if err := os.Mkdir(filepath.Join(v.work, dir), 0o700); err != nil {
			return nil, err
		}
	}
	files, err := layOut(run, v)
	if err != nil {
		return nil, err
	}
	vars := map[string]any{}
	if err := json.Unmarshal(files[fileExtraVars], &vars); err != nil {
		return nil, err
	}
	vars["ansible_ssh_args"] = "-F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + fileKnownHosts +
		" -o GlobalKnownHostsFile=none -o UpdateHostKeys=no -o IdentitiesOnly=yes -o IdentityAgent=none" +
		" -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=" + dirControl + "/%C" +
		" -o ServerAliveInterval=10 -o ServerAliveCountMax=6"
	files[fileConfig] = []byte("# Settings come from the environment.\n")
	files[fileKnownHosts] = nil
	for _, node := range run.Nodes { // by address
		files[fileKnownHosts] = append(files[fileKnownHosts], known(w.lab.hostKey, knownhosts.Normalize(run.Targets[node]))...)
	}
	files[fileExtraVars], err = json.Marshal(vars)
	return files, err
}
