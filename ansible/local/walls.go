package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/local/dial"
	"github.com/rackplane/rackplane/ansible/local/sandbox"
)

// Sandbox says how runs are walled in. It needs root.
type Sandbox struct {
	// Inside is the command that calls Inside with the words that follow it.
	Inside []string
	// FirstID to LastID are the users that runs are given, one for each namespace; they must be of nobody else.
	FirstID, LastID int
	// Deny lists, as host:port, as address or as CIDR, what no run may reach, whatever address its nodes are said to have.
	Deny []string
	// ReachSelf lets runs reach this machine; for tests.
	ReachSelf bool
}

// Where a run in the sandbox finds what it needs. Nothing of this machine's own paths is seen there.
const (
	insideWork        = "/run/rackplane/work"
	insideCollections = "/run/rackplane/collections"
	insideSelf        = "/run/rackplane/self"
)

// What a run may take from this machine. Ansible has a process for each node it works on, OpenSSH two, and each of ours
// some threads.
const (
	processesPerNode = 16
	processesBeside  = 64
	openFiles        = 4096
	memoryBytes      = 4 << 30
	fileBytes        = 256 << 20
	scratchBytes     = 256 << 20
)

// nobodyElse is the user of runs without walls: whoever the engine is.
const nobodyElse = -1

// prepared is a run that can be laid down and started.
type prepared struct {
	files map[string][]byte
	// user that may read the files, or nobodyElse.
	user       int
	order      order
	supervisor []string
}

// prepare decides all about a run in folder f. id is its user, nobodyElse without walls.
func (c Config) prepare(f folder, r ansible.Run, id int) (prepared, error) {
	v := view{work: f.work(""), collections: c.Collections}
	if id != nobodyElse {
		v = view{work: insideWork, collections: insideCollections, proxy: slices.Concat([]string{insideSelf}, c.Sandbox.Inside[1:], []string{wordDial, "%h", "%p"})}
	}
	files, err := layOut(r, v)
	if err != nil {
		return prepared{}, err
	}
	argv, err := command(c, r)
	if err != nil {
		return prepared{}, err
	}
	p := prepared{files: files, user: id, supervisor: slices.Concat(c.Supervisor, []string{f.dir})}
	p.order.Spec = sandbox.Spec{Command: argv, Environment: append(environment(v, r), f.marker()), Dir: v.work}
	p.order.Bounds, p.order.Hold = boundsOf(r), holdOf(r)
	if id == nobodyElse {
		return p, nil
	}
	p.order.Enter = slices.Concat(c.Sandbox.Inside, []string{wordEnter})
	p.order.Reach = dial.Policy{Targets: slices.Sorted(maps.Values(r.Targets)), Deny: c.Sandbox.Deny, Self: c.Sandbox.ReachSelf}
	err = c.wallIn(&p.order.Spec, id)
	p.order.Spec.Binds = append(p.order.Spec.Binds,
		sandbox.Bind{Source: f.work(""), Target: insideWork},
		sandbox.Bind{Source: f.work(fileEvents), Target: filepath.Join(insideWork, fileEvents), Writable: true})
	p.order.Spec.Scratch = []string{filepath.Join(insideWork, dirTemporary), filepath.Join(insideWork, dirControl)}
	return p, err
}

// wallIn completes the Spec by what every run has: Python with Ansible, the collection, and this program as dialer.
func (c Config) wallIn(s *sandbox.Spec, id int) error {
	s.ID = id
	s.ScratchBytes = scratchBytes
	threads := c.Slots * (processesBeside + processesPerNode*c.Forks)
	if threads < 0 {
		return fmt.Errorf("%d slots of %d forks are too many", c.Slots, c.Forks)
	}
	s.Limits = sandbox.Limits{
		Processes: uint64(threads), Files: openFiles, Memory: memoryBytes, FileBytes: fileBytes,
	}
	python, err := c.pythonPrefix()
	if err != nil {
		return err
	}
	for _, b := range []sandbox.Bind{
		{Source: python, Target: python},
		{Source: c.Venv, Target: c.Venv},
		{Source: c.Collections, Target: insideCollections},
		{Source: c.Sandbox.Inside[0], Target: insideSelf},
	} {
		if b.Target == "/usr" || strings.HasPrefix(b.Target, "/usr/") {
			continue // every sandbox has it
		}
		if b.Source, err = filepath.EvalSymlinks(b.Source); err != nil {
			return err
		}
		s.Binds = append(s.Binds, b)
	}
	return nil
}

// pythonPrefix is where the Python lies that the environment was made from (PEP 405: "home" in pyvenv.cfg).
func (c Config) pythonPrefix() (string, error) {
	path := filepath.Join(c.Venv, "pyvenv.cfg")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if name, home, ok := strings.Cut(line, "="); ok && strings.TrimSpace(name) == "home" {
			prefix := filepath.Dir(strings.TrimSpace(home))
			if prefix == "/" {
				prefix = "/usr" // /bin is a link to /usr/bin
			}
			return prefix, nil
		}
	}
	return "", fmt.Errorf("%s names no home: make the environment anew with hack/ansible/venv.sh", path)
}

// ErrSandbox is why there is no Runner: this machine does not let the engine wall runs in.
var ErrSandbox = errors.New("the sandbox does not work here")

// Check finds what is wrong with the settings themselves.
func (s *Sandbox) Check() error {
	if s.FirstID < 1 || s.LastID < s.FirstID {
		return fmt.Errorf("users %d to %d are no range", s.FirstID, s.LastID)
	}
	return dial.Policy{Deny: s.Deny}.Check()
}

// Refuse returns why nobody may be made to connect to an address as to a node; nil when it may be, or runs have no walls
// that it could be kept from.
func (r *Runner) Refuse(ctx context.Context, to netip.AddrPort) error {
	s := r.config.Sandbox
	if s == nil {
		return nil
	}
	return dial.Policy{Deny: s.Deny, Self: s.ReachSelf}.Refuse(ctx, to)
}

// trySandbox starts a program in the sandbox as runs will be started.
func (c Config) trySandbox(ctx context.Context) error {
	if err := c.Sandbox.Check(); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("it needs root")
	}
	spec := sandbox.Spec{Command: []string{filepath.Join(c.Venv, "bin", "python3"), "-I", "-c", "import ansible"}, Environment: []string{}, Dir: "/"}
	if err := c.wallIn(&spec, c.Sandbox.FirstID); err != nil {
		return err
	}
	cmd, lifeline, err := sandbox.Command(ctx, slices.Concat(c.Sandbox.Inside, []string{wordEnter}), spec)
	if err != nil {
		return err
	}
	defer lifeline.Close()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("a trial ended with %w: %s", err, oneLine(string(out)))
	}
	return nil
}

// listen opens the dialer's socket for the run's user. A path of a Unix socket is short (unix(7)): the folder is named by
// its descriptor.
func (f folder) listen(id int) (*net.UnixListener, error) {
	dir, err := os.Open(f.work(""))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), fileDial)})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chown(f.work(fileDial), id, id); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
