package network

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// blockBits is how many bits of an address tell those of a block apart: 256 addresses.
const blockBits = 8

// Ledger is who holds which address of a namespace, as its AddressBlocks say. It is changed in memory; what Changed
// returns is to be written with the resourceVersion it has, and nothing that follows from it may be done before.
//
// Blocks go by the addresses alone: what a NetConfig calls their network and subnet may change while they are held.
type Ledger struct {
	namespace string
	blocks    map[string]*block // by name
}

// block is an AddressBlock on its way to be written.
type block struct {
	object  v1alpha1.AddressBlock // as read or written last; its holders are not kept up
	holders map[netip.Addr]v1alpha1.AddressHolder
	changed bool
}

// Tenant is a node in the eyes of a Ledger.
type Tenant struct {
	// Node is its name, UID tells it from another one of that name.
	Node string
	UID  types.UID
	// Has are the addresses in its spec as it was read, Wants those that were planned.
	Has, Wants []v1alpha1.Address
	// InForce means that a server may run with what it has: it keeps an address until it was seen without it.
	InForce bool
}

// Identity tells a node from all others of its namespace, past ones included.
type Identity struct {
	Node string
	UID  types.UID
}

// NewLedger reads the blocks of a namespace. What bears another name than its addresses ask for is no block of ours.
func NewLedger(namespace string, blocks []v1alpha1.AddressBlock) *Ledger {
	l := &Ledger{namespace: namespace, blocks: map[string]*block{}}
	for i := range blocks {
		prefix, err := netip.ParsePrefix(blocks[i].Spec.CIDR)
		if err != nil || blocks[i].Namespace != namespace || blocks[i].Name != BlockName(prefix.Addr()) {
			continue
		}
		b := &block{object: blocks[i], holders: make(map[netip.Addr]v1alpha1.AddressHolder, len(blocks[i].Spec.Holders))}
		for _, h := range blocks[i].Spec.Holders {
			if a, ok := addressOf(h.Address); ok && prefix.Contains(a) {
				h.Address = a.String()
				b.holders[a] = h
			}
		}
		l.blocks[blocks[i].Name] = b
	}
	return l
}

// blockOf returns the addresses of the block an address is in.
func blockOf(a netip.Addr) netip.Prefix {
	return netip.PrefixFrom(a, a.BitLen()-blockBits).Masked()
}

// BlockName returns the name of the AddressBlock that an address is in, such as 192.168.122.0-24.
func BlockName(a netip.Addr) string {
	p := blockOf(a)
	return strings.ReplaceAll(p.Addr().StringExpanded(), ":", "-") + "-" + strconv.Itoa(p.Bits())
}

// Holder returns who holds an address.
func (l *Ledger) Holder(a netip.Addr) (h v1alpha1.AddressHolder, held bool) {
	if b := l.blocks[BlockName(a)]; b != nil {
		h, held = b.holders[a]
	}
	return h, held
}

// Granted returns the addresses that each node holds: first those that are Held, then those that leave, each ascending.
func (l *Ledger) Granted() map[Identity][]netip.Addr { return l.grantedTo(nil) }

// GrantedTo returns of Granted what those nodes hold.
func (l *Ledger) GrantedTo(nodes map[Identity]bool) map[Identity][]netip.Addr {
	if len(nodes) == 0 {
		return nil
	}
	return l.grantedTo(nodes)
}

// grantedTo is GrantedTo; nil is all nodes.
func (l *Ledger) grantedTo(nodes map[Identity]bool) map[Identity][]netip.Addr {
	all := map[Identity][]netip.Addr{}
	for _, b := range l.blocks {
		for a, h := range b.holders {
			if who := identityOf(h); nodes == nil || nodes[who] {
				all[who] = append(all[who], a)
			}
		}
	}
	for _, list := range all {
		slices.SortFunc(list, func(a, b netip.Addr) int { return cmp.Or(cmp.Compare(l.rank(a), l.rank(b)), a.Compare(b)) })
	}
	return all
}

func (l *Ledger) rank(a netip.Addr) int {
	if h, _ := l.Holder(a); h.State == v1alpha1.AddressLeaving {
		return 1
	}
	return 0
}

func identityOf(h v1alpha1.AddressHolder) Identity { return Identity{h.Node, types.UID(h.UID)} }

// Absent returns the holders that are not among the nodes, in order. A cache may not show yet who is there: only who is seen to be gone
// may lose what he holds.
func (l *Ledger) Absent(nodes []Tenant) []Identity {
	there := map[Identity]bool{}
	for i := range nodes {
		there[Identity{nodes[i].Node, nodes[i].UID}] = true
	}
	var absent []Identity
	for _, b := range l.blocks {
		for _, h := range b.holders {
			if who := identityOf(h); !there[who] {
				there[who] = true
				absent = append(absent, who)
			}
		}
	}
	slices.SortFunc(absent, func(a, b Identity) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.UID, b.UID)) })
	return absent
}

// BlockVersion identifies a block and who holds what of it; empty while that is not written.
type BlockVersion struct{ Name, Version string }

// Blocks returns the versions of all blocks.
func (l *Ledger) Blocks() []BlockVersion {
	out := make([]BlockVersion, 0, len(l.blocks))
	for name, b := range l.blocks {
		version := BlockVersion{Name: name}
		if !b.changed && b.object.ResourceVersion != "" {
			version.Version = string(b.object.UID) + " " + b.object.ResourceVersion
		}
		out = append(out, version)
	}
	return out
}

// HoldersOf returns who holds addresses of a block, each once, in any order.
func (l *Ledger) HoldersOf(block string) []Identity {
	b := l.blocks[block]
	if b == nil {
		return nil
	}
	seen := make(map[Identity]bool, len(b.holders))
	for _, h := range b.holders {
		seen[identityOf(h)] = true
	}
	return slices.Collect(maps.Keys(seen))
}

// Forget frees all that a node holds. It must have been seen to be gone.
func (l *Ledger) Forget(who Identity) {
	for _, b := range l.blocks {
		for a, h := range b.holders {
			if identityOf(h) == who {
				delete(b.holders, a)
				b.changed = true
			}
		}
	}
}

// Enter takes down what nodes have and no block tells: they are from before there were blocks, or from a backup. Of two
// that have one address the first by name gets the entry; the other is not asked to move, only told.
func (l *Ledger) Enter(nodes []Tenant) {
	for _, t := range slices.SortedFunc(slices.Values(nodes), byNode) {
		for _, a := range parsedAddresses(t.Has) {
			if _, held := l.Holder(a); !held {
				l.set(a, t, v1alpha1.AddressHeld)
			}
		}
	}
}

// Settle gives the tenants what they want, as far as it is free, and marks what they do not want any more as leaving. It returns
// the addresses that may be written into each node once the changed blocks are written, and the addresses that others hold. A node
// that has to wait for one keeps what it has on that network.
func (l *Ledger) Settle(tenants []Tenant) (grants map[string][]v1alpha1.Address, waits []netip.Addr) {
	grants = make(map[string][]v1alpha1.Address, len(tenants))
	granted := l.Granted()
	for _, t := range slices.SortedFunc(slices.Values(tenants), byNode) {
		kept := map[netip.Addr]bool{}
		for _, want := range t.Wants {
			a, ok := addressOf(want.Address)
			got := l.grant(t, want, a)
			if ok && got.Address != want.Address {
				waits = append(waits, a)
			}
			if a, ok := addressOf(got.Address); ok {
				grants[t.Node] = append(grants[t.Node], got)
				kept[a] = true
			}
		}
		for _, a := range granted[Identity{t.Node, t.UID}] {
			if h, _ := l.Holder(a); !kept[a] && h.State != v1alpha1.AddressLeaving {
				l.set(a, t, v1alpha1.AddressLeaving)
			}
		}
	}
	return grants, waits
}

// grant gives a tenant the address it wants, or what it has on that network while another node holds that.
func (l *Ledger) grant(t Tenant, want v1alpha1.Address, a netip.Addr) v1alpha1.Address {
	if !a.IsValid() {
		return v1alpha1.Address{}
	}
	h, held := l.Holder(a)
	if !held || identityOf(h) == (Identity{t.Node, t.UID}) {
		if h.State != v1alpha1.AddressHeld {
			l.set(a, t, v1alpha1.AddressHeld)
		}
		return want
	}
	for _, has := range t.Has {
		if has.Network == want.Network {
			return has
		}
	}
	return v1alpha1.Address{}
}

// Leaving returns the addresses that are being taken back, by the node that they are taken from.
func (l *Ledger) Leaving() map[Identity][]netip.Addr {
	var out map[Identity][]netip.Addr
	for _, b := range l.blocks {
		for a, h := range b.holders {
			if h.State == v1alpha1.AddressLeaving {
				if out == nil {
					out = map[Identity][]netip.Addr{}
				}
				out[identityOf(h)] = append(out[identityOf(h)], a)
			}
		}
	}
	for _, of := range out {
		slices.SortFunc(of, netip.Addr.Compare)
	}
	return out
}

// Free takes an address out that was leaving, after the node was written without it.
func (l *Ledger) Free(a netip.Addr) {
	if b := l.blocks[BlockName(a)]; b != nil {
		delete(b.holders, a)
		b.changed = true
	}
}

func (l *Ledger) set(a netip.Addr, t Tenant, state v1alpha1.AddressState) {
	name := BlockName(a)
	b := l.blocks[name]
	if b == nil {
		b = &block{holders: map[netip.Addr]v1alpha1.AddressHolder{}}
		b.object.ObjectMeta = metav1.ObjectMeta{Namespace: l.namespace, Name: name}
		b.object.Spec.CIDR = blockOf(a).String()
		l.blocks[name] = b
	}
	b.holders[a] = v1alpha1.AddressHolder{Address: a.String(), Node: t.Node, UID: string(t.UID), State: state}
	b.changed = true
}

// Changed returns the blocks that are to be written, by name: one without a resourceVersion is to be created, one without
// holders deleted, any other updated.
func (l *Ledger) Changed() []v1alpha1.AddressBlock {
	var out []v1alpha1.AddressBlock
	for _, name := range slices.Sorted(maps.Keys(l.blocks)) {
		b := l.blocks[name]
		if !b.changed || (len(b.holders) == 0 && b.object.ResourceVersion == "") {
			continue
		}
		next := *b.object.DeepCopy()
		next.Spec.Holders = nil
		for _, a := range slices.SortedFunc(maps.Keys(b.holders), netip.Addr.Compare) {
			next.Spec.Holders = append(next.Spec.Holders, b.holders[a])
		}
		out = append(out, next)
	}
	return out
}

// Wrote notes that a changed block was written, as it now is.
func (l *Ledger) Wrote(written v1alpha1.AddressBlock) {
	b := l.blocks[written.Name]
	b.object, b.changed = written, false
	if len(written.Spec.Holders) == 0 {
		delete(l.blocks, written.Name)
	}
}

// Version returns the resourceVersion of the block an address is in, as read or written last; "" when there is none.
func (l *Ledger) Version(a netip.Addr) string {
	if b := l.blocks[BlockName(a)]; b != nil {
		return b.object.ResourceVersion
	}
	return ""
}

func byNode(a, b Tenant) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.UID, b.UID)) }

func parsedAddresses(list []v1alpha1.Address) []netip.Addr {
	var out []netip.Addr
	for _, has := range list {
		if a, ok := addressOf(has.Address); ok {
			out = append(out, a)
		}
	}
	return out
}

func addressOf(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	return a.Unmap().WithZone(""), err == nil
}
