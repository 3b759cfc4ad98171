package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// enter makes the test binary the first process inside.
const enter = "enter-sandbox"

// user is nobody's on any machine these tests run on, and no other test's: the kernel counts a user's processes over all sandboxes.
var user = 2100100000 + os.Getpid()%100000

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
	if err := os.Mkdir(filepath.Join(dir, "scratch"), 0o700); err != nil {
		t.Fatal(err)
	}
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
	for script, want := range map[string]string{
		"cat given":                       "given",
		"echo x >>results && cat results": "x\n",
		"echo x >scratch/f && cat scratch/f && echo y >/tmp/f && cat /tmp/f": "x\ny\n",
		"id -u; id -un; id -G": fmt.Sprintf("%d\nansible\n%d\n", user, user),
		"grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | tr -s '\t\n' ' '": "CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 CapAmb: 0000000000000000 ",
		"grep NoNewPrivs /proc/self/status":                                   "NoNewPrivs:\t1\n",
		"cat /proc/self/oom_score_adj":                                        "500\n",
		"set -- /proc/[0-9]*; echo $#":                                        "2\n", // init, the shell
		"cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' '":            "lo\n",
		"ls /home /root /run /var /sys 2>/dev/null":                           "",
		"ls -d /old /new 2>/dev/null":                                         "",
		"ls /dev | tr '\n' ' '":                                               "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero ",
		"ls /work | tr '\n' ' '":                                              "given results scratch ",
		"ls /proc/self/fd | wc -l":                                            "4\n", // the three, and what ls reads
		"env | grep -v ^PWD=":                                                 "PATH=/usr/bin:/bin\n",
		"python3 -c 'import os; print(os.openpty()[0] > 0)'":                  "True\n",
		"python3 -c 'import socket as s; s.socket(1, 1); s.socket(2, 1); s.socket(10, 2); s.socket(16, 3); print(1)'": "1\n",
		"grep Seccomp: /proc/self/status":                                       "Seccomp:\t2\n",
		"python3 -c 'import multiprocessing; multiprocessing.Lock(); print(1)'": "1\n",
	} {
		if got := b.run(t, script); got != want {
			t.Errorf("%s\n got %q\nwant %q", script, got, want)
		}
	}
}

// Nothing of this prints "done".
func TestWhatIsRefusedInside(t *testing.T) {
	b := newBox(t)
	for _, script := range []string{
		"echo x >given", "echo x >new", "rm given", "mv results other", "chmod 777 given", "touch /x", "touch /etc/x", "touch /usr/x", "touch /dev/x",
		"mount -t tmpfs none /tmp", "umount /work/results", "unshare -U true", "unshare -m true", "unshare -n true", "chroot / true",
		"mknod /tmp/sda b 8 0", "chown 0 /tmp", "su -c true", "cat /etc/shadow", "cat /proc/1/environ", "ls -l /proc/1/fd/ | grep -q pipe", "kill -9 1 && ! kill -0 1",
		"python3 -c 'import ctypes; exit(ctypes.CDLL(None).ptrace(16, 1, 0, 0) != 0)'", "python3 -c 'import os; os.nice(-5)'",
		"python3 -c 'import socket; socket.socket(40, 1)'", "python3 -c 'import socket; socket.socket(38, 5)'", // AF_VSOCK, AF_ALG
		"python3 -c 'import ctypes as c; l = c.CDLL(None, use_errno=True); l.syscall(425, 1, 0); exit(c.get_errno() == 38)'", // io_uring_setup
		"python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 9), 1)'", "python3 -c 'import resource as r; r.setrlimit(r.RLIMIT_NPROC, (99, 99))'",
	} {
		if got := b.run(t, "if "+script+" 2>/dev/null; then echo done; fi"); strings.Contains(got, "done") {
			t.Errorf("inside one can: %s", script)
		}
	}
}

func TestLimits(t *testing.T) {
	b := newBox(t)
	for name, tc := range map[string]struct{ script, want string }{
		"processes": {"import os, time\nn = 0\ntry:\n  while n < 500:\n    if os.fork() == 0: time.sleep(60)\n    n += 1\nexcept OSError: pass\nprint(10 < n < 50)", "True"},
		"files":     {"n = []\ntry:\n  while len(n) < 500: n.append(open('/dev/null'))\nexcept OSError: pass\nprint(10 < len(n) < 64)", "True"},
		"memory":    {"try:\n  x = bytearray(5 << 30)\n  print('got it')\nexcept MemoryError: print('refused')", "refused"},
		"a file":    {"try:\n  open('/work/results', 'wb', buffering=0).write(bytes(2 << 20))\n  import os; print(os.stat('/work/results').st_size)\nexcept OSError: print('refused')", "1048576"},
		"scratch":   {"n = 0\ntry:\n  while n < 100:\n    open(f'/work/scratch/{n}', 'wb').write(bytes(100 << 10)); n += 1\nexcept OSError: pass\nprint(n <= 10)", "True"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(b.dir, "given"), tc.script)
			if got := strings.TrimSpace(b.run(t, "python3 given")); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	b := newBox(t)
	for script, want := range map[string]int{"exit 3": 3, "kill -9 $$": 137, "setsid sleep 1000 & exit 4": 4, "(sleep 0.1; exit 9) & sh -c 'exit 7'": 7} {
		cmd, _ := b.command(t, script)
		_ = cmd.Run() // how it ended is looked at
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
	b.spec.Binds[0].Source = filepath.Join(b.dir, "nowhere")
	if got := b.run(t, "true"); !strings.Contains(got, "nowhere") {
		t.Errorf("a bind of nothing: %s", got)
	}
}

// started runs a program that hides as well as it can, and returns when it runs. The mark is in its environment.
func (b *box) started(t *testing.T) (*exec.Cmd, io.Closer, string) {
	t.Helper()
	mark := "MARK=" + filepath.Base(b.dir)
	b.spec.Environment = append(b.spec.Environment, mark)
	b.spec.Command = []string{"/bin/sh", "-c", "trap '' TERM HUP INT; setsid sleep 1000 & echo up >results; sleep 1000; sleep 1000"}
	cmd, lifeline, err := Command(context.WithoutCancel(t.Context()), []string{os.Args[0], enter}, b.spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(b.dir, "results"))
		return string(text) == "up\n"
	})
	return cmd, lifeline, mark
}

// left counts the processes with the mark.
func left(t *testing.T, mark string) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range paths {
		if text, err := os.ReadFile(path); err == nil && strings.Contains(string(text), mark) {
			count++
		}
	}
	return count
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

func TestNothingOutlivesTheFirstProcess(t *testing.T) {
	for name, end := range map[string]func(*exec.Cmd, io.Closer) error{
		"killed":                     func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Kill() },
		"whoever started it is gone": func(_ *exec.Cmd, lifeline io.Closer) error { return lifeline.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			cmd, lifeline, mark := b.started(t)
			defer lifeline.Close()
			if left(t, mark) < 2 {
				t.Fatal("its processes are not seen")
			}
			if err := end(cmd, lifeline); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			if n := left(t, mark); n > 0 {
				t.Errorf("%d processes are left", n)
			}
		})
	}
}

func TestTerminationIsPassedOn(t *testing.T) {
	b := newBox(t)
	cmd, out := b.command(t, "trap 'echo bye; exit 5' TERM; echo up >results; while :; do sleep 0.05; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the program runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(b.dir, "results"))
		return string(text) == "up\n"
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // how it ended is looked at
	if got := cmd.ProcessState.ExitCode(); got != 5 || out.String() != "bye\n" {
		t.Errorf("ended with %d, saying %q", got, out)
	}
}

func TestOnlyTheEngineEnters(t *testing.T) {
	if _, err := Enter(); err == nil || !strings.Contains(err.Error(), "only the engine starts it") {
		t.Errorf("got %v", err)
	}
}
