package rack_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// holdVariable makes the test program isolate itself and wait to be killed.
const holdVariable = "RACKPLANE_TEST_HOLD"

// hold makes what could leak (a process, a mount, an interface) and waits for the end.
func hold(ctx context.Context) {
	for _, argv := range [][]string{
		{"mount", "-t", "tmpfs", "held", "/mnt"},
		{"ip", "link", "add", "held", "type", "bridge"},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stdout, "%v: %s\n", err, out)
			os.Exit(1)
		}
	}
	if err := exec.CommandContext(ctx, "setsid", "sleep", "600").Start(); err != nil {
		fmt.Fprintln(os.Stdout, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stdout, "held")
	select {}
}

// TestKilledProgramLeavesNothing kills the outermost process of an isolated program without warning.
func TestKilledProgramLeavesNothing(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "RACKPLANE_RACK_STAGE=") {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	cmd.Env = append(cmd.Env, holdVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "held\n" {
		t.Fatalf("the isolated program says %q, %v", line, err)
	}
	groups, err := filepath.Glob(ownGroup(t, fmt.Sprintf("rackplane-%d-*", cmd.Process.Pid)))
	if err != nil || len(groups) != 1 {
		t.Fatalf("control groups %v, %v; want one", groups, err)
	}
	group := groups[0]
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	// The kernel refuses to remove a control group with processes in it, so its absence proves theirs,
	// and without processes there is no namespace, hence no mount and no interface in it.
	for range 100 {
		if _, err := os.Stat(group); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%s is still there", group)
}

// ownGroup names a control group below the one the test runs in.
func ownGroup(t *testing.T, name string) string {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut("\n"+string(groups), "\n0::")
	path, _, _ = strings.Cut(path, "\n")
	for _, mount := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		if _, err := os.Stat(filepath.Join(mount, "cgroup.procs")); err == nil {
			return filepath.Join(mount, path, name)
		}
	}
	t.Fatal("no cgroup2 mount")
	return ""
}
