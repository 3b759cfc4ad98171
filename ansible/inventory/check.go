package inventory

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// Check returns what a user may not say in ansible options: a login that is no name or address, and variables that are
// Ansible's or Rackplane's own. Each error names the field, below the object that holds the options, and the remedy.
// Values of the other variables are the user's: Ansible evaluates templates in them.
func Check(o v1alpha1.AnsibleOptions) []error {
	var errs []error
	if o.AnsibleHost != "" {
		if err := network.CheckHost(o.AnsibleHost); err != nil {
			errs = append(errs, fmt.Errorf("ansible.ansibleHost %w", err))
		}
	}
	if o.AnsibleUser != "" && !userName.MatchString(o.AnsibleUser) {
		errs = append(errs, fmt.Errorf("ansible.ansibleUser %s is no user name: use letters, digits, dots, dashes, underscores and @, and begin with none of .-@", show(o.AnsibleUser)))
	}
	for _, name := range slices.Sorted(maps.Keys(o.AnsibleVars)) {
		if why := refused(name, o.AnsibleVars[name]); why != "" {
			errs = append(errs, fmt.Errorf("ansible.ansibleVars[%s] %s", show(name), why))
		}
	}
	return errs
}

var (
	// userName takes what useradd and directories do, and nothing that ssh(1) or a shell reads otherwise.
	userName = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9_.@-]*$`)
	// variableName is what Ansible takes for one (ansible.utils.vars.validate_variable_name), but for a leading
	// underscore: those names are its own.
	variableName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_]*$`)
)

// longestVariable bounds a variable's name, so that messages about it stay readable.
const longestVariable = 128

// show quotes a name for a message when it is not a plain word, in a bounded length.
func show(name string) string {
	const most = 80
	if len(name) > most {
		return fmt.Sprintf("%.*q...", most, name)
	}
	if variableName.MatchString(name) {
		return name
	}
	return fmt.Sprintf("%q", name)
}

// refused says why users may not set a variable, and what to do instead; "" when they may.
func refused(name string, value apiextensionsv1.JSON) string {
	allowed, conditional := allowedValues()[name]
	_, ours := slices.BinarySearch(ownVars(), name)
	switch {
	case len(name) > longestVariable:
		return fmt.Sprintf("is longer than %d characters: shorten it", longestVariable)
	case !variableName.MatchString(name) || slices.Contains([]string{"true", "false", "none", "True", "False", "None", "not"}, name):
		return "is no variable's name: use letters, digits and underscores, and begin with a letter"
	case fields()[name] != "":
		return "is not for variables: set " + fields()[name] + " instead"
	case conditional && slices.Contains(allowed, string(value.Raw)):
		return ""
	case conditional:
		return "changes how Ansible executes: leave it out, or set it to " + allowed[0]
	case strings.HasPrefix(name, "ansible_"):
		return "is Ansible's own and can change how it connects or executes: remove it"
	case ansibleVars(name):
		return "is Ansible's own: rename it"
	case ours || strings.HasPrefix(name, "rackplane_"):
		return "is set by Rackplane alone: remove it"
	}
	return ""
}

// fields are the fields that say what these variables would.
func fields() map[string]string {
	const user, host, port, key = "ansible.ansibleUser", "ansible.ansibleHost", "ansible.ansiblePort", "spec.nodeTemplate.ansibleSSHPrivateKeySecret"
	return map[string]string{
		"ansible_user": user, "ansible_ssh_user": user, "ansible_host": host, "ansible_ssh_host": host, "ansible_port": port, "ansible_ssh_port": port,
		"ansible_private_key": key, "ansible_private_key_file": key, "ansible_ssh_private_key": key, "ansible_ssh_private_key_file": key,
	}
}

// allowedValues are what variables of Ansible's may be set to: what the playbooks do anyway, and RHOSO manifests may say.
func allowedValues() map[string][]string {
	return map[string][]string{
		"ansible_become":        {"true", `"true"`, `"yes"`},
		"ansible_become_method": {`"sudo"`, `"ansible.builtin.sudo"`},
		"ansible_become_user":   {`"root"`},
	}
}

// ansibleVars reports whether Ansible means something by a name that does not begin with ansible_. A test holds it and
// the prefix against what the pinned ansible-core says of its plugins, settings and magic variables.
func ansibleVars(name string) bool {
	switch name {
	case "delegated_vars", "discovered_interpreter_python", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file",
		"inventory_hostname", "inventory_hostname_short", "omit", "play_hosts", "playbook_dir", "role_name", "role_names",
		"role_path", "role_uuid", "vars":
		return true
	}
	return false
}

// ownVars are the variables that say what is run where and who is trusted, sorted. They come with the run (extra
// variables) or the engine's own knowledge, and nobody's manifest may differ.
func ownVars() []string {
	return []string{
		"edpm_known_hosts", "edpm_network_config_hash", "edpm_network_config_nmstate", "edpm_nodeset_name", "edpm_override_hosts",
		"edpm_service_data_dir", "edpm_service_type", "edpm_service_types", "edpm_services", "edpm_services_override",
	}
}
