package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process says what to run.
type process struct {
	name string   // the binary's name, also that of its log
	dir  string   // where the binary is
	log  string   // where logs go
	lock *os.File // held by the child for its life
	args []string
}

// child is a process that never outlives this one.
type child struct {
	name, log string
	cmd       *exec.Cmd
	exited    chan struct{} // closed when it has ended and err is set
	err       error
}

// startChild starts it; ctx does not bound its life.
func startChild(ctx context.Context, p process) (*child, error) {
	logPath := filepath.Join(p.log, p.name+".log")
	out, err := openLog(logPath)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(p.dir, p.name), p.args...)
	cmd.Dir = p.log
	cmd.Env = []string{} // neither program may take settings, proxies above all, from the user's environment
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{p.lock}
	// A session of its own: an interrupt at the terminal is for this process, which then stops its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	c := &child{name: p.name, log: logPath, cmd: cmd, exited: make(chan struct{})}
	started := make(chan error)
	go c.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("control plane: start %s: %w", p.name, err)
	}
	return c, nil
}

// run starts the child and sees it end on one thread. The kernel sends the death signal when the thread that
// forked ends (prctl(2), PR_SET_PDEATHSIG), so that thread must live as long as the child.
func (c *child) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := c.cmd.Start()
	started <- err
	if err == nil {
		c.err = c.cmd.Wait()
		close(c.exited)
	}
}

// stop asks the child to end and kills it when it does not, or when ctx ends.
func (c *child) stop(ctx context.Context) error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("control plane: stop %s: %w", c.name, err)
	}
	grace := time.NewTimer(stopGrace)
	defer grace.Stop()
	select {
	case <-c.exited:
		return nil
	case <-ctx.Done():
	case <-grace.C:
	}
	if err := c.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("control plane: kill %s: %w", c.name, err)
	}
	<-c.exited
	return nil
}

// failure says in one line how the child ended, with its last words.
func (c *child) failure() error {
	text := "exited"
	if c.err != nil {
		text = c.err.Error()
	}
	if last := lastLine(c.log); last != "" {
		return fmt.Errorf("control plane: %s ended by itself (%s): %s; see %s", c.name, text, last, c.log)
	}
	return fmt.Errorf("control plane: %s ended by itself (%s); see %s", c.name, text, c.log)
}

// openLog starts a new log and keeps the one before.
func openLog(path string) (*os.File, error) {
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	return f, nil
}

func lastLine(path string) string {
	const most = 400
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	data = bytes.TrimSpace(data)
	data = data[bytes.LastIndexByte(data, '\n')+1:]
	return string(data[:min(len(data), most)])
}
