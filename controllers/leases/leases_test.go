package leases_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/ansibletest"
	"github.com/rackplane/rackplane/controllers/leases"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// TestOneNodeThatFailsCostsOneWrite: when the Lease of one node is not taken, the next try writes that one alone, and the
// start has the token that all of them hold.
func TestOneNodeThatFailsCostsOneWrite(t *testing.T) {
	api := steptest.New(t)
	l := &leases.Leases{Client: api, Live: api.Plain, Runner: ansibletest.New(1), Store: "here", Duration: time.Minute, Clock: api.Clock}
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "d", UID: "u"}
	claim := leases.Claim{Namespace: "site", Key: "0123456789abcdef", Owner: owner}
	for _, name := range []string{"n0", "n1", "n2"} {
		claim.Nodes = append(claim.Nodes, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: "u"})
	}
	api.Inject = func(_ string, obj client.Object) error {
		if obj.GetName() == "rackplane-node-n2" {
			return apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, obj.GetName(), nil)
		}
		return nil
	}
	if tokens, waits, err := l.Take(t.Context(), claim); err == nil {
		t.Fatalf("taken: %v, %s", tokens, waits)
	}
	api.Inject = nil
	api.Writes()
	api.Clock.Step(time.Second)
	tokens, waits, err := l.Take(t.Context(), claim)
	if err != nil || waits != "" || len(tokens) != 3 || tokens["n0"] == 0 || tokens["n0"] != tokens["n2"] {
		t.Fatalf("%v, %q, %v", tokens, waits, err)
	}
	if diff := cmp.Diff([]string{"create Lease rackplane-node-n2"}, api.Writes()); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
}

// TestLeaseWrittenByHand: whoever may write Leases of a namespace keeps its runs waiting, and does no more.
func TestLeaseWrittenByHand(t *testing.T) {
	api := steptest.New(t)
	l := &leases.Leases{Client: api, Live: api.Plain, Runner: ansibletest.New(1), Store: "here", Clock: api.Clock}
	for name, holder := range map[string]string{"rackplane-node-n0": "rackplane-run-x", "rackplane-run-x": "somebody"} {
		written := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "site", Name: name}}
		written.Spec.HolderIdentity = &holder
		if err := api.Plain.Create(t.Context(), written); err != nil {
			t.Fatal(err)
		}
	}
	claim := leases.Claim{Namespace: "site", Key: "0123456789abcdef", Nodes: []metav1.OwnerReference{{Kind: "DataPlaneNode", Name: "n0"}}}
	_, waits, err := l.Take(t.Context(), claim)
	if want := "node n0: waits for the run of a deployment that is gone, which goes on at somebody (Lease rackplane-run-x)"; err != nil || waits != want {
		t.Errorf("%q, %v, want %q", waits, err, want)
	}
}

// row is a claim of runs in a row on nodes n0 to n2.
func row(run string) leases.Claim {
	c := leases.Claim{Namespace: "site", Key: "d-0", Run: run, Owner: metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "d", UID: "u"}}
	for _, name := range []string{"n0", "n1", "n2"} {
		c.Nodes = append(c.Nodes, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: types.UID("uid-" + name)})
	}
	return c
}

// taken takes the claim's leases, which must be free, and returns the token.
func taken(t *testing.T, l *leases.Leases, c leases.Claim) int64 {
	t.Helper()
	tokens, waits, err := l.Take(t.Context(), c)
	if err != nil || waits != "" || len(tokens) != len(c.Nodes) {
		t.Fatalf("tokens %v, waits %q, %v", tokens, waits, err)
	}
	return tokens[c.Nodes[0].Name]
}

// TestNextRunCostsOneWrite: runs in a row on the same nodes write their Lease and none of the nodes', and read only theirs. The
// tokens grow, also into what comes after the Lease is gone, on a clock that stands still.
func TestNextRunCostsOneWrite(t *testing.T) {
	api := steptest.New(t)
	here := func() *leases.Leases {
		return &leases.Leases{Client: api, Live: api.Plain, Runner: ansibletest.New(1), Store: "here", Duration: time.Minute, Clock: api.Clock}
	}
	l := here()
	last := taken(t, l, row("k0"))
	for _, run := range []string{"k1", "k2", "k3"} {
		if waits, err := l.Rest(t.Context(), "site", "d-0"); err != nil || waits != "" {
			t.Fatalf("%q, %v", waits, err)
		}
		api.Writes()
		token := taken(t, l, row(run))
		if diff := cmp.Diff([]string{"update Lease rackplane-run-d-0"}, api.Writes()); diff != "" {
			t.Errorf("writes of run %s (-want +got):\n%s", run, diff)
		}
		if token <= last {
			t.Errorf("run %s: token %d after %d", run, token, last)
		}
		last = token
	}
	if waits, err := l.Release(t.Context(), "site", "d-0"); err != nil || waits != "" {
		t.Fatalf("%q, %v", waits, err)
	}
	other := row("other")
	other.Key = "e-0"
	if token := taken(t, here(), other); token <= last {
		t.Errorf("token %d of another deployment after %d", token, last)
	}
}

// TestLostNodeIsTakenAnew: once somebody else has had one of the nodes, or the engine was started again, a run in a row takes all
// of them again: it must never count on what it held before.
func TestLostNodeIsTakenAnew(t *testing.T) {
	api := steptest.New(t)
	in := func(store string) *leases.Leases {
		return &leases.Leases{Client: api, Live: api.Plain, Runner: ansibletest.New(1), Store: store, Duration: time.Minute, Clock: api.Clock}
	}
	here, there := in("here"), in("there")
	first := taken(t, here, row("k0"))
	rest := func(l *leases.Leases, key string) {
		t.Helper()
		if waits, err := l.Rest(t.Context(), "site", key); err != nil || waits != "" {
			t.Fatalf("%q, %v", waits, err)
		}
	}
	rest(here, "d-0")
	theirs := row("other")
	theirs.Key, theirs.Nodes = "e-0", theirs.Nodes[1:2]
	second := taken(t, there, theirs)
	if _, waits, err := here.Take(t.Context(), row("k1")); err != nil || !strings.Contains(waits, "node n1") {
		t.Fatalf("waits %q, %v: want it to wait for n1", waits, err)
	}
	rest(there, "e-0")
	api.Writes()
	third := taken(t, here, row("k1"))
	if w := api.Writes(); len(w) < 4 || third <= second || second <= first {
		t.Errorf("tokens %d, %d, %d; writes %v: want all nodes taken again", first, second, third, w)
	}
	rest(here, "d-0")
	if fourth := taken(t, in("here"), row("k2")); fourth <= third {
		t.Errorf("token %d of an engine started again, after %d", fourth, third)
	}
	if w := api.Writes(); len(w) < 4 {
		t.Errorf("an engine that was started again writes %v, want all nodes taken again", w)
	}
}
