package openstack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/test/cgroup"
)

// stopGrace is how long the kernel may take to end a machine's processes.
const stopGrace = 10 * time.Second

// machine is a Debian system that runs in a systemd-nspawn container on an overlay over an image.
type machine struct {
	machineConfig

	root  string       // what the system sees as /
	group cgroup.Group // control group of the container
	boot  *exec.Cmd
	ended chan struct{} // closed once systemd-nspawn has ended
}

// machineConfig describes a machine.
type machineConfig struct {
	Name    string
	Image   string // root file system, never written to
	Dir     string // for the overlay and the console's log
	Bridge  string
	Address netip.Prefix
	// Furnish completes the root file system before the boot.
	Furnish func(root string) error
	// Options are added to systemd-nspawn's command line.
	Options []string
}

// startMachine mounts, furnishes, cables and boots a machine. It does not wait for its services.
// On error nothing of the machine is left but its directory.
func startMachine(ctx context.Context, cfg machineConfig) (*machine, error) {
	m := &machine{machineConfig: cfg, root: filepath.Join(cfg.Dir, "root"), ended: make(chan struct{})}
	for _, step := range []func(context.Context) error{m.mount, m.furnish, m.cable, m.spawn} {
		if err := step(ctx); err != nil {
			err = fmt.Errorf("machine %s: %w", cfg.Name, err)
			return nil, errors.Join(err, m.stop(context.WithoutCancel(ctx)))
		}
	}
	return m, nil
}

func (m *machine) mount(context.Context) error {
	upper, work := filepath.Join(m.Dir, "upper"), filepath.Join(m.Dir, "work")
	for _, dir := range []string{m.root, upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a root directory is for everybody to read
			return err
		}
	}
	data := "lowerdir=" + m.Image + ",upperdir=" + upper + ",workdir=" + work
	if err := syscall.Mount("overlay", m.root, "overlay", 0, data); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return nil
}

func (m *machine) furnish(context.Context) error {
	// Kept on the disk, the journal can still be read after the machine is gone.
	journal := filepath.Join(m.root, "var", "log", "journal")
	if err := os.MkdirAll(journal, 0o755); err != nil { //nolint:gosec // as systemd-tmpfiles makes it
		return err
	}
	return m.Furnish(m.root)
}

// cable connects the machine to its bridge. Nothing inside configures the network: it is there from the first moment.
func (m *machine) cable(ctx context.Context) error {
	_, err := run(ctx, fmt.Sprintf(`netns add %[1]s
link add v-%[1]s type veth peer name eth0 netns %[1]s
link set v-%[1]s master %[2]s up
`, m.Name, m.Bridge), "ip", "-batch", "-")
	if err != nil {
		return err
	}
	_, err = run(ctx, fmt.Sprintf("link set lo up\naddress add %s dev eth0\nlink set eth0 up\n", m.Address),
		"ip", "-netns", m.Name, "-batch", "-")
	return err
}

func (m *machine) spawn(ctx context.Context) (err error) {
	// nspawn puts the system into a group "payload" below its own: two machines in one group would fight over it.
	if m.group, err = cgroup.New("machine-" + m.Name); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(m.Dir, "console.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	m.boot = exec.CommandContext(context.WithoutCancel(ctx), "systemd-nspawn", append([]string{
		"--directory=" + m.root, "--machine=" + m.Name, "--hostname=" + m.Name, "--boot", "--register=no", "--keep-unit",
		"--network-namespace-path=/run/netns/" + m.Name, "--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--console=pipe",
	}, m.Options...)...)
	// systemd 257 refuses cgroup version 1, and systemd-nspawn 252 would offer it where the host still has it.
	m.boot.Env = append(os.Environ(), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network")
	m.boot.Stdout, m.boot.Stderr = log, log
	m.boot.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	started, err := m.group.Attach(m.boot)
	if err != nil {
		return err
	}
	defer started()
	if err := m.boot.Start(); err != nil {
		return err
	}
	go func() {
		_ = m.boot.Wait()
		close(m.ended)
	}()
	return nil
}

// output runs a command inside the machine as root and returns its trimmed standard output.
// The machine must have begun to boot.
func (m *machine) output(ctx context.Context, argv ...string) (string, error) {
	leader, err := m.leader()
	if err != nil {
		return "", err
	}
	return run(ctx, "", "nsenter", append([]string{
		"--target=" + leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--",
	}, argv...)...)
}

// leader is the process number of the machine's systemd: systemd-nspawn's only child.
func (m *machine) leader() (string, error) {
	pid := strconv.Itoa(m.boot.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		return "", fmt.Errorf("machine %s has ended: %w", m.Name, err)
	}
	fields := strings.Fields(string(children))
	if len(fields) != 1 {
		return "", fmt.Errorf("machine %s does not run yet", m.Name)
	}
	return fields[0], nil
}

// stop cuts the power, unplugs the machine and unmounts its disk. Steps whose opposite never happened do no harm.
func (m *machine) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	var problems []error
	if m.boot != nil && m.boot.Process != nil {
		problems = append(problems, m.group.Kill())
		select {
		case <-m.ended:
		case <-ctx.Done():
			problems = append(problems, fmt.Errorf("machine %s: systemd-nspawn has not ended: %w", m.Name, ctx.Err()))
		}
	}
	if m.group != "" {
		problems = append(problems, poll(ctx, 20*time.Millisecond, func(context.Context) error { return m.group.Remove() }))
	}
	if _, err := os.Stat("/run/netns/" + m.Name); err == nil {
		_, err := run(ctx, "", "ip", "netns", "delete", m.Name)
		problems = append(problems, err)
	}
	problems = append(problems, poll(ctx, 20*time.Millisecond, func(context.Context) error {
		if err := syscall.Unmount(m.root, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
			return fmt.Errorf("unmount %s: %w", m.root, err)
		}
		return nil
	}))
	return errors.Join(problems...)
}

// run executes a command on an input and returns its trimmed output. Its error carries what it wrote to standard error.
func run(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// errHopeless marks an error of a check that waiting does not change.
var errHopeless = errors.New("hopeless")

// poll tries until check succeeds or is hopeless; when ctx ends first, its error is the last one of check.
func poll(ctx context.Context, every time.Duration, check func(context.Context) error) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil || errors.Is(err, errHopeless) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
