package rollout

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rackplane/rackplane/ansible/inventory"
)

// Service is a DataPlaneService with its data.
type Service struct {
	// Name of the DataPlaneService.
	Name string
	// Playbook, PlaybookContents and Role as in its spec.
	Playbook, PlaybookContents, Role string
	// Global means its input covers every node of the namespace.
	Global bool
	// Type is edpmServiceType, defaulted to the name.
	Type string
	// Data are the keys of its data sources: file name to content. Hashed, never shown.
	Data map[string][]byte
	// Limits of its runs. They say nothing of what a run gives a node, so they are not hashed.
	Limits Limits `json:",omitzero"`
}

// Limits bound the time a service may take; 0 leaves it to the runner.
type Limits struct {
	// Run bounds a run, Task each of its tasks on a node.
	Run, Task time.Duration
}

// knownHostsVar is the group variable that changes whenever any node of the namespace comes or goes.
const knownHostsVar = "edpm_known_hosts"

// listVars are the group variables that only say which services the set has. They are not hashed: a service that is
// added runs, and the others stay as they are.
func listVars() []string { return []string{"edpm_services", "edpm_service_types"} }

// Inputs are the input hashes of a set's services on its nodes. What services and nodes share is hashed once, however many
// of them there are.
type Inputs struct {
	services map[string]hashed
	hosts    map[string]variables
}

// hashed is a service with what is the same on every node.
type hashed struct {
	service Service
	// version of what it runs.
	version string
	// group is the group's variables, as far as it may read them.
	group variables
	// reads are the variables it reads; not known when any is true: then it may read all of them.
	reads Reads
	any   bool
	// read covers the service and those of the group's variables that it reads, all every one of them.
	read, all string
}

// NewInputs hashes services and an inventory.
func NewInputs(inv inventory.Inventory, services []Service, collection Collection) Inputs {
	shared := maps.Clone(inv.GroupVars)
	for _, name := range listVars() {
		delete(shared, name)
	}
	local := maps.Clone(shared)
	delete(local, knownHostsVar)
	group, everyone := encode(local), encode(shared)
	in := Inputs{services: make(map[string]hashed, len(services)), hosts: make(map[string]variables, len(inv.Hosts))}
	for _, s := range services {
		vars := group
		if s.Global {
			vars = everyone
		}
		in.services[s.Name] = collection.hash(s, vars)
	}
	for _, h := range inv.Hosts {
		in.hosts[h.Name] = encode(h.Vars)
	}
	return in
}

func (c Collection) hash(s Service, group variables) hashed {
	s.Limits = Limits{}
	playbook, known := c.Playbooks[s.Playbook]
	if !known {
		playbook.Version = c.Version
	}
	own := digest(s) + playbook.Version
	read, evaluated := playbook.Reads.of(group)
	return hashed{
		service: s, version: playbook.Version, group: group, reads: playbook.Reads, any: !known || evaluated,
		read: identify([]byte(own + read)), all: identify([]byte(own + group.all)),
	}
}

// Hash identifies what a run of the service gives the node: 16 hex characters of a SHA-256. It covers the service, the
// playbook, and the variables that the playbook reads; all variables where that is not known, or where one of them holds a
// template, which may name any. A global service's covers the group's variables with all known hosts, and no node's own: it is
// the same on every node of the set. Any other's covers the node's variables and the group's without the known hosts, so other
// nodes do not touch it. Neither covers the list of the set's services.
func (in Inputs) Hash(service, node string) string {
	s, vars := in.services[service], in.hosts[node]
	read, evaluated := s.reads.of(vars)
	switch {
	case s.service.Global && s.any:
		return s.all
	case s.service.Global:
		return s.read
	case s.any || evaluated:
		return identify([]byte(s.all + vars.all))
	}
	return identify([]byte(s.read + read))
}

// variables are ready to be hashed.
type variables struct {
	all       string            // hash of all together
	texts     map[string]string // each one's value
	templates map[string]bool   // those whose value Ansible evaluates
}

func encode(vars map[string]any) variables {
	v := variables{texts: make(map[string]string, len(vars)), templates: map[string]bool{}}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		v.texts[name] = text(vars[name])
		v.templates[name] = evaluated(vars[name])
		all.WriteString(name + "=" + v.texts[name] + "\n")
	}
	v.all = identify([]byte(all.String()))
	return v
}

// text writes a value so that no two of one type have one text.
func text(v any) string {
	if s, ok := v.(string); ok {
		return strconv.Quote(s)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// evaluated reports whether Ansible evaluates something in a value.
func evaluated(v any) bool {
	switch v := v.(type) {
	case inventory.Template:
		return strings.Contains(string(v), "{{") || strings.Contains(string(v), "{%")
	case []any:
		return slices.ContainsFunc(v, evaluated)
	case map[string]any:
		return slices.ContainsFunc(slices.Collect(maps.Values(v)), evaluated)
	}
	return false
}
