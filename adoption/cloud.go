package adoption

import (
	"regexp"
	"slices"
	"strings"
)

// owner is a rule on names of units: who looks after what has such a name.
type owner struct {
	names *regexp.Regexp
	who   string
	// by is the type of the service of ours that it stands against; "" for all.
	by     string
	remedy string
}

// owners of what must not be there when services of ours come. Names are those of TripleO (tripleo_nova_compute), Kolla
// Ansible (kolla-nova_compute-container), edpm-ansible (edpm_nova), Sunbeam's snap, Juju's agents, and Neutron's agents for
// drivers other than OVN as Debian, Ubuntu and RDO package them.
func owners() []owner {
	const handOver = "stop and disable it with the tool that brought it; what it configured is kept"
	return []owner{
		{regexp.MustCompile(`^tripleo[_-]`), "TripleO", "", "stop and disable its units as the tripleo-cleanup deployment does; virtual machines keep running"},
		{regexp.MustCompile(`^kolla[-_]`), "Kolla Ansible", "", handOver},
		{regexp.MustCompile(`^edpm_`), "edpm-ansible's containers", "", handOver},
		{regexp.MustCompile(`^snap\.openstack-hypervisor\.`), "Sunbeam", "", handOver},
		{regexp.MustCompile(`^jujud-`), "Juju", "", handOver},
		{regexp.MustCompile(`^neutron-(openvswitch|linuxbridge|macvtap|l3|dhcp|metadata)-agent$`), "Neutron without OVN", serviceOVN, "migrate its networks to OVN first, then stop and disable it"},
		{regexp.MustCompile(`^firewalld$`), "another firewall", serviceConfigure, "stop and disable it: configure-os brings nftables rules of its own"},
	}
}

// onDuty reports a unit that runs or will at the next start.
func (u Unit) onDuty() bool {
	return u.Active == "active" || u.Active == "activating" || u.Active == "reloading" || strings.HasPrefix(u.Enabled, "enabled")
}

func (l *look) runs(names ...string) bool {
	return slices.ContainsFunc(l.facts.Units, func(u Unit) bool { return slices.Contains(names, unitName(u)) && u.Active == "active" })
}

// unitName is the unit without its suffix, and without the prefix RDO puts before OpenStack's own.
func unitName(u Unit) string {
	return strings.TrimPrefix(strings.TrimSuffix(u.Name, ".service"), "openstack-")
}

func services(l *look) {
	for _, o := range owners() {
		var names []string
		for _, u := range l.facts.Units {
			if o.names.MatchString(unitName(u)) && u.onDuty() {
				names = append(names, unitName(u))
			}
		}
		switch {
		case len(names) == 0:
		case o.by == "" || l.wanted.has(o.by):
			l.refuse(list(names)+" of "+o.who, "a node that nothing else looks after", o.remedy)
		default:
			l.note(list(names)+" of "+o.who, "", "")
		}
	}
	libvirt(l)
	nova(l)
	l.otherwise("nothing in the way")
}

// libvirt looks which daemons own running domains: a service that starts the other kind would lose sight of them.
func libvirt(l *look) {
	if !l.wanted.has(serviceLibvirt) && !l.wanted.has(serviceNova) {
		return
	}
	const monolithic, modular = "libvirtd", "virtqemud"
	found, wanted := monolithic, modular
	if !l.facts.OS.modular() {
		found, wanted = modular, monolithic
	}
	if l.runs(found) && !l.runs(wanted) {
		l.disturb(found+" running", wanted+", as the operating system ships", "the service libvirt starts "+wanted+" in its place")
	}
}

// nova looks where a running nova-compute reports to.
func nova(l *look) {
	if !l.runs("nova-compute") {
		return
	}
	bus := slices.Sorted(slices.Values(l.facts.Identity.Transport))
	want := slices.Sorted(slices.Values(l.wanted.Transport))
	switch {
	case !l.wanted.has(serviceNova):
		l.note("nova-compute running", "", "no service of the set looks after it")
	case len(bus) > 0 && len(want) > 0 && !slices.Equal(bus, want):
		l.refuse("nova-compute on message bus "+list(bus), list(want), "it serves another cloud: take it out there first, or correct nova's transport_url")
	default:
		l.note("nova-compute running", "", "the service nova takes it over")
	}
}

// drivers clash with the compute driver of the services.
func drivers() *regexp.Regexp {
	return regexp.MustCompile(`^nova-compute-(ironic|lxc|lxd|vmware|vz|xen)$`)
}

func packages(l *look) {
	var broken, clash []string
	for _, p := range l.facts.Packages {
		if p.State != "installed" {
			broken = append(broken, p.Name+" ("+p.State+")")
		}
		if l.wanted.has(serviceNova) && drivers().MatchString(p.Name) {
			clash = append(clash, p.Name)
		}
	}
	if len(broken) > 0 {
		l.refuse(list(broken), "whole packages", "run dpkg --configure -a, or remove them: nothing can be installed beside them")
	}
	if len(clash) > 0 {
		l.refuse(list(clash), "nova-compute for QEMU", "remove it")
	}
	l.otherwise("nothing in the way")
}

// theirs are names of containers that Kolla, TripleO and edpm-ansible give to what a compute runs.
func theirs() *regexp.Regexp {
	return regexp.MustCompile(`^(nova|neutron|ovn|ovs|openvswitch|libvirt|ceilometer|iscsid|multipathd|logrotate_crond)([_-]|$)`)
}

func containers(l *look) {
	var running, stopped []string
	for _, c := range l.facts.Containers {
		switch {
		case !theirs().MatchString(c.Name):
		case c.Running:
			running = append(running, c.Name)
		default:
			stopped = append(stopped, c.Name)
		}
	}
	if len(running) > 0 {
		l.refuse(list(running)+" running in containers", "OpenStack's services as units of the operating system", "stop and remove them with the tool that brought them; virtual machines keep running")
	}
	if len(stopped) > 0 {
		l.note(list(stopped)+" as stopped containers", "none", "remove them when it suits")
	}
	if n := len(l.facts.Containers); n > 0 {
		l.otherwise(count(n, "container") + ", none of OpenStack")
	}
	l.otherwise("none")
}

func runningVMs(l *look) {
	n := len(l.facts.Guests)
	if n == 0 {
		l.ok("none")
		return
	}
	var names []string
	for _, g := range l.facts.Guests {
		names = append(names, g.Name)
	}
	found := count(n, "running virtual machine") + " (" + list(names) + ")"
	if l.wanted.changesNetwork(l.facts) {
		l.refuse(found+" on a network that configure-network would change", "the network as it is wanted ("+list(l.wanted.lacksAddresses(l.facts))+" on the node)",
			"ask for the addresses the node has (fixedIP), take configure-network out, or move them away")
		return
	}
	l.note(found, "", "left running")
}

func openVSwitch(l *look) {
	o := &l.facts.OVS
	if !l.wanted.has(serviceOVN) {
		if o.Running {
			l.ok(bridgesOf(o) + "; no service of the set touches them")
		}
		l.otherwise("not running")
		return
	}
	if foreign := slices.DeleteFunc(slices.Clone(o.Managers), isLocal); len(foreign) > 0 {
		l.refuse("a manager "+list(foreign), "a database that only this node manages", "take the node out of that controller (ovs-vsctl del-manager)")
	}
	for _, b := range o.Bridges {
		if len(b.Controllers) > 0 {
			l.refuse("bridge "+b.Name+" driven by "+list(b.Controllers), "OVN alone", "end what drives it, then ovs-vsctl del-controller "+b.Name)
		}
	}
	if slices.ContainsFunc(o.Bridges, func(b Bridge) bool { return b.Name == "br-tun" }) {
		l.disturb("bridge br-tun of Neutron's Open vSwitch agent", "OVN's br-int alone", "migrate its networks to OVN, then ovs-vsctl del-br br-tun")
	}
	found, want := split(o.ExternalIDs["ovn-bridge-mappings"]), slices.Sorted(slices.Values(l.wanted.BridgeMappings))
	if len(found) > 0 && len(want) > 0 && !slices.Equal(found, want) {
		l.disturb("bridge mappings "+list(found), list(want), "the service ovn will change them; edpm_ovn_bridge_mappings can keep them")
	}
	if o.Running {
		l.otherwise(bridgesOf(o))
	}
	l.otherwise("not running")
}

func bridgesOf(o *OVS) string {
	if len(o.Bridges) == 0 {
		return "no bridges"
	}
	var names []string
	for _, b := range o.Bridges {
		names = append(names, b.Name)
	}
	return "bridges " + list(names)
}

// isLocal reports a manager target that only the node itself can use (ovs-vsctl(8): punix, unix and ptcp on loopback).
func isLocal(target string) bool {
	return strings.HasPrefix(target, "punix:") || strings.HasPrefix(target, "unix:") ||
		(strings.HasPrefix(target, "ptcp:") && (strings.HasSuffix(target, ":127.0.0.1") || strings.HasSuffix(target, ":[::1]")))
}

// split is a list as external_ids hold it, sorted.
func split(text string) []string {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '"' })
	slices.Sort(fields)
	return fields
}

// ovn looks whose chassis the node is.
func ovn(l *look) {
	ids := l.facts.OVS.ExternalIDs
	remote, chassis := split(ids["ovn-remote"]), ids["system-id"]
	if len(remote) == 0 {
		l.ok("no chassis")
		return
	}
	found := "chassis " + chassis + " of " + list(remote)
	want := slices.Sorted(slices.Values(l.wanted.Southbound))
	switch {
	case !l.wanted.has(serviceOVN):
		l.note(found, "", "no service of the set looks after it")
		return
	case len(want) == 0:
		l.note(found, "", "where it should be is not known: give spec.openstack.southbound")
	case !slices.Equal(remote, want):
		l.refuse(found, list(want), "take the chassis out there (stop ovn-controller, ovs-vsctl remove open . external_ids ovn-remote), or correct the southbound endpoints")
	}
	if encapsulation := ids["ovn-encap-ip"]; encapsulation != "" && l.wanted.Encapsulation != "" && encapsulation != l.wanted.Encapsulation {
		l.disturb("tunnels at "+encapsulation, l.wanted.Encapsulation, "the service ovn will move them; ask for that address (fixedIP) to keep it")
	}
	if next := l.facts.Identity.SystemID; next != "" && chassis != "" && next != chassis {
		l.disturb("system-id "+chassis+", and "+next+" in system-id.conf", "one name for the chassis", "write "+chassis+" to /etc/openvswitch/system-id.conf")
	}
	if l.facts.OVN.Running {
		found += ", " + l.facts.OVN.Connection
	}
	l.otherwise(found)
}

func endpoints(l *look) {
	var reached []string
	for _, e := range l.wanted.Endpoints {
		trouble, asked := l.facts.Endpoints[e.Address]
		switch {
		case asked && trouble == "":
			reached = append(reached, e.Name)
		case !asked:
			l.refuse("no word of "+e.Name+" at "+e.Address, "a connection", "log in and see why")
		case !e.Early && l.wanted.changesNetwork(l.facts):
			l.note(e.Name+" at "+e.Address+": "+trouble, "a connection", "looked for before configure-network has run; it may be reached after that")
		default:
			l.refuse(e.Name+" at "+e.Address+": "+trouble, "a connection", "open the way (routes, firewall, name resolution), or correct the address")
		}
	}
	if len(reached) > 0 {
		l.otherwise("a way to " + list(reached))
	}
	l.otherwise("nothing to reach")
}
