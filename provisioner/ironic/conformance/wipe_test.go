package conformance_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
	"github.com/rackplane/rackplane/test/rack"
)

// replace takes the host out of the API without its controller and puts another object in its place.
func (l *lane) replace(h *metal3v1alpha1.BareMetalHost, uid types.UID) {
	h = h.DeepCopy()
	h.ResourceVersion, h.UID, h.DeletionTimestamp, h.Finalizers = "", uid, nil, nil
	for range 100 {
		now := l.get()
		if now.Name == "" {
			break
		}
		now.Finalizers = nil
		_ = l.client.Update(l.t.Context(), now) // lost to the controller now and then
		_ = l.client.Delete(l.t.Context(), now)
		time.Sleep(20 * time.Millisecond)
	}
	if err := l.client.Create(l.t.Context(), h); err != nil {
		l.t.Error(err)
	}
	l.wake <- struct{}{}
}

func held(h *metal3v1alpha1.BareMetalHost) bool {
	return h.Annotations[v1alpha1.HeldAnnotation] != "" && strings.Contains(h.Status.ErrorMessage, "left as it is")
}

// back is a host that has its running server.
func back(h *metal3v1alpha1.BareMetalHost) bool {
	return state(metal3v1alpha1.StateProvisioned)(h) && h.Status.PoweredOn && h.Status.ErrorMessage == "" && h.DeletionTimestamp.IsZero()
}

// keep does what `rackplane keep` does.
func (l *lane) keep() {
	l.until("held", held)
	l.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Annotations[v1alpha1.DeploymentAnnotation] = h.Annotations[v1alpha1.HeldAnnotation]
		h.Spec.Image, h.Spec.Online = h.Status.Provisioning.Image.DeepCopy(), true
	})
	l.until("back", back)
}

// nothingIsWiped lets the API and Ironic forget, one after the other, all that four running servers are known by. Not
// one of them may so much as change its power.
func nothingIsWiped(t *testing.T, r *rack.Rack, log testLog, lanes []*lane, free []*metal3v1alpha1.BareMetalHost) {
	t.Helper()
	before := map[string]int{}
	for _, h := range r.Hosts {
		before[h.Name] = log.powered(h.Name)
	}
	anew := func(n int) types.UID { return provisionertest.AnyUID(10 + n) }
	var wg sync.WaitGroup
	wg.Go(func() { // an older backup
		lanes[0].replace(free[0], free[0].UID)
		lanes[0].keep()
	})
	wg.Go(func() { // a backup of now, in another cluster, without its status
		h := lanes[1].get()
		h.Status = metal3v1alpha1.BareMetalHostStatus{}
		lanes[1].replace(h, anew(1))
		lanes[1].until("back", back)
	})
	wg.Go(func() { // a new API, written from the manifests
		h := free[2].DeepCopy()
		h.Annotations, h.Status = nil, metal3v1alpha1.BareMetalHostStatus{}
		lanes[2].replace(h, anew(2))
		lanes[2].keep()
	})
	wg.Go(func() { // its kind is deleted; then it has another name; then it is put back
		l := lanes[3]
		old := l.get()
		if err := l.client.Delete(t.Context(), old); err != nil {
			t.Error(err)
		}
		l.wake <- struct{}{}
		l.until("held", held)
		l.edit(func(h *metal3v1alpha1.BareMetalHost) {
			h.Annotations[v1alpha1.DeletionPolicyAnnotation] = string(v1alpha1.DeletionRetain)
		})
		l.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
		renamed := &metal3v1alpha1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "renamed", UID: anew(4), Generation: 1}, Spec: old.Spec}
		other := newLane(t, l.engine, renamed)
		other.until("refused", func(h *metal3v1alpha1.BareMetalHost) bool {
			return strings.Contains(h.Status.ErrorMessage, "one server has one BareMetalHost")
		})
		if err := l.client.Delete(t.Context(), renamed); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
		other.wake <- struct{}{}
		other.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
		l.replace(old, anew(3))
		l.until("back", back)
	})
	wg.Wait()
	known := map[string]string{}
	for _, l := range lanes {
		known[l.key.Name] = l.get().Status.Provisioning.ID
	}
	if err := r.LoseIronic(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, l := range lanes {
		l.wake <- struct{}{}
		l.until("taken over by the new Ironic", func(h *metal3v1alpha1.BareMetalHost) bool {
			return back(h) && h.Status.Provisioning.ID != known[h.Name]
		})
	}
	for name, n := range before {
		if after := log.powered(name); after != n {
			t.Errorf("%s changed its power %d times", name, after-n)
		}
	}
}
