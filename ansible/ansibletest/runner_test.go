package ansibletest_test

import (
	"testing"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
)

func TestConformance(t *testing.T) {
	ansibletest.Conformance(t, func(t *testing.T) ansibletest.Fixture {
		t.Helper()
		r := ansibletest.New(2)
		return ansibletest.Fixture{
			Runner: r,
			Reopen: func(*testing.T) ansible.Runner { return r },
			Make: func(t *testing.T, key string, e ansibletest.Ending) ansible.Run {
				t.Helper()
				switch e {
				case ansibletest.FailsOnOne:
					r.Inject(ansibletest.Failure{Node: "n0", Result: v1alpha1.ServiceFailed, Message: "task x: no"})
				case ansibletest.Breaks:
					r.Inject(ansibletest.Failure{Message: "no such playbook"})
				case ansibletest.HangsOnOne:
					r.Hang(ansibletest.Hang{Node: "n0"})
				case ansibletest.Tells:
					r.Tell("", "n0", ansibletest.Notice)
					r.Tell("osp.edpm.bootstrap", "n0", ansibletest.Notice)
					r.Tell("osp.edpm.other", "", "another service's")
				case ansibletest.Succeeds, ansibletest.Hangs:
				}
				return ansible.Run{Key: key, Playbook: "osp.edpm.bootstrap", Nodes: []string{"n0", "n1"}}
			},
		}
	})
}

func TestLimitAndLose(t *testing.T) {
	r := ansibletest.New(100)
	r.Limit(1)
	run := ansible.Run{Key: "a", Role: "r", Nodes: []string{"n0"}}
	if err := r.Start(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	other := run
	other.Key = "b"
	if err := r.Start(t.Context(), other); !fault.Is(err, fault.Busy) {
		t.Errorf("second run: %v, want %s", err, fault.Busy)
	}
	if lost := r.Lose(); lost != 1 || r.Running() != 0 {
		t.Errorf("lost %d, still running %d", lost, r.Running())
	}
	if s, err := r.Status(t.Context(), "a"); err != nil || s.State != ansible.Absent {
		t.Errorf("status %+v, %v, want %s", s, err, ansible.Absent)
	}
	if n := len(r.Started()); n != 1 {
		t.Errorf("%d runs began, want 1", n)
	}
}
