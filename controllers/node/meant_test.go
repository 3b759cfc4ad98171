package node_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// gone reports whether the node is.
func (r *rig) gone() bool {
	r.Helper()
	err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(planned()), &v1alpha1.DataPlaneNode{})
	return apierrors.IsNotFound(err)
}

// dying are things that are deleted with everything in them.
func dying(t *testing.T, r *rig, kind, name string) {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetAPIVersion(map[string]string{"Namespace": "v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}[kind])
	object.SetKind(kind)
	object.SetName(name)
	object.SetFinalizers([]string{"x/y"})
	if err := r.Plain.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	if err := r.Plain.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

// TestKindOrNamespaceIsDeleted: every object goes at once, and no server is touched until its node says which is meant.
func TestKindOrNamespaceIsDeleted(t *testing.T) {
	for name, kind := range map[string]string{
		"nodesets.dataplane.rackplane.dev": "CustomResourceDefinition", "dataplanenodes.dataplane.rackplane.dev": "CustomResourceDefinition",
		"baremetalhosts.metal3.io": "CustomResourceDefinition", "site": "Namespace",
	} {
		for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionRetain, v1alpha1.DeletionDelete} {
			r := site(t)
			r.deployed()
			dying(t, r, kind, name)
			before := r.host().Spec
			r.drop(steptest.NodeSet(0))
			r.drop(planned())
			r.pass()
			r.pass()
			r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices", kind+" "+name+" is being deleted, which is no order to erase BareMetalHost site/h0")
			r.settled()
			if diff := cmp.Diff(before, r.host().Spec); diff != "" {
				t.Errorf("%s: the host changed (-before +after):\n%s", name, diff)
			}
			edit(r, r.node(), func(n *v1alpha1.DataPlaneNode) {
				n.Annotations = map[string]string{v1alpha1.DeletionPolicyAnnotation: string(policy)}
			})
			r.pass()
			if kept := r.host().Spec.Image != nil; kept != (policy == v1alpha1.DeletionRetain) || r.gone() != kept {
				t.Errorf("%s, %s: kept %t, gone %t", name, policy, kept, r.gone())
			}
		}
	}
}

// TestRetain: the node goes, its server keeps image, power and claim, and the way to log in outlives the node. A node of
// that name that comes later has the server again.
func TestRetain(t *testing.T) {
	r := site(t)
	r.deployed()
	edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) { s.Spec.DeletionPolicy = v1alpha1.DeletionRetain })
	before, hostKey := r.host().Spec, r.node().Status.SSHHostKey
	r.drop(planned())
	r.pass()
	if diff := cmp.Diff(before, r.host().Spec); diff != "" || !r.gone() {
		t.Errorf("gone %t, the host changed (-before +after):\n%s", r.gone(), diff)
	}
	secret := &corev1.Secret{}
	if err := r.Plain.Get(t.Context(), client.ObjectKey{Namespace: "site", Name: "n0-hostkey"}, secret); err != nil || len(secret.OwnerReferences) != 0 {
		t.Errorf("host key: %v, owned by %v", err, secret.OwnerReferences)
	}
	again := planned()
	again.UID = "another-uid"
	if err := r.Plain.Create(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices")
	if after := r.host().Spec; after.ConsumerRef.UID != r.node().UID || after.Image.URL != before.Image.URL || r.node().Status.SSHHostKey != hostKey {
		t.Errorf("claimed by %s with image %s", after.ConsumerRef.UID, after.Image.URL)
	}
	edit(r, r.node(), func(n *v1alpha1.DataPlaneNode) {
		n.Annotations = map[string]string{v1alpha1.DeletionPolicyAnnotation: "retain"}
	})
	r.drop(planned())
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices", `"retain" is not known: use Retain or Delete`)
}

// TestReleaseOfAHostThatStaysOn: spec.disablePowerOff forbids what the release would else wait for, and Metal3's webhook
// refuses to ask for it.
func TestReleaseOfAHostThatStaysOn(t *testing.T) {
	r := site(t)
	r.deployed()
	edit(r, steptest.Host("h0"), func(h *metal3Host) { h.Spec.DisablePowerOff = true })
	r.Inject = func(verb string, obj client.Object) error {
		if h, ok := obj.(*metal3Host); ok && verb == "patch" && h.Spec.DisablePowerOff && !h.Spec.Online {
			return apierrors.NewForbidden(metal3v1alpha1.GroupVersion.WithResource("baremetalhosts").GroupResource(), h.Name, errors.New("denied by the admission webhook"))
		}
		return nil
	}
	r.drop(planned())
	if _, err := r.controller.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(planned())}); err != nil {
		t.Fatal(err)
	}
	if h := r.host(); h.Spec.Image != nil || h.Spec.ConsumerRef == nil {
		t.Errorf("host %+v, want it without image, still claimed", h.Spec)
	}
	edit(r, r.host(), func(h *metal3Host) {
		h.Status.Provisioning.State, h.Status.PoweredOn = metal3v1alpha1.StateAvailable, true
	})
	r.pass()
	if !r.gone() || r.host().Spec.ConsumerRef != nil {
		t.Errorf("gone %t, claim %v", r.gone(), r.host().Spec.ConsumerRef)
	}
}
