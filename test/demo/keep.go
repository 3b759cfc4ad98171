package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/controlplane"
	"github.com/rackplane/rackplane/test/guest"
	"github.com/rackplane/rackplane/test/openstack"
	"github.com/rackplane/rackplane/test/rack"
)

// prepare installs and builds what is missing; each script says what it does and is silent when there is nothing to do.
func prepare(ctx context.Context, o options) error {
	cfg := rack.Config{}
	if o.openstack {
		cfg.Profile = openstackProfile
		if err := openstack.Prepare(ctx, openstack.Config{}); err != nil {
			return err
		}
	}
	if o.mode == guestMode {
		if err := guest.Prepare(ctx, guest.Config{}); err != nil {
			return err
		}
	}
	if err := rack.Prepare(ctx, cfg); err != nil {
		return err
	}
	for _, script := range []string{"hack/kube-assets.sh", "hack/ansible/venv.sh"} {
		cmd := exec.CommandContext(ctx, script)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s (run the demo from the source tree): %w", script, err)
		}
	}
	return nil
}

// keptFile holds the process id and directory of a demo that was left running.
func keptFile() string {
	cache, err := controlplane.Cache()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "demo.kept")
}

// detach runs the demo as a process of its own, shows its output until it lingers, and leaves it.
func detach(o options) error {
	if pid, _, err := kept(); err == nil {
		return fmt.Errorf("a demo is still running (process %d): end it with `make demo-stop`", pid)
	}
	dir, err := os.MkdirTemp("", "rackplane-demo-")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(dir, "demo.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("/proc/self/exe", append(os.Args[1:], "--detached", "--dir", dir, "--rackplane", o.rackplane)...) //nolint:noctx // it outlives this process
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := os.WriteFile(keptFile(), fmt.Appendf(nil, "%d %s\n", cmd.Process.Pid, dir), 0o600); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	err = relay(filepath.Join(dir, "demo.log"), filepath.Join(dir, "lingering"), ended)
	if err != nil {
		_ = os.Remove(keptFile()) // already failing
	}
	return err
}

// relay copies the log to standard output until the demo lingers or ends.
func relay(log, lingering string, ended <-chan error) error {
	f, err := os.Open(log)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		if _, err := io.Copy(os.Stdout, r); err != nil {
			return err
		}
		if _, err := os.Stat(lingering); err == nil {
			_, err := io.Copy(os.Stdout, r)
			return err
		}
		select {
		case err := <-ended:
			_, _ = io.Copy(os.Stdout, r) // the end of the log, as far as it can be read
			return errors.Join(errors.New("the demo ended"), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// linger keeps everything running for a look around, until it is told to end.
func (d *demo) linger(ctx context.Context) error {
	if !d.keep {
		return nil
	}
	d.say(`
everything is left running in namespaces of its own. To look around:
  bin/demo --enter                             a shell in there, KUBECONFIG set
    rackplane status --watch -n %[1]s
    ssh -i %[2]s/ssh-key cloud-admin@%[3]s
    ls %[2]s/manifests %[2]s/engine %[2]s/rack/log
  make demo-stop                               end it`, namespace, d.dir, d.someAddress(ctx))
	if err := os.WriteFile(filepath.Join(d.dir, "ssh-key"), d.private, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "lingering"), nil, 0o600); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// someAddress is the first node's.
func (d *demo) someAddress(ctx context.Context) string {
	v, err := d.view.read(ctx)
	if err != nil || len(v.Nodes) == 0 {
		return "ADDRESS"
	}
	return ctlplane(&v.Nodes[0])
}

// kept finds the demo that was left running.
func kept() (pid int, dir string, err error) {
	data, err := os.ReadFile(keptFile())
	if err != nil {
		return 0, "", errors.New("no demo was left running: start one with `make demo KEEP=1`")
	}
	text, dir, _ := strings.Cut(strings.TrimSpace(string(data)), " ")
	if pid, err = strconv.Atoi(text); err != nil {
		return 0, "", fmt.Errorf("%s: %w", keptFile(), err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(line), dir) {
		_ = os.Remove(keptFile()) // stale
		return 0, "", errors.New("the demo that was left running has ended")
	}
	return pid, dir, nil
}

func stopKept() error {
	pid, dir, err := kept()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return err
	}
	for range 600 {
		if _, _, err := kept(); err != nil {
			fmt.Fprintln(os.Stdout, "demo: stopped")
			return os.RemoveAll(dir)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("process %d did not end within a minute", pid)
}

// enterKept replaces this process by a shell inside the demo's namespaces.
func enterKept() error {
	pid, dir, err := kept()
	if err != nil {
		return err
	}
	inside, err := childOf(pid)
	if err != nil {
		return err
	}
	nsenter, err := exec.LookPath("nsenter")
	if err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	binaries, err := filepath.Abs(filepath.Dir(os.Args[0]))
	if err != nil {
		return err
	}
	env := append(os.Environ(), "KUBECONFIG="+filepath.Join(dir, "engine", "kubeconfig"), "PATH="+binaries+":"+os.Getenv("PATH"))
	return syscall.Exec(nsenter, []string{"nsenter", "--target", inside, "--mount", "--net", "--pid", "--ipc", "--uts", "--wd=" + here, "--", "/bin/bash"}, env)
}

// childOf finds the child that lives in a network namespace of its own.
func childOf(pid int) (string, error) {
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return "", err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return "", err
	}
	for _, path := range stats {
		data, err := os.ReadFile(path)
		_, rest, found := strings.Cut(string(data), ") ")
		fields := strings.Fields(rest)
		if err != nil || !found || len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		child := strings.Split(path, "/")[2]
		if ns, err := os.Readlink("/proc/" + child + "/ns/net"); err == nil && ns != own {
			return child, nil
		}
	}
	return "", fmt.Errorf("process %d has no child in namespaces of its own", pid)
}
