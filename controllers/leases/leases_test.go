package leases_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
