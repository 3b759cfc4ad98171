package rack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/rackplane/rackplane/test/cgroup"
)

// stopGrace is how long a service may take to end by itself.
const stopGrace = 10 * time.Second

// run executes a command to its end. Its error carries what the command wrote to its standard error.
func run(ctx context.Context, name string, args ...string) error {
	_, err := output(ctx, name, args...)
	return err
}

// output executes a command to its end and returns its trimmed standard output.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// service is a program that the rack keeps running, with its output in a log file.
type service struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
}

// program is what a service runs.
type program struct {
	name string
	argv []string
	env  []string     // added to the rack's own environment
	in   cgroup.Group // group to start in; empty for the rack's own
}

// startService starts a program in the state directory dir, its output going to dir/log.
func startService(ctx context.Context, dir string, p program) (*service, error) {
	path := filepath.Join(dir, "log", p.name+".log")
	log, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	defer func() { _ = log.Close() }()
	// A service outlives the request that starts it: it ends by stop, or with the namespaces.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.argv[0], p.argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), append(p.env, "TMPDIR="+filepath.Join(dir, "tmp"))...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.in != "" {
		started, err := p.in.Attach(cmd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		defer started()
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	s := &service{name: p.name, log: path, cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(s.done)
	}()
	return s, nil
}

// ready waits until check succeeds. It fails when ctx ends or the program does.
func (s *service) ready(ctx context.Context, check func(context.Context) error) error {
	var last error
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		last = check(attempt)
		cancel()
		if last == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended before it was ready (%s); see %s", s.name, s.cmd.ProcessState, s.log)
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w; see %s", s.name, errors.Join(ctx.Err(), last), s.log)
		default:
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s is not ready: %w; see %s", s.name, errors.Join(err, last), s.log)
		}
	}
}

// stop ends the program and whatever it started: politely, then by force.
func (s *service) stop() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGTERM)
	timer := time.NewTimer(stopGrace)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// kill ends the program and whatever it started without warning, as a crash does.
func (s *service) kill() {
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.done
}

// pause waits for d or for the end of ctx, whose error it then returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// writeTemplate fills in a configuration file that only root may read.
func writeTemplate(file, text string, values any) error {
	parsed, err := template.New(filepath.Base(file)).Parse(text)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}
