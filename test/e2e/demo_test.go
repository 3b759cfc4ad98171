// Package e2e runs the demo as a newcomer does, with real Ironic, sushy-tools
// and nspawn hosts, and checks what it prints and what it leaves behind. It
// needs root and the assets that `make test` prepares; it fails without them.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// source is the root of the source tree.
const source = "../.."

// programs is the folder of the product and the demo.
var programs string

func TestMain(m *testing.M) { os.Exit(withPrograms(m)) }

// withPrograms compiles the product and the demo once for all tests: linking them takes ten seconds of a core each time.
func withPrograms(m *testing.M) int {
	var err error
	if programs, err = os.MkdirTemp("", "e2e-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(programs)
	for name, pkg := range map[string]string{"rackplane": "./cmd/rackplane", "demo": "./test/demo"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(programs, name), pkg)
		cmd.Dir = source
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
			return 1
		}
	}
	return m.Run()
}

// demo runs it for at most 20 minutes and returns what it printed; what it leaves behind fails the test.
func demo(t *testing.T, args ...string) string {
	t.Helper()
	return demoWithin(t, 20*time.Minute, args...)
}

func demoWithin(t *testing.T, limit time.Duration, args ...string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e-") //nolint:usetesting // t.TempDir is too long: SSH control sockets live below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	links := interfaces(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(programs, "demo"), append(args, "--dir", dir)...)
	cmd.Dir = source
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	t.Log(out.String())
	if err != nil {
		t.Fatalf("the demo failed: %v", err)
	}
	if left := leftBehind(t, dir, cmd.Process.Pid); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	if after := interfaces(t); after != links {
		t.Errorf("interfaces before: %s, after: %s", links, after)
	}
	return out.String()
}

// leftBehind lists mounts, processes and control groups of one demo: other racks may run beside it.
func leftBehind(t *testing.T, dir string, pid int) string {
	t.Helper()
	var left []string
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, "mount "+line)
		}
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range commands {
		line, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(line, []byte(dir)) || bytes.Contains(line, []byte(programs))) {
			left = append(left, "process "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	prefix := fmt.Sprintf("rackplane-%d-", pid) // test/rack names its group so, wherever that is
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() && strings.HasPrefix(entry.Name(), prefix) {
			left = append(left, "control group "+path)
		}
		return nil // what vanishes meanwhile is not left
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(left, "\n")
}

func interfaces(t *testing.T) string {
	t.Helper()
	links, err := filepath.Glob("/sys/class/net/*")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(links, " ")
}

func expect(t *testing.T, out string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(`(?m)` + p).MatchString(out) {
			t.Errorf("the output has no line like %s", p)
		}
	}
}

func TestDemo(t *testing.T) {
	out := demo(t)
	expect(t, out,
		`^demo: 3/3 nodes ready in \d+s$`,
		`^demo: scaled 3 -> 4 -> 3 in \d+s$`,
		`^\+ r7-n00 +openstack/server-0 `, // planned
		`r7-n00 +Ready +server-0 `,        // and so made
		`released host server-3`,
	)
}

func TestDemoSurvivesKillingTheEngine(t *testing.T) {
	out := demo(t, "--kill-every", "17s", "--first-act-only")
	expect(t, out, `^demo: 3/3 nodes ready in \d+s$`, `the engine was killed \d+ times`)
}

func TestDemoPreProvisioned(t *testing.T) {
	out := demo(t, "--mode", "preprovisioned")
	expect(t, out, `^demo: 3/3 nodes ready in \d+s$`)
}

func TestDemoWithFaults(t *testing.T) {
	out := demo(t, "--faults")
	expect(t, out,
		`^server-3: .*server-3-bmc`,
		`^r7-n01: .*site-check.*not wanted here`,
		`^NodeSet rack7: r7-n04: no host left`,
		`^demo: 4 faults told, isolated and survived$`,
	)
}
