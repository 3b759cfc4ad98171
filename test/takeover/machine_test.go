package takeover

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/lease"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // a type is registered twice
		}
	}
	return s
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, complaint.String())
	}
	return strings.TrimSpace(string(out))
}

func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rackplane")
	output(t, "go", "build", "-o", path, "../../cmd/rackplane")
	return path
}

// machine is where a manager runs, with a state directory and a way to the API server of its own.
type machine struct {
	*testing.T
	name, dir, kubeconfig string
	site                  *site
	way                   *way
	process               *exec.Cmd
	ended                 chan struct{}
}

func (s *site) machine(name string) *machine {
	s.Helper()
	m := &machine{T: s.T, name: name, dir: filepath.Join(s.dir, name), site: s}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		s.Fatal(err)
	}
	cfg := s.limited
	m.way = newWay(s.T, strings.TrimPrefix(cfg.Host, "https://"))
	m.kubeconfig = filepath.Join(m.dir, "kubeconfig")
	file := api.Config{
		CurrentContext: "c", Contexts: map[string]*api.Context{"c": {Cluster: "c", AuthInfo: "c"}},
		Clusters:  map[string]*api.Cluster{"c": {Server: "https://" + m.way.address, CertificateAuthority: cfg.CAFile, CertificateAuthorityData: cfg.CAData}},
		AuthInfos: map[string]*api.AuthInfo{"c": {ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData, ClientCertificate: cfg.CertFile, ClientKey: cfg.KeyFile, Impersonate: cfg.Impersonate.UserName, ImpersonateGroups: cfg.Impersonate.Groups}},
	}
	if err := clientcmd.WriteToFile(file, m.kubeconfig); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(m.clean)
	return m
}

// clean ends everything on the machine, frozen or not.
func (m *machine) clean() {
	if m.process != nil {
		_ = m.process.Process.Kill() // it may have ended
		<-m.ended
	}
	for len(m.processes()) > 0 {
		for _, pid := range m.processes() {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill() // it may have ended
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	if m.Failed() {
		log, _ := os.ReadFile(filepath.Join(m.dir, "log")) // it may never have started
		m.Logf("machine %s:\n%s", m.name, log[max(0, len(log)-6000):])
	}
}

// start starts the machine's manager.
func (m *machine) start() {
	m.Helper()
	log, err := os.OpenFile(filepath.Join(m.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.Fatal(err)
	}
	defer log.Close()
	m.process = exec.CommandContext(context.WithoutCancel(m.Context()), m.site.binary, "manager", "--kubeconfig", m.kubeconfig,
		"--state-dir", filepath.Join(m.dir, "state"), "--host-backend", "metal3",
		"--ansible-venv", m.site.venv, "--run-lease", runLease.String(),
		"--insecure-ansible") // the node is this machine, which no run in a sandbox reaches
	m.process.Stdout, m.process.Stderr = log, log
	if err := m.process.Start(); err != nil {
		m.Fatal(err)
	}
	process, ended := m.process, make(chan struct{})
	m.ended = ended
	go func() { _ = process.Wait(); close(ended) }()
}

// awaitEnd waits until the machine's manager has ended.
func (m *machine) awaitEnd() {
	m.Helper()
	select {
	case <-m.ended:
	case <-time.After(patience):
		m.Fatalf("the manager of machine %s goes on", m.name)
	}
}

// cut stops everything between the machine and the API server, in silence.
func (m *machine) cut() { m.way.cut() }

// way carries bytes between a machine and the API server until it is cut.
type way struct {
	address string
	mu      sync.Mutex
	broken  bool
}

func newWay(t *testing.T, server string) *way {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	w := &way{address: listener.Addr().String()}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", server)
			if err != nil {
				near.Close()
				continue
			}
			go w.carry(near, far)
			go w.carry(far, near)
		}
	}()
	return w
}

func (w *way) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = true
}

// carry forwards what comes; once the way is cut it reads on and forwards nothing.
func (w *way) carry(from, to net.Conn) {
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		w.mu.Lock()
		broken := w.broken
		w.mu.Unlock()
		if broken {
			_, _ = io.Copy(io.Discard, from) // until that side gives up
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// runLeases are the names of the Leases of runs.
func (s *site) runLeases() []string {
	s.Helper()
	var list coordinationv1.LeaseList
	if err := s.api.List(s.Context(), &list, client.InNamespace(s.namespace), client.MatchingLabels{lease.Label: lease.Runs}); err != nil {
		s.Fatal(err)
	}
	var names []string
	for _, l := range list.Items {
		names = append(names, l.Name)
	}
	return names
}

// node is an OpenSSH server on the loopback address.
type node struct {
	port             int
	hostKey, logFile string
	userKey          []byte
}

func startNode(t *testing.T, dir string) node {
	t.Helper()
	const server = "/usr/sbin/sshd"
	if _, err := os.Stat(server); err != nil {
		t.Fatalf("the node is an OpenSSH server: install the Debian package openssh-server: %v", err)
	}
	// sshd's own requirement when it runs as root; Debian makes it when the service starts.
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() { os.Remove("/run/sshd") })
	}
	for _, key := range []string{"host", "user"} {
		output(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", filepath.Join(dir, key))
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := node{logFile: filepath.Join(dir, "node.log")}
	if a, ok := listener.Addr().(*net.TCPAddr); ok {
		n.port = a.Port
	}
	listener.Close()
	config := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %[2]s/host\nAuthorizedKeysFile %[2]s/user.pub\nPermitRootLogin prohibit-password\n"+
		"PasswordAuthentication no\nStrictModes no\nUsePAM no\nPidFile none\nMaxStartups 100\n", n.port, dir)
	if err := os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), server, "-D", "-e", "-f", filepath.Join(dir, "sshd_config"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if n.userKey, err = os.ReadFile(filepath.Join(dir, "user")); err != nil {
		t.Fatal(err)
	}
	public, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	n.hostKey = strings.TrimSpace(string(public))
	return n
}

// login is how Ansible reaches the node.
func (n node) login() v1alpha1.AnsibleOptions {
	return v1alpha1.AnsibleOptions{AnsibleHost: "127.0.0.1", AnsibleUser: "root", AnsiblePort: int32(n.port)}
}
