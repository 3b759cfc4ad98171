package rollout

import (
	"fmt"
	"maps"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/ansible/inventory"
)

func inv() inventory.Inventory {
	return inventory.Inventory{
		Group:     "rack7",
		GroupVars: map[string]any{"ansible_user": "cloud-admin", "edpm_known_hosts": []any{"n0"}, "edpm_x": "1"},
		Hosts: []inventory.Host{
			{Name: "n0", Vars: map[string]any{"ansible_host": "10.0.0.1"}},
			{Name: "n1", Vars: map[string]any{"ansible_host": "10.0.0.2"}},
		},
	}
}

// hash is the input of one service on a node.
func hash(s Service, i inventory.Inventory, node, collection string) string {
	return NewInputs(i, []Service{s}, Collection{Version: collection}).Hash(s.Name, node)
}

// TestLimitsRunNothing: another time limit gives a node nothing new, so no service runs again for it.
func TestLimitsRunNothing(t *testing.T) {
	s := Service{Name: "bootstrap", Playbook: "osp.edpm.bootstrap", Type: "bootstrap"}
	limited := s
	limited.Limits = Limits{Run: time.Hour, Task: time.Minute}
	if hash(s, inv(), "n0", "v1") != hash(limited, inv(), "n0", "v1") {
		t.Error("a limit changes the hash")
	}
}

func TestInputHash(t *testing.T) {
	local := Service{Name: "bootstrap", Playbook: "osp.edpm.bootstrap", Type: "bootstrap", Data: map[string][]byte{"a": []byte("1")}}
	global := Service{Name: "known-hosts", Playbook: "osp.edpm.known_hosts", Type: "known-hosts", Global: true}
	group := func(name, value string) func(*inventory.Inventory) {
		return func(i *inventory.Inventory) {
			i.GroupVars = maps.Clone(i.GroupVars)
			i.GroupVars[name] = value
		}
	}
	host := func(at int) func(*inventory.Inventory) {
		return func(i *inventory.Inventory) { i.Hosts[at].Vars["ansible_host"] = "10.9.9.9" }
	}
	cases := []struct {
		name          string
		change        func(*inventory.Inventory)
		local, global bool // whether the hash on n0 changes
	}{
		{"nothing", func(*inventory.Inventory) {}, false, false},
		{"known hosts", group("edpm_known_hosts", "more"), false, true},
		{"another service in the set", group("edpm_services", "more"), false, false},
		{"group variable", group("edpm_x", "2"), true, true},
		{"own variable", host(0), true, false},
		{"another node's variable", host(1), false, false},
		{"another node gone", func(i *inventory.Inventory) { i.Hosts = i.Hosts[:1] }, false, false},
		{"own node unknown", func(i *inventory.Inventory) { i.Hosts = i.Hosts[1:] }, true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			changed := inv()
			c.change(&changed)
			if got := hash(local, inv(), "n0", "v1") != hash(local, changed, "n0", "v1"); got != c.local {
				t.Errorf("node-local hash changed: %v", got)
			}
			if got := hash(global, inv(), "n0", "v1") != hash(global, changed, "n0", "v1"); got != c.global {
				t.Errorf("global hash changed: %v", got)
			}
		})
	}
	if hash(global, inv(), "n0", "v1") != hash(global, inv(), "n1", "v1") {
		t.Error("a global service has two hashes in one set")
	}
	if hash(local, inv(), "n0", "v1") == hash(local, inv(), "n1", "v1") {
		t.Error("two nodes with different variables have one hash")
	}
}

func TestInputHashCoversTheService(t *testing.T) {
	base := Service{Name: "s", Playbook: "p", Type: "s", Data: map[string][]byte{"a": []byte("1"), "b": []byte("2")}}
	change := func(f func(*Service)) Service {
		s := base
		s.Data = maps.Clone(base.Data)
		f(&s)
		return s
	}
	seen := map[string]string{hash(base, inv(), "n0", "v1"): "base", hash(base, inv(), "n0", "v2"): "another collection"}
	for name, s := range map[string]Service{
		"name": change(func(s *Service) { s.Name = "t" }), "playbook": change(func(s *Service) { s.Playbook = "q" }), "contents": change(func(s *Service) { s.PlaybookContents = "x" }),
		"role": change(func(s *Service) { s.Role = "x" }), "type": change(func(s *Service) { s.Type = "x" }), "global": change(func(s *Service) { s.Global = true }),
		"data": change(func(s *Service) { s.Data["a"] = []byte("3") }), "file name": change(func(s *Service) { s.Data = map[string][]byte{"a": []byte("1"), "c": []byte("2")} }),
	} {
		got := hash(s, inv(), "n0", "v1")
		if len(got) != 16 {
			t.Errorf("%s: %q", name, got)
		}
		if other := seen[got]; other != "" {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[got] = name
	}
	if len(seen) != 10 {
		t.Errorf("%d hashes", len(seen))
	}
}

// TestServicesDoNotTouchEachOther: what a service gives a node does not depend on which others are hashed with it.
func TestServicesDoNotTouchEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := inv()
		i.GroupVars["drawn"], i.Hosts[0].Vars["drawn"] = rapid.String().Draw(t, "group"), rapid.String().Draw(t, "host")
		s := Service{Name: "s", Global: rapid.Bool().Draw(t, "global")}
		other := Service{Name: "other", Global: rapid.Bool().Draw(t, "other"), Data: map[string][]byte{"a": rapid.SliceOf(rapid.Byte()).Draw(t, "data")}}
		if NewInputs(i, []Service{other, s}, Collection{Version: "v"}).Hash("s", "n0") != hash(s, i, "n0", "v") {
			t.Fatal("they do")
		}
	})
}

func TestUnhashableIsNotLost(t *testing.T) {
	i := inv()
	i.GroupVars["x"] = func() {}
	if hash(Service{Name: "s"}, i, "n0", "v1") == hash(Service{Name: "s"}, inv(), "n0", "v1") {
		t.Error("a value that is no JSON vanishes from the hash")
	}
}

// BenchmarkInputs is a thousand nodes with fifteen services of 4 KiB.
func BenchmarkInputs(b *testing.B) {
	i := inv()
	var known []any
	for n := range 1000 {
		name := fmt.Sprintf("n%04d", n)
		known = append(known, map[string]any{"names": []any{name, name + ".ctlplane.example.com", "10.0.0.1"}, "key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKx0"})
		vars := map[string]any{}
		for v := range 20 {
			vars[fmt.Sprintf("network%02d_ip", v)] = "192.168.122.100"
		}
		i.Hosts = append(i.Hosts, inventory.Host{Name: name, Vars: vars})
	}
	i.GroupVars["edpm_known_hosts"] = known
	services := make([]Service, 15)
	for s := range services {
		services[s] = Service{Name: strconv.Itoa(s), Playbook: "osp.edpm.bootstrap", Global: s == 0, Data: map[string][]byte{"file": make([]byte, 4096)}}
	}
	var reads []string
	for v := range 20 {
		reads = append(reads, fmt.Sprintf("edpm_service_%02d", v))
	}
	collection := Collection{Playbooks: map[string]Playbook{"osp.edpm.bootstrap": {Version: "v1", Reads: Reads{Names: append(reads, "network01_ip")}}}}
	b.ReportAllocs()
	for b.Loop() {
		in := NewInputs(i, services, collection)
		for _, h := range i.Hosts {
			for s := range services {
				in.Hash(services[s].Name, h.Name)
			}
		}
	}
}

// TestOnlyWhatIsReadCounts: of a playbook whose variables are known, another one makes nothing due; unless what is read
// is a template, which may name it.
func TestOnlyWhatIsReadCounts(t *testing.T) {
	const playbook = "osp.edpm.bootstrap"
	at := func(group, host map[string]any, global bool, version string) string {
		i := inv()
		maps.Copy(i.GroupVars, group)
		maps.Copy(i.Hosts[0].Vars, host)
		collection := Collection{Version: "all of it", Playbooks: map[string]Playbook{
			playbook: {Version: version, Reads: Reads{Names: []string{"edpm_read"}, Suffixes: []string{"_ip"}}},
		}}
		return NewInputs(i, []Service{{Name: "s", Playbook: playbook, Global: global}}, collection).Hash("s", "n0")
	}
	type vars = map[string]any
	for _, c := range []struct {
		name          string
		group, host   vars // that were
		group2, host2 vars // and now are
		local, shared bool // whether the hash of a service changes, and that of a global one
	}{
		{name: "not read", group2: vars{"edpm_x": "2"}, host2: vars{"edpm_y": "2"}},
		{name: "read, of the group", group2: vars{"edpm_read": "2"}, local: true, shared: true},
		{name: "read, of the node", host2: vars{"edpm_read": "2"}, local: true},
		{name: "by its suffix", host2: vars{"storage_ip": "2"}, local: true},
		{name: "moved to another", group: vars{"edpm_read": "a"}, group2: vars{"a_ip": "a"}, local: true, shared: true},
		{
			name: "named by a template of the group", group: vars{"edpm_read": inventory.Template("{{ edpm_y }}")}, group2: vars{"edpm_read": inventory.Template("{{ edpm_y }}")},
			host2: vars{"edpm_y": "2"}, local: true,
		},
		{
			name: "named by a template of the node", host: vars{"edpm_read": []any{inventory.Template("{% if edpm_x %}")}},
			host2: vars{"edpm_read": []any{inventory.Template("{% if edpm_x %}")}}, group2: vars{"edpm_x": "2"}, local: true,
		},
		{name: "named by text that is no template", group: vars{"edpm_read": "{{ edpm_y }}"}, group2: vars{"edpm_read": "{{ edpm_y }}"}, host2: vars{"edpm_y": "2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := at(c.group, c.host, false, "1") != at(c.group2, c.host2, false, "1"); got != c.local {
				t.Errorf("the hash changes: %v", got)
			}
			if got := at(c.group, c.host, true, "1") != at(c.group2, c.host2, true, "1"); got != c.shared {
				t.Errorf("a global service's hash changes: %v", got)
			}
		})
	}
	if at(nil, nil, false, "1") == at(nil, nil, false, "2") {
		t.Error("another version of the playbook changes nothing")
	}
}
