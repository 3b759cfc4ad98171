package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/line"
)

// Unread tells of variables of the set that nothing reads, so that none is without effect in silence; "" when there are none. It is
// no problem: another version of the services may read them.
func (s *Set) Unread(c rollout.Collection) string {
	template := texts(s.NodeSet.Spec.NodeTemplate.Ansible.AnsibleVars)
	in := map[string][]string{} // fields by variable
	var order []string
	note := func(field string, own, all map[string]string) {
		for _, name := range c.Unread(s.Services, all) {
			if _, here := own[name]; !here {
				continue
			}
			if in[name] == nil {
				order = append(order, name)
			}
			in[name] = append(in[name], field)
		}
	}
	all := s.everywhere()
	note("spec.nodeTemplate", template, all)
	for _, node := range slices.Sorted(maps.Keys(s.NodeSet.Spec.Nodes)) {
		note("spec.nodes["+node+"]", texts(s.NodeSet.Spec.Nodes[node].Ansible.AnsibleVars), all)
	}
	var plain []string
	var messages []string
	for _, name := range order {
		where := fmt.Sprintf("%s (%s)", name, line.Few(in[name]))
		if why := rollout.Superseded(name); why != "" {
			messages = append(messages, fmt.Sprintf("variable %s has no effect: %s", where, why))
			continue
		}
		plain = append(plain, where)
	}
	if len(plain) > 0 {
		messages = append(messages, fmt.Sprintf("no playbook reads the variables %s: they have no effect; correct their names, or take them out of ansibleVars", line.Few(plain)))
	}
	return strings.Join(messages, "; ")
}

// everywhere are the set's variables of all nodes: a template in one may name any other. Of a name that several nodes set all values
// count.
func (s *Set) everywhere() map[string]string {
	all := texts(s.NodeSet.Spec.NodeTemplate.Ansible.AnsibleVars)
	for _, node := range slices.Sorted(maps.Keys(s.NodeSet.Spec.Nodes)) {
		for name, value := range texts(s.NodeSet.Spec.Nodes[node].Ansible.AnsibleVars) {
			all[name] += value
		}
	}
	return all
}

func texts(vars map[string]apiextensionsv1.JSON) map[string]string {
	out := make(map[string]string, len(vars))
	for name, value := range vars {
		out[name] = string(value.Raw)
	}
	return out
}
