package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// enter makes the test binary the first process inside.
const enter = "enter-sandbox"

// user is nobody's on any machine these tests run on.
const user = 2100000000

func TestMain(m *testing.M) {
	if len(os.Args) != 2 || os.Args[1] != enter {
		os.Exit(m.Run())
	}
	code, err := Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 125
	}
	os.Exit(code)
}

// box is a sandbox with a folder that it sees at /work.
type box struct {
	spec Spec
	dir  string
}

func newBox(t *testing.T) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the sandbox needs root: run the tests as root")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "given"), "given")
	write(t, filepath.Join(dir, "results"), "")
	for _, path := range []string{dir, filepath.Join(dir, "given"), filepath.Join(dir, "results")} {
		if err := os.Chown(path, user, user); err != nil {
			t.Fatal(err)
		}
	}
	return &box{dir: dir, spec: Spec{
		Environment: []string{"PATH=/usr/bin:/bin"}, Dir: "/work", ID: user,
		Binds:   []Bind{{Source: dir, Target: "/work"}, {Source: filepath.Join(dir, "results"), Target: "/work/results", Writable: true}},
		Scratch: []string{"/work/scratch"}, ScratchBytes: 1 << 20,
		Limits: Limits{Processes: 50, Files: 64, Memory: 4 << 30, FileBytes: 1 << 20},
	}}
}

func (b *box) command(t *testing.T, script string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	b.spec.Command = []string{"/bin/sh", "-c", script}
	cmd, lifeline, err := Command(context.WithoutCancel(t.Context()), []string{os.Args[0], enter}, b.spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lifeline.Close() })
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

// run returns what the script prints inside.
func (b *box) run(t *testing.T, script string) string {
	t.Helper()
	cmd, out := b.command(t, script)
	if err := cmd.Run(); err != nil {
		t.Logf("%v", err)
	}
	return out.String()
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsSeenInside(t *testing.T) {
	b := newBox(t)
	if err := os.Mkdir(filepath.Join(b.dir, "scratch"), 0o755); err != nil {
		t.Fatal(err)
	}
	for script, want := range map[string]string{
		"cat given":                       "given",
		"echo x >>results && cat results": "x\n",
		"echo x >scratch/f && cat scratch/f && echo y >/tmp/f && cat /tmp/f": "x\ny\n",
		"id -u; id -un; id -G": fmt.Sprintf("%d\nansible\n%d\n", user, user),
		"grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | tr -s '\t\n' ' '": "CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 ",
		"grep NoNewPrivs /proc/self/status":                                   "NoNewPrivs:\t1\n",
		"ls /proc | grep -c '^[0-9]'":                                         "4\n", // init, the shell, ls, grep
		"cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '":            "lo\n",
		"ls / | tr '\n' ' '; ls /home /root 2>/dev/null":                      "",
		"ls /dev | tr '\n' ' '":                                               "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ",
		"ls /work | tr '\n' ' '":                                              "given results scratch ",
		"python3 -c 'import os; print(os.openpty()[0] > 0)'":                  "True\n",
		"exit 3": "",
	} {
		got := b.run(t, script)
		if want == "" {
			t.Logf("%s: %s", script, got)
		} else if got != want {
			t.Errorf("%s\n got %q\nwant %q", script, got, want)
		}
	}
}

var _ = []any{net.Dial, strconv.Itoa, strings.TrimSpace, syscall.Kill, time.Second}
