package local

import (
	"path/filepath"
	"strconv"

	"github.com/apenella/go-ansible/v2/pkg/execute/configuration"
	"github.com/apenella/go-ansible/v2/pkg/playbook"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/inventory"
)

// markerName is the variable that all processes of a run carry, whatever session they move to.
const markerName = "RACKPLANE_RUN"

// sshArguments make a connection that trusts only the run's known_hosts, uses only the run's key and is shared by
// all tasks of the run. Names are relative to the run's folder: a socket's path must stay under 108 bytes (unix(7)),
// and no folder name needs quoting. OpenSSH takes the first value it sees, so nothing added later loosens these.
// Ansible templates them per node: keys are looked up under the node's name, and two nodes behind one address never share
// a connection.
const sshArguments = "-F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + fileKnownHosts +
	" -o HostKeyAlias=" + hostKeyAlias + " -o CheckHostIP=no -o GlobalKnownHostsFile=none -o UpdateHostKeys=no -o IdentitiesOnly=yes -o IdentityAgent=none" +
	" -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=" + dirControl + "/{{ (" + hostKeyAliasOf + " | hash('sha256'))[:16] }}-%C" +
	" -o ConnectTimeout=" + connectSeconds + " -o ServerAliveInterval=10 -o ServerAliveCountMax=6"

// connectSeconds is how long a node may take to answer a connection and to show its key. Ansible's own timeout is also how
// long sudo may take, and longer.
const connectSeconds = "10"

// hostKeyAlias is the name that a node's keys are looked up under. The inventory's variable is there for tasks that are
// delegated to another node: their inventory_hostname is still the first one's.
const (
	hostKeyAliasOf = "(" + inventory.HostKeyAliasVar + " | default(inventory_hostname))"
	hostKeyAlias   = "{{ " + hostKeyAliasOf + " }}"
)

func (c Config) playbookBinary() string { return filepath.Join(c.Venv, "bin", "ansible-playbook") }

func (f folder) marker() string { return markerName + "=" + f.dir }

// command is ansible-playbook's. go-ansible says what to run but does not run it: its executor feeds the output through
// the process that calls it, and lets Ansible inherit that process's environment.
func (f folder) command(c Config, r ansible.Run) ([]string, error) {
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
func (f folder) environment(c Config, r ansible.Run) []string {
	settings := map[string]string{
		"ANSIBLE_CONFIG":                              f.path(fileConfig),
		"ANSIBLE_COLLECTIONS_PATH":                    c.Collections,
		"ANSIBLE_NOCOLOR":                             "1",
		configuration.AnsibleHome:                     f.path(".ansible"),
		configuration.AnsibleLocalTemp:                f.path(dirTemporary),
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

		"RACKPLANE_EVENTS": f.path(fileEvents),
		"HOME":             f.dir,
		"PATH":             "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"LANG":             "C.UTF-8",
		"LC_ALL":           "C.UTF-8",
	}
	env := []string{f.marker()}
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env
}
