package rollout

import (
	"maps"
	"slices"
	"strings"

	"github.com/rackplane/rackplane/ansible/inventory"
)

// Collection is the playbooks that runs use.
type Collection struct {
	// Version changes whenever anything of the collection does.
	Version string
	// Playbooks are those of which more is known, by name (FQCN).
	Playbooks map[string]Playbook
}

// Playbook is what the engine knows of a playbook.
type Playbook struct {
	// Version changes whenever anything does that the playbook runs.
	Version string
	// Reads are the variables of the inventory that it reads.
	Reads Reads
}

// Reads are variables.
type Reads struct {
	// Names of variables, each once, in an order that stays.
	Names []string
	// Suffixes of the names of further ones.
	Suffixes []string
}

// Knows reports whether the variables that the services read are known.
func (c Collection) Knows(services []Service) bool {
	return !slices.ContainsFunc(services, func(s Service) bool {
		_, ok := c.Playbooks[s.Playbook]
		return !ok
	})
}

// Trim leaves out of the inventory what none of the services reads and what grows with the nodes of the namespace: their host
// keys. It is for services that the collection knows.
func (c Collection) Trim(inv inventory.Inventory, services []Service) inventory.Inventory {
	if slices.ContainsFunc(services, func(s Service) bool { return slices.Contains(c.Playbooks[s.Playbook].Reads.Names, knownHostsVar) }) {
		return inv
	}
	inv.GroupVars = maps.Clone(inv.GroupVars)
	delete(inv.GroupVars, knownHostsVar)
	return inv
}

// of returns the hash of those of the variables that are read, and whether Ansible evaluates something in one of them.
func (r Reads) of(v variables) (hash string, evaluated bool) {
	var b strings.Builder
	add := func(name string) {
		if text, ok := v.texts[name]; ok {
			b.WriteString(name + "=" + text + "\n")
			evaluated = evaluated || v.templates[name]
		}
	}
	for _, name := range r.Names {
		add(name)
	}
	if len(r.Suffixes) > 0 {
		for _, name := range slices.Sorted(maps.Keys(v.texts)) {
			if r.ends(name) {
				add(name)
			}
		}
	}
	return identify([]byte(b.String())), evaluated
}

// has reports whether a variable is read.
func (r Reads) has(name string) bool { return slices.Contains(r.Names, name) || r.ends(name) }

func (r Reads) ends(name string) bool {
	return slices.ContainsFunc(r.Suffixes, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}
