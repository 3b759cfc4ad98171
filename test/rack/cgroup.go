package rack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// cgroup is the directory of a cgroup2 control group.
type cgroup string

// newCgroup makes a group below the one this process is in, under a name that starts with prefix.
// The name is a new one each time: where a group has once been killed, some kernels (seen with 6.18) also kill
// what is started in it later.
func newCgroup(prefix string) (cgroup, error) {
	own, err := ownCgroup()
	if err != nil {
		return "", err
	}
	path, err := os.MkdirTemp(own, prefix+"-")
	if err != nil {
		return "", fmt.Errorf("control group: %w", err)
	}
	return cgroup(path), nil
}

// kill ends every process in the group and below it at once.
func (g cgroup) kill() error {
	if err := os.WriteFile(filepath.Join(string(g), "cgroup.kill"), []byte("1"), 0o200); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}

// remove removes the group and the groups below it, as far as they are empty.
func (g cgroup) remove() {
	var below []string
	_ = filepath.WalkDir(string(g), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			below = append(below, path)
		}
		return nil
	})
	for _, path := range slices.Backward(below) {
		_ = os.Remove(path)
	}
}

// sweepScript waits for the end of its input, then kills and removes a control group.
const sweepScript = `
cat >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
	[ -d "$1" ] || exit 0
	echo 1 >"$1/cgroup.kill"
	find "$1" -depth -type d -exec rmdir {} + && exit 0
	sleep 0.2
done 2>/dev/null
`

// sweepAfter starts a watcher that removes the group once this process is gone or calls the returned function.
func (g cgroup) sweepAfter(ctx context.Context) (sweep func(), err error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "sh", "-c", sweepScript, "sh", string(g))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("control group watcher: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("control group watcher: %w", err)
	}
	return func() {
		_ = input.Close()
		_ = cmd.Wait()
	}, nil
}

// ownCgroup finds the directory of this process's cgroup2 group.
func ownCgroup() (string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("control group: %w", err)
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("control group: %w", err)
	}
	mount, err := cgroup2Mount(string(mounts))
	if err != nil {
		return "", err
	}
	path, err := cgroup2Path(string(groups))
	if err != nil {
		return "", err
	}
	return filepath.Join(mount, path), nil
}

// cgroup2Mount finds the mount point of cgroup2 in /proc/self/mountinfo (proc_pid_mountinfo(5)).
func cgroup2Mount(mountinfo string) (string, error) {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) >= 5 {
			return fields[4], nil
		}
	}
	return "", errors.New("control group: no cgroup2 file system is mounted")
}

// cgroup2Path finds the cgroup2 entry in /proc/self/cgroup (cgroups(7)).
func cgroup2Path(groups string) (string, error) {
	for line := range strings.Lines(groups) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path, nil
		}
	}
	return "", errors.New("control group: this process is in no cgroup2 group")
}
