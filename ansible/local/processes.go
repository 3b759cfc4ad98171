package local

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const (
	// endGrace is how long processes may take to end after SIGTERM before they are killed.
	endGrace = 5 * time.Second
	endPoll  = 20 * time.Millisecond
)

// endProcesses ends the run with its supervisor and returns when nothing of it runs.
func (f folder) endProcesses(ctx context.Context) error { return f.end(ctx, f.running) }

// endOthers ends what the run left behind, but the process that calls it: the supervisor.
func (f folder) endOthers(ctx context.Context) error {
	return f.end(ctx, func() (bool, error) { return false, nil })
}

// end ends every other process of this user that carries the run's marker in its environment and returns when there is
// none, nor more is running. Process groups would not do: Ansible's workers and OpenSSH's connection masters move to sessions of
// their own.
func (f folder) end(ctx context.Context, more func() (bool, error)) error {
	grace := time.NewTimer(endGrace)
	defer grace.Stop()
	poll := time.NewTicker(endPoll)
	defer poll.Stop()
	signal := syscall.SIGTERM
	asked := map[int]bool{}
	for calm := 0; calm < 2; {
		left, err := signalMarked(f.marker(), signal, asked)
		if err != nil {
			return err
		}
		locked, err := more()
		if err != nil {
			return err
		}
		// A process that is just replacing its program, or ending, shows no environment: the lock tells of the one,
		// a second look of the other.
		calm++
		if left > 0 || locked {
			calm = 0
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d processes have not ended yet: %w", left, ctx.Err())
		case <-grace.C:
			signal = syscall.SIGKILL
			clear(asked)
		case <-poll.C:
		}
	}
	return nil
}

// signalMarked sends the signal once to each marked process and returns how many there are.
func signalMarked(marker string, signal syscall.Signal, asked map[int]bool) (int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	count := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		marked, err := signalIfMarked(pid, marker, signal, asked)
		if err != nil {
			return 0, err
		}
		if marked {
			count++
		}
	}
	return count, nil
}

// signalIfMarked holds on to the process (pidfd_open(2)) before it looks at it: the signal cannot hit another one.
func signalIfMarked(pid int, marker string, signal syscall.Signal, asked map[int]bool) (bool, error) {
	process, err := os.FindProcess(pid)
	if err != nil {
		return false, err
	}
	defer func() { _ = process.Release() }() // releasing an open handle does not fail
	path := filepath.Join("/proc", strconv.Itoa(pid))
	environment, err := os.ReadFile(filepath.Join(path, "environ"))
	if err != nil || !contains(environment, marker) || !own(path) {
		return false, nil // it has ended, or is not ours to look at: none of the run's
	}
	if asked[pid] {
		return true, nil
	}
	asked[pid] = true
	if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return true, fmt.Errorf("end process %d: %w", pid, err)
	}
	return true, nil
}

// own reports whether a process is of this process's user. What runs in a sandbox is not, and ends with its supervisor: it
// could write another run's marker on as many processes as it likes, and that run would never be seen to end.
func own(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid()
}

func contains(environment []byte, entry string) bool {
	for variable := range bytes.SplitSeq(environment, []byte{0}) {
		if string(variable) == entry {
			return true
		}
	}
	return false
}
