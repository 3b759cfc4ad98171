package host_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner"
)

// TestSecretsOfOtherNamespacesAreNotRead: who may write hosts must not put any Secret of the cluster on a config drive, nor
// learn from the status which ones there are.
func TestSecretsOfOtherNamespacesAreNotRead(t *testing.T) {
	t.Parallel()
	foreign := &corev1.SecretReference{Namespace: "kube-system", Name: "bootstrap-token"}
	for field, set := range map[string]func(*metal3v1alpha1.BareMetalHostSpec){
		"userData":    func(s *metal3v1alpha1.BareMetalHostSpec) { s.UserData = foreign },
		"networkData": func(s *metal3v1alpha1.BareMetalHostSpec) { s.NetworkData = foreign },
		"metaData":    func(s *metal3v1alpha1.BareMetalHostSpec) { s.MetaData = foreign },
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			there := tellOf(t, set, &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token"}, Data: map[string][]byte{"value": []byte("token: TOP-SECRET")},
			})
			absent := tellOf(t, set)
			if there != absent {
				t.Errorf("the status tells whether the Secret exists:\n%s\n%s", there, absent)
			}
			for _, word := range []string{"spec." + field + ".namespace is kube-system", "own namespace only", "create the Secret in metal"} {
				if !strings.Contains(there, word) {
					t.Errorf("no %q in %q", word, there)
				}
			}
		})
	}
}

// tellOf is what a host with a foreign reference ends up saying. The rig hears of a Secret of
// another namespace that is read on the way; the server is not written to.
func tellOf(t *testing.T, set func(*metal3v1alpha1.BareMetalHostSpec), others ...client.Object) string {
	t.Helper()
	h := bmh()
	h.Spec.Image, h.Spec.Online = image("http://images/a"), true
	set(&h.Spec)
	r := newRig(t, append(others, h, secret("right"))...)
	for range 60 {
		r.pass()
	}
	if n := r.sim.Effects(provisioner.HostID{Namespace: "metal", Name: "h1"})[provisioner.Deploy]; n != 0 {
		t.Errorf("deployed %d times", n)
	}
	return r.get().Status.ErrorMessage
}

// TestConsumerThatIsNoneHoldsNothing: a consumerRef can be written by hand. Only a node that holds this host is told of.
func TestConsumerThatIsNoneHoldsNothing(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "payroll", Name: "db-7"}
	node := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: "payroll", Name: "db-7", UID: "node-uid"}}
	node.Spec.Host = &v1alpha1.HostReference{Namespace: "payroll", Name: "other", UID: "other-uid"}
	r := newRig(t, h, secret("right"), node)
	r.untilState(metal3v1alpha1.StateAvailable)
	if err := r.client.Delete(t.Context(), r.get()); err != nil {
		t.Fatal(err)
	}
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool {
		if strings.Contains(h.Status.ErrorMessage, "payroll") {
			t.Errorf("shows %q", h.Status.ErrorMessage)
		}
		return h.Name == ""
	})
}
