package addresses_test

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/addresses"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/network"
)

const a, b = "192.168.122.10", "192.168.122.11"

type rig struct {
	*testing.T
	*steptest.API
}

func newRig(t *testing.T, nodes ...*v1alpha1.DataPlaneNode) rig {
	t.Helper()
	var objects []client.Object
	for _, n := range nodes {
		objects = append(objects, n)
	}
	return rig{t, steptest.New(t, objects...)}
}

func node(name, has string) *v1alpha1.DataPlaneNode {
	n := &v1alpha1.DataPlaneNode{Spec: v1alpha1.DataPlaneNodeSpec{HostName: name}}
	n.Namespace, n.Name, n.UID = steptest.Namespace, name, types.UID("uid-"+name)
	n.Spec.Networks = list(has)
	return n
}

func list(address string) []v1alpha1.Address {
	if address == "" {
		return nil
	}
	return []v1alpha1.Address{{Network: "ctlplane", Subnet: "r7", Address: address}}
}

func tenant(n *v1alpha1.DataPlaneNode, wants string) network.Tenant {
	return network.Tenant{Node: n.Name, UID: n.UID, Has: n.Spec.Networks, Wants: list(wants)}
}

func (r rig) open(nodes ...network.Tenant) *addresses.Keeper {
	r.Helper()
	k, err := addresses.Open(r.Context(), addresses.Access{Client: r.WithWatch, Reader: r.Plain, Live: r.Plain}, steptest.Namespace, nodes)
	if err != nil {
		r.Fatal(err)
	}
	return k
}

// ledger is what the blocks say, as "address node state".
func (r rig) ledger() []string {
	r.Helper()
	var blocks v1alpha1.AddressBlockList
	if err := r.Plain.List(r.Context(), &blocks); err != nil {
		r.Fatal(err)
	}
	var out []string
	for _, block := range blocks.Items {
		for _, h := range block.Spec.Holders {
			out = append(out, h.Address+" "+h.Node+" "+string(h.State))
		}
	}
	return out
}

func (r rig) expect(want ...string) {
	r.Helper()
	if got := r.ledger(); !slices.Equal(got, want) {
		r.Errorf("the ledger has %q, want %q", got, want)
	}
}

// TestTheLaterLoses: of two engines that read the same ledger the second to write gives nothing out.
func TestTheLaterLoses(t *testing.T) {
	n0, n1 := node("n0", ""), node("n1", "")
	r := newRig(t, n0, n1)
	one, two := r.open(), r.open()
	if grants, _, err := one.Give(t.Context(), []network.Tenant{tenant(n0, a)}); err != nil || len(grants["n0"]) != 1 {
		t.Fatal(grants, err)
	}
	if grants, _, err := two.Give(t.Context(), []network.Tenant{tenant(n1, a)}); !apierrors.IsAlreadyExists(err) || grants != nil {
		t.Fatalf("a new block was made twice: %v %v", grants, err)
	}
	three, four := r.open(), r.open()
	if _, _, err := three.Give(t.Context(), []network.Tenant{tenant(n1, b)}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := four.Give(t.Context(), []network.Tenant{tenant(n0, b)}); !apierrors.IsConflict(err) {
		t.Fatalf("got %v, want a conflict", err)
	}
	r.expect(a+" n0 Held", b+" n1 Held")
}

// TestWhatWasGivenIsLookedUp: what an earlier pass gave is written into a node only while the block still says so.
func TestWhatWasGivenIsLookedUp(t *testing.T) {
	n0 := node("n0", "")
	r := newRig(t, n0)
	if _, _, err := r.open().Give(t.Context(), []network.Tenant{tenant(n0, a)}); err != nil {
		t.Fatal(err)
	}
	old := r.open(tenant(n0, ""))
	again := r.open(tenant(n0, ""))
	if grants, _, err := again.Give(t.Context(), []network.Tenant{tenant(n0, a)}); err != nil || len(grants["n0"]) != 1 {
		t.Fatal("what was given is not given again:", grants, err)
	}
	leaves := r.open(tenant(n0, ""))
	if _, _, err := leaves.Give(t.Context(), []network.Tenant{tenant(n0, "")}); err != nil {
		t.Fatal(err)
	}
	r.expect(a + " n0 Leaving")
	if grants, _, err := old.Give(t.Context(), []network.Tenant{tenant(n0, a)}); !apierrors.IsConflict(err) {
		t.Fatalf("%v may be written although it leaves: %v", grants, err)
	}
}

// TestTakenBack: an address is free only after the node was written; one that never had it is written too, and one that
// has it, whatever was read, keeps it.
func TestTakenBack(t *testing.T) {
	n0, n1 := node("n0", ""), node("n1", b)
	r := newRig(t, n0, n1)
	k := r.open(tenant(n0, ""), tenant(n1, ""))
	if _, _, err := k.Give(t.Context(), []network.Tenant{tenant(n0, a), tenant(n1, b)}); err != nil {
		t.Fatal(err)
	}
	stale := node("n1", "") // a cache that does not show n1's address
	leaving := []network.Tenant{tenant(n0, ""), tenant(stale, "")}
	k = r.open(leaving...)
	if _, _, err := k.Give(t.Context(), leaving); err != nil {
		t.Fatal(err)
	}
	var before v1alpha1.DataPlaneNode
	key := client.ObjectKeyFromObject(n0)
	if err := r.Plain.Get(t.Context(), key, &before); err != nil {
		t.Fatal(err)
	}
	if _, err := k.TakeBack(t.Context(), leaving, nil); err != nil {
		t.Fatal(err)
	}
	r.expect(b + " n1 Leaving")
	before.Spec.Networks = list(a)
	if err := r.Plain.Update(t.Context(), &before); !apierrors.IsConflict(err) {
		t.Errorf("who had read n0 before can still write %s into it: %v", a, err)
	}
}

// TestKeptUntilSeenWithout: what leaves a server that runs stays its until the node was seen with a network that has not got it, and
// is its again when it is wanted again.
func TestKeptUntilSeenWithout(t *testing.T) {
	n0 := node("n0", "")
	n0.Generation, n0.Spec.NetworkHash = 3, "aa"
	r := newRig(t, n0)
	wants := func(address string) []network.Tenant {
		one := tenant(n0, address)
		one.InForce = true
		return []network.Tenant{one}
	}
	pass := func(address string, seen *metav1.Condition) bool {
		t.Helper()
		live := node("n0", "")
		if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(n0), live); err != nil {
			t.Fatal(err)
		}
		if live.Status.Conditions = nil; seen != nil {
			seen.Type, seen.Reason, seen.LastTransitionTime = v1alpha1.ConditionNetworked, "Test", metav1.Now()
			live.Status.Conditions = []metav1.Condition{*seen}
		}
		if err := r.Plain.Status().Update(t.Context(), live); err != nil {
			t.Fatal(err)
		}
		k := r.open(wants(address)...)
		if _, _, err := k.Give(t.Context(), wants(address)); err != nil {
			t.Fatal(err)
		}
		kept, err := k.TakeBack(t.Context(), wants(address), nil)
		if err != nil {
			t.Fatal(err)
		}
		return kept
	}
	pass(a, nil)
	generation := func() int64 {
		live := node("n0", "")
		if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(n0), live); err != nil {
			t.Fatal(err)
		}
		return live.Generation
	}()
	for name, seen := range map[string]*metav1.Condition{
		"not looked at yet":        nil,
		"has another network":      {Status: metav1.ConditionFalse, ObservedGeneration: generation},
		"seen before it had to go": {Status: metav1.ConditionTrue, ObservedGeneration: generation - 1},
	} {
		if !pass("", seen) {
			t.Errorf("%s: not kept", name)
		}
		r.expect(a + " n0 Leaving")
	}
	pass(a, nil)
	r.expect(a + " n0 Held")
	if pass("", &metav1.Condition{Status: metav1.ConditionTrue, ObservedGeneration: generation}) {
		t.Error("kept although it was seen without")
	}
	r.expect()
}

// TestGoneIsAskedLive: what is missing in a cache is freed only when the API server itself does not have it.
func TestGoneIsAskedLive(t *testing.T) {
	n0, n1 := node("n0", a), node("n1", b)
	r := newRig(t, n0, n1)
	k := r.open(tenant(n0, a), tenant(n1, b))
	if _, _, err := k.Give(t.Context(), []network.Tenant{tenant(n0, a), tenant(n1, b)}); err != nil {
		t.Fatal(err)
	}
	if err := r.Plain.Delete(t.Context(), n1); err != nil {
		t.Fatal(err)
	}
	r.open() // a cache that shows neither
	r.expect(a + " n0 Held")
	if err := r.Plain.Delete(t.Context(), n0); err != nil {
		t.Fatal(err)
	}
	r.Writes()
	r.open()
	r.expect()
	if w := r.Writes(); len(w) != 1 || !strings.HasPrefix(w[0], "delete AddressBlock") {
		t.Errorf("writes %v, want the empty block deleted", w)
	}
}

// TestAtRestNothingIsWrittenOrRead: a pass over nodes that have what they want lists the blocks and does nothing else.
func TestAtRestNothingIsWrittenOrRead(t *testing.T) {
	n0 := node("n0", a)
	r := newRig(t, n0)
	tenants := []network.Tenant{tenant(n0, a)}
	if _, _, err := r.open(tenants...).Give(t.Context(), tenants); err != nil {
		t.Fatal(err)
	}
	r.Writes()
	k, err := addresses.Open(t.Context(), addresses.Access{Client: r.WithWatch, Reader: r.Plain}, steptest.Namespace, tenants) // no Live: a live read panics
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := k.Give(t.Context(), tenants); err != nil {
		t.Fatal(err)
	}
	if _, err := k.TakeBack(t.Context(), tenants, nil); err != nil {
		t.Fatal(err)
	}
	if w := r.Writes(); len(w) > 0 {
		t.Errorf("writes %v", w)
	}
}

// TestARefusedWriteIsTriedOnceMore: an API server without time for one block holds up no node of the set, unless it has none twice.
func TestARefusedWriteIsTriedOnceMore(t *testing.T) {
	for refusals, want := range map[int]bool{1: true, 2: false} {
		n0 := node("n0", "")
		r := newRig(t, n0)
		k, err := addresses.Open(t.Context(), addresses.Access{Client: r.API, Reader: r.Plain, Live: r.Plain}, steptest.Namespace, nil)
		if err != nil {
			t.Fatal(err)
		}
		left := refusals
		r.Inject = func(string, client.Object) error {
			if left--; left >= 0 {
				return apierrors.NewTooManyRequests("no time", 1)
			}
			return nil
		}
		grants, _, err := k.Give(t.Context(), []network.Tenant{tenant(n0, a)})
		if given := len(grants["n0"]) == 1 && err == nil; given != want {
			t.Errorf("refused %d times: given %t, %v; want %t", refusals, given, err, want)
		}
	}
}
