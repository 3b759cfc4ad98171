package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// entries writes a ledger as "address node/uid" lines, with "leaving" where it is so.
func entries(l *Ledger) []string {
	var out []string
	for who, list := range l.Granted() {
		for _, a := range list {
			h, _ := l.Holder(a)
			line := fmt.Sprintf("%s %s/%s", a, who.Node, who.UID)
			if h.State == v1alpha1.AddressLeaving {
				line += " leaving"
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// written is the ledger read back after all that changed was written.
func written(l *Ledger) *Ledger {
	for _, b := range l.Changed() {
		b.ResourceVersion = "1"
		l.Wrote(b)
	}
	var blocks []v1alpha1.AddressBlock
	for _, b := range l.blocks {
		blocks = append(blocks, b.object)
	}
	return NewLedger(l.namespace, blocks)
}

func tenant(node, uid string, has, wants []string) Tenant {
	list := func(from []string) (out []v1alpha1.Address) {
		for _, text := range from {
			out = append(out, held("ctlplane", text))
		}
		return out
	}
	return Tenant{Node: node, UID: types.UID(uid), Has: list(has), Wants: list(wants)}
}

func granted(grants map[string][]v1alpha1.Address) (out []string) {
	for node, list := range grants {
		for _, a := range list {
			out = append(out, node+"="+a.Address)
		}
	}
	slices.Sort(out)
	return out
}

func TestLedger(t *testing.T) {
	const a, b = "192.168.122.10", "192.168.122.11"
	cases := []struct {
		name    string
		there   []string // entries before
		nodes   []Tenant
		want    []string // entries after
		grants  []string
		waiting []string
	}{
		{"a new address is entered", nil, []Tenant{tenant("n0", "1", nil, []string{a})}, []string{a + " n0/1"}, []string{"n0=" + a}, nil},
		{
			"what a node has from before the ledger is entered first", nil,
			[]Tenant{tenant("n0", "1", []string{a}, []string{a}), tenant("n1", "1", nil, []string{b})},
			[]string{a + " n0/1", b + " n1/1"},
			[]string{"n0=" + a, "n1=" + b},
			nil,
		},
		{
			"of two that have one, the first is entered and neither is moved", nil,
			[]Tenant{tenant("n1", "1", []string{a}, []string{a}), tenant("n0", "1", []string{a}, []string{a})},
			[]string{a + " n0/1"},
			[]string{"n0=" + a, "n1=" + a},
			nil,
		},
		{
			"what is held by another is waited for, without losing what one has",
			[]string{a + " n0/1", b + " n1/1"},
			[]Tenant{tenant("n0", "1", []string{a}, []string{b}), tenant("n1", "1", []string{b}, []string{b})},
			[]string{a + " n0/1", b + " n1/1"},
			[]string{"n0=" + a, "n1=" + b},
			[]string{b},
		},
		{
			"what is not wanted any more leaves, and nobody gets it meanwhile",
			[]string{a + " n0/1"},
			[]Tenant{tenant("n0", "1", []string{a}, []string{b}), tenant("n1", "1", nil, []string{a})},
			[]string{a + " n0/1 leaving", b + " n0/1"},
			[]string{"n0=" + b},
			[]string{a},
		},
		{
			"what leaves and is wanted again stays",
			[]string{a + " n0/1 leaving"},
			[]Tenant{tenant("n0", "1", []string{a}, []string{a})},
			[]string{a + " n0/1"},
			[]string{"n0=" + a},
			nil,
		},
		{
			"a node of the same name and another UID is another one",
			[]string{a + " n0/1"},
			[]Tenant{tenant("n0", "2", nil, []string{a})},
			[]string{a + " n0/1"},
			nil,
			[]string{a},
		},
		{
			"one spelling of an address is as good as another",
			[]string{"fd00:22::a n0/1"},
			[]Tenant{tenant("n1", "1", nil, []string{"fd00:0022:0::000a"})},
			[]string{"fd00:22::a n0/1"},
			nil,
			[]string{"fd00:22::a"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := NewLedger("site", nil)
			for _, e := range c.there {
				f := strings.Fields(e)
				node, uid, _ := strings.Cut(f[1], "/")
				state := v1alpha1.AddressHeld
				if len(f) > 2 {
					state = v1alpha1.AddressLeaving
				}
				l.set(netip.MustParseAddr(f[0]), Tenant{Node: node, UID: types.UID(uid)}, state)
			}
			l = written(l)
			l.Enter(c.nodes)
			grants, waits := l.Settle(c.nodes)
			if diff := cmp.Diff(c.want, entries(written(l))); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.grants, granted(grants)); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			var waiting []string
			for _, w := range waits {
				waiting = append(waiting, w.String())
			}
			if diff := cmp.Diff(c.waiting, waiting); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLedgerForgetsOnlyWhoIsAbsent(t *testing.T) {
	l := NewLedger("site", nil)
	nodes := []Tenant{tenant("n0", "1", []string{"192.168.122.10"}, nil), tenant("n1", "1", []string{"192.168.122.11"}, nil)}
	l.Enter(nodes)
	l = written(l)
	absent := l.Absent([]Tenant{tenant("n0", "2", nil, nil), nodes[1]})
	if !slices.Equal(absent, []Identity{{"n0", "1"}}) {
		t.Fatalf("absent %v", absent)
	}
	l.Forget(absent[0])
	if got := entries(written(l)); !slices.Equal(got, []string{"192.168.122.11 n1/1"}) {
		t.Errorf("left %v", got)
	}
}

func TestBlocksAreSmallAndNamedByTheirAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"192.168.122.10": "192.168.122.0-24", "10.0.0.255": "10.0.0.0-24",
		"fd00:122::1": "fd00-0122-0000-0000-0000-0000-0000-0000-120", "fd00:122::1:ff": "fd00-0122-0000-0000-0000-0000-0001-0000-120",
	} {
		if got := BlockName(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is in %s, want %s", address, got, want)
		}
	}
	l := NewLedger("site", nil)
	var has []string
	for i := range 600 {
		has = append(has, fmt.Sprintf("10.0.%d.%d", i/256, i%256))
	}
	l.Enter([]Tenant{tenant("n0", "1", has, nil)})
	if got := len(l.Changed()); got != 3 {
		t.Errorf("600 addresses change %d blocks, want 3", got)
	}
}

// TestForeignBlocksAreLeftAlone: what bears a block's kind but not its name, or lies elsewhere, says nothing and is not written.
func TestForeignBlocksAreLeftAlone(t *testing.T) {
	entry := []v1alpha1.AddressHolder{{Address: "192.168.122.10", Node: "x", UID: "1", State: v1alpha1.AddressHeld}}
	var blocks []v1alpha1.AddressBlock
	for _, key := range [][3]string{{"site", "mine", "192.168.122.0/24"}, {"other", "192.168.122.0-24", "192.168.122.0/24"}, {"site", "192.168.122.0-24", "nonsense"}} {
		b := v1alpha1.AddressBlock{Spec: v1alpha1.AddressBlockSpec{CIDR: key[2], Holders: entry}}
		b.Namespace, b.Name, b.ResourceVersion = key[0], key[1], "5"
		blocks = append(blocks, b)
	}
	l := NewLedger("site", blocks)
	if got := entries(l); len(got) > 0 {
		t.Errorf("holds %v", got)
	}
	if len(l.Changed()) > 0 {
		t.Error("writes what it does not hold")
	}
}

// TestLedgerKeepsAddressesApart: whatever nodes want and have, no address is granted to two, nothing is granted that another
// is down for, and settling what was settled changes nothing.
func TestLedgerKeepsAddressesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		address := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("192.168.122.%d", rapid.IntRange(10, 16).Draw(t, "last")) })
		one := rapid.SliceOfN(address, 0, 1)
		var nodes []Tenant
		taken := map[string]bool{}
		for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
			has := one.Draw(t, "has")
			if len(has) > 0 && taken[has[0]] {
				has = nil // what two have already is told, not kept apart
			}
			for _, a := range has {
				taken[a] = true
			}
			nodes = append(nodes, tenant(fmt.Sprintf("n%d", i), "1", has, one.Draw(t, "wants")))
		}
		l := NewLedger("site", nil)
		l.Enter(rapid.Permutation(nodes).Draw(t, "entered"))
		grants, _ := l.Settle(rapid.Permutation(nodes).Draw(t, "settled"))
		seen := map[string]string{}
		for i := range nodes {
			for _, a := range grants[nodes[i].Node] {
				if seen[a.Address] != "" {
					t.Fatalf("%s goes to %s and %s", a.Address, seen[a.Address], nodes[i].Node)
				}
				seen[a.Address] = nodes[i].Node
				if h, ok := l.Holder(netip.MustParseAddr(a.Address)); !ok || h.Node != nodes[i].Node || h.State != v1alpha1.AddressHeld {
					t.Fatalf("%s goes to %s, the ledger has %+v", a.Address, nodes[i].Node, h)
				}
			}
			nodes[i].Has = grants[nodes[i].Node]
		}
		leaving := l.Leaving()
		for i := range nodes {
			for _, a := range leaving[Identity{nodes[i].Node, nodes[i].UID}] {
				if slices.Contains(parsedAddresses(grants[nodes[i].Node]), a) {
					t.Fatalf("%s leaves %s and is granted to it", a, nodes[i].Node)
				}
				l.Free(a)
			}
		}
		l = written(l)
		l.Enter(nodes)
		for i := range nodes {
			nodes[i].Wants = nodes[i].Has
		}
		l.Settle(nodes)
		if changed := l.Changed(); len(changed) > 0 {
			t.Fatalf("settled, and yet changed: %v", changed)
		}
	})
}

// TestPlanWithLedger: nobody gets what the ledger holds for another, a node gets what it holds for it, and two that have one
// address are told and not moved.
func TestPlanWithLedger(t *testing.T) {
	ctl := []v1alpha1.NodeNetwork{on("ctlplane")}
	at := func(last int) []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(fmt.Sprintf("192.168.122.%d", last))}
	}
	for _, c := range []struct {
		name    string
		holders []Holder
		want    []string
	}{
		{"what a stranger holds is not free", []Holder{{Node: "e/a", Wants: ctl}, {Node: "e/gone", Granted: at(100)}}, []string{"e/a ctlplane=192.168.122.101"}},
		{"what was given and not yet written is taken up again", []Holder{{Node: "e/a", Wants: ctl}, {Node: "e/b", Wants: ctl, Granted: at(105)}}, []string{
			"e/a ctlplane=192.168.122.100", "e/b ctlplane=192.168.122.105",
		}},
		{"both stay, the one without the entry is told", []Holder{
			{Node: "e/a", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.105")}},
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.105")}, Granted: at(105)},
		}, []string{
			"e/a ctlplane=192.168.122.105", "e/b ctlplane=192.168.122.105",
			"e/a ctlplane! address 192.168.122.105 of node e/a is also held by node e/b (AddressBlock 192.168.122.0-24): give one of them another with networks[ctlplane].fixedIP",
		}},
		{"and moves when it is asked to", []Holder{
			{Node: "e/a", Wants: []v1alpha1.NodeNetwork{on("ctlplane", fixed("192.168.122.9"))}, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.105")}},
			{Node: "e/b", Wants: ctl, Held: []v1alpha1.Address{held("ctlplane", "192.168.122.105")}, Granted: at(105)},
		}, []string{"e/a ctlplane=192.168.122.9", "e/b ctlplane=192.168.122.105"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, addressesOf(PlanAddresses(read(site()), c.holders))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
