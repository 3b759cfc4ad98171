package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/rackplane/rackplane/ansible/local/dial"
	"github.com/rackplane/rackplane/ansible/local/sandbox"
)

// lockDescriptor is where a run's processes have its lock: the first of exec.Cmd's ExtraFiles.
const lockDescriptor = 3

// The words that Sandbox.Inside is followed by.
const (
	wordEnter = "enter" // the first process of a sandbox
	wordDial  = "dial"  // and host and port: the run's way out of its sandbox
)

// Inside is what the program does that Sandbox.Inside starts, with the words that follow it. It returns the exit code.
func Inside(ctx context.Context, words []string) (int, error) {
	switch {
	case len(words) == 1 && words[0] == wordEnter:
		return sandbox.Enter()
	case len(words) == 3 && words[0] == wordDial:
		return 0, dial.Pass(ctx, filepath.Join(insideWork, fileDial), net.JoinHostPort(words[1], words[2]), os.Stdout)
	default:
		return 0, errors.New("only the engine starts this")
	}
}

// order is what the engine lays down for the supervisor. It holds no secret.
type order struct {
	// Spec of the run. Only its command, environment and folder count without walls.
	Spec sandbox.Spec
	// Enter is the command that is the first process inside; without it there are no walls.
	Enter []string `json:",omitempty"`
	// Reach says where the run's connections may go.
	Reach dial.Policy
	// Bounds of the run.
	Bounds bounds
	// Hold is what the run holds; nil when there is nothing that another run could want.
	Hold *Hold `json:",omitempty"`
}

// ending is the supervisor's last word on a run.
type ending struct {
	// Code is ansible-playbook's exit code, 128+n when signal n killed it.
	Code int
	// Cause says why the supervisor ended the run, or could not start it; empty when the run ended by itself.
	Cause string `json:",omitempty"`
}

// guard runs beside a run. By returning an error it ends the run, and the error is the cause that the run's status
// tells; nil means that it has nothing left to watch. Its context ends with the run.
type guard func(ctx context.Context) error

// guards are those of every run.
func guards(f folder, o order) ([]guard, error) {
	all := []guard{o.Bounds.deadline, o.Bounds.smallEvents(f.work(fileEvents))}
	if len(o.Enter) == 0 {
		return all, nil
	}
	l, err := f.listen(o.Spec.ID)
	if err != nil {
		return nil, fmt.Errorf("open the way to the nodes: %w", err)
	}
	return append(all, func(ctx context.Context) error { return dial.Serve(ctx, l, o.Reach) }), nil
}

// spawn starts the run's supervisor. It belongs to a session of its own, writes to files and holds the lock, so it
// needs nothing of this process.
func (f folder) spawn(ctx context.Context, supervisor []string, lock *os.File) error {
	log, err := f.log(fileSupervisor)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), supervisor[0], supervisor[1:]...)
	cmd.Dir = f.dir
	cmd.Env = []string{f.marker()}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // reaps it; how it ended is in the folder
	return nil
}

// Supervise is the life of the run that the engine laid out in dir: the run itself with what guards it, then tidying
// up, then its ending as the last word. It needs nobody: when the engine dies it goes on. A context that ends cancels
// the run, which then has no result, and so does the end of its tenure. Only the process that Config.Supervisor starts
// calls it; tenures returns the tenure of what a run holds, nil where nobody else can come to have it.
func Supervise(ctx context.Context, dir string, tenures func(Hold) (Tenure, error)) error {
	lock := os.NewFile(lockDescriptor, fileLock)
	defer lock.Close() // after the last word
	return folder{dir: dir}.serve(ctx, lock, tenures)
}

func (f folder) supervise(ctx context.Context, lock *os.File, guards func(folder, order) ([]guard, error)) error {
	o, err := f.order()
	var end ending
	if err == nil {
		end, err = f.live(ctx, o, lock, guards)
	}
	tidy := f.removeSecrets()
	if len(o.Enter) == 0 { // else the end of its first process was the end of all
		tidy = errors.Join(f.endOthers(context.WithoutCancel(ctx)), tidy)
	}
	if ctx.Err() != nil || errors.As(err, &lostError{}) {
		return errors.Join(err, tidy)
	}
	if err != nil {
		end.Cause = oneLine(err.Error())
	}
	return errors.Join(tidy, writeWhole(f.path(fileEnding), end))
}

func (f folder) order() (order, error) {
	var o order
	text, err := os.ReadFile(f.path(fileOrder))
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return order{}, fmt.Errorf("read the run's order: %w", err)
	}
	return o, nil
}

// live runs the order's command until it ends or a guard ends it; the guard's error is returned.
func (f folder) live(ctx context.Context, o order, lock *os.File, guards func(folder, order) ([]guard, error)) (ending, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	all, err := guards(f, o)
	if err != nil {
		return ending{}, err
	}
	for _, g := range all {
		go func() {
			if err := g(ctx); err != nil {
				end(err)
			}
		}()
	}
	state, err := f.runCommand(ctx, o, lock)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return ending{Code: exitCode(state)}, err
}

// runCommand returns how the command ended. It is asked to end with the context, and killed when it takes too long.
func (f folder) runCommand(ctx context.Context, o order, lock *os.File) (*os.ProcessState, error) {
	// A run without walls ends with its supervisor: the kernel sends the signal when the thread ends that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd, lifeline, err := o.prepare(ctx)
	if err != nil {
		return nil, err
	}
	defer lifeline.Close()
	stdout, err := f.capped(fileStdout)
	if err != nil {
		return nil, err
	}
	stderr, err := f.capped(fileStderr)
	if err != nil {
		return nil, errors.Join(err, stdout.close())
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// It holds the lock, too: while anything runs, the run is running.
	cmd.ExtraFiles = append(cmd.ExtraFiles, lock)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = endGrace
	err = cmd.Run()
	// What the run left behind may still hold its output open.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	// A log that could not be written is a matter for the supervisor's own log, not for the run's status.
	if logErr := errors.Join(stdout.close(), stderr.close()); logErr != nil {
		fmt.Fprintln(os.Stderr, logErr)
	}
	return cmd.ProcessState, err
}

// prepare makes the command, within its walls or without.
func (o order) prepare(ctx context.Context) (*exec.Cmd, io.Closer, error) {
	if len(o.Enter) > 0 {
		return sandbox.Command(ctx, o.Enter, o.Spec)
	}
	cmd := exec.CommandContext(ctx, o.Spec.Command[0], o.Spec.Command[1:]...)
	cmd.Dir = o.Spec.Dir
	cmd.Env = o.Spec.Environment
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	return cmd, io.NopCloser(nil), nil
}

// exitCode is a shell's: 128+n for a command that signal n killed (POSIX.1-2017, Shell, 2.8.2).
func exitCode(s *os.ProcessState) int {
	if s == nil {
		return 0
	}
	if status, ok := s.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return s.ExitCode()
}

func (f folder) log(name string) (*os.File, error) {
	return openLog(f.path(name))
}

func (f folder) ending() (ending, error) {
	var end ending
	text, err := os.ReadFile(f.path(fileEnding))
	if err == nil {
		err = json.Unmarshal(text, &end)
	}
	return end, err
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(path string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
