package rack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/rackplane/rackplane/test/cgroup"
)

// stageVariable tells a re-executed program how far its isolation has come.
const stageVariable = "RACKPLANE_RACK_STAGE"

const (
	stageInit   = "init"   // first process of the new PID namespace: sets up and reaps
	stageInside = "inside" // the program itself, its child
)

// Isolated reports whether the program runs in a rack's namespaces.
func Isolated() bool { return os.Getenv(stageVariable) == stageInside }

// Isolate makes sure that the program runs in mount, network, PID, UTS and IPC namespaces and in a control group
// of its own. Outside, it calls prepare, which may use the network, unless it is nil; then it runs the program again inside
// with the same arguments, forwards interrupts, waits, and exits this process with its status. It returns only inside.
// Call it first in main or TestMain.
//
// The death of the outer process, even by SIGKILL, kills everything inside, which takes mounts and interfaces along;
// a small watcher outside then removes the control groups. It needs root and a cgroup2 mount.
func Isolate(ctx context.Context, prepare func(context.Context) error) {
	var status int
	var err error
	switch os.Getenv(stageVariable) {
	case stageInside:
		return
	case stageInit:
		status, err = initProcess(ctx)
	default:
		if prepare != nil {
			err = prepare(ctx)
		}
		if err == nil {
			status, err = launch(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// launch runs the program again as the first process of new namespaces and returns its exit status.
func launch(ctx context.Context) (int, error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("rack: namespaces and containers need root")
	}
	group, err := cgroup.New(fmt.Sprintf("rackplane-%d", os.Getpid()))
	if err != nil {
		return 0, err
	}
	sweep, err := group.SweepAfter(ctx)
	if err != nil {
		return 0, err
	}
	defer sweep()
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("rack: find own program: %w", err)
	}
	// The death signal is tied to the thread that starts the child, so that thread must live as long as this process.
	runtime.LockOSThread()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), stageVariable+"="+stageInit)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // an interrupt typed at the terminal reaches the program once, by way of forward
	}
	started, err := group.Attach(cmd)
	if err != nil {
		return 0, err
	}
	err = cmd.Start()
	started()
	if err != nil {
		return 0, fmt.Errorf("rack: start in namespaces: %w", err)
	}
	defer forward(cmd.Process)()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("rack: wait: %w", err)
	}
	return exitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil //nolint:forcetypeassert // always so on Linux
}

// initProcess sets up the namespaces, runs the program as a child, and reaps until that child ends.
// Returning ends the PID namespace and with it every process inside.
func initProcess(ctx context.Context) (int, error) {
	if err := furnish(ctx); err != nil {
		return 0, err
	}
	if err := os.Setenv(stageVariable, stageInside); err != nil {
		return 0, fmt.Errorf("rack: set stage: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return 0, fmt.Errorf("rack: find own program: %w", err)
	}
	child, err := os.StartProcess(program, os.Args, &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return 0, fmt.Errorf("rack: start program: %w", err)
	}
	defer forward(child)()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("rack: reap: %w", err)
		case pid == child.Pid && (status.Exited() || status.Signaled()):
			return exitStatus(status), nil
		}
	}
}

// furnish gives the namespaces what a program expects: its own /proc, an empty /run, a loopback interface.
// /run must be private because ip-netns and systemd-nspawn keep state there that would outlive the rack.
func furnish(ctx context.Context) error {
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
		data                   string
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""},
		{"proc", "/proc", "proc", syscall.MS_NOSUID | syscall.MS_NODEV | syscall.MS_NOEXEC, ""},
		{"tmpfs", "/run", "tmpfs", syscall.MS_NOSUID | syscall.MS_NODEV, "mode=755"},
	} {
		if err := syscall.Mount(m.source, m.target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return run(ctx, "ip", "link", "set", "lo", "up")
}

// forward passes interrupts and termination requests on to a process; the returned function ends that.
func forward(to *os.Process) (stop func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		for s := range signals {
			_ = to.Signal(s)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

func exitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
