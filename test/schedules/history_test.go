package schedules

import (
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// act is one operation on a host or an address.
type act struct {
	verb string // take, free, or see: the node acts as the owner
	node string // with its UID
}

// owner is what a host or an address is to everybody: it has one owner or none.
func owner() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			is, _ := state.(string)
			a, _ := input.(act)
			switch a.verb {
			case "take":
				return is == "", a.node
			case "free":
				return is == a.node, ""
			default:
				return is == a.node, state
			}
		},
	}
}

// note adds an operation that ends now. What a manager decided may have taken effect at any time since it began.
func (s *schedule) note(what string, a act, since int64) {
	id := 2
	if s.writer != nil {
		id = s.writer.id
	}
	s.history[what] = append(s.history[what], porcupine.Operation{ClientId: id, Input: a, Call: since, Return: s.tick()})
}

// tick makes every write a moment of its own.
func (s *schedule) tick() int64 {
	s.now++
	return s.now
}

// wrote looks at every write.
func (s *schedule) wrote(before, after client.Object) {
	either := after
	if either == nil {
		either = before
	}
	switch either.(type) {
	case *v1alpha1.DataPlaneNode:
		was, _ := before.(*v1alpha1.DataPlaneNode)
		is, _ := after.(*v1alpha1.DataPlaneNode)
		s.nodeWritten(was, is)
	case *v1alpha1.AddressBlock:
		was, _ := before.(*v1alpha1.AddressBlock)
		is, _ := after.(*v1alpha1.AddressBlock)
		s.blockWritten(holders(was), holders(is))
	case *metal3v1alpha1.BareMetalHost:
		was, _ := before.(*metal3v1alpha1.BareMetalHost)
		is, _ := after.(*metal3v1alpha1.BareMetalHost)
		s.hostWritten(was, is)
	}
}

func holders(b *v1alpha1.AddressBlock) map[string]string {
	out := map[string]string{}
	if b != nil {
		for _, h := range b.Spec.Holders {
			out[h.Address] = h.Node + " " + h.UID
		}
	}
	return out
}

func (s *schedule) blockWritten(was, is map[string]string) {
	for _, a := range slices.Sorted(maps.Keys(was)) {
		if is[a] != was[a] {
			s.note(a, act{"free", was[a]}, s.tick())
		}
	}
	for _, a := range slices.Sorted(maps.Keys(is)) {
		if is[a] != was[a] {
			s.note(a, act{"take", is[a]}, s.tick())
		}
	}
}

// nodeWritten: an address that a node gets is nobody else's at this instant, and the ledger names the node from before it
// gets it until after it has lost it.
func (s *schedule) nodeWritten(was, is *v1alpha1.DataPlaneNode) {
	addresses := func(n *v1alpha1.DataPlaneNode) (out []string) {
		if n != nil {
			for _, a := range n.Spec.Networks {
				out = append(out, a.Address)
			}
		}
		return out
	}
	for _, a := range addresses(is) {
		s.note(a, act{"see", is.Name + " " + string(is.UID)}, s.tick())
		if slices.Contains(addresses(was), a) {
			continue
		}
		for _, obj := range s.list(&v1alpha1.DataPlaneNodeList{}) {
			if other, ok := obj.(*v1alpha1.DataPlaneNode); ok && other.Name != is.Name && slices.Contains(addresses(other), a) {
				s.fail("nodes %s and %s both have address %s", other.Name, is.Name, a)
			}
		}
	}
	for _, a := range addresses(was) {
		if is == nil { // had it to the last
			s.note(a, act{"see", was.Name + " " + string(was.UID)}, s.tick())
		}
	}
	if host := claimedHost(is); host != "" && host != claimedHost(was) && s.writer != nil && s.writer.cache.read[is.Name] == is.UID {
		s.note("host "+host, act{"see", is.Name + " " + string(is.UID)}, s.writer.began)
	}
}

// claimedHost is the host that a node says it has claimed. A status that was decided for an earlier node of the name may reach a new
// one (statuses are written without a UID); its next pass puts that right, and it is no claim of its own: such are left out.
func claimedHost(n *v1alpha1.DataPlaneNode) string {
	if n == nil {
		return ""
	}
	c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionClaimed)
	if c == nil || c.Status != metav1.ConditionTrue {
		return ""
	}
	return strings.TrimPrefix(c.Message, "BareMetalHost "+n.Namespace+"/")
}

func (s *schedule) hostWritten(was, is *metal3v1alpha1.BareMetalHost) {
	consumer := func(h *metal3v1alpha1.BareMetalHost) string {
		if h == nil || h.Spec.ConsumerRef == nil {
			return ""
		}
		return h.Spec.ConsumerRef.Name + " " + string(h.Spec.ConsumerRef.UID)
	}
	before, after := consumer(was), consumer(is)
	if before == after {
		return
	}
	if before != "" {
		s.note("host "+is.Name, act{"free", before}, s.tick())
	}
	if after != "" {
		s.note("host "+is.Name, act{"take", after}, s.tick())
	}
	if before != "" && after != "" {
		s.fail("host %s goes from %s to %s without being free", is.Name, before, after)
	}
}

// linearize asks the checker whether the history of each host and address could be that of one that has one owner at a time.
func (s *schedule) linearize() {
	for _, what := range slices.Sorted(maps.Keys(s.history)) {
		if !porcupine.CheckOperations(owner(), s.history[what]) {
			s.fail("the history of %s is not that of something with one owner: %v", what, s.history[what])
		}
	}
}
