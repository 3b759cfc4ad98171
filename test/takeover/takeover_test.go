package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/test/cluster"
)

// runLease is the shortest that the manager takes.
const runLease = 30 * time.Second

// patience bounds every wait: for the next leader, for the lease of the run, and for a machine that has more to do.
const patience = 3 * time.Minute

// TestOneRunAtATime: whatever becomes of the machine that runs, another takes its run over, and at no time do two run on the
// node: of two commands in the node's own log, the second always begins after the first has ended, and once a later run has
// come, nothing of an earlier one begins.
func TestOneRunAtATime(t *testing.T) {
	s := newSite(t)
	a, b := s.machine("a"), s.machine("b")
	a.start()
	s.deploy("d")
	first := s.awaitRun(0, 3)
	b.start()

	for _, f := range []struct {
		name       string
		from, into *machine
		do, undo   func(*machine)
	}{
		{"killed", a, b, (*machine).kill, (*machine).start},
		{"frozen", b, a, (*machine).freeze, (*machine).thaw},
		{"cut off", a, b, (*machine).cut, func(*machine) {}},
	} {
		t.Logf("%s runs with token %d", f.from.name, first)
		at := time.Now()
		f.do(f.from)
		next := s.awaitRun(first, 1)
		t.Logf("machine %s was %s: machine %s runs after %s", f.from.name, f.name, f.into.name, time.Since(at).Round(100*time.Millisecond))
		f.undo(f.from)
		s.awaitRun(first, 8) // beside what is thawed
		s.awaitNoRun(f.from)
		if f.name == "frozen" {
			f.from.awaitEnd()
			f.from.start()
		}
		first = next
	}
	s.checkLog()
	s.drop("d")
	s.awaitNoRun(a)
	s.awaitNoRun(b)
	if leases := s.runLeases(); len(leases) > 0 {
		t.Errorf("leases of runs are left: %v", leases)
	}
}

// TestEngineAloneDies: a run outlives its engine, and the next one on another machine waits for it.
func TestEngineAloneDies(t *testing.T) {
	s := newSite(t)
	a, b := s.machine("a"), s.machine("b")
	a.start()
	s.deploy("d")
	token := s.awaitRun(0, 3)
	b.start()
	if err := a.process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	before := len(s.log())
	time.Sleep(runLease + 20*time.Second) // longer than a new leader and a lease that nobody renews take
	log := s.log()
	if last := log[len(log)-1]; last.token != token || len(log) < before+20 {
		t.Errorf("%d commands since, the last with token %d; want the run to go on with %d", len(log)-before, last.token, token)
	}
	// A user who deletes the deployment stops the run, although it goes on elsewhere.
	s.drop("d")
	s.awaitNoRun(a)
	s.checkLog()
}

// site is an API server, a node and what is deployed on it.
type site struct {
	*testing.T
	node
	api       client.Client
	limited   *rest.Config
	namespace string
	binary    string
	venv      string
	dir       string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, dir: t.TempDir(), binary: build(t), venv: output(t, "../../hack/ansible/venv.sh")}
	var err error
	cfg := cluster.Config(t)
	// The managers, and the runs that renew their leases, have the rights of config/rbac and no others.
	if s.limited, err = controlplane.InstallRBAC(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if s.api, err = client.New(cfg, client.Options{Scheme: scheme()}); err != nil {
		t.Fatal(err)
	}
	s.namespace = cluster.Namespace(t, s.api)
	s.node = startNode(t, s.dir)
	s.populate()
	return s
}

func (s *site) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

// populate makes what the user applies: one node that is there already, and a service that goes on for a long time.
func (s *site) populate() {
	s.Helper()
	playbook := fmt.Sprintf(`
- hosts: all
  gather_facts: false
  vars: {rackplane_fence_dir: %[2]s/fence} # a folder of the test stands for the node's /run
  tasks:
    - ansible.builtin.raw: trap '' HUP; echo begin {{ rackplane_fence_token }} >>%[1]s; sleep 0.5; echo end {{ rackplane_fence_token }} >>%[1]s
      loop: "{{ range(1000) | list }}"
`, s.logFile, s.dir)
	set := &v1alpha1.NodeSet{ObjectMeta: s.meta("rack"), Spec: v1alpha1.NodeSetSpec{
		PreProvisioned: true, Services: []string{"long"},
		Deployment: v1alpha1.RolloutSpec{Policy: v1alpha1.DeploymentManual},
		NodeTemplate: v1alpha1.NodeTemplate{
			AnsibleSSHPrivateKeySecret: "login", Networks: []v1alpha1.NodeNetwork{{Name: "ctlplane", DefaultRoute: true}},
			NetworkConfig: &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}}}},
		},
		Nodes: map[string]v1alpha1.NodeSection{"n0": {SSHHostKeys: []string{s.hostKey}, Ansible: s.login()}},
	}}
	for _, obj := range []client.Object{
		&corev1.Secret{ObjectMeta: s.meta("login"), Data: map[string][]byte{corev1.SSHAuthPrivateKey: s.userKey}},
		&v1alpha1.NetConfig{ObjectMeta: s.meta("site"), Spec: v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{{
			Name: "ctlplane", DNSDomain: "example.com", Subnets: []v1alpha1.Subnet{{
				Name: "a", CIDR: "192.0.2.0/24", Gateway: "192.0.2.1", AllocationRanges: []v1alpha1.AllocationRange{{Start: "192.0.2.10", End: "192.0.2.20"}},
			}},
		}}}},
		&v1alpha1.DataPlaneService{ObjectMeta: s.meta("long"), Spec: v1alpha1.DataPlaneServiceSpec{PlaybookContents: playbook}},
		set,
	} {
		if err := s.api.Create(s.Context(), obj); err != nil {
			s.Fatal(err)
		}
	}
}

// deploy makes a deployment once the node may have one. The node is no server to adopt: a result in its status stands for
// the look that is not what is tested here.
func (s *site) deploy(name string) {
	s.Helper()
	node := &v1alpha1.DataPlaneNode{ObjectMeta: s.meta("n0")}
	s.eventually("the node is planned", func() bool {
		err := s.api.Get(s.Context(), client.ObjectKeyFromObject(node), node)
		return err == nil && len(node.Spec.Networks) > 0
	})
	s.eventually("the node has a result", func() bool {
		if err := s.api.Get(s.Context(), client.ObjectKeyFromObject(node), node); err != nil {
			s.Fatal(err)
		}
		node.Status.Services = []v1alpha1.ServiceResult{{
			Name: "bootstrap", InputHash: "0123456789abcdef", Result: v1alpha1.ServiceSucceeded, FinishedAt: metav1.Now(),
		}}
		return s.api.Status().Update(s.Context(), node) == nil
	})
	s.eventually("services may run on the node", func() bool {
		err := s.api.Get(s.Context(), client.ObjectKeyFromObject(node), node)
		return err == nil && meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionAdoptable)
	})
	d := &v1alpha1.DataPlaneDeployment{ObjectMeta: s.meta(name), Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack", Nodes: []string{"n0"}}}
	if err := s.api.Create(s.Context(), d); err != nil {
		s.Fatal(err)
	}
}

func (s *site) drop(name string) {
	s.Helper()
	d := &v1alpha1.DataPlaneDeployment{ObjectMeta: s.meta(name)}
	if err := s.api.Delete(s.Context(), d); err != nil {
		s.Fatal(err)
	}
	s.eventually("the deployment is gone", func() bool {
		return client.IgnoreNotFound(s.api.Get(s.Context(), client.ObjectKeyFromObject(d), d)) == nil && d.DeletionTimestamp == nil ||
			s.api.Get(s.Context(), client.ObjectKeyFromObject(d), d) != nil
	})
}

// entry is a line of the node's log.
type entry struct {
	what  string
	token int64
}

func (s *site) log() []entry {
	s.Helper()
	text, err := os.ReadFile(s.logFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Fatal(err)
	}
	var log []entry
	for line := range strings.Lines(string(text)) {
		what, token, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseInt(token, 10, 64)
		if err != nil {
			s.Fatalf("log line %q: %v", line, err)
		}
		log = append(log, entry{what, n})
	}
	return log
}

// awaitRun waits until a run with a higher token has begun so many commands on the node, and returns its token.
func (s *site) awaitRun(after int64, commands int) int64 {
	s.Helper()
	var token int64
	s.eventually(fmt.Sprintf("a run later than %d goes on", after), func() bool {
		s.checkLog()
		n := 0
		for _, e := range s.log() {
			if e.what == "begin" && e.token > after {
				token = max(token, e.token)
				n++
			}
		}
		return n >= commands
	})
	return token
}

func (s *site) checkLog() {
	s.Helper()
	log := s.log()
	for i, e := range log {
		switch {
		case (e.what == "begin") != (i%2 == 0), i%2 == 1 && e.token != log[i-1].token:
			s.Fatalf("line %d: two at once: %v", i, log[max(0, i-3):i+1])
		case i > 0 && e.token < log[i-1].token:
			s.Fatalf("line %d: an earlier run after a later one: %v", i, log[max(0, i-3):i+1])
		}
	}
}

func (s *site) awaitNoRun(m *machine) {
	s.Helper()
	s.eventually("nothing of a run is left on machine "+m.name, func() bool { return len(m.processes()) == 0 })
}

func (s *site) eventually(what string, is func() bool) {
	s.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			s.tell()
			s.Fatalf("after %s it is still not so that %s", patience, what)
		}
	}
}

// tell logs where the objects stand.
func (s *site) tell() {
	s.Helper()
	var nodes v1alpha1.DataPlaneNodeList
	var deployments v1alpha1.DataPlaneDeploymentList
	if err := errors.Join(s.api.List(s.Context(), &nodes, client.InNamespace(s.namespace)), s.api.List(s.Context(), &deployments, client.InNamespace(s.namespace))); err != nil {
		s.Log(err)
	}
	var sets v1alpha1.NodeSetList
	if err := s.api.List(s.Context(), &sets, client.InNamespace(s.namespace)); err == nil {
		s.Logf("set: %+v", sets.Items[0].Status.Conditions)
	}
	for _, n := range nodes.Items {
		s.Logf("node: %+v", n.Status.Conditions)
	}
	for _, d := range deployments.Items {
		s.Logf("deployment: %+v", d.Status)
	}
	s.Logf("the node's log: %v", s.log())
}

// processes are those of the machine's runs, by id.
func (m *machine) processes() []int {
	m.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		m.Fatal(err)
	}
	var pids []int
	for _, path := range all {
		environment, err := os.ReadFile(path)
		if err != nil || !slices.ContainsFunc(strings.Split(string(environment), "\x00"), func(v string) bool {
			return strings.HasPrefix(v, "RACKPLANE_RUN="+m.dir+"/")
		}) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			m.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// signal reaches everything on the machine, the engine first.
func (m *machine) signal(signal syscall.Signal) {
	m.Helper()
	if err := m.process.Process.Signal(signal); err != nil {
		m.Fatal(err)
	}
	for range 2 {
		for _, pid := range m.processes() {
			_ = syscall.Kill(pid, signal) // it may have ended
		}
	}
}

func (m *machine) kill() {
	m.Helper()
	m.signal(syscall.SIGKILL)
	m.awaitEnd()
}

func (m *machine) freeze() { m.signal(syscall.SIGSTOP) }

func (m *machine) thaw() { m.signal(syscall.SIGCONT) }
