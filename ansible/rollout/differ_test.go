package rollout

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/ansible/inventory"
)

// TestDifferences: what differs is named as a user wrote it, and no value is.
func TestDifferences(t *testing.T) {
	collection := Collection{Version: "all of it", Playbooks: map[string]Playbook{
		"osp.edpm.a": {Version: "1", Reads: Reads{Names: []string{"edpm_read", "edpm_known_hosts"}, Suffixes: []string{"_ip"}}},
		"osp.edpm.b": {Version: "2", Reads: Reads{Names: []string{"edpm_read"}}},
	}}
	inputs := func(vars, own map[string]any, s Service) Inputs {
		s.Name = "s"
		return NewInputs(inventory.Inventory{GroupVars: vars, Hosts: []inventory.Host{{Name: "n0", Vars: own}}}, []Service{s}, collection)
	}
	type vars = map[string]any
	before := inputs(vars{"edpm_read": "1", "edpm_x": "1"}, vars{"a_ip": "1", "edpm_y": "1"}, Service{Playbook: "osp.edpm.a", Type: "s", Data: map[string][]byte{"kept": nil, "old": nil}})
	for _, c := range []struct {
		name string
		now  Inputs
		want []string
	}{
		{"nothing that is read", inputs(vars{"edpm_read": "1", "edpm_x": "2"}, vars{"a_ip": "1"}, Service{Playbook: "osp.edpm.a", Type: "s", Data: map[string][]byte{"kept": nil, "old": nil}}), nil},
		{
			"variables and files",
			inputs(vars{"edpm_read": "hunter2", "edpm_x": "2"}, vars{"a_ip": "1", "b_ip": "2", "edpm_y": "1"}, Service{Playbook: "osp.edpm.a", Type: "s", Data: map[string][]byte{"kept": []byte("hunter2"), "new": nil}}),
			[]string{"file kept", "file new", "file old", "variable b_ip", "variable edpm_read"},
		},
		{
			"the service", inputs(vars{"edpm_read": "1", "edpm_x": "1"}, vars{"a_ip": "1", "edpm_y": "1"}, Service{Playbook: "osp.edpm.b", Type: "t", Data: map[string][]byte{"kept": nil, "old": nil}}),
			[]string{"its edpmServiceType", "its playbook"},
		},
		{
			"a playbook of which nothing is known may read all", inputs(vars{"edpm_read": "1", "edpm_x": "2"}, vars{"edpm_y": "1"}, Service{Playbook: "mine", Type: "s", Data: map[string][]byte{"kept": nil, "old": nil}}),
			[]string{"its playbook", "variable a_ip", "variable edpm_x"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.now.Differences(before, "s", "n0")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	template := vars{"a_ip": inventory.Template("{{ edpm_x }}")}
	named, names := inputs(vars{"edpm_x": "1"}, template, Service{Playbook: "osp.edpm.a"}), inputs(vars{"edpm_x": "2"}, template, Service{Playbook: "osp.edpm.a"})
	if diff := cmp.Diff([]string{"variable edpm_x"}, names.Differences(named, "s", "n0")); diff != "" {
		t.Errorf("a template may name any variable (-want +got):\n%s", diff)
	}
	collection.Playbooks["osp.edpm.a"] = Playbook{Version: "2", Reads: collection.Playbooks["osp.edpm.a"].Reads}
	later := inputs(vars{"edpm_read": "1"}, vars{"a_ip": "1"}, Service{Playbook: "osp.edpm.a", Type: "s", Data: map[string][]byte{"kept": nil, "old": nil}})
	if diff := cmp.Diff([]string{"what its playbook runs"}, later.Differences(before, "s", "n0")); diff != "" {
		t.Errorf("another version (-want +got):\n%s", diff)
	}
}

// TestDifferencesAreTheHash: something differs exactly when the hash does.
func TestDifferencesAreTheHash(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.Just[any]("1"), rapid.Just[any]("2"), rapid.Just[any](inventory.Template("{{ x }}")), rapid.Just[any](inventory.Template("2")))
		vars := rapid.MapOf(rapid.SampledFrom([]string{"read", "a_ip", "edpm_known_hosts", "x", "edpm_services"}), value)
		service := Service{Name: "s", Playbook: rapid.SampledFrom([]string{"known", "unknown"}).Draw(t, "playbook"), Global: rapid.Bool().Draw(t, "global")}
		inputs := func(which string) Inputs {
			group, host := vars.Draw(t, which+" group"), vars.Draw(t, which+" host")
			delete(host, "edpm_known_hosts") // the group's alone
			s := service
			s.Data = map[string][]byte{"f": rapid.SampledFrom([][]byte{nil, []byte("1")}).Draw(t, which+" data")}
			return NewInputs(inventory.Inventory{GroupVars: group, Hosts: []inventory.Host{{Name: "n0", Vars: host}}}, []Service{s}, Collection{
				Version: "1", Playbooks: map[string]Playbook{"known": {Version: "1", Reads: Reads{Names: []string{"edpm_known_hosts", "read"}, Suffixes: []string{"_ip"}}}},
			})
		}
		now, then := inputs("now"), inputs("then")
		found := now.Differences(then, "s", "n0")
		if one := now.Hash("s", "n0") == then.Hash("s", "n0"); one != (len(found) == 0) {
			t.Fatalf("one hash: %v, differences %v", one, fmt.Sprint(found))
		}
	})
}
