// Package cgroup keeps the processes of a simulated machine together: whatever they start stays in its control group,
// so that cutting the power ends all of them, and nothing is left when the program that made the group is gone.
// It needs root and a cgroup2 mount.
package cgroup

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

// Group is the directory of a cgroup2 control group.
type Group string

// New makes a group below the one this process is in, under a name that starts with prefix.
// The name is a new one each time: where a group has once been killed, some kernels (seen with 6.18) also kill
// what is started in it later.
func New(prefix string) (Group, error) {
	parent, err := Own()
	if err != nil {
		return "", err
	}
	path, err := os.MkdirTemp(parent, prefix+"-")
	if err != nil {
		return "", fmt.Errorf("control group: %w", err)
	}
	return Group(path), nil
}

// Kill ends every process in the group and below it at once.
func (g Group) Kill() error {
	if err := os.WriteFile(filepath.Join(string(g), "cgroup.kill"), []byte("1"), 0o200); err != nil {
		return fmt.Errorf("control group: %w", err)
	}
	return nil
}

// Remove removes the group and the groups below it, as far as they are empty. A group that is gone is no error.
func (g Group) Remove() error {
	var below []string
	_ = filepath.WalkDir(string(g), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			below = append(below, path)
		}
		return nil
	})
	var left error
	for _, path := range slices.Backward(below) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left = fmt.Errorf("control group: %w", err)
		}
	}
	return left
}

// Attach lets a command start in the group. The function returned is to be called once it has started.
func (g Group) Attach(cmd *exec.Cmd) (started func(), err error) {
	directory, err := os.Open(string(g))
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(directory.Fd())
	return func() { _ = directory.Close() }, nil
}

// sweepScript waits for the end of its input, then kills and removes a control group, and its shadows in the
// hierarchies of cgroup v1: systemd-nspawn makes the group it runs in there too (systemd 252, nspawn-cgroup.c,
// sync_cgroup), and nobody else would ever remove it.
const sweepScript = `
cat >/dev/null
for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
	left=
	[ ! -d "$1" ] || echo 1 >"$1/cgroup.kill"
	for group; do
		[ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + || left=yes
	done
	[ "$left" ] || exit 0
	sleep 0.2
done 2>/dev/null
`

// SweepAfter starts a watcher that removes the group once this process is gone or calls the returned function.
func (g Group) SweepAfter(ctx context.Context) (sweep func(), err error) {
	shadows, err := g.shadows()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "sh", append([]string{"-c", sweepScript, "sh", string(g)}, shadows...)...)
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

// shadows are where the group may be in the hierarchies of cgroup v1.
func (g Group) shadows() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	unified, err := cgroup2Mount(string(mounts))
	if err != nil {
		return nil, err
	}
	path, err := filepath.Rel(unified, string(g))
	if err != nil {
		return nil, fmt.Errorf("control group: %w", err)
	}
	var shadows []string
	for _, mount := range cgroupMounts(string(mounts), "cgroup") {
		shadows = append(shadows, filepath.Join(mount, path))
	}
	return shadows, nil
}

// Own finds the directory of this process's cgroup2 group.
func Own() (string, error) {
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

// cgroup2Mount finds the mount point of cgroup2 in /proc/self/mountinfo.
func cgroup2Mount(mountinfo string) (string, error) {
	if mounts := cgroupMounts(mountinfo, "cgroup2"); len(mounts) > 0 {
		return mounts[0], nil
	}
	return "", errors.New("control group: no cgroup2 file system is mounted")
}

// cgroupMounts finds the mount points of one kind of file system in /proc/self/mountinfo (proc_pid_mountinfo(5)).
func cgroupMounts(mountinfo, kind string) []string {
	var mounts []string
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, kind+" ") && len(fields) >= 5 {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts
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
