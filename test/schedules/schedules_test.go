package schedules

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/test/world"
)

type k8sObject = k8sruntime.Object

var (
	count = flag.Int("schedules", 2000, "how many schedules are made")
	first = flag.Uint64("first", 1, "the seed of the first of them, to go on where another run ended")
	sites = flag.Int("sites", 1, "how many schedules of the size of a site are made")
	seed  = flag.Uint64("seed", 0, "make the schedule of this seed alone")
)

// fence says which fence is broken on purpose.
type fence int

const (
	none fence = iota
	// noSwap: the API server takes AddressBlocks whatever was read before.
	noSwap
	// staleLive: what is asked of the API server itself is answered by the cache.
	staleLive
)

// size is how much there is in a schedule.
type size struct {
	hosts, sets int
	last        int // the last byte of the last address of a network; they begin at 10
	length      int // how often a manager goes on
}

// small is short of everything, so that each step matters.
func small() size { return size{hosts: 5, sets: 4, last: 16, length: 150} }

// wide has the sizes of a site.
func wide() size { return size{hosts: 1000, sets: 50, last: 109, length: 3000} }

const workers = 2

// schedule is one order of things.
type schedule struct {
	size
	ctx      context.Context //nolint:containedctx // of the one schedule that this is
	rng      *rand.Rand
	server   *server
	breaks   fence
	managers [2]*manager
	leader   int
	over     bool
	now      int64
	writer   *manager // whose write it is; nil for the user's
	problems []string
	history  map[string][]porcupine.Operation // by host or address
}

func (s *schedule) fail(format string, args ...any) {
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// play makes the schedule of a seed and returns what was wrong.
func play(ctx context.Context, seed uint64, breaks fence, much size) []string {
	w := world.New()
	s := &schedule{size: much, ctx: ctx, rng: rand.New(rand.NewPCG(seed, 8)), breaks: breaks, history: map[string][]porcupine.Operation{}}
	s.server = &server{Client: w.Store, log: map[reflect.Type][]change{}, wrote: s.wrote, unfenced: breaks == noSwap}
	s.populate()
	for i := range s.managers {
		s.managers[i] = newManager(s, i, w.Clock)
	}
	for range s.length {
		s.now++
		switch s.rng.IntN(40) {
		case 0, 1:
			s.user()
		case 2:
			s.leader = 1 - s.leader
		}
		m := s.managers[s.leader]
		if s.rng.IntN(6) == 0 {
			m = s.managers[1-s.leader] // it has lost the lease and does not know yet
		}
		m.hear()
		m.step()
	}
	s.end(w)
	return s.problems
}

// end lets both finish what they are at, then one alone bring all to rest, scale all sets in and bring that to rest.
func (s *schedule) end(w *world.World) {
	for _, m := range s.managers {
		for !m.between {
			s.now++
			m.step()
		}
	}
	s.rest(w)
	s.checkLedger()
	for i := range s.sets {
		s.edit(i, func(set *v1alpha1.NodeSet) { set.Spec.Replicas = new(int32); set.Spec.Nodes = nil })
	}
	s.rest(w)
	for _, list := range []client.ObjectList{&v1alpha1.DataPlaneNodeList{}, &v1alpha1.AddressBlockList{}} {
		for _, obj := range s.list(list) {
			s.fail("%T %s is left when all sets are empty", obj, obj.GetName())
		}
	}
	for _, obj := range s.list(&metal3v1alpha1.BareMetalHostList{}) {
		if host, ok := obj.(*metal3v1alpha1.BareMetalHost); ok && host.Spec.ConsumerRef != nil {
			s.fail("host %s is still claimed by %s when all sets are empty", host.Name, host.Spec.ConsumerRef.Name)
		}
	}
	s.over = true
	for _, m := range s.managers {
		m.step()
	}
	s.linearize()
}

// rest lets the first manager, up to date, look at everything until it writes nothing.
func (s *schedule) rest(w *world.World) {
	m := s.managers[0]
	for range 80 {
		before := s.writes()
		m.cache.hearAll()
		m.queue = m.passes()
		for len(m.queue) > 0 || !m.between {
			s.now++
			m.step()
			m.cache.hearAll()
		}
		w.Clock.Step(time.Minute)
		if s.writes() == before {
			return
		}
	}
	s.fail("still writing after 80 rounds")
}

func (s *schedule) writes() (n int) {
	for _, log := range s.server.log {
		n += len(log)
	}
	return n
}

func (s *schedule) populate() {
	ranges := func(network string) v1alpha1.Subnet {
		return v1alpha1.Subnet{Name: "a", CIDR: network + ".0/24", AllocationRanges: []v1alpha1.AllocationRange{{Start: network + ".10", End: fmt.Sprintf("%s.%d", network, s.last)}}}
	}
	nets := &v1alpha1.NetConfig{Spec: v1alpha1.NetConfigSpec{Networks: []v1alpha1.Network{
		{Name: "ctlplane", Subnets: []v1alpha1.Subnet{ranges("192.168.1")}}, {Name: "internalapi", Subnets: []v1alpha1.Subnet{ranges("172.17.0")}},
	}}}
	nets.Name = "site"
	objects := []client.Object{nets}
	for i := range s.hosts {
		h := &metal3v1alpha1.BareMetalHost{}
		h.Name = fmt.Sprintf("h%d", i)
		h.Spec.BMC.Address = "redfish://" + h.Name
		objects = append(objects, h)
	}
	for i := range s.sets {
		set := &v1alpha1.NodeSet{Spec: v1alpha1.NodeSetSpec{HostNameTemplate: fmt.Sprintf("s%d-n%%d", i), Replicas: new(int32)}}
		set.Name = fmt.Sprintf("s%d", i)
		*set.Spec.Replicas = int32(s.rng.IntN(3))
		set.Spec.NodeTemplate.Networks = []v1alpha1.NodeNetwork{{Name: "ctlplane"}, {Name: "internalapi"}}
		objects = append(objects, set)
	}
	for _, obj := range objects {
		obj.SetNamespace(world.Namespace)
		s.must(s.server.Create(s.ctx, obj))
		if h, ok := obj.(*metal3v1alpha1.BareMetalHost); ok {
			old := h.DeepCopy()
			h.Status.Provisioning.State = metal3v1alpha1.StateAvailable
			s.must(s.server.Status().Patch(s.ctx, h, client.MergeFrom(old)))
		}
	}
}

func (s *schedule) must(err error) {
	if err != nil {
		s.fail("the user: %v", err)
	}
}

// user scales a set, takes a network out of it or puts it back, asks for a fixed address, or deletes a node.
func (s *schedule) user() {
	s.edit(s.rng.IntN(s.sets), func(set *v1alpha1.NodeSet) {
		switch s.rng.IntN(4) {
		case 0, 1:
			*set.Spec.Replicas = int32(s.rng.IntN(4))
		case 2:
			all := []v1alpha1.NodeNetwork{{Name: "ctlplane"}, {Name: "internalapi"}}
			set.Spec.NodeTemplate.Networks = all[:1+s.rng.IntN(2)]
		default:
			fixed := v1alpha1.NodeNetwork{Name: "ctlplane", FixedIP: fmt.Sprintf("192.168.1.%d", 10+s.rng.IntN(s.last-9))}
			set.Spec.Nodes = map[string]v1alpha1.NodeSection{fmt.Sprintf("%s-n%d", set.Name, s.rng.IntN(3)): {Networks: []v1alpha1.NodeNetwork{fixed, {Name: "internalapi"}}}}
		}
	})
	if nodes := s.list(&v1alpha1.DataPlaneNodeList{}); len(nodes) > 0 && s.rng.IntN(4) == 0 {
		s.must(s.server.Delete(s.ctx, nodes[s.rng.IntN(len(nodes))]))
	}
}

func (s *schedule) edit(set int, change func(*v1alpha1.NodeSet)) {
	obj := &v1alpha1.NodeSet{}
	s.must(s.server.Get(s.ctx, client.ObjectKey{Namespace: world.Namespace, Name: fmt.Sprintf("s%d", set)}, obj))
	change(obj)
	s.must(s.server.Update(s.ctx, obj))
}

func (s *schedule) list(list client.ObjectList) []client.Object {
	s.must(s.server.List(s.ctx, list))
	items, err := meta.ExtractList(list)
	s.must(err)
	var out []client.Object
	for _, item := range items {
		if obj, ok := item.(client.Object); ok {
			out = append(out, obj)
		}
	}
	return out
}

// checkLedger compares, at rest, what the blocks say with what the nodes have.
func (s *schedule) checkLedger() {
	var have, say []string
	for _, obj := range s.list(&v1alpha1.DataPlaneNodeList{}) {
		if n, ok := obj.(*v1alpha1.DataPlaneNode); ok {
			for _, a := range n.Spec.Networks {
				have = append(have, a.Address+" "+n.Name)
			}
		}
	}
	for _, obj := range s.list(&v1alpha1.AddressBlockList{}) {
		if b, ok := obj.(*v1alpha1.AddressBlock); ok {
			for _, h := range b.Spec.Holders {
				say = append(say, h.Address+" "+h.Node)
			}
		}
	}
	slices.Sort(have)
	slices.Sort(say)
	if !slices.Equal(have, say) {
		s.fail("at rest nodes have %q, the ledger says %q", have, say)
	}
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	if *seed != 0 {
		report(t, *seed, play(t.Context(), *seed, none, small()))
		return
	}
	var made sync.WaitGroup
	for worker := range uint64(workers) {
		made.Go(func() {
			for i := *first + worker; i < *first+uint64(*count); i += workers {
				if report(t, i, play(t.Context(), i, none, small())); t.Failed() {
					return
				}
			}
		})
	}
	made.Wait()
}

// TestSites makes schedules of 50 NodeSets on 1,000 hosts.
func TestSites(t *testing.T) {
	t.Parallel()
	from := max(1, *seed)
	for i := range uint64(*sites) {
		report(t, from+i, play(t.Context(), from+i, none, wide()))
	}
}

func report(t *testing.T, seed uint64, problems []string) {
	t.Helper()
	if len(problems) > 0 {
		t.Errorf("schedule %d: %s\nagain: go test ./test/schedules -run %s -seed %d", seed, strings.Join(problems[:min(5, len(problems))], "\n"), t.Name(), seed)
	}
}

// TestBrokenFencesAreFound: what the schedules look for they find, when a fence is taken away.
func TestBrokenFencesAreFound(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]fence{"no compare-and-swap": noSwap, "stale live reads": staleLive} {
		for i := range 2000 {
			if problems := play(t.Context(), uint64(i+1), breaks, small()); len(problems) > 0 {
				t.Logf("%s: found by schedule %d: %s", name, i+1, problems[0])
				name = ""
				break
			}
		}
		if name != "" {
			t.Errorf("%s is not found in 2,000 schedules", name)
		}
	}
}

// TestSameSeedSameSchedule: a seed that is printed makes the same again.
func TestSameSeedSameSchedule(t *testing.T) {
	t.Parallel()
	for i := range uint64(20) {
		one, two := play(t.Context(), i+1, noSwap, small()), play(t.Context(), i+1, noSwap, small())
		if !slices.Equal(one, two) {
			t.Errorf("seed %d: %v, then %v", i+1, one, two)
		}
	}
}
