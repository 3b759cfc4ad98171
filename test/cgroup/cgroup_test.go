package cgroup

import "testing"

func TestFindsTheGroup(t *testing.T) {
	hybrid := "30 23 0:26 / /sys/fs/cgroup/systemd rw - cgroup none rw,name=systemd\n" +
		"31 23 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 none rw\n"
	if got, err := cgroup2Mount(hybrid); err != nil || got != "/sys/fs/cgroup/unified" {
		t.Errorf("cgroup2Mount = %q, %v", got, err)
	}
	if _, err := cgroup2Mount("30 23 0:26 / /sys/fs/cgroup rw - tmpfs none rw\n"); err == nil {
		t.Error("a machine without cgroup2 was accepted")
	}
	if got, err := cgroup2Path("4:memory:/x\n0::/user.slice/session-1.scope\n"); err != nil || got != "/user.slice/session-1.scope" {
		t.Errorf("cgroup2Path = %q, %v", got, err)
	}
}
