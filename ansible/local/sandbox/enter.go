package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Enter is the first process inside: it builds the walls, gives up every right, runs the program and returns its exit
// code, 128+n when signal n killed it. The process must do nothing else, and end when Enter returns: that ends whatever
// the program left behind. An error means that the program was not started.
func Enter() (int, error) {
	// Rights are a thread's: the one that gives them up is the one that starts the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	lifeline, s, err := readSpec()
	if err != nil {
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	if err := build(s); err != nil {
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	if err := renounce(s); err != nil {
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	program, err := s.start()
	if err != nil {
		return 0, fmt.Errorf("sandbox: start %s: %w", s.Command[0], err)
	}
	go func() {
		for range terminate {
			_ = syscall.Kill(program, syscall.SIGTERM) // it has ended: then so does everything
		}
	}()
	go func() {
		_, _ = io.Copy(io.Discard, lifeline)
		os.Exit(128 + int(syscall.SIGKILL)) // whoever started this is gone
	}()
	return reap(program)
}

func readSpec() (*os.File, Spec, error) {
	if os.Getpid() != 1 {
		return nil, Spec{}, errors.New("this is not the first process of a namespace: only the engine starts it")
	}
	// Nothing that this process was given is for the program.
	if err := unix.CloseRange(specDescriptor, ^uint(0), unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, Spec{}, fmt.Errorf("keep open files from the program: %w", err)
	}
	lifeline := os.NewFile(specDescriptor, "lifeline")
	var s Spec
	if err := json.NewDecoder(lifeline).Decode(&s); err != nil {
		return nil, Spec{}, fmt.Errorf("read the description: %w", err)
	}
	if len(s.Command) == 0 || s.ID <= 0 {
		return nil, Spec{}, errors.New("a command and a user that is not root are required")
	}
	return lifeline, s, nil
}

// renounce gives up every right for good: those of root, and all ways to get more.
func renounce(s Spec) error {
	unix.Umask(0o077)
	// The kernel ends this first when memory gets short.
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0); err != nil {
		return err
	}
	for resource, most := range map[int]uint64{
		unix.RLIMIT_NPROC: s.Limits.Processes, unix.RLIMIT_NOFILE: s.Limits.Files, unix.RLIMIT_AS: s.Limits.Memory,
		unix.RLIMIT_FSIZE: s.Limits.FileBytes, unix.RLIMIT_CORE: 0,
	} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
			return fmt.Errorf("limit resource %d to %d: %w", resource, most, err)
		}
	}
	// A keyring of the session would be shared with the engine's.
	if _, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("take a keyring of its own: %w", err)
	}
	for capability := uintptr(0); ; capability++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); errors.Is(err, unix.EINVAL) {
			break // past the last that the kernel knows
		} else if err != nil {
			return fmt.Errorf("drop capability %d: %w", capability, err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("refuse new privileges: %w", err)
	}
	if err := refuseSockets(); err != nil {
		return err
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("leave all groups: %w", err)
	}
	if err := syscall.Setresgid(s.ID, s.ID, s.ID); err != nil {
		return fmt.Errorf("become group %d: %w", s.ID, err)
	}
	// All threads lose their capabilities with root (capabilities(7)).
	if err := syscall.Setresuid(s.ID, s.ID, s.ID); err != nil {
		return fmt.Errorf("become user %d: %w", s.ID, err)
	}
	// The program shares the user with this process, and must not look into it.
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func (s Spec) start() (int, error) {
	path, err := exec.LookPath(s.Command[0])
	if err != nil {
		return 0, err
	}
	return syscall.ForkExec(path, s.Command, &syscall.ProcAttr{
		Dir: s.Dir, Env: s.Environment, Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
}

// reap waits for every process that is left to this one until the program has ended.
func reap(program int) (int, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("sandbox: wait: %w", err)
		case pid == program && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == program && status.Exited():
			return status.ExitStatus(), nil
		}
	}
}
