// Package addresses gives addresses out and takes them back. Who holds what is decided
// by network.Ledger; here it is read, and written by compare-and-swap.
//
// What keeps two engines apart that act at once, each on a world of its own age:
//   - An address is written into a node only after its AddressBlock named the node, at a moment after the node was read.
//   - It leaves in three writes: the block says Leaving, then the node is written without it, then the entry goes. Whoever
//     read the node before the second write loses against it; who read it later saw Leaving, since the block is read after
//     the node.
//   - A server that runs has its address until configure-network took it away, whatever its node says: the entry goes only after the
//     node was seen with a network that has not got it. Meanwhile the node gets it back when its network is wanted again.
//   - What a node held is free at once when the API server itself says that there is no node of that UID.
package addresses

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
)

// writtenFor is the annotation that a node is written with when an address is taken back that it never had: the write is
// what counts, its value only has to be another one.
const writtenFor = "dataplane.rackplane.dev/address-taken-back"

// Keeper keeps the ledger of a namespace for the length of one pass. Make one with Open.
type Keeper struct {
	*network.Ledger
	client    client.Client
	live      client.Reader
	namespace string
	// sure are the blocks that were written since the nodes were read, and so are known as they are.
	sure map[string]bool
}

// Access is how a Keeper reaches the API server.
type Access struct {
	// Client writes.
	Client client.Client
	// Reader lists the blocks, and may be a cache. Live reads uncached.
	Reader, Live client.Reader
}

// Open reads the ledger of a namespace, frees what nodes held that are gone, and enters what nodes have that it does not
// tell. nodes must have been read before.
func Open(ctx context.Context, a Access, namespace string, nodes []network.Tenant) (*Keeper, error) {
	var list v1alpha1.AddressBlockList
	if err := a.Reader.List(ctx, &list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("list AddressBlocks in %s: %w", namespace, err)
	}
	k := &Keeper{Ledger: network.NewLedger(namespace, list.Items), client: a.Client, live: a.Live, namespace: namespace, sure: map[string]bool{}}
	for _, who := range k.Absent(nodes) {
		gone, err := k.isGone(ctx, who)
		if err != nil {
			return nil, err
		}
		if gone {
			k.Forget(who)
		}
	}
	// Freed first and entered after: a node that was restored under another UID takes over what its earlier self held.
	if err := k.write(ctx); err != nil {
		return nil, err
	}
	k.Enter(nodes)
	return k, nil
}

// isGone asks the API server itself: a cache may not show a node yet that somebody else has just made.
func (k *Keeper) isGone(ctx context.Context, who network.Identity) (bool, error) {
	var node v1alpha1.DataPlaneNode
	err := k.live.Get(ctx, types.NamespacedName{Namespace: k.namespace, Name: who.Node}, &node)
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("read DataPlaneNode %s/%s: %w", k.namespace, who.Node, err)
	}
	return node.UID != who.UID, nil
}

// Give writes down who holds what and returns the addresses that may be written into each node, with the resourceVersion it
// was read with. waits reports that some are still another's: they come once that has lost them. An error that is a conflict means
// that the ledger was old, and nothing may be written.
func (k *Keeper) Give(ctx context.Context, tenants []network.Tenant) (grants map[string][]v1alpha1.Address, waits bool, err error) {
	grants, pending := k.Settle(tenants)
	if err := k.write(ctx); err != nil {
		return nil, false, err
	}
	for i := range tenants {
		if err := k.confirm(ctx, tenants[i].Has, grants[tenants[i].Node]); err != nil {
			return nil, false, err
		}
	}
	return grants, len(pending) > 0, nil
}

// confirm looks up what is to be written into a node and was given to it in an earlier pass: the entry was read before the node,
// perhaps long before, and may be leaving by now.
func (k *Keeper) confirm(ctx context.Context, has, grants []v1alpha1.Address) error {
	for _, g := range grants {
		a, err := netip.ParseAddr(g.Address)
		if err != nil || k.sure[network.BlockName(a)] || slices.ContainsFunc(has, func(h v1alpha1.Address) bool { return h.Address == g.Address }) {
			continue
		}
		var block v1alpha1.AddressBlock
		key := types.NamespacedName{Namespace: k.namespace, Name: network.BlockName(a)}
		if err := k.live.Get(ctx, key, &block); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read AddressBlock %s: %w", key, err)
		}
		if block.ResourceVersion != k.Version(a) {
			return moved(key.Name, fmt.Errorf("read at resourceVersion %s, now at %q", k.Version(a), block.ResourceVersion))
		}
		k.sure[key.Name] = true
	}
	return nil
}

// TakeBack frees the addresses that leave the tenants. written are the nodes that were written without them since Give; the others
// are written now. kept reports that some stay with servers that were not seen without them yet.
func (k *Keeper) TakeBack(ctx context.Context, tenants []network.Tenant, written map[string]bool) (kept bool, err error) {
	all := k.Leaving()
	for i := range tenants {
		who := network.Identity{Node: tenants[i].Node, UID: tenants[i].UID}
		leaving := all[who]
		if len(leaving) == 0 {
			continue
		}
		if tenants[i].InForce {
			seen, err := k.seenWithout(ctx, who, leaving)
			if err != nil {
				return kept, err
			}
			if !seen {
				kept = true
				continue
			}
		}
		if !written[who.Node] {
			done, err := k.touch(ctx, who, leaving)
			if err != nil {
				return kept, err
			}
			if !done {
				continue
			}
		}
		for _, a := range leaving {
			k.Free(a)
		}
	}
	return kept, k.write(ctx)
}

// seenWithout asks the API server whether the node's server was seen with the network that follows from its present spec, and that has
// none of the addresses. A network that was not rendered, and one that was seen before the spec changed, say nothing.
func (k *Keeper) seenWithout(ctx context.Context, who network.Identity, leaving []netip.Addr) (bool, error) {
	var node v1alpha1.DataPlaneNode
	err := k.live.Get(ctx, types.NamespacedName{Namespace: k.namespace, Name: who.Node}, &node)
	if apierrors.IsNotFound(err) || (err == nil && node.UID != who.UID) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read DataPlaneNode %s/%s: %w", k.namespace, who.Node, err)
	}
	seen := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionNetworked)
	return seen != nil && seen.Status == metav1.ConditionTrue && seen.ObservedGeneration == node.Generation && node.Spec.NetworkHash != "" &&
		!has(&node, leaving), nil
}

// has reports whether the node's spec has one of the addresses.
func has(node *v1alpha1.DataPlaneNode, addresses []netip.Addr) bool {
	return slices.ContainsFunc(node.Spec.Networks, func(one v1alpha1.Address) bool {
		a, err := netip.ParseAddr(one.Address)
		return err == nil && slices.Contains(addresses, a)
	})
}

// touch writes a node that has none of the addresses, so that whoever had read it before can write none of them into it
// any more. It reports false for a node that has one: what it is to have is decided from a newer world first.
func (k *Keeper) touch(ctx context.Context, who network.Identity, leaving []netip.Addr) (bool, error) {
	var node v1alpha1.DataPlaneNode
	err := k.live.Get(ctx, types.NamespacedName{Namespace: k.namespace, Name: who.Node}, &node)
	if apierrors.IsNotFound(err) || (err == nil && node.UID != who.UID) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read DataPlaneNode %s/%s: %w", k.namespace, who.Node, err)
	}
	if has(&node, leaving) {
		return false, nil
	}
	old := node.DeepCopy()
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	node.Annotations[writtenFor] = fmt.Sprintf("%s at %s", leaving[0], node.ResourceVersion)
	return true, k.client.Patch(ctx, &node, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}

// write writes the changed blocks. One that somebody else has written since it was read is a conflict.
func (k *Keeper) write(ctx context.Context) error {
	for _, block := range k.Changed() {
		err := k.put(ctx, &block)
		if refused(err) {
			err = k.put(ctx, &block) // once more, or every node of the set would be told to wait because of it
		}
		if apierrors.IsNotFound(err) {
			return moved(block.Name, err)
		}
		if err != nil {
			return err
		}
		k.Wrote(block)
		k.sure[block.Name] = true
	}
	return nil
}

func (k *Keeper) put(ctx context.Context, block *v1alpha1.AddressBlock) error {
	switch {
	case block.ResourceVersion == "":
		return k.client.Create(ctx, block)
	case len(block.Spec.Holders) == 0:
		return k.client.Delete(ctx, block, client.Preconditions{UID: &block.UID, ResourceVersion: &block.ResourceVersion})
	default:
		return k.client.Update(ctx, block)
	}
}

// refused reports that the API server said it has not done the write, and might the next time: 429, 500, 503.
func refused(err error) bool {
	return apierrors.IsTooManyRequests(err) || apierrors.IsInternalError(err) || apierrors.IsServiceUnavailable(err)
}

// moved is the answer of a block that is not what was read.
func moved(name string, err error) error {
	return apierrors.NewConflict(schema.GroupResource{Group: v1alpha1.GroupVersion.Group, Resource: "addressblocks"}, name, err)
}
