package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// engine is a `rackplane standalone` process: the product as its user runs it, started again when it was killed.
type engine struct {
	binary, dir string
	args        []string

	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{}
	starts  int
}

// newEngine keeps the engine's state under dir/engine.
func newEngine(binary, dir, ironicURL string) *engine {
	state := filepath.Join(dir, "engine")
	return &engine{binary: binary, dir: state, args: []string{"standalone", "--state-dir", state, "--ironic-url", ironicURL}}
}

func (e *engine) kubeconfig() string { return filepath.Join(e.dir, "kubeconfig") }
func (e *engine) log() string        { return filepath.Join(filepath.Dir(e.dir), "engine.log") }

// start begins the process; it returns at once.
func (e *engine) start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	log, err := os.OpenFile(e.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(ctx), e.binary, e.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", e.binary, err)
	}
	exited := make(chan struct{})
	e.process, e.exited = cmd, exited
	e.starts++
	go func() {
		_ = cmd.Wait() // how it ended is seen in its log; the demo notices that it is gone
		close(exited)
	}()
	return nil
}

// kill sends SIGKILL to the engine alone, as an out-of-memory killer would, and waits until it is gone.
func (e *engine) kill() { e.end(syscall.SIGKILL) }

// stop asks the engine to end.
func (e *engine) stop() { e.end(syscall.SIGTERM) }

func (e *engine) end(sig syscall.Signal) {
	e.mu.Lock()
	process, exited := e.process, e.exited
	e.mu.Unlock()
	if process == nil {
		return
	}
	_ = process.Process.Signal(sig) // already gone is fine
	select {
	case <-exited:
	case <-time.After(20 * time.Second):
		_ = process.Process.Kill() // already gone is fine
		<-exited
	}
}

// alive reports whether the process still runs.
func (e *engine) alive() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.exited:
		return false
	default:
		return true
	}
}

// connect waits for the API server and returns a client.
func (e *engine) connect(ctx context.Context) (client.Client, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, metal3v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	var last error
	for {
		if !e.alive() {
			return nil, fmt.Errorf("the engine ended while starting; the end of its log:\n%s", tail(e.log(), 15))
		}
		c, err := e.dial(ctx, scheme)
		if err == nil {
			return c, nil
		}
		last = err
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return nil, fmt.Errorf("the engine's API server did not come up: %w (%w)", last, err)
		}
	}
}

func (e *engine) dial(ctx context.Context, scheme *runtime.Scheme) (client.Client, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", e.kubeconfig())
	if err != nil {
		return nil, err
	}
	cfg.Timeout = 30 * time.Second
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	for _, list := range []client.ObjectList{&v1alpha1.NodeSetList{}, &metal3v1alpha1.BareMetalHostList{}} {
		if err := c.List(ctx, list); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// pause waits, or returns the context's error.
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
