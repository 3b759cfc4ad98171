package leases_test

import (
	"context"
	"fmt"
	"strconv"
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

// reads counts what is read, and how long an answer may be.
type reads struct {
	client.Reader
	gets, lists []string
}

func (r *reads) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	r.gets = append(r.gets, key.Name)
	return r.Reader.Get(ctx, key, obj, opts...)
}

// List serves two at a time, as an API server does that is asked for pages.
func (r *reads) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	asked := client.ListOptions{}
	asked.ApplyOptions(opts)
	r.lists = append(r.lists, asked.Namespace+"/"+asked.Continue)
	page, ok := list.(*coordinationv1.LeaseList)
	if !ok {
		return fmt.Errorf("list of %T", list)
	}
	all := &coordinationv1.LeaseList{}
	if err := r.Reader.List(ctx, all, client.InNamespace(asked.Namespace)); err != nil {
		return err
	}
	from, _ := strconv.Atoi(asked.Continue)
	to := min(from+2, len(all.Items))
	if page.Items = all.Items[from:to]; to < len(all.Items) {
		page.Continue = strconv.Itoa(to)
	}
	return nil
}

// many is a claim of so many nodes.
func many(key string, nodes int) leases.Claim {
	c := leases.Claim{Namespace: "site", Key: key, Run: key, Owner: metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: key, UID: "u"}}
	for i := range nodes {
		name := fmt.Sprintf("n%02d", i)
		c.Nodes = append(c.Nodes, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: types.UID("uid-" + name)})
	}
	return c
}

// TestManyNodesAreReadInOneList: the Leases of many nodes, taken or not, and those of the runs that they were in, cost one list
// in pages and one look at the run's own; no Lease that stands in a later page is missed. Few nodes of one run have it asked for once.
func TestManyNodesAreReadInOneList(t *testing.T) {
	for _, c := range []struct{ nodes, gets, lists int }{{20, 1, 6}, {4, 1 + 4 + 1, 0}} {
		api := steptest.New(t)
		live := &reads{Reader: api.Plain}
		l := &leases.Leases{Client: api, Live: live, Runner: ansibletest.New(1), Store: "here", Duration: time.Minute, Clock: api.Clock}
		first := taken(t, l, many("d-0", c.nodes-c.nodes/2))
		live.gets, live.lists = nil, nil
		api.Writes()
		second := taken(t, l, many("e-0", c.nodes))
		if second <= first {
			t.Errorf("token %d after %d", second, first)
		}
		writes := map[string]int{}
		for _, w := range api.Writes() {
			writes[strings.Fields(w)[0]]++
		}
		if diff := cmp.Diff(map[string]int{"delete": 1, "update": c.nodes - c.nodes/2, "create": 1 + c.nodes/2}, writes); diff != "" {
			t.Errorf("%d nodes: writes (-want +got):\n%s", c.nodes, diff)
		}
		if len(live.lists) > 0 && live.lists[0] != "site/" {
			t.Errorf("lists %v", live.lists)
		}
		if len(live.gets) > c.gets || len(live.lists) > c.lists {
			t.Errorf("%d nodes: reads %v and lists %v, want %d and %d", c.nodes, live.gets, live.lists, c.gets, c.lists)
		}
	}
}

// TestSomeOfManyNodesAreReadAlone: where most Leases of the namespace are others', those that are wanted are read one by one.
func TestSomeOfManyNodesAreReadAlone(t *testing.T) {
	api := steptest.New(t)
	live := &reads{Reader: api.Plain}
	l := &leases.Leases{Client: api, Live: live, Runner: ansibletest.New(1), Store: "here", Duration: time.Minute, Clock: api.Clock}
	taken(t, l, many("d-0", 60))
	some := many("e-0", 70)
	some.Nodes = some.Nodes[60:]
	live.gets, live.lists = nil, nil
	taken(t, l, some)
	if len(live.gets) != 11 || len(live.lists) != 0 {
		t.Errorf("reads %v and lists %v, want the run's and ten nodes'", live.gets, live.lists)
	}
}

// TestListedLeaseThatIsTakenMeanwhile: what the list showed is a moment old when it is written. A node that another store has
// taken since is not taken from it.
func TestListedLeaseThatIsTakenMeanwhile(t *testing.T) {
	api := steptest.New(t)
	in := func(store string) *leases.Leases {
		return &leases.Leases{Client: api, Live: api.Plain, Runner: ansibletest.New(1), Store: store, Duration: time.Minute, Clock: api.Clock}
	}
	here, there := in("here"), in("there")
	taken(t, here, many("d-0", 10))
	if _, err := here.Release(t.Context(), "site", "d-0"); err != nil {
		t.Fatal(err)
	}
	theirs := many("f-0", 10)
	theirs.Nodes = theirs.Nodes[9:]
	api.Inject = func(verb string, obj client.Object) error {
		if verb == "create" && obj.GetName() == "rackplane-run-e-0" {
			api.Inject = nil
			taken(t, there, theirs)
		}
		return nil
	}
	if tokens, waits, err := here.Take(t.Context(), many("e-0", 10)); err == nil {
		t.Fatalf("taken: %v, %s", tokens, waits)
	}
	if _, waits, err := here.Take(t.Context(), many("e-0", 10)); err != nil || !strings.HasPrefix(waits, "node n09: waits for the run of ConfigMap f-0") {
		t.Errorf("%q, %v: want it to wait for n09", waits, err)
	}
}
