package rollout

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Unread returns the names of those of the variables, by name with their values as JSON, that nothing reads: no role of the
// collection, and no template in another one's value. A service that is not of the collection may read anything: then there are none.
// What the engine always gives in another form has no effect, whoever declares to read it: it counts as unread.
func (c Collection) Unread(services []Service, vars map[string]string) []string {
	if len(services) == 0 || !c.Knows(services) {
		return nil
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if (!c.reads(name) || Superseded(name) != "") && !strings.HasPrefix(name, "ansible_") && !inTemplates(name, vars) {
			out = append(out, name)
		}
	}
	return out
}

// Superseded says what to write instead of a variable of edpm-ansible whose part the engine has; "" for all others.
func Superseded(name string) string {
	switch name {
	case "edpm_network_config_template", "edpm_network_config_nmstate", "edpm_network_config_os_net_config_mappings":
		return "the network is rendered from networkConfig, and goes before it: write the layout there, an nmstate document as networkConfig.nmstate, and which card is which as spec.nodes[].nics"
	default:
		return ""
	}
}

func (c Collection) reads(name string) bool {
	for _, p := range c.Playbooks {
		if p.Reads.has(name) {
			return true
		}
	}
	return false
}

// inTemplates reports whether another variable's value is a template that names the variable.
func inTemplates(name string, vars map[string]string) bool {
	word := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)
	for other, value := range vars {
		if other != name && (strings.Contains(value, "{{") || strings.Contains(value, "{%")) && word.MatchString(value) {
			return true
		}
	}
	return false
}
