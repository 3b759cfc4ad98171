package rollout

import (
	"bytes"
	"slices"
)

// Differences tells what a service gets on a node by in that it did not get by before: its own parts and data files by name,
// then variables by name, each of the two sorted. Values are not told: they may be secret. It is empty exactly when both
// have one hash.
func (in Inputs) Differences(before Inputs, service, node string) []string {
	now, then := in.services[service], before.services[service]
	var out []string
	for part, other := range map[string]bool{
		"its playbook":           now.service.Playbook != then.service.Playbook || now.service.PlaybookContents != then.service.PlaybookContents || now.service.Role != then.service.Role,
		"what its playbook runs": now.version != then.version && now.service.Playbook == then.service.Playbook,
		"its edpmServiceType":    now.service.Type != then.service.Type,
		"deployOnAllNodeSets":    now.service.Global != then.service.Global,
	} {
		if other {
			out = append(out, part)
		}
	}
	for _, name := range differing(now.service.Data, then.service.Data, bytes.Equal) {
		out = append(out, "file "+name)
	}
	slices.Sort(out)
	same := func(a, b string) bool { return a == b }
	for _, name := range differing(in.texts(service, node), before.texts(service, node), same) {
		if in.covers(service, node, name) {
			out = append(out, "variable "+name)
		}
	}
	return out
}

// texts are the variables that a service has on a node, the group's value before its own: the hash covers both.
func (in Inputs) texts(service, node string) map[string]string {
	s := in.services[service]
	all := make(map[string]string, len(s.group.texts))
	for name, text := range s.group.texts {
		all[name] = text + "\n"
	}
	if !s.service.Global {
		for name, text := range in.hosts[node].texts {
			all[name] += "=" + text
		}
	}
	return all
}

// covers reports whether the hash of a service on a node covers a variable.
func (in Inputs) covers(service, node, variable string) bool {
	s := in.services[service]
	if s.any || s.reads.has(variable) {
		return true
	}
	_, evaluated := s.reads.of(in.hosts[node])
	return evaluated && !s.service.Global
}

// differing are the sorted keys of what is not in both maps, or not the same there.
func differing[V any](a, b map[string]V, same func(V, V) bool) []string {
	var names []string
	for name, v := range a {
		if other, ok := b[name]; !ok || !same(v, other) {
			names = append(names, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
