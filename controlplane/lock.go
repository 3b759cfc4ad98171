package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const orphanPoll = 50 * time.Millisecond

// lockInstance makes this process the only one on the state directory, or says who is.
func lockInstance(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control plane: state directory: %w", err)
	}
	f, err := openLock(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("control plane: lock %s: %w", f.Name(), err)
		}
		holder, _ := os.ReadFile(f.Name())
		return nil, fmt.Errorf("control plane: state directory %s is in use by process %s: stop it or choose another --state-dir",
			dir, strings.TrimSpace(string(holder)))
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("control plane: lock: %w", err), f.Close())
	}
	return f, nil
}

// lockChildren waits until no child of an earlier instance is left. The children hold this lock, so two etcd
// never work on the same data even when their parent was killed a moment ago.
func lockChildren(ctx context.Context, dir string) (*os.File, error) {
	f, err := openLock(filepath.Join(dir, "children.lock"))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, orphanGrace)
	defer cancel()
	poll := time.NewTicker(orphanPoll)
	defer poll.Stop()
	for {
		err := flock(f)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("control plane: lock %s: %w", f.Name(), err), f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("control plane: an etcd or kube-apiserver of an earlier instance still runs on %s: "+
				"end the processes that hold %s open", dir, f.Name()), f.Close())
		case <-poll.C:
		}
	}
}

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	return f, nil
}

func flock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
