package local

import (
	"testing"
	"time"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/ansibletest"
)

func TestConformance(t *testing.T) {
	ansibletest.Conformance(t, func(t *testing.T) ansibletest.Fixture {
		t.Helper()
		l := newLab(t)
		return ansibletest.Fixture{
			Runner: l.runner(t),
			Reopen: func(t *testing.T) ansible.Runner { t.Helper(); return l.runner(t) },
			Pause:  func() { time.Sleep(100 * time.Millisecond) },
			Make: func(t *testing.T, key string, e ansibletest.Ending) ansible.Run {
				t.Helper()
				switch e {
				case ansibletest.FailsOnOne:
					return l.run(key, `- ansible.builtin.command: "{{ 'false' if inventory_hostname == 'node-a' else 'true' }}"`, nodeA, nodeB)
				case ansibletest.Hangs:
					return slow(l, key)
				case ansibletest.Breaks:
					run := l.run(key, "", nodeA, nodeB)
					run.Playbook = "osp.edpm.nonsense"
					return run
				case ansibletest.Succeeds:
				}
				return l.run(key, `- ansible.builtin.command: "true"`, nodeA, nodeB)
			},
		}
	})
}
