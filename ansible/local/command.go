package local

import (
	"path/filepath"
	"strconv"

	"github.com/apenella/go-ansible/v2/pkg/execute/configuration"
	"github.com/apenella/go-ansible/v2/pkg/playbook"

	"github.com/rackplane/rackplane/ansible"
)

// markerName is the variable that all processes of a run carry, whatever session they move to.
const markerName = "RACKPLANE_RUN"

func (c Config) playbookBinary() string { return filepath.Join(c.Venv, "bin", "ansible-playbook") }

func (f folder) marker() string { return markerName + "=" + f.dir }

// command is ansible-playbook's. go-ansible says what to run but does not run it: its executor feeds the output through
// the process that calls it, and lets Ansible inherit that process's environment.
func command(c Config, r ansible.Run) ([]string, error) {
	name := r.Playbook
	if name == "" {
		name = filePlaybook
	}
	words, err := playbook.NewAnsiblePlaybookCmd(
		playbook.WithBinary(c.playbookBinary()),
		playbook.WithPlaybooks(name),
		playbook.WithPlaybookOptions(&playbook.AnsiblePlaybookOptions{
			Inventory:     fileInventory,
			Limit:         "@" + fileLimit,
			Forks:         strconv.Itoa(min(len(r.Nodes), c.Forks)),
			ExtraVarsFile: []string{"@" + fileExtraVars},
		}),
	).Command()
	if err == nil && len(r.Tokens) > 0 {
		words = append(words, "--inventory", fileFence)
	}
	return words, err
}

// environment is all that Ansible gets: nothing of the user's settings, and no secret.
func environment(v view, r ansible.Run) []string {
	temporary := filepath.Join(v.work, dirTemporary)
	settings := map[string]string{
		"ANSIBLE_CONFIG":                              filepath.Join(v.work, fileConfig),
		"ANSIBLE_COLLECTIONS_PATH":                    v.collections,
		"ANSIBLE_NOCOLOR":                             "1",
		configuration.AnsibleHome:                     filepath.Join(temporary, ".ansible"),
		configuration.AnsibleLocalTemp:                temporary,
		configuration.AnsibleCollectionsScanSysPath:   "False",
		configuration.AnsibleCallbacksEnabled:         "osp.edpm.rackplane",
		configuration.AnsibleStdoutCallback:           "ansible.builtin.default",
		configuration.AnsibleHostKeyChecking:          "True",
		configuration.AnsiblePipelining:               "True",
		configuration.AnsibleTimeout:                  "30",
		configuration.AnsiblePythonInterpreter:        "auto_silent",
		configuration.AnsibleInventoryEnabled:         "ansible.builtin.yaml",
		configuration.AnsibleInventoryUnparsedFailed:  "True",
		configuration.AnsibleInventoryUnparsedWarning: "False",
		configuration.AnsibleLocalhostWarning:         "False",
		configuration.AnsibleDeprecationWarnings:      "False",
		configuration.AnsibleRetryFilesEnabled:        "False",
		// Modules log their arguments to the node's syslog otherwise.
		configuration.AnsibleNoTargetSyslog: "True",
		// A connection that breaks before it is up is tried again, as on a node that is just coming up.
		"ANSIBLE_SSH_RETRIES": "2",
		// A task that hangs on a node has failed there in the end.
		"ANSIBLE_TASK_TIMEOUT": taskTimeout(r),

		"RACKPLANE_EVENTS": filepath.Join(v.work, fileEvents),
		"HOME":             temporary,
		"PATH":             "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG":             "C.UTF-8",
		"LC_ALL":           "C.UTF-8",
	}
	env := make([]string, 0, len(settings)+1)
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env
}
