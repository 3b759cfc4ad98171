package join_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/join"
)

const us = "c0.example.com"

func want() join.Want {
	return join.Want{
		Set:     "NodeSet site/rack",
		Host:    openstack.Host{Names: []string{us, "c0"}, Chassis: "system-0", EncapIP: "192.0.2.10"},
		Chassis: true, BridgeMappings: []string{"datacentre:br-ex"}, Agents: []string{"ovn-controller", "neutron-ovn-metadata-agent"},
		Zone: "rack7", Aggregates: []string{"gpu"}, Traits: []string{"CUSTOM_RACK7"},
	}
}

// whole is a compute as wanted.
func whole() openstack.Compute {
	return openstack.Compute{
		Services:    []openstack.ComputeService{{ID: "s0", Host: us, Up: true}},
		Hypervisors: []openstack.Hypervisor{{ID: "h0", Name: us, ServiceHost: us, Up: true}},
		Providers: []openstack.ResourceProvider{{
			ID: "h0", Name: us, Usable: map[string]int{"VCPU": 8, "MEMORY_MB": 1024, "DISK_GB": 10}, Traits: []string{"COMPUTE_NODE", "CUSTOM_RACK7"},
		}},
		Aggregates: []openstack.HostAggregate{{Name: "rack7", Zone: "rack7", Hosts: []string{us}}, {Name: "gpu", Hosts: []string{"c9", us}}, {Name: "else", Zone: "else"}},
		Agents:     []openstack.NetworkAgent{{Binary: "ovn-controller", Host: us, Alive: true}, {Binary: "neutron-ovn-metadata-agent", Host: us, Alive: true}},
		Chassis:    []openstack.Chassis{{Name: "system-0", Host: us, EncapIPs: []string{"192.0.2.10"}, BridgeMappings: []string{"datacentre:br-ex", "other:br-other"}}},
	}
}

func TestJoined(t *testing.T) {
	got := join.Next(want(), whole())
	if diff := cmp.Diff(join.Decision{Status: v1alpha1.ComputeStatus{Host: us, ServiceID: "s0", HypervisorID: "h0", Chassis: "system-0"}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !got.Joined() {
		t.Error("not joined")
	}
}

func TestNotJoined(t *testing.T) {
	type compute = openstack.Compute
	for name, c := range map[string]struct {
		change func(*join.Want, *compute)
		reason string
		words  []string
	}{
		"nothing":     {func(_ *join.Want, c *compute) { *c = compute{} }, v1alpha1.ReasonWaitingForCompute, []string{us, "c0", "journal"}},
		"two cells":   {func(_ *join.Want, c *compute) { c.Services = append(c.Services, c.Services[0]) }, v1alpha1.ReasonNameClash, []string{"2 compute services", us}},
		"down":        {func(_ *join.Want, c *compute) { c.Services[0].Up = false }, v1alpha1.ReasonServiceDown, []string{"nova-compute", us}},
		"forced down": {func(_ *join.Want, c *compute) { c.Services[0].ForcedDown = true }, v1alpha1.ReasonServiceDown, []string{"openstack compute service set --up " + us}},
		"cell down":   {func(_ *join.Want, c *compute) { c.Services[0] = openstack.ComputeService{Host: us, Unknown: true} }, v1alpha1.ReasonTransient, []string{"cell"}},
		"disabled": {func(_ *join.Want, c *compute) {
			c.Services[0].Disabled = true
			c.Services[0].DisabledReason = "bad\nDIMM"
		}, v1alpha1.ReasonServiceDisabled, []string{"bad DIMM", "--enable"}},
		"no reason": {func(_ *join.Want, c *compute) { c.Services[0].Disabled = true }, v1alpha1.ReasonServiceDisabled, []string{"no reason given"}},
		"unmapped":  {func(_ *join.Want, c *compute) { c.Hypervisors, c.Providers = nil, nil }, v1alpha1.ReasonWaitingForMapping, []string{"not mapped"}},
		"same name": {func(_ *join.Want, c *compute) {
			c.Hypervisors = append(c.Hypervisors, openstack.Hypervisor{ID: "h1", Name: us, ServiceHost: "c1"})
		}, v1alpha1.ReasonNameClash, []string{"host c1", "rename"}},
		"its name": {func(_ *join.Want, c *compute) {
			c.Hypervisors = []openstack.Hypervisor{{ID: "h1", Name: us, ServiceHost: "c1"}}
		}, v1alpha1.ReasonNameClash, []string{"host c1"}},
		"no provider":   {func(_ *join.Want, c *compute) { c.Providers = nil }, v1alpha1.ReasonWaitingForInventory, []string{"h0", "Placement"}},
		"old provider":  {func(_ *join.Want, c *compute) { c.Providers[0].ID = "h9" }, v1alpha1.ReasonNameClash, []string{"h9", "openstack resource provider delete"}},
		"no processors": {func(_ *join.Want, c *compute) { delete(c.Providers[0].Usable, "VCPU") }, v1alpha1.ReasonWaitingForInventory, []string{"VCPU"}},
		"no memory":     {func(_ *join.Want, c *compute) { c.Providers[0].Usable["MEMORY_MB"] = 0 }, v1alpha1.ReasonWaitingForInventory, []string{"MEMORY_MB"}},
		"no disk":       {func(_ *join.Want, c *compute) { c.Providers[0].Usable["DISK_GB"] = -1 }, v1alpha1.ReasonWaitingForInventory, []string{"DISK_GB"}},
		"no chassis":    {func(_ *join.Want, c *compute) { c.Chassis = nil }, v1alpha1.ReasonWaitingForChassis, []string{us, "ovn-controller"}},
		"two chassis": {func(_ *join.Want, c *compute) {
			c.Chassis = append(c.Chassis, openstack.Chassis{Name: "old", Host: us})
		}, v1alpha1.ReasonNameClash, []string{"old, system-0", "chassis-del"}},
		"cloned id":     {func(_ *join.Want, c *compute) { c.Chassis[0].Host = "c1" }, v1alpha1.ReasonNameClash, []string{"system-id", "c1"}},
		"taken address": {func(_ *join.Want, c *compute) { c.Chassis[0].Host, c.Chassis[0].Name = "c1", "other" }, v1alpha1.ReasonNameClash, []string{"192.0.2.10", "c1", "chassis-del other"}},
		"address":       {func(_ *join.Want, c *compute) { c.Chassis[0].EncapIPs = []string{"192.0.2.99"} }, v1alpha1.ReasonWaitingForChassis, []string{"192.0.2.99", "192.0.2.10", "edpm_ovn_encap_ip"}},
		"mappings":      {func(_ *join.Want, c *compute) { c.Chassis[0].BridgeMappings = nil }, v1alpha1.ReasonWaitingForChassis, []string{"datacentre:br-ex", "edpm_ovn_bridge_mappings"}},
		"no agent":      {func(_ *join.Want, c *compute) { c.Agents = c.Agents[:1] }, v1alpha1.ReasonWaitingForAgent, []string{"neutron-ovn-metadata-agent", us}},
		"agent down":    {func(_ *join.Want, c *compute) { c.Agents[1].Alive = false }, v1alpha1.ReasonServiceDown, []string{"neutron-ovn-metadata-agent", us}},
		"other zone":    {func(_ *join.Want, c *compute) { c.Aggregates[2].Hosts = []string{us} }, v1alpha1.ReasonRejected, []string{"zone else", "spec.openstack.availabilityZone"}},
		"zone's name":   {func(_ *join.Want, c *compute) { c.Aggregates[0].Zone = "" }, v1alpha1.ReasonRejected, []string{"aggregate rack7"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, seen := want(), whole()
			c.change(&w, &seen)
			got := join.Next(w, seen)
			if got.Reason != c.reason || len(got.Actions) > 0 || got.Discover != (c.reason == v1alpha1.ReasonWaitingForMapping) {
				t.Fatalf("%+v, want %s and no action", got, c.reason)
			}
			for _, word := range c.words {
				if !strings.Contains(got.Message, word) {
					t.Errorf("does not mention %q: %s", word, got.Message)
				}
			}
		})
	}
}

func TestLenience(t *testing.T) {
	for name, change := range map[string]func(*join.Want, *openstack.Compute){
		"short name": func(_ *join.Want, c *openstack.Compute) {
			c.Services[0].Host, c.Hypervisors[0].ServiceHost = "c0", "c0"
			c.Aggregates[0].Hosts, c.Aggregates[1].Hosts = []string{"c0"}, []string{"c0"}
		},
		"pinned processors": func(_ *join.Want, c *openstack.Compute) {
			c.Providers[0].Usable = map[string]int{"PCPU": 4, "MEMORY_MB": 1, "DISK_GB": 1}
		},
		"no southbound database": func(w *join.Want, c *openstack.Compute) { w.Chassis, c.Chassis = false, nil },
		"any address": func(w *join.Want, c *openstack.Compute) {
			w.Host.EncapIP, c.Chassis[0].EncapIPs = "", []string{"192.0.2.99"}
		},
		"a second agent, dead": func(_ *join.Want, c *openstack.Compute) {
			c.Agents = append([]openstack.NetworkAgent{{Binary: "ovn-controller", Host: us}}, c.Agents...)
		},
		"the zone under another name": func(_ *join.Want, c *openstack.Compute) { c.Aggregates[0].Name = "row-1" },
	} {
		t.Run(name, func(t *testing.T) {
			w, seen := want(), whole()
			change(&w, &seen)
			if got := join.Next(w, seen); !got.Joined() {
				t.Errorf("%+v, want joined", got)
			}
		})
	}
}

func TestActions(t *testing.T) {
	seen := whole()
	seen.Aggregates, seen.Providers[0].Traits = nil, nil
	w := want()
	w.Aggregates = []string{"rack7", "gpu"}
	wanted := []openstack.Action{
		{Verb: openstack.MakeAggregate, Aggregate: "rack7", Zone: "rack7"},
		{Verb: openstack.JoinAggregate, Aggregate: "rack7", Host: us},
		{Verb: openstack.MakeAggregate, Aggregate: "gpu"},
		{Verb: openstack.JoinAggregate, Aggregate: "gpu", Host: us},
		{Verb: openstack.SetTrait, Provider: "h0", Trait: "CUSTOM_RACK7"},
	}
	if diff := cmp.Diff(wanted, join.Next(w, seen).Actions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	seen.Aggregates = []openstack.HostAggregate{{Name: "row-2", Zone: "rack7"}, {Name: "row-1", Zone: "rack7"}, {Name: "gpu"}}
	wanted = []openstack.Action{
		{Verb: openstack.JoinAggregate, Aggregate: "row-1", Host: us},
		{Verb: openstack.MakeAggregate, Aggregate: "rack7"},
		{Verb: openstack.JoinAggregate, Aggregate: "rack7", Host: us},
		{Verb: openstack.JoinAggregate, Aggregate: "gpu", Host: us},
		{Verb: openstack.SetTrait, Provider: "h0", Trait: "CUSTOM_RACK7"},
	}
	slices.SortFunc(wanted[1:4], func(a, b openstack.Action) int { return strings.Compare(a.Aggregate, b.Aggregate) })
	if diff := cmp.Diff(wanted, join.Next(w, seen).Actions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// draw is some world around a few hosts.
func draw(t *rapid.T) (join.Want, openstack.Compute) {
	name := rapid.SampledFrom([]string{us, "c0", "c1"})
	ids := rapid.Permutation([]string{"h0", "h1"}).Draw(t, "ids") // Placement has a UUID once
	truth := rapid.Bool()
	some := func(label string) int { return rapid.IntRange(0, 2).Draw(t, label) }
	var c openstack.Compute
	for i := range some("services") {
		c.Services = append(c.Services, openstack.ComputeService{
			ID: strconv.Itoa(i), Host: name.Draw(t, "host"), Up: !truth.Draw(t, "down") || truth.Draw(t, "up"), Disabled: truth.Draw(t, "a") && truth.Draw(t, "b"),
		})
	}
	for i := range some("hypervisors") {
		c.Hypervisors = append(c.Hypervisors, openstack.Hypervisor{ID: fmt.Sprintf("h%d", i), Name: name.Draw(t, "name"), ServiceHost: name.Draw(t, "service")})
	}
	for _, id := range ids[:some("providers")] {
		c.Providers = append(c.Providers, openstack.ResourceProvider{ID: id, Name: name.Draw(t, "name"), Usable: map[string]int{"VCPU": 1, "MEMORY_MB": 1, "DISK_GB": some("disk")}})
	}
	for i, zone := range []string{"", "rack7", "other"} {
		if truth.Draw(t, "aggregate") {
			c.Aggregates = append(c.Aggregates, openstack.HostAggregate{Name: []string{"gpu", "rack7", "x"}[i], Zone: zone, Hosts: rapid.SliceOfN(name, 0, 1).Draw(t, "members")})
		}
	}
	for i := range some("chassis") {
		c.Chassis = append(c.Chassis, openstack.Chassis{Name: fmt.Sprintf("system-%d", i), Host: name.Draw(t, "host"), EncapIPs: []string{"192.0.2.10"}, BridgeMappings: []string{"datacentre:br-ex"}})
	}
	for _, binary := range []string{"ovn-controller", "neutron-ovn-metadata-agent"} {
		c.Agents = append(c.Agents, openstack.NetworkAgent{Binary: binary, Host: us, Alive: true})
	}
	w := want()
	w.Chassis = truth.Draw(t, "southbound")
	return w, c
}

// apply does to a world what the actions say.
func apply(c openstack.Compute, actions []openstack.Action) openstack.Compute {
	for _, a := range actions {
		switch a.Verb {
		case openstack.MakeAggregate:
			c.Aggregates = append(c.Aggregates, openstack.HostAggregate{Name: a.Aggregate, Zone: a.Zone})
		case openstack.JoinAggregate:
			for i := range c.Aggregates {
				if c.Aggregates[i].Name == a.Aggregate {
					c.Aggregates[i].Hosts = append(c.Aggregates[i].Hosts, a.Host)
				}
			}
		case openstack.SetTrait:
			for i := range c.Providers {
				if c.Providers[i].ID == a.Provider {
					c.Providers[i].Traits = append(c.Providers[i].Traits, a.Trait)
				}
			}
		case openstack.DisableService, openstack.DeleteService, openstack.DeleteAgent: // never among Next's
		}
	}
	return c
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, seen := draw(t)
		got := join.Next(w, seen)
		switch {
		case got.Joined() != (got.Message == ""):
			t.Fatalf("%+v: a reason without a message, or the other way round", got)
		case strings.ContainsAny(got.Message, "\n\r"):
			t.Fatalf("several lines: %q", got.Message)
		case got.Discover && (got.Status.ServiceID == "" || got.Status.HypervisorID != ""):
			t.Fatalf("%+v: discovers what is not there, or is mapped", got)
		}
		shuffled := openstack.Compute{
			Services: rapid.Permutation(seen.Services).Draw(t, "1"), Hypervisors: rapid.Permutation(seen.Hypervisors).Draw(t, "2"),
			Providers: rapid.Permutation(seen.Providers).Draw(t, "3"), Aggregates: rapid.Permutation(seen.Aggregates).Draw(t, "4"),
			Agents: rapid.Permutation(seen.Agents).Draw(t, "5"), Chassis: rapid.Permutation(seen.Chassis).Draw(t, "6"),
		}
		if diff := cmp.Diff(got, join.Next(w, shuffled)); diff != "" {
			t.Fatalf("another order, another decision:\n%s", diff)
		}
		if len(got.Actions) > 0 {
			if after := join.Next(w, apply(seen, got.Actions)); !after.Joined() {
				t.Fatalf("after %+v: %+v, want joined", got.Actions, after)
			}
		}
	})
}
