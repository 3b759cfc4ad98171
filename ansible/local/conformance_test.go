package local

import (
	"strings"
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
				case ansibletest.HangsOnOne:
					run := l.run(key, "- ansible.builtin.raw: 'true'\n- ansible.builtin.command: sleep 1000\n  when: inventory_hostname == 'node-a'", nodeA, nodeB)
					run.PlaybookContents = strings.Replace(run.PlaybookContents, "hosts: all", "hosts: all\n  strategy: host_pinned", 1)
					return run
				case ansibletest.Breaks:
					run := l.run(key, "", nodeA, nodeB)
					run.Playbook = "osp.edpm.nonsense"
					return run
				case ansibletest.Tells:
					return telling(l, key)
				case ansibletest.Succeeds:
				}
				return l.run(key, `- ansible.builtin.command: "true"`, nodeA, nodeB)
			},
		}
	})
}

// telling is a run whose role brings a module that returns the notice it is given.
func telling(l *lab, key string) ansible.Run {
	run := l.run(key, `- ansible.builtin.include_role: {name: "{{ edpm_service_data_dir }}/teller"}`, nodeA, nodeB)
	run.Data = map[string][]byte{
		"teller/library/tell.py": []byte(`#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule({"notice": {}})
module.exit_json(notice=module.params["notice"])
`),
		"teller/tasks/main.yml": []byte(`
- name: Tell one node
  tell: {notice: "` + ansibletest.Notice + `"}
  when: inventory_hostname == 'node-a'
- name: Tell it again, and nothing, in a loop
  tell: {notice: "{{ item }}"}
  loop: ["", " ` + ansibletest.Notice + `"]
  when: inventory_hostname == 'node-a'
- name: Tell nobody
  tell: {notice: hidden}
  no_log: true
- name: Tell nobody in a loop
  tell: {notice: "{{ item }}"}
  loop: [hidden]
  no_log: true
`),
	}
	return run
}
