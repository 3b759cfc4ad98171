package playbooks

import (
	"maps"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
)

// TestVariableRunsWhatReadsIt: another value of a variable makes due the services whose roles read it, and no other.
func TestVariableRunsWhatReadsIt(t *testing.T) {
	var all []rollout.Service
	for _, name := range defaultServices() {
		all = append(all, rollout.Service{Name: name, Playbook: namespace + name})
	}
	described := Collection()
	due := func(variable string) []string {
		at := func(value string) rollout.Inputs {
			inv := inventory.Inventory{GroupVars: map[string]any{variable: value}, Hosts: []inventory.Host{{Name: "n0"}}}
			return rollout.NewInputs(inv, all, described)
		}
		before, after := at("1"), at("2")
		var names []string
		for _, s := range all {
			if before.Hash(s.Name, "n0") != after.Hash(s.Name, "n0") {
				names = append(names, s.Name)
			}
		}
		return names
	}
	for variable, want := range map[string][]string{
		"timesync_ntp_servers":        {"configure_os"},
		"edpm_bootstrap_sysctl":       {"bootstrap"},
		"edpm_bootstrap_repos":        {"download_cache", "bootstrap"},
		"edpm_nftables_user_rules":    {"configure_os", "run_os"},
		"edpm_network_config_hash":    {"configure_network"},
		"edpm_ovn_bridge_mappings":    {"ovn"},
		"storage_ip":                  {"validate_network", "install_certs"},
		"storage_mtu":                 {"validate_network"},
		"edpm_tls_certs_enabled":      {"libvirt", "nova", "telemetry"},
		"no_variable_of_a_collection": nil,
	} {
		if got := due(variable); !slices.Equal(got, want) {
			t.Errorf("%s makes %v due, want %v", variable, got, want)
		}
	}
}

func TestEveryPlaybookIsDescribed(t *testing.T) {
	described := Collection()
	for _, name := range services() {
		p, ok := described.Playbooks[namespace+name]
		if !ok || p.Version == "" || len(p.Reads.Names) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	versions := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(described.Playbooks)) {
		version := described.Playbooks[name].Version
		if other := versions[version]; other != "" {
			t.Errorf("%s and %s have one version", name, other)
		}
		versions[version] = name
	}
}

// TestVersionCoversFiles: a file that a playbook runs is part of its version, one that it does not run is not.
func TestVersionCoversFiles(t *testing.T) {
	tree := fstest.MapFS{"a/tasks.yml": {Data: []byte("1")}, "b/tasks.yml": {Data: []byte("1")}}
	version := func() string {
		sum, err := hash(tree, "a")
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	first := version()
	tree["b/tasks.yml"] = &fstest.MapFile{Data: []byte("2")}
	if version() != first {
		t.Error("a file elsewhere changes the version")
	}
	tree["a/tasks.yml"] = &fstest.MapFile{Data: []byte("2")}
	if version() == first {
		t.Error("a file of its own does not")
	}
}
