package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/local/sandbox"
	"github.com/rackplane/rackplane/api/v1alpha1"
)

// laidOut is a folder with an order for a shell, and its lock.
func laidOut(t *testing.T, script string) (folder, *os.File) {
	t.Helper()
	f := workFolder(t)
	lock, err := os.Create(f.path(fileLock))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
	o := order{Spec: sandbox.Spec{Command: []string{"/bin/sh", "-c", script}, Environment: []string{f.marker()}, Dir: f.work("")}}
	if err := writeWhole(f.path(fileOrder), o); err != nil {
		t.Fatal(err)
	}
	write(t, f.work(fileKey), "key")
	return f, lock
}

func nothingMore(folder, order) ([]guard, error) {
	return []guard{func(context.Context) error { return nil }}, nil
}

func TestSupervisorHasTheLastWord(t *testing.T) {
	tooLong := func(f folder, _ order) ([]guard, error) {
		return []guard{
			func(context.Context) error {
				for !f.has("started") {
					time.Sleep(5 * time.Millisecond)
				}
				return errors.New("it took\ntoo long")
			},
			func(ctx context.Context) error {
				<-ctx.Done()
				return errors.New("what ends the run is not what comes after it")
			},
		}, nil
	}
	for name, tc := range map[string]struct {
		script string
		guards func(folder, order) ([]guard, error)
		want   ending
	}{
		"ends by itself":         {"exit 3", nothingMore, ending{Code: 3}},
		"is killed":              {"kill -9 $$", nothingMore, ending{Code: 137}},
		"is ended by a guard":    {"touch ../started; sleep 100", tooLong, ending{Code: 143, Cause: "it took too long"}},
		"leaves something there": {"setsid sleep 100 & exit 0", nothingMore, ending{}},
	} {
		t.Run(name, func(t *testing.T) {
			f, lock := laidOut(t, tc.script)
			if err := f.supervise(t.Context(), lock, tc.guards); err != nil {
				t.Fatal(err)
			}
			got, err := f.ending()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ending (-want +got):\n%s", diff)
			}
			if left, err := signalMarked(f.marker(), 0, map[int]bool{}); err != nil || left > 0 {
				t.Errorf("%d processes left, %v", left, err)
			}
			if _, err := os.Stat(f.work(fileKey)); err == nil {
				t.Error("the key is still there")
			}
		})
	}
}

// TestSupervisorKeepsTheBounds ends a run that takes too long, once one of its nodes has got to the end, and one that floods
// the file of its events.
func TestSupervisorKeepsTheBounds(t *testing.T) {
	f, lock := laidOut(t, `echo '{"event": "end", "host": "a"}' >events.jsonl; sleep 100`)
	write(t, f.work(fileLimit), "a\nb\n")
	ready := func(f folder, _ order) ([]guard, error) {
		return []guard{func(ctx context.Context) error {
			for info, err := os.Stat(f.work(fileEvents)); err != nil || info.Size() == 0; info, err = os.Stat(f.work(fileEvents)) {
				time.Sleep(5 * time.Millisecond)
			}
			return bounds{Timeout: time.Millisecond}.deadline(ctx)
		}}, nil
	}
	if err := f.supervise(t.Context(), lock, ready); err != nil {
		t.Fatal(err)
	}
	j := newJournal(f.nodes())
	if err := j.read(f.work(fileEvents)); err != nil {
		t.Fatal(err)
	}
	got, _ := f.results(j)
	if a, b := got["a"], got["b"]; a.Result != v1alpha1.ServiceSucceeded || b.Result != v1alpha1.ServiceFailed || !strings.Contains(b.Message, "had not ended after 1ms") || !strings.Contains(b.Message, "spec.runTimeoutSeconds") {
		t.Errorf("results %+v", got)
	}

	f, lock = laidOut(t, "head -c 1000 /dev/zero >>events.jsonl; sleep 100")
	if err := f.supervise(t.Context(), lock, func(f folder, _ order) ([]guard, error) {
		return []guard{bounds{EventBytes: 999}.smallEvents(f.work(fileEvents))}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := f.cause(); !strings.Contains(got, "1000 bytes") {
		t.Errorf("cause: %s", got)
	}
}

func TestSupervisorWithoutAnOrderSaysSo(t *testing.T) {
	f, lock := laidOut(t, "exit 0")
	write(t, f.path(fileOrder), "torn")
	if err := f.supervise(t.Context(), lock, nothingMore); err != nil {
		t.Fatal(err)
	}
	if got := f.cause(); !strings.Contains(got, "read the run's order") {
		t.Errorf("cause: %s", got)
	}
}

func TestCanceledRunHasNoEnding(t *testing.T) {
	f, lock := laidOut(t, "sleep 100")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = f.supervise(ctx, lock, nothingMore) // canceled: its error says nothing
	if _, err := os.Stat(f.work(fileKey)); err == nil || f.has(fileEnding) {
		t.Error("a canceled run left an ending, or its key")
	}
}

func TestRunDoesNotOutliveItsSupervisor(t *testing.T) {
	l := newLab(t)
	r := l.runner(t)
	run := slow(l, "headless")
	start(t, r, run)
	l.waitUnderWay(t, r, run.Key)
	if err := syscall.Kill(oldest(marked(t, r, run.Key)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the run is gone", func() bool { return status(t, r, run.Key).State == ansible.Absent })
}

// TestAnotherUserCannotPoseAsARun: what runs in some other run's sandbox may call itself anything, and neither keeps this run
// from being ended nor is ended with it.
func TestAnotherUserCannotPoseAsARun(t *testing.T) {
	f := folder{dir: t.TempDir()}
	poser := exec.CommandContext(t.Context(), "sleep", "1000")
	poser.Env = []string{f.marker()}
	poser.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: testUsers, Gid: testUsers}}
	if err := poser.Start(); err != nil {
		t.Fatal(err)
	}
	defer poser.Wait()
	defer poser.Process.Kill()
	if err := f.endProcesses(t.Context()); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", poser.Process.Pid)); err != nil || !contains(text, f.marker()) {
		t.Errorf("it was ended: %q, %v", text, err)
	}
}
