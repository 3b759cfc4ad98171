package rollout

import (
	"slices"
	"testing"
)

func TestUnread(t *testing.T) {
	c := Collection{Playbooks: map[string]Playbook{
		"osp.edpm.a": {Reads: Reads{Names: []string{"timezone", "edpm_network_config_template"}, Suffixes: []string{"_mtu"}}},
		"osp.edpm.b": {Reads: Reads{Names: []string{"of_another"}}},
	}}
	known, own := []Service{{Playbook: "osp.edpm.a"}}, []Service{{Playbook: "osp.edpm.a"}, {Playbook: "site.yml"}}
	vars := map[string]string{
		"timezone": `"{{ zone }}"`, "zone": `"UTC"`, "storage_mtu": `9000`, "of_another": `1`, "timezon": `"UTC, not zone2"`, "zone2": `1`, "ansible_become": `true`,
		"edpm_network_config_template": `"{{ helper }}"`, "helper": `1`, "zone_of_nobody": `"{{ zone_of_nobody }}"`,
	}
	if got := c.Unread(known, vars); !slices.Equal(got, []string{"edpm_network_config_template", "timezon", "zone2", "zone_of_nobody"}) {
		t.Errorf("unread: %v", got)
	}
	if got := c.Unread(own, vars); got != nil {
		t.Errorf("a playbook of the user's may read anything, but told are %v", got)
	}
	if got := c.Unread(nil, vars); got != nil {
		t.Errorf("no service, but told are %v", got)
	}
	if Superseded("timezone") != "" || Superseded("edpm_network_config_nmstate") == "" {
		t.Error("what the engine has the part of")
	}
}
