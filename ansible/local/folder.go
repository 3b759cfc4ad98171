package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rackplane/rackplane/ansible"
)

// The files of a run's folder that are the engine's and the supervisor's. The run sees none of them.
const (
	fileLock       = "lock"
	fileCanceled   = "canceled"
	fileLate       = "late" // what goes on is for nodes that others have left behind
	fileOrder      = "order.json"
	fileEnding     = "ending.json"
	fileSupervisor = "supervisor.log"
	fileStdout     = "stdout.log"
	fileStderr     = "stderr.log"
	dirWork        = "work"
)

// folder is the folder of one run.
type folder struct{ dir string }

func (f folder) path(name string) string { return filepath.Join(f.dir, name) }

// work is the path of what the run sees.
func (f folder) work(name string) string { return filepath.Join(f.dir, dirWork, name) }

// running reports whether a process of the run holds its lock.
func (f folder) running() (bool, error) {
	lock, err := os.Open(f.path(fileLock))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Close()
	err = flock(lock, syscall.LOCK_SH)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// state tells where the run stands. The lock is looked at first: results are written before it is let go.
func (f folder) state(j *journal) (ansible.State, error) {
	running, err := f.running()
	if err != nil {
		return "", err
	}
	if running {
		return ansible.Running, nil
	}
	if f.has(fileCanceled) {
		return ansible.Absent, nil
	}
	if err := j.read(f.work(fileEvents)); err != nil {
		return "", err
	}
	if j.over || f.has(fileEnding) {
		return ansible.Finished, nil
	}
	return ansible.Absent, nil
}

// quiet is how long a run tells nothing before it counts as waiting rather than working.
const quiet = 2 * time.Minute

// idle reports whether a run that goes on waits more than it works. The run itself has its hand on its events: it can seem
// idle at will, and what that gives is bounded.
func (f folder) idle(now time.Time) bool {
	if f.has(fileLate) {
		return true
	}
	info, err := os.Lstat(f.work(fileEvents))
	return err == nil && now.Sub(info.ModTime()) > quiet
}

// nodes are those of the run; none when there is no run.
func (f folder) nodes() []string {
	limit, err := os.ReadFile(f.work(fileLimit))
	if err != nil {
		return nil
	}
	return strings.Fields(string(limit))
}

func (f folder) has(name string) bool {
	_, err := os.Stat(f.path(name))
	return err == nil
}

func (f folder) changed() time.Time {
	info, err := os.Stat(f.dir)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// size is what the folder takes of the disk, as far as it can be seen.
func (f folder) size() int64 {
	var size int64
	_ = filepath.WalkDir(f.dir, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			if info, infoErr := entry.Info(); infoErr == nil {
				size += info.Size()
			}
		}
		return nil // what has gone takes nothing
	})
	return size
}

// times are when the run began, which is when its order was written, and when it is ended at the latest.
func (f folder) times() (since, until time.Time) {
	info, err := os.Stat(f.path(fileOrder))
	if err != nil {
		return since, until
	}
	since = info.ModTime()
	if o, err := f.order(); err == nil {
		until = since.Add(o.Bounds.Timeout)
	}
	return since, until
}

func (f folder) removeSecrets() error {
	var err error
	for _, name := range []string{fileKey, fileExtraVars, fileDial, dirData, dirControl, dirTemporary} {
		err = errors.Join(err, os.RemoveAll(f.work(name)))
	}
	return err
}

// begin lays the folder out anew and starts the run's supervisor. An engine that dies in between leaves an Absent run.
func (f folder) begin(ctx context.Context, p prepared) error {
	// A lost run may have left connections behind. Where there is no folder there was no run, and nothing to wait for.
	if f.has("") {
		if err := f.endProcesses(ctx); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(f.dir); err != nil {
		return err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(f.path(fileLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	// From here on the run's processes hold the lock; this process lets go of it.
	defer lock.Close()
	if err := flock(lock, syscall.LOCK_EX); err != nil {
		return err
	}
	err = f.writeWork(p)
	if err == nil {
		err = writeWhole(f.path(fileOrder), p.order)
	}
	if err == nil {
		err = f.spawn(ctx, p.supervisor, lock)
	}
	if err != nil {
		return errors.Join(err, f.removeSecrets())
	}
	return nil
}

// writeWork writes what the run sees, for its user alone to read. It never owns any of it: with a lease on a file of its
// own it would keep the engine waiting that opens it (fcntl(2), F_SETLEASE). OpenSSH takes a key of another owner as it is.
func (f folder) writeWork(p prepared) error {
	if err := os.Mkdir(f.work(""), 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(f.work(""))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, dir := range []string{dirData, dirControl, dirTemporary} {
		if err := root.Mkdir(dir, 0o700); err != nil {
			return err
		}
	}
	for path, data := range p.files {
		if err := root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := root.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	if p.user == nobodyElse {
		return nil
	}
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o640)
		switch {
		case entry.IsDir():
			mode = 0o750
		case path == fileEvents:
			mode = 0o660
		}
		return errors.Join(root.Lchown(path, -1, p.user), root.Chmod(path, mode))
	})
}

func flock(f *os.File, how int) error {
	if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
