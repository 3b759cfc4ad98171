package openstacktest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
)

// Subject is what the conformance suite runs against: a cloud and one compute in it.
type Subject struct {
	Cloud openstack.Cloud
	// Access is right, southbound database included, and its user an administrator.
	Access openstack.Access
	// Host is a compute that is up, mapped, and in no availability zone of its own, with a chassis.
	Host openstack.Host
	// Silent makes the access one where nothing listens.
	Silent func(openstack.Access) openstack.Access
	// Stop makes nova-compute on the host end, Start makes it run again.
	Stop, Start func(t *testing.T)
	// Unique is part of the names of what the suite makes; nothing of that name is there yet. Capital letters and digits.
	Unique string
	// Pause lets some time pass.
	Pause func()
	// Patience is how long a change of the service may take to be seen, counted in pauses.
	Patience int
}

// Conformance checks the contract of openstack.Cloud.
func Conformance(t *testing.T, s Subject) {
	t.Helper()
	for _, part := range []struct {
		name  string
		check func(*visitor)
	}{
		{"stranger", (*visitor).stranger},
		{"compute", (*visitor).compute},
		{"impostors", (*visitor).impostors},
		{"aggregates", (*visitor).aggregates},
		{"zones", (*visitor).zones},
		{"traits", (*visitor).traits},
		{"credentials", (*visitor).credentials},
		{"silence", (*visitor).silence},
		{"servers", (*visitor).servers},
		{"service", (*visitor).service},
	} {
		t.Run(part.name, func(t *testing.T) { part.check(&visitor{T: t, s: s}) })
	}
}

// Departure checks what Conformance does not: how a compute is forgotten. The subject's host must be off, or be kept from
// reporting; nothing is left of it. Stop and Start are not used.
func Departure(t *testing.T, s Subject) {
	t.Helper()
	v := &visitor{T: t, s: s}
	service := v.see(s.Host).Services[0]
	servers, err := s.Cloud.Servers(t.Context(), s.Access, service.Host)
	if err != nil || len(servers) > 0 {
		t.Fatalf("servers %v, %v; want none", servers, err)
	}
	for range 2 {
		v.do(openstack.Action{Verb: openstack.DisableService, Service: service.ID, Host: service.Host})
		if seen := v.see(s.Host); len(seen.Services) != 1 || !seen.Services[0].Disabled || seen.Services[0].DisabledReason == "" {
			t.Fatalf("services %+v, want one that is disabled, with a reason", seen.Services)
		}
	}
	agents := v.see(s.Host).Agents
	for range 2 {
		v.do(openstack.Action{Verb: openstack.DeleteService, Service: service.ID, Host: service.Host})
		for _, a := range agents {
			if a.Binary == "ovn-controller" {
				v.do(openstack.Action{Verb: openstack.DeleteAgent, Agent: a.ID, Host: a.Host})
			}
		}
	}
	v.wantFault(openstack.Action{Verb: openstack.DisableService, Service: service.ID, Host: service.Host}, fault.Missing)
	seen := v.see(s.Host)
	if len(seen.Services)+len(seen.Hypervisors)+len(seen.Providers)+len(seen.Chassis) > 0 {
		t.Errorf("%+v is left", seen)
	}
	for _, a := range seen.Aggregates {
		if slices.Contains(a.Hosts, service.Host) {
			t.Errorf("still a member of aggregate %s", a.Name)
		}
	}
}

type visitor struct {
	*testing.T
	s Subject
}

func (v *visitor) see(host openstack.Host) openstack.Compute {
	v.Helper()
	seen, err := v.s.Cloud.See(v.Context(), v.s.Access, host)
	if err != nil {
		v.Fatalf("See: %s: %v", fault.KindOf(err), err)
	}
	return seen
}

func (v *visitor) do(action openstack.Action) {
	v.Helper()
	if err := v.s.Cloud.Do(v.Context(), v.s.Access, action); err != nil {
		v.Fatalf("%+v: %s: %v", action, fault.KindOf(err), err)
	}
}

// wantFault checks kind and form of what an action fails with.
func (v *visitor) wantFault(action openstack.Action, kind fault.Kind) {
	v.Helper()
	v.checkFault(v.s.Cloud.Do(v.Context(), v.s.Access, action), kind)
}

func (v *visitor) checkFault(err error, kind fault.Kind) {
	v.Helper()
	if !fault.Is(err, kind) {
		v.Fatalf("answered %q: %v, want %s", fault.KindOf(err), err, kind)
	}
	if text := err.Error(); strings.ContainsAny(text, "\n\r") || strings.Contains(text, v.s.Access.Password.Reveal()) {
		v.Errorf("no message to show: %q", text)
	}
	v.Logf("%s: %v", kind, err)
}

// stranger: what is not there is empty and no error.
func (v *visitor) stranger() {
	seen := v.see(openstack.Host{Names: []string{"no-such-host.example.com", "no-such-host"}, EncapIP: "203.0.113.254", Chassis: "no-such-chassis"})
	if len(seen.Services)+len(seen.Hypervisors)+len(seen.Providers)+len(seen.Agents)+len(seen.Chassis) > 0 {
		v.Errorf("of a host that is not there: %+v", seen)
	}
	cancelled, cancel := context.WithCancel(v.Context())
	cancel()
	if _, err := v.s.Cloud.See(cancelled, v.s.Access, v.s.Host); err == nil {
		v.Error("See ignores a context that has ended")
	}
}

// compute: a compute that has joined is seen whole.
func (v *visitor) compute() {
	seen := v.see(v.s.Host)
	v.Logf("%+v", seen)
	if len(seen.Services) != 1 {
		v.Fatalf("services %+v, want one", seen.Services)
	}
	v.up(seen.Services[0])
	if len(seen.Hypervisors) != 1 || seen.Hypervisors[0].ServiceHost != seen.Services[0].Host || seen.Hypervisors[0].ID == "" || !seen.Hypervisors[0].Up {
		v.Fatalf("hypervisors %+v, want one that is up", seen.Hypervisors)
	}
	if len(seen.Providers) != 1 || seen.Providers[0].ID != seen.Hypervisors[0].ID {
		v.Fatalf("resource providers %+v, want the hypervisor's", seen.Providers)
	}
	v.provider(seen.Providers[0])
	if !slices.ContainsFunc(seen.Agents, func(a openstack.NetworkAgent) bool { return a.Binary == "ovn-controller" && a.Alive }) {
		v.Errorf("agents %+v, want ovn-controller alive", seen.Agents)
	}
	if len(seen.Chassis) != 1 || seen.Chassis[0].Name == "" || len(seen.Chassis[0].EncapIPs) == 0 {
		v.Fatalf("chassis %+v, want one with an encapsulation address", seen.Chassis)
	}
	v.withoutSouthbound()
}

func (v *visitor) up(s openstack.ComputeService) {
	if !s.Up || s.Disabled || s.ID == "" || !slices.Contains(v.s.Host.Names, s.Host) {
		v.Errorf("service %+v, want one that is up", s)
	}
}

func (v *visitor) provider(p openstack.ResourceProvider) {
	for _, class := range []string{"VCPU", "MEMORY_MB", "DISK_GB"} {
		if p.Usable[class] <= 0 {
			v.Errorf("%s is %d, want some", class, p.Usable[class])
		}
	}
	if len(p.Traits) == 0 || !slices.IsSorted(p.Traits) {
		v.Errorf("traits %v, want some, sorted", p.Traits)
	}
}

func (v *visitor) withoutSouthbound() {
	access := v.s.Access
	access.Southbound = openstack.SouthboundAccess{}
	seen, err := v.s.Cloud.See(v.Context(), access, v.s.Host)
	if err != nil || len(seen.Chassis) > 0 || len(seen.Services) != 1 {
		v.Errorf("without a southbound database: %+v, %v", seen, err)
	}
}

// impostors: a chassis is found by its name and by its address too.
func (v *visitor) impostors() {
	c := v.see(v.s.Host).Chassis[0]
	for _, host := range []openstack.Host{
		{Names: []string{"no-such-host"}, Chassis: c.Name}, {Names: []string{"no-such-host"}, EncapIP: c.EncapIPs[0]},
	} {
		if seen := v.see(host); len(seen.Chassis) != 1 || seen.Chassis[0].Name != c.Name {
			v.Errorf("by %+v: %+v, want chassis %s", host, seen.Chassis, c.Name)
		}
	}
}

func (v *visitor) host() string { return v.see(v.s.Host).Services[0].Host }

func (v *visitor) members(aggregate string) []string {
	v.Helper()
	for _, a := range v.see(v.s.Host).Aggregates {
		if a.Name == aggregate {
			return a.Hosts
		}
	}
	v.Fatalf("aggregate %s is not seen", aggregate)
	return nil
}

// aggregates: made and joined once, however often it is asked for, and seen at once.
func (v *visitor) aggregates() {
	name, host := "plain-"+v.s.Unique, v.host()
	v.wantFault(openstack.Action{Verb: openstack.JoinAggregate, Aggregate: name, Host: host}, fault.Missing)
	for range 2 {
		v.do(openstack.Action{Verb: openstack.MakeAggregate, Aggregate: name})
		if members := v.members(name); len(members) > 0 {
			v.Errorf("members %v of a new aggregate", members)
		}
	}
	v.wantFault(openstack.Action{Verb: openstack.JoinAggregate, Aggregate: name, Host: "no-such-host"}, fault.Missing)
	for range 2 {
		v.do(openstack.Action{Verb: openstack.JoinAggregate, Aggregate: name, Host: host})
		if members := v.members(name); !slices.Equal(members, []string{host}) {
			v.Errorf("members %v, want %s alone", members, host)
		}
	}
}

// zones: a host is in one at most, and an aggregate's is not changed.
func (v *visitor) zones() {
	one, other, host := "zone-"+v.s.Unique, "other-"+v.s.Unique, v.host()
	for range 2 {
		v.do(openstack.Action{Verb: openstack.MakeAggregate, Aggregate: one, Zone: one})
	}
	v.do(openstack.Action{Verb: openstack.MakeAggregate, Aggregate: other, Zone: other})
	v.wantFault(openstack.Action{Verb: openstack.MakeAggregate, Aggregate: one, Zone: other}, fault.Rejected)
	v.do(openstack.Action{Verb: openstack.JoinAggregate, Aggregate: one, Host: host})
	v.wantFault(openstack.Action{Verb: openstack.JoinAggregate, Aggregate: other, Host: host}, fault.Rejected)
	if members := v.members(other); len(members) > 0 {
		v.Errorf("members %v of the other zone", members)
	}
	for _, a := range v.see(v.s.Host).Aggregates {
		if a.Name == one && a.Zone != one {
			v.Errorf("zone %q of aggregate %s", a.Zone, a.Name)
		}
	}
}

// traits: a custom one is made and set beside the others.
func (v *visitor) traits() {
	before := v.see(v.s.Host).Providers[0]
	trait := "CUSTOM_RACKPLANE_" + v.s.Unique
	for range 2 {
		v.do(openstack.Action{Verb: openstack.SetTrait, Provider: before.ID, Trait: trait})
		after := v.see(v.s.Host).Providers[0]
		if want := slices.Sorted(slices.Values(append(slices.Clone(before.Traits), trait))); !slices.Equal(after.Traits, want) {
			v.Errorf("traits %v, want %v", after.Traits, want)
		}
	}
	v.wantFault(openstack.Action{Verb: openstack.SetTrait, Provider: before.ID, Trait: "HW_NO_SUCH_TRAIT"}, fault.Rejected)
	v.wantFault(openstack.Action{Verb: openstack.SetTrait, Provider: "6f0b9c6e-0000-4000-8000-000000000000", Trait: trait}, fault.Missing)
}

// credentials: a wrong password is refused, and nobody is told either.
func (v *visitor) credentials() {
	wrong := v.s.Access
	wrong.Password += "-wrong"
	_, err := v.s.Cloud.See(v.Context(), wrong, v.s.Host)
	v.checkFault(err, fault.Denied)
	if !strings.Contains(err.Error(), v.s.Access.Source) {
		v.Errorf("does not name %s: %v", v.s.Access.Source, err)
	}
	v.checkFault(v.s.Cloud.Do(v.Context(), wrong, openstack.Action{Verb: openstack.MakeAggregate, Aggregate: "never"}), fault.Denied)
	v.see(v.s.Host) // the right one still does
}

// silence: a cloud that does not answer passes by itself.
func (v *visitor) silence() {
	_, err := v.s.Cloud.See(v.Context(), v.s.Silent(v.s.Access), v.s.Host)
	v.checkFault(err, fault.Transient)
}

// servers: nobody's are none, and a host nobody knows has none.
func (v *visitor) servers() {
	for _, host := range []string{v.host(), "no-such-host"} {
		servers, err := v.s.Cloud.Servers(v.Context(), v.s.Access, host)
		if err != nil || !slices.IsSorted(servers) || (host == "no-such-host" && len(servers) > 0) {
			v.Errorf("servers of %s: %v, %v", host, servers, err)
		}
	}
	wrong := v.s.Access
	wrong.Password += "-wrong"
	_, err := v.s.Cloud.Servers(v.Context(), wrong, v.host())
	v.checkFault(err, fault.Denied)
}

// service: nova-compute that ends is seen to be down, and up again when it runs again.
func (v *visitor) service() {
	v.s.Stop(v.T)
	v.until(false)
	v.s.Start(v.T)
	v.until(true)
}

func (v *visitor) until(up bool) { //nolint:revive // the state waited for
	v.Helper()
	for range v.s.Patience {
		if seen := v.see(v.s.Host); len(seen.Services) == 1 && seen.Services[0].Up == up {
			return
		}
		v.s.Pause()
	}
	v.Fatalf("nova-compute is never seen up=%v", up)
}
