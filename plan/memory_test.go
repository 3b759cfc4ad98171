package plan_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/network"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

// site is a world of a few sets that changes step by step, as a cache shows it: what changes gets another version.
type site struct {
	sets    []v1alpha1.NodeSet
	nodes   []v1alpha1.DataPlaneNode
	hosts   []claim.Host
	config  v1alpha1.NetConfigSpec
	blocks  map[string][]v1alpha1.AddressBlock // by namespace
	hidden  map[types.UID]bool                 // nodes that the cache does not show
	version int
}

func (s *site) next() string {
	s.version++
	return strconv.Itoa(s.version)
}

func newSiteOfSets(t *rapid.T) *site {
	s := &site{blocks: map[string][]v1alpha1.AddressBlock{}}
	for i, name := range []string{"ctlplane", "tenant"} {
		s.config.Networks = append(s.config.Networks, v1alpha1.Network{Name: name, DNSDomain: "example.com", Subnets: []v1alpha1.Subnet{{
			Name: "a", CIDR: fmt.Sprintf("10.%d.0.0/24", i), AllocationRanges: []v1alpha1.AllocationRange{{Start: fmt.Sprintf("10.%d.0.10", i), End: fmt.Sprintf("10.%d.0.15", i)}},
		}}})
	}
	for i, name := range []string{"x/one", "x/two", "y/one", "x/running"} {
		set := v1alpha1.NodeSet{Spec: v1alpha1.NodeSetSpec{Replicas: new(int32(rapid.IntRange(0, 3).Draw(t, "replicas"))), HostNameTemplate: fmt.Sprintf("s%d-n%%d", i)}}
		set.Namespace, set.Name, _ = strings.Cut(name, "/")
		set.UID, set.Generation = types.UID(name), 1
		set.Spec.NodeTemplate.Networks = []v1alpha1.NodeNetwork{{Name: "ctlplane"}, {Name: "tenant"}}
		set.Spec.Hosts.Namespace = "x"
		set.Spec.PreProvisioned = name == "x/running"
		s.sets = append(s.sets, set)
	}
	for range rapid.IntRange(0, 6).Draw(t, "hosts") {
		s.addHost()
	}
	return s
}

func (s *site) addHost() {
	h := claim.Host{
		Ref: v1alpha1.HostReference{Namespace: "x", Name: "h" + s.next(), UID: types.UID("host" + s.next())}, State: "available",
		Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: fmt.Sprintf("52:54:00:00:00:%02x", s.version%256)}}}, Version: s.next(),
	}
	if s.version%2 == 0 {
		h.LentTo = []string{"y"}
	}
	s.hosts = append(s.hosts, h)
}

// world is what there is, copied as a pass copies it.
func (s *site) world(namespace string) plan.World {
	nodes := slices.DeleteFunc(slices.Clone(s.nodes), func(n v1alpha1.DataPlaneNode) bool { return s.hidden[n.UID] })
	w := plan.NewWorld(slices.Clone(s.sets), nodes, slices.Clone(s.hosts))
	if s.blocks[namespace] != nil {
		w.Ledger = network.NewLedger(namespace, s.blocks[namespace])
	}
	return w
}

// change makes one change.
func (s *site) change(t *rapid.T) {
	changes := map[string]func(*rapid.T){
		"make": s.makeNodes, "write": s.write, "claim": s.claim, "drop node": s.dropNode, "edit node": s.editNode, "edit host": s.editHost,
		"drop host": s.dropHost, "add host": func(*rapid.T) { s.addHost() }, "edit set": s.editSet, "edit network": s.editNetwork, "enter": s.enter,
		"mistake": s.mistake, "hide": s.hide,
	}
	names := []string{"make", "write", "write", "write", "claim", "enter", "drop node", "edit node", "edit host", "drop host", "add host", "edit set", "edit network", "mistake", "hide"}
	changes[rapid.SampledFrom(names).Draw(t, "change")](t)
}

func (s *site) makeNodes(*rapid.T) {
	there := map[string]bool{}
	for i := range s.nodes {
		there[plan.OwnerOf(&s.nodes[i]).String()] = true
	}
	for i := range s.sets {
		for _, node := range plan.Desired(&s.sets[i]) {
			if name := plan.OwnerOf(&node).String(); !there[name] {
				there[name] = true
				node.UID, node.ResourceVersion = types.UID("node"+s.next()), s.next()
				s.nodes = append(s.nodes, node)
			}
		}
	}
}

// write writes down what is decided from scratch for a set.
func (s *site) write(t *rapid.T) {
	set := &s.sets[rapid.IntRange(0, len(s.sets)-1).Draw(t, "set")]
	decided, err := plan.Decide(s.world(set.Namespace), set, s.site())
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.nodes {
		if spec, ok := decided.Nodes[s.nodes[i].Name]; ok && plan.IsMember(&s.nodes[i], set) {
			s.nodes[i].Spec, s.nodes[i].ResourceVersion = spec, s.next()
		}
	}
}

func (s *site) site() network.Site {
	found, _ := network.NewSite(s.config)
	return found
}

func pick[T any](t *rapid.T, all []T) *T {
	if len(all) == 0 {
		return nil
	}
	return &all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
}

// claim has a node claim what it was given, or somebody else.
func (s *site) claim(t *rapid.T) {
	node, other := pick(t, s.nodes), pick(t, s.hosts)
	if node == nil || other == nil {
		return
	}
	for i := range s.hosts {
		if h := &s.hosts[i]; (node.Spec.Host != nil && h.Ref == *node.Spec.Host) || (h == other && rapid.IntRange(0, 9).Draw(t, "wrongly") == 0) {
			owner := plan.OwnerOf(node)
			h.Consumer, h.ConsumerKind, h.Version = &owner, claim.OwnerKind, s.next()
		}
	}
}

func (s *site) dropNode(t *rapid.T) {
	node := pick(t, s.nodes)
	if node == nil {
		return
	}
	if node.ResourceVersion = s.next(); node.DeletionTimestamp.IsZero() {
		node.DeletionTimestamp = &metav1.Time{}
		*node.DeletionTimestamp = metav1.Unix(1, 0)
		return
	}
	gone := node.UID
	s.nodes = slices.DeleteFunc(s.nodes, func(n v1alpha1.DataPlaneNode) bool { return n.UID == gone })
}

func (s *site) editNode(t *rapid.T) {
	if node := pick(t, s.nodes); node != nil {
		node.ResourceVersion = s.next()
		node.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProvisioned, Status: rapid.SampledFrom([]metav1.ConditionStatus{"True", "False"}).Draw(t, "provisioned")}}
	}
}

// hide has the cache not show a node, or all of them again.
func (s *site) hide(t *rapid.T) {
	node := pick(t, s.nodes)
	if len(s.hidden) > 0 || node == nil {
		s.hidden = nil
		return
	}
	s.hidden = map[types.UID]bool{node.UID: true}
}

// mistake gives a node what is another's, or nobody's.
func (s *site) mistake(t *rapid.T) {
	node, other := pick(t, s.nodes), pick(t, s.nodes)
	if node == nil {
		return
	}
	node.ResourceVersion = s.next()
	if rapid.Bool().Draw(t, "host") {
		node.Spec.Host = other.Spec.Host
		return
	}
	node.Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: fmt.Sprintf("10.0.0.%d", rapid.IntRange(9, 16).Draw(t, "last"))}}
}

func (s *site) editHost(t *rapid.T) {
	h := pick(t, s.hosts)
	if h == nil {
		return
	}
	switch rapid.IntRange(0, 3).Draw(t, "edit") {
	case 0:
		h.Paused = !h.Paused
	case 1:
		h.Hardware = &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: fmt.Sprintf("52:54:00:00:01:%02x", s.version%256)}}}
	case 2:
		h.Consumer, h.ConsumerKind = nil, ""
	default: // which is in no version
		h.LentTo = rapid.SampledFrom([][]string{nil, {"y"}}).Draw(t, "lent")
		return
	}
	h.Version = s.next()
}

func (s *site) dropHost(t *rapid.T) {
	if h := pick(t, s.hosts); h != nil {
		gone := h.Ref.UID
		s.hosts = slices.DeleteFunc(s.hosts, func(h claim.Host) bool { return h.Ref.UID == gone })
	}
}

func (s *site) editSet(t *rapid.T) {
	set := pick(t, s.sets)
	set.Generation++
	switch rapid.IntRange(0, 3).Draw(t, "edit") {
	case 0:
		set.Spec.Replicas = new(int32(rapid.IntRange(0, 4).Draw(t, "replicas")))
	case 1:
		set.Spec.NodeTemplate.Networks = []v1alpha1.NodeNetwork{{Name: "ctlplane"}}
	case 2:
		set.Spec.HostNameTemplate = rapid.SampledFrom([]string{"s0-n%d", "a-n%d", "b%d.example.com"}).Draw(t, "template")
	default:
		name := fmt.Sprintf(set.Spec.HostNameTemplate, 0)
		set.Spec.Nodes = map[string]v1alpha1.NodeSection{name: {HostName: "s0-n1", Networks: []v1alpha1.NodeNetwork{{Name: "ctlplane", FixedIP: fmt.Sprintf("10.0.0.%d", rapid.IntRange(9, 16).Draw(t, "fixed"))}}}}
	}
}

func (s *site) editNetwork(t *rapid.T) {
	networks := slices.Clone(s.config.Networks)
	subnet := networks[0].Subnets[0]
	subnet.AllocationRanges = []v1alpha1.AllocationRange{{Start: "10.0.0.10", End: fmt.Sprintf("10.0.0.%d", rapid.IntRange(11, 20).Draw(t, "end"))}}
	networks[0].Subnets = []v1alpha1.Subnet{subnet}
	s.config.Networks = networks
}

// enter has the ledger of a namespace tell what its nodes have, and who was given something that it does not show yet.
func (s *site) enter(t *rapid.T) {
	namespace := rapid.SampledFrom([]string{"x", "y"}).Draw(t, "namespace")
	w := s.world(namespace)
	ledger := network.NewLedger(namespace, s.blocks[namespace])
	for _, who := range ledger.Absent(w.Tenants(namespace)) {
		if rapid.Bool().Draw(t, "seen to be gone") {
			ledger.Forget(who)
		}
	}
	ledger.Enter(w.Tenants(namespace))
	if rapid.Bool().Draw(t, "given") {
		to := network.Tenant{Node: "unseen", UID: types.UID(s.next())}
		if node := pick(t, s.nodes); node != nil && rapid.Bool().Draw(t, "to one that is there") {
			to = network.Tenant{Node: node.Name, UID: node.UID, Has: node.Spec.Networks}
		}
		to.Wants = append(slices.Clone(to.Has), v1alpha1.Address{Network: "ctlplane", Address: fmt.Sprintf("10.0.0.%d", rapid.IntRange(9, 16).Draw(t, "last"))})
		ledger.Settle([]network.Tenant{to})
	}
	s.blocks[namespace] = slices.Clone(s.blocks[namespace])
	for _, block := range ledger.Changed() {
		block.UID, block.ResourceVersion = types.UID(block.Name), s.next()
		i := slices.IndexFunc(s.blocks[namespace], func(b v1alpha1.AddressBlock) bool { return b.Name == block.Name })
		if i < 0 {
			s.blocks[namespace] = append(s.blocks[namespace], block)
			continue
		}
		s.blocks[namespace][i] = block
	}
	s.blocks[namespace] = slices.DeleteFunc(s.blocks[namespace], func(b v1alpha1.AddressBlock) bool { return len(b.Spec.Holders) == 0 })
}

// Whatever changes in whatever order, and whichever set is planned when, a plan that is carried forward is the one that is made from
// scratch.
func TestCarriedPlanIsTheOneFromScratch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSiteOfSets(t)
		var carried plan.Memory
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.change(t)
			set := &s.sets[rapid.IntRange(0, len(s.sets)-1).Draw(t, "planned")]
			want, err := plan.Decide(s.world(set.Namespace), set, s.site())
			if err != nil {
				t.Fatal(err)
			}
			got, err := carried.Decide(s.world(set.Namespace), set, s.site())
			if err != nil {
				t.Fatal(err)
			}
			for node, rendered := range got.Rendered {
				if diff := cmp.Diff(want.Rendered[node], rendered); diff != "" {
					t.Fatalf("network of %s (-want +got):\n%s", node, diff)
				}
			}
			got.Rendered, want.Rendered = nil, nil
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("set %s/%s (-from scratch +carried):\n%s", set.Namespace, set.Name, diff)
			}
		}
	})
}

// One node more makes as many allocations among a thousand as among a hundred.
func TestOneMoreIsPlannedAloneAtAnySize(t *testing.T) {
	allocations := func(size int) float64 {
		set, world, site := many(size)
		first, err := plan.Decide(world, set, site)
		if err != nil {
			t.Fatal(err)
		}
		apply(first, &world)
		more := world
		more.Nodes = slices.Clone(world.Nodes)
		more.Nodes[0].Spec, more.Nodes[0].ResourceVersion = v1alpha1.DataPlaneNodeSpec{HostName: more.Nodes[0].Spec.HostName}, "3"
		world.Nodes = world.Nodes[1:]
		var carried plan.Memory
		decide := func(w plan.World) {
			if d, err := carried.Decide(w, set, site); err != nil || d.Reason() != "" {
				t.Fatal(err, d.Message())
			}
		}
		decide(world)
		return testing.AllocsPerRun(3, func() { // without it, and with it again
			decide(world)
			decide(more)
		})
	}
	if few, many := allocations(100), allocations(1000); many > 1.2*few {
		t.Errorf("%.0f allocations at 1,000 nodes, %.0f at 100", many, few)
	}
}
