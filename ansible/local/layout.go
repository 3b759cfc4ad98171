package local

import (
	"encoding/json"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/ansible"
	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/fault"
)

// The files and folders that a run sees. Commands name them relative to their folder, in which Ansible runs: a socket's
// path must stay under 108 bytes (unix(7)), and no name needs quoting.
const (
	fileEvents     = "events.jsonl"
	fileConfig     = "ansible.cfg"
	fileInventory  = "inventory.yaml"
	fileExtraVars  = "extra_vars.json"
	fileLimit      = "limit"
	fileKnownHosts = "known_hosts"
	fileKey        = "ssh_key"
	filePlaybook   = "playbook.yaml"
	fileDial       = "dial" // the dialer's socket
	dirData        = "data"
	dirControl     = "c" // of OpenSSH's shared connections
	dirTemporary   = "tmp"
)

// view is where a run finds what it needs. It is all that laying out must know of where the run will be.
type view struct {
	// work is the folder of the files above, collections Ansible's collections path.
	work, collections string
	// proxy is the command that connects to %h and %p, empty where the run has a network.
	proxy []string
}

// sshArguments make a connection that trusts only the run's known_hosts, uses only the run's key and is shared by
// all tasks of the run. OpenSSH takes the first value it sees, so nothing added later loosens these. Ansible templates
// them per node: keys are looked up under the node's name, and two nodes behind one address never share a connection.
func (v view) sshArguments() string {
	arguments := "-F none -o StrictHostKeyChecking=yes -o UserKnownHostsFile=" + fileKnownHosts +
		" -o HostKeyAlias=" + hostKeyAlias + " -o CheckHostIP=no -o GlobalKnownHostsFile=none -o UpdateHostKeys=no -o IdentitiesOnly=yes -o IdentityAgent=none" +
		" -o ControlMaster=auto -o ControlPersist=60s -o ControlPath=" + dirControl + "/{{ (" + hostKeyAliasOf + " | hash('sha256'))[:16] }}-%C" +
		" -o ConnectTimeout=" + connectSeconds + " -o ServerAliveInterval=10 -o ServerAliveCountMax=6"
	if len(v.proxy) > 0 {
		arguments += " -o 'ProxyCommand=" + strings.Join(v.proxy, " ") + "' -o ProxyUseFdpass=yes"
	}
	return arguments
}

// connectSeconds is how long a node may take to answer a connection and to show its key. Ansible's own timeout is also how
// long sudo may take, and longer.
const connectSeconds = "10"

// hostKeyAlias is the name that a node's keys are looked up under. The inventory's variable is there for tasks that are
// delegated to another node: their inventory_hostname is still the first one's.
const (
	hostKeyAliasOf = "(" + inventory.HostKeyAliasVar + " | default(inventory_hostname))"
	hostKeyAlias   = "{{ " + hostKeyAliasOf + " }}"
)

// config keeps Ansible from looking for another file of settings, which otherwise come from the environment. This one has no
// variable: looking for results a thousand times a second, which is the default, takes a tenth of a run's CPU.
const config = "[defaults]\ninternal_poll_interval = 0.01\n"

// layOut returns the files of the run by relative path.
func layOut(r ansible.Run, v view) (map[string][]byte, error) {
	vars, err := extraVars(r, v)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		fileConfig:     []byte(config),
		fileInventory:  r.Inventory,
		fileExtraVars:  vars,
		fileLimit:      []byte(strings.Join(r.Nodes, "\n") + "\n"),
		fileKnownHosts: r.KnownHosts,
		fileEvents:     nil,
	}
	if len(r.SSHPrivateKey) > 0 {
		files[fileKey] = withNewline(r.SSHPrivateKey)
	}
	if text, err := playbookText(r); err != nil {
		return nil, err
	} else if text != nil {
		files[filePlaybook] = text
	}
	if text, err := fence(r); err != nil {
		return nil, err
	} else if text != nil {
		files[fileFence] = text
	}
	for path, data := range r.Data {
		files[filepath.Join(dirData, path)] = data
	}
	return files, nil
}

// extraVars are the run's, and over them those that no inventory may change: who is talked to, and how it is known.
func extraVars(r ansible.Run, v view) ([]byte, error) {
	vars := map[string]any{}
	for name, value := range r.ExtraVars {
		vars[name] = data(value)
	}
	vars["edpm_service_data_dir"] = filepath.Join(v.work, dirData)
	vars["ansible_ssh_args"] = v.sshArguments()
	if len(r.Tokens) > 0 {
		vars["ansible_ssh_transfer_method"] = transferMethod
	}
	if len(r.SSHPrivateKey) > 0 {
		vars["ansible_ssh_private_key_file"] = filepath.Join(v.work, fileKey)
	}
	data, err := json.Marshal(vars)
	return data, fault.Wrap(fault.Rejected, err, "ansible run %s: extra variables", r.Key)
}

// data marks the texts of a value so that Ansible evaluates nothing in them, in the way its JSON files have for it.
func data(value any) any {
	switch value := value.(type) {
	case string:
		return map[string]string{"__ansible_unsafe": value}
	case []string:
		all := make([]any, len(value))
		for i := range value {
			all[i] = data(value[i])
		}
		return all
	default:
		return value
	}
}

// playbookText is the playbook to write, nil when the run names one of a collection.
func playbookText(r ansible.Run) ([]byte, error) {
	switch {
	case r.Playbook != "":
		return nil, nil
	case r.PlaybookContents != "":
		return []byte(r.PlaybookContents), nil
	default:
		// What ansible-runner makes of its --role option.
		return yaml.Marshal([]map[string]any{{"name": "Run role " + r.Role, "hosts": "all", "roles": []string{r.Role}}})
	}
}

// withNewline ends a key with a newline: OpenSSH refuses one without as malformed.
func withNewline(key []byte) []byte {
	if key[len(key)-1] == '\n' {
		return key
	}
	return append(key[:len(key):len(key)], '\n')
}
