package rollout

import (
	"maps"
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

// Inputs are the input hashes of a set's services on its nodes. What services share, an inventory's variables and each
// service's own data, is hashed once, however many nodes there are.
type Inputs struct {
	collection    string
	group, global string
	hosts         map[string]string
	services      map[string]hashed
}

// hashed is a service as far as it is the same on every node.
type hashed struct {
	digest string
	global bool
}

// NewInputs hashes services and an inventory. collection identifies the playbooks' version.
func NewInputs(inv inventory.Inventory, services []Service, collection string) Inputs {
	global := maps.Clone(inv.GroupVars)
	for _, name := range listVars() {
		delete(global, name)
	}
	local := maps.Clone(global)
	delete(local, knownHostsVar)
	in := Inputs{
		collection: collection,
		group:      digest(local),
		global:     digest(global),
		hosts:      make(map[string]string, len(inv.Hosts)),
		services:   make(map[string]hashed, len(services)),
	}
	for _, h := range inv.Hosts {
		in.hosts[h.Name] = digest(h.Vars)
	}
	for _, s := range services {
		s.Limits = Limits{}
		in.services[s.Name] = hashed{digest(s), s.Global}
	}
	return in
}

// Hash identifies what a run of the service gives the node: 16 hex characters of a SHA-256. A global service's covers the
// group's variables with all known hosts, and no node's own variables: it is the same on every node of the set. Any other's
// covers the node's variables and the group's without the known hosts, so other nodes do not touch it. Neither covers the
// list of the set's services.
func (in Inputs) Hash(service, node string) string {
	s := in.services[service]
	vars := []string{in.group, in.hosts[node]}
	if s.global {
		vars = []string{in.global}
	}
	return identify([]byte(strings.Join(append(vars, s.digest, in.collection), "\n")))
}
