package inputs

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
)

// Read reads the world. The reader may be a cache, and then the world shares its memory with it: what the objects point to
// must not be changed. An old world plans what is another's by now: who writes such a plan down needs a fence that holds.
func Read(ctx context.Context, r client.Reader) (plan.World, error) {
	var once Worlds
	seen, err := once.Read(ctx, r)
	if err != nil {
		return plan.World{}, err
	}
	return seen.World(), nil
}

// Worlds reads the world again and again, and looks closer only at what has changed since. The zero value is ready to use, by
// one caller at a time.
type Worlds struct {
	nodes map[types.NamespacedName]*known
	hosts map[types.NamespacedName]*knownHost
}

// known is an object in one version.
type known struct {
	version version
	sum     Version // identifies what is read of it
}

// knownHost is what was made of a host in one version.
type knownHost struct {
	known
	hardware version // of its HardwareData
	made     claim.Host
}

// version tells one object at one moment from all others. It is compared as it is: to put it into one text would cost a pass over objects
// that have not changed an allocation for each.
type version struct {
	uid             types.UID
	resourceVersion string
}

func versionIn(obj client.Object) version { return version{obj.GetUID(), obj.GetResourceVersion()} }

// isKnown reports whether there is one: an object in a file has none.
func (v version) isKnown() bool { return v.uid != "" && v.resourceVersion != "" }

// Version identifies what plans are made from: worlds of one version are planned alike.
type Version [sha256.Size]byte

func (v *Version) add(sum Version) {
	for i := range v {
		v[i] ^= sum[i] // whatever the order; no two objects have one sum, since each has its UID in it
	}
}

// Seen is the world as it was read.
type Seen struct {
	NodeSets []v1alpha1.NodeSet
	Nodes    []v1alpha1.DataPlaneNode
	Version  Version

	hosts    []*knownHost
	policies []v1alpha1.HostClaimPolicy
}

// World is what plans are made from. It is asked for once: it keeps the lists.
func (s *Seen) World() plan.World {
	hosts := make([]claim.Host, len(s.hosts))
	for i := range s.hosts {
		hosts[i] = s.hosts[i].made
	}
	claim.Lend(hosts, s.policies)
	claim.Pair(hosts)
	return plan.NewWorld(s.NodeSets, s.Nodes, hosts)
}

// Read reads the world.
func (w *Worlds) Read(ctx context.Context, r client.Reader) (*Seen, error) {
	var sets v1alpha1.NodeSetList
	if err := r.List(ctx, &sets, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list NodeSets: %w", err)
	}
	var nodes v1alpha1.DataPlaneNodeList
	if err := r.List(ctx, &nodes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list DataPlaneNodes: %w", err)
	}
	s := &Seen{NodeSets: sets.Items, Nodes: nodes.Items}
	for i := range s.NodeSets {
		s.Version.add(sumOfSet(&s.NodeSets[i]))
	}
	w.sumNodes(s)
	return s, w.readHosts(ctx, r, s)
}

// sumOfSet identifies what plans read of a set.
func sumOfSet(set *v1alpha1.NodeSet) Version {
	return sha256.Sum256(fmt.Appendf(nil, "NodeSet %s %d %t %s", set.UID, set.Generation, set.DeletionTimestamp.IsZero(), set.Status.Cloud))
}

func (w *Worlds) sumNodes(s *Seen) {
	if len(w.nodes) > 2*len(s.Nodes) || w.nodes == nil {
		w.nodes = make(map[types.NamespacedName]*known, len(s.Nodes))
	}
	for i := range s.Nodes {
		node := &s.Nodes[i]
		key := client.ObjectKeyFromObject(node)
		k := w.nodes[key]
		if now := versionIn(node); k == nil || k.version != now || !now.isKnown() {
			k = &known{version: now, sum: sumOfNode(node)}
			w.nodes[key] = k
		}
		s.Version.add(k.sum)
	}
}

// sumOfNode identifies a node but for what no plan reads: annotations, and of results and conditions more than whether there are any
// and whether it has run.
func sumOfNode(node *v1alpha1.DataPlaneNode) Version {
	n := *node
	n.ResourceVersion, n.Annotations, n.ManagedFields = "", nil, nil
	looked, ran := len(n.Status.Conditions) > 0, plan.HasRun(node)
	n.Status.Services, n.Status.Conditions = nil, nil
	return sumOf(fmt.Sprintf("DataPlaneNode %t %t", looked, ran), n)
}

// sumOf identifies an object. Should one be no JSON after all, it is like no other.
func sumOf(kind string, v any) Version {
	data, err := json.Marshal(v)
	if err != nil {
		return sha256.Sum256(fmt.Appendf(nil, "%s %p %v", kind, v, err))
	}
	return sha256.Sum256(append([]byte(kind+" "), data...))
}

// versionOf is the UID and resourceVersion of an object; "" for one that has none, as in a file.
func versionOf(obj client.Object) string {
	if obj.GetResourceVersion() == "" || obj.GetUID() == "" {
		return ""
	}
	return string(obj.GetUID()) + " " + obj.GetResourceVersion()
}

func (w *Worlds) readHosts(ctx context.Context, r client.Reader, s *Seen) (err error) {
	var list metal3v1alpha1.BareMetalHostList
	if err := r.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list BareMetalHosts: %w", err)
	}
	data, err := readHardware(ctx, r, "", list.Items)
	if err != nil {
		return err
	}
	var policies v1alpha1.HostClaimPolicyList
	if err := r.List(ctx, &policies, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list HostClaimPolicies: %w", err)
	}
	s.policies = policies.Items
	for i := range s.policies {
		s.Version.add(sha256.Sum256([]byte("HostClaimPolicy " + versionOf(&s.policies[i]))))
	}
	if len(w.hosts) > 2*len(list.Items) || w.hosts == nil {
		w.hosts = make(map[types.NamespacedName]*knownHost, len(list.Items))
	}
	s.hosts = make([]*knownHost, 0, len(list.Items))
	for i := range list.Items {
		k := w.host(&list.Items[i], data)
		s.hosts = append(s.hosts, k)
		s.Version.add(k.sum)
	}
	return nil
}

// host is what plans read of a host.
func (w *Worlds) host(bmh *metal3v1alpha1.BareMetalHost, data inspected) *knownHost {
	key := client.ObjectKeyFromObject(bmh)
	now, hardware := versionIn(bmh), version{}
	if hw := data[key]; hw != nil {
		hardware = versionIn(hw)
	}
	k := w.hosts[key]
	if k == nil || k.version != now || k.hardware != hardware || !now.isKnown() {
		k = &knownHost{known: known{version: now}, hardware: hardware, made: data.host(bmh)}
		k.sum = sumOf("BareMetalHost", k.made)
		k.made.Version = string(k.sum[:])
		w.hosts[key] = k
	}
	return k
}
