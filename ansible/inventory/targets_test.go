package inventory

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTargets(t *testing.T) {
	inv := Inventory{GroupVars: map[string]any{"ansible_port": json.Number("2222")}, Hosts: []Host{
		{Name: "a", Vars: map[string]any{"ansible_host": "192.0.2.1"}},
		{Name: "b", Vars: map[string]any{"ansible_host": "fd00::1", "ansible_port": int64(22)}},
		{Name: "c", Vars: map[string]any{"ansible_host": "c.example.com", "ansible_port": "8022"}},
		{Name: "computed", Vars: map[string]any{"ansible_host": "192.0.2.2", "ansible_port": "{{ 22 }}"}},
		{Name: "none", Vars: map[string]any{}},
	}}
	want := map[string]string{"a": "192.0.2.1:2222", "b": "[fd00::1]:22", "c": "c.example.com:8022"}
	if diff := cmp.Diff(want, inv.Targets()); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	inv.GroupVars = nil
	if got := inv.Targets()["a"]; got != "192.0.2.1:22" {
		t.Errorf("without a port: %s", got)
	}
}
