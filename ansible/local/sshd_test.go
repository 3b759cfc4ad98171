package local

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rackplane/rackplane/ansible"
)

// lab is an OpenSSH server on three loopback addresses, each a node, and the means to run playbooks on them.
type lab struct {
	config     Config
	dir        string // scratch space that playbooks may write to
	port       int
	server     int // the server's process
	key        []byte
	hostKey    string // public, the server's
	otherKey   string // public, another
	knownHosts []byte
	wrongHosts []byte // the same names with the other key
}

const (
	nodeA       = "node-a" // 127.0.0.1
	nodeB       = "node-b" // 127.0.0.2
	nodeNowhere = "node-nowhere"
)

func newLab(tb testing.TB) *lab {
	tb.Helper()
	l := &lab{dir: tb.TempDir(), config: labConfig(tb)}
	hostKey, otherKey, userKey := l.keygen(tb, "host"), l.keygen(tb, "other"), l.keygen(tb, "user")
	l.key = read(tb, userKey)
	l.startServer(tb, hostKey, userKey)
	l.hostKey, l.otherKey = publicOf(tb, hostKey), publicOf(tb, otherKey)
	l.knownHosts, l.wrongHosts = known(l.hostKey, nodeA, nodeB, nodeNowhere), known(l.otherKey, nodeA, nodeB, nodeNowhere)
	return l
}

// labConfig needs neither nodes nor a server.
func labConfig(tb testing.TB) Config {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "../../hack/ansible/venv.sh").Output()
	if err != nil {
		tb.Fatalf("hack/ansible/venv.sh: %v", err)
	}
	return Config{
		Dir: filepath.Join(tb.TempDir(), "runs"), Venv: strings.TrimSpace(string(out)), Collections: "../../playbooks",
		Supervisor: []string{os.Args[0], supervise},
		Sandbox:    &Sandbox{Inside: []string{os.Args[0], inside}, FirstID: testUsers, LastID: testUsers + 9, ReachSelf: true},
	}
}

func (l *lab) keygen(tb testing.TB, name string) string {
	tb.Helper()
	path := filepath.Join(l.dir, name)
	if out, err := exec.CommandContext(tb.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path).CombinedOutput(); err != nil {
		tb.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return path
}

func publicOf(tb testing.TB, key string) string {
	tb.Helper()
	return strings.TrimSpace(string(read(tb, key+".pub")))
}

// endLogins kills what logins left running on the nodes, which are this machine: a command that hangs outlives its connection.
func (l *lab) endLogins(tb testing.TB) {
	tb.Helper()
	ofServer := fmt.Appendf(nil, " %d\x00", l.port) // the end of sshd's SSH_CLIENT: address, port, own port
	eventually(tb, 10*time.Second, "all logins have ended", func() bool {
		left := 0
		environments, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			tb.Fatal(err)
		}
		for _, path := range environments {
			environment, err := os.ReadFile(path) // it may have ended
			if err != nil || !bytes.Contains(environment, []byte("SSH_CLIENT=")) || !bytes.Contains(environment, ofServer) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				tb.Fatal(err)
			}
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
				tb.Fatal(err)
			}
			left++
		}
		return left == 0
	})
}

// known is a known_hosts file with the key for each of the nodes.
func known(key string, nodes ...string) []byte {
	var out bytes.Buffer
	for _, node := range nodes {
		fmt.Fprintf(&out, "%s %s\n", node, key)
	}
	return out.Bytes()
}

func (l *lab) startServer(tb testing.TB, hostKey, userKey string) {
	tb.Helper()
	const server = "/usr/sbin/sshd"
	if _, err := os.Stat(server); err != nil {
		tb.Fatalf("these tests log in to an OpenSSH server of their own: install the Debian package openssh-server: %v", err)
	}
	// sshd's own requirement when it runs as root; Debian makes it when the service starts.
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		tb.Cleanup(func() { os.Remove("/run/sshd") })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	if l.port, err = strconv.Atoi(strings.TrimPrefix(listener.Addr().String(), "127.0.0.1:")); err != nil {
		tb.Fatal(err)
	}
	listener.Close()
	config := filepath.Join(l.dir, "sshd_config")
	// bash reads the login's .bashrc for each command that comes over SSH, but not where it is started by a shell (SHLVL): what
	// somebody has in there is no part of the tests.
	write(tb, config, fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
ListenAddress 127.0.0.2
ListenAddress 127.0.0.4
HostKey %s
AuthorizedKeysFile %s.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
MaxStartups 100
Subsystem sftp internal-sftp
SetEnv SHLVL=1 TMPDIR=%s
`, l.port, hostKey, userKey, l.dir))
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), server, "-D", "-e", "-f", config)
	var log bytes.Buffer
	cmd.Stderr, cmd.WaitDelay = &log, time.Second
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	l.server = cmd.Process.Pid
	tb.Cleanup(func() {
		write(tb, filepath.Join(l.dir, "go"), "") // what a canceled run left waiting on the nodes ends by itself
		cmd.Process.Kill()
		cmd.Wait()
		l.endLogins(tb)
		if tb.Failed() {
			tb.Logf("sshd:\n%s", log.String())
		}
	})
	eventually(tb, 10*time.Second, "sshd answers", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.2", strconv.Itoa(l.port)))
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (l *lab) inventory(vars string) []byte {
	return fmt.Appendf(nil, `
rack:
  vars: {ansible_user: root, ansible_port: %d, ansible_remote_tmp: %s/remote, ansible_python_interpreter: %s/bin/python3 %s}
  hosts:
    %s: {ansible_host: 127.0.0.1}
    %s: {ansible_host: 127.0.0.2}
    %s: {ansible_host: 127.0.0.3}
`, l.port, l.dir, l.config.Venv, vars, nodeA, nodeB, nodeNowhere)
}

// run is a run of the tasks, given as YAML list items, on the nodes.
func (l *lab) run(key, tasks string, nodes ...string) ansible.Run {
	text := "- name: Test\n  hosts: all\n  gather_facts: false\n  tasks:\n  " + strings.ReplaceAll(strings.Trim(tasks, "\n"), "\n", "\n  ") + "\n"
	return ansible.Run{
		Key: key, Namespace: "test", PlaybookContents: text, Nodes: nodes, Targets: l.targets(),
		Inventory: l.inventory(""), SSHPrivateKey: l.key, KnownHosts: l.knownHosts,
		ExtraVars: map[string]any{"dir": l.dir},
	}
}

func (l *lab) targets() map[string]string {
	targets := map[string]string{}
	for node, address := range map[string]string{nodeA: "127.0.0.1", nodeB: "127.0.0.2", nodeNowhere: "127.0.0.3"} {
		targets[node] = net.JoinHostPort(address, strconv.Itoa(l.port))
	}
	return targets
}

func (l *lab) runner(tb testing.TB) *Runner {
	tb.Helper()
	r, err := New(tb.Context(), l.config)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := r.CancelAll(context.WithoutCancel(tb.Context())); err != nil {
			tb.Error(err)
		}
	})
	return r
}

func start(tb testing.TB, r *Runner, run ansible.Run) {
	tb.Helper()
	if err := r.Start(tb.Context(), run); err != nil {
		tb.Fatal(err)
	}
}

func status(tb testing.TB, r *Runner, key string) ansible.Status {
	tb.Helper()
	s, err := r.Status(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// finish waits for the end of the run and returns its status.
func finish(tb testing.TB, r *Runner, key string) ansible.Status {
	tb.Helper()
	var s ansible.Status
	eventually(tb, 2*time.Minute, "run "+key+" ends", func() bool {
		s = status(tb, r, key)
		return s.State != ansible.Running
	})
	if s.State != ansible.Finished {
		tb.Fatalf("run %s is %s", key, s.State)
	}
	return s
}

func eventually(tb testing.TB, within time.Duration, what string, is func() bool) {
	tb.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("after %s it is still not so that %s", within, what)
		}
	}
}

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// insideOf is the run's folder as the run itself sees it.
func insideOf(t *testing.T, r *Runner, key string) string {
	t.Helper()
	if r.config.Sandbox == nil {
		return r.folder(key).work("")
	}
	for pid := range marked(t, r, key) {
		path := filepath.Join("/proc", strconv.Itoa(pid), "root", insideWork)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatalf("no process of run %s is in a sandbox", key)
	return ""
}

// marked returns the processes of the run, by id, those in its sandbox too.
func marked(t *testing.T, r *Runner, key string) map[int]bool {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{}
	for _, path := range paths {
		if text, err := os.ReadFile(path); err != nil || !contains(text, r.folder(key).marker()) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			t.Fatal(err)
		}
		pids[pid] = true
	}
	return pids
}
