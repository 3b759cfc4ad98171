package world

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/remote"
)

// fleetRacks is in how many racks the hosts of a fleet stand.
const fleetRacks = 10

// planned is after how many rounds a set has its hosts and addresses, whatever the order: who comes first chooses first, so
// that what follows says nothing of order unless the next set comes later.
const planned = 3

// Fleet is three sets that want the same hosts, of together so many nodes; then one of them shrinks by a tenth. The engine looks
// at what is due in an order that the seed says, each round anew; 0 is the usual one.
func Fleet(nodes int32, seed uint64) Journey {
	start := func() *World {
		w := New()
		f := &fleet{w}
		w.Nodes, w.cloud, w.passed = f, f, map[string]*passed{}
		w.Store.changed = func(kind reflect.Type, key types.NamespacedName, obj client.Object) {
			w.news.note(kind, key, obj)
			f.note(kind, key, obj)
		}
		if seed > 0 {
			w.order = seeded(seed)
		}
		return w
	}
	each := nodes / 3
	return Journey{Name: fmt.Sprintf("fleet of %d", nodes), Make: start, Parts: []Part{
		{"hosts", func(tb testing.TB, w *World) { tb.Helper(); w.supplyFleet(tb, int(nodes+nodes/5)) }, 0},
		{"sets", func(tb testing.TB, w *World) {
			tb.Helper()
			for _, set := range fleetSets(each) {
				if err := w.API.Create(tb.Context(), set); err != nil {
					tb.Fatal(err)
				}
				w.Live(tb, Smooth{}, planned)
			}
		}, each},
		{"a set shrinks", scale(each - each/10), each - each/10},
	}}
}

// fleetSets are rack, which takes any host, and two that look for theirs in some racks, of which they share a few.
func fleetSets(each int32) (sets []*v1alpha1.NodeSet) {
	for i, name := range []string{"rack", "low", "mid"} {
		set := nodeSet()
		set.Name, set.Spec.Replicas, set.Spec.HostNameTemplate = name, &each, name+"-%03d"
		if i > 0 {
			var racks []string
			for rack := range 7 {
				racks = append(racks, fmt.Sprintf("r%d", rack+3*(i-1)))
			}
			set.Spec.Hosts.Selector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "rack", Operator: metav1.LabelSelectorOpIn, Values: racks}}}
		}
		sets = append(sets, set)
	}
	return sets
}

// supplyFleet makes everything but the sets, with so many hosts and addresses for all.
func (w *World) supplyFleet(tb testing.TB, hosts int) {
	tb.Helper()
	w.supply(tb)
	nets := &v1alpha1.NetConfig{}
	if err := w.API.Get(tb.Context(), client.ObjectKey{Namespace: Namespace, Name: "site"}, nets); err != nil {
		tb.Fatal(err)
	}
	for i, cidr := range []string{"192.168", "172.17"} {
		subnet := &nets.Spec.Networks[i].Subnets[0]
		subnet.CIDR, subnet.AllocationRanges = cidr+".0.0/20", []v1alpha1.AllocationRange{{Start: cidr + ".1.10", End: cidr + ".8.250"}}
	}
	nets.Spec.Networks[0].Subnets[0].Gateway = "192.168.0.1"
	if err := w.API.Update(tb.Context(), nets); err != nil {
		tb.Fatal(err)
	}
	for i := range 4 { // those of the small rack
		if err := w.API.Delete(tb.Context(), &metal3v1alpha1.BareMetalHost{ObjectMeta: meta(fmt.Sprintf("h%d", i))}); err != nil {
			tb.Fatal(err)
		}
	}
	for i := range hosts {
		host := &metal3v1alpha1.BareMetalHost{ObjectMeta: meta(fmt.Sprintf("server-%03d", i))}
		host.Labels = map[string]string{"rack": fmt.Sprintf("r%d", i%fleetRacks)}
		host.Spec.BMC = metal3v1alpha1.BMCDetails{Address: fmt.Sprintf("redfish-virtualmedia+http://192.0.2.%d:%d/redfish/v1/Systems/1", 1+i%250, 8000+i/250), CredentialsName: "bmc"}
		host.Spec.BootMACAddress = fmt.Sprintf("52:54:00:00:%02x:%02x", i/256, i%256)
		if err := w.API.Create(tb.Context(), host); err != nil {
			tb.Fatal(err)
		}
	}
}

// fleet answers for many nodes without copying them all.
type fleet struct{ *World }

// find returns the node that fits, as it is stored.
func (f *fleet) find(fits func(*v1alpha1.DataPlaneNode) bool) *v1alpha1.DataPlaneNode {
	for _, obj := range f.Store.objects[reflect.TypeFor[*v1alpha1.DataPlaneNode]()] {
		if n, ok := obj.(*v1alpha1.DataPlaneNode); ok && fits(n) {
			return n
		}
	}
	return nil
}

// up reports whether the node's host carries its claim, is provisioned and on.
func (f *fleet) up(n *v1alpha1.DataPlaneNode) bool {
	if n == nil || n.Spec.Host == nil {
		return false
	}
	host, ok := f.Store.objects[reflect.TypeFor[*metal3v1alpha1.BareMetalHost]()][types.NamespacedName{Namespace: n.Spec.Host.Namespace, Name: n.Spec.Host.Name}].(*metal3v1alpha1.BareMetalHost)
	return ok && runs([]metal3v1alpha1.BareMetalHost{*host}, n.UID)
}

func succeeded(n *v1alpha1.DataPlaneNode, service string) bool {
	return slices.ContainsFunc(n.Status.Services, func(r v1alpha1.ServiceResult) bool {
		return r.Name == service && r.Result == v1alpha1.ServiceSucceeded
	})
}

// Probe implements remote.Prober, as World's does.
func (f *fleet) Probe(_ context.Context, target remote.Target) (remote.Seen, error) {
	n := f.find(func(n *v1alpha1.DataPlaneNode) bool {
		return len(n.Spec.Networks) > 0 && n.Spec.Networks[0].Address == target.Address
	})
	switch {
	case !f.up(n):
		return remote.Seen{}, fault.New(fault.Transient, "no answer")
	case succeeded(n, "network"):
		return remote.Seen{NetworkHash: n.Spec.NetworkHash}, nil
	}
	return remote.Seen{}, nil
}

// Examine implements remote.Examiner.
func (f *fleet) Examine(ctx context.Context, target remote.Target, q adoption.Question) (adoption.Facts, error) {
	return f.World.Examine(ctx, target, q)
}

// See implements openstack.Cloud: nova-compute runs on a node once the last service has run on it.
func (f *fleet) See(ctx context.Context, access openstack.Access, host openstack.Host) (openstack.Compute, error) {
	n := f.find(func(n *v1alpha1.DataPlaneNode) bool { return slices.Contains(host.Names, n.Spec.HostName) })
	if f.up(n) && succeeded(n, services()[len(services())-1]) {
		f.Cloud.Edit(func(c *openstacktest.World) { c.Start(n.Spec.HostName+".example.com", n.Spec.Networks[0].Address) })
	}
	if err := f.discover(ctx); err != nil {
		return openstack.Compute{}, err
	}
	return f.Cloud.See(ctx, access, host)
}

// passed is what became of a node, of each thing in the order in which it was first seen.
type passed struct{ given, ran, came []string }

// note is told of every write.
func (f *fleet) note(kind reflect.Type, key types.NamespacedName, obj client.Object) {
	if n, ok := obj.(*v1alpha1.DataPlaneNode); ok {
		f.milestones(n)
	} else if obj == nil && kind == reflect.TypeFor[*v1alpha1.DataPlaneNode]() {
		f.passed[key.Name].came = append(f.passed[key.Name].came, "gone")
	}
}

// milestones notes what is new in what was written of a node.
func (f *fleet) milestones(n *v1alpha1.DataPlaneNode) {
	p := f.passed[n.Name]
	if p == nil {
		p = &passed{}
		f.passed[n.Name] = p
	}
	if n.Spec.Host != nil {
		p.given = once(p.given, n.Spec.Host.Name)
	}
	for _, a := range n.Spec.Networks {
		p.given = once(p.given, a.Address)
	}
	for _, r := range n.Status.Services {
		if r.Result == v1alpha1.ServiceSucceeded {
			p.ran = once(p.ran, r.Name)
		}
	}
	for _, c := range n.Status.Conditions {
		if c.Status == metav1.ConditionTrue {
			p.came = once(p.came, c.Type)
		}
	}
}

func once(all []string, what string) []string {
	if slices.Contains(all, what) {
		return all
	}
	return append(all, what)
}

// Timeline is what became of each node of a fleet, one line each, in order but without when: the host and the addresses it was
// given, the services that ran well on it and the conditions that became true; in the end whether it is gone. A service and a
// condition are told by two controllers, so which of them is first says nothing.
func (w *World) Timeline() string {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(w.passed)) {
		p := w.passed[name]
		fmt.Fprintf(&text, "%s: %s; %s; %s\n", name, strings.Join(p.given, " "), strings.Join(p.ran, " "), strings.Join(p.came, " "))
	}
	return text.String()
}

// Effects are what was done to servers and in the cloud, each once.
func (w *World) Effects() []string {
	did := map[string]bool{}
	for _, c := range w.Ironic.Calls() {
		if c.Effect {
			did[fmt.Sprintf("%s %s %s", c.What, c.Host, c.Image)] = true
		}
	}
	for _, e := range w.Cloud.Effects() {
		did[fmt.Sprintf("%+v", e)] = true
	}
	return slices.Sorted(maps.Keys(did))
}
