package host_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/cached"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
)

// counted counts what is read through it.
type counted struct {
	client.Reader
	reads int
}

func (c *counted) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	c.reads++
	return c.Reader.Get(ctx, key, obj, opts...)
}

func (c *counted) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	c.reads++
	return c.Reader.List(ctx, list, opts...)
}

// trimmed shows of HardwareData what the manager's cache keeps.
type trimmed struct{ client.Reader }

func (r trimmed) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, obj, opts...)
	if data, ok := obj.(*metal3v1alpha1.HardwareData); ok && err == nil {
		for kind, by := range cached.Options().ByObject {
			if _, ok := kind.(*metal3v1alpha1.HardwareData); ok {
				_, err = by.Transform(data)
			}
		}
	}
	return err
}

// throughCache has the host read as the engine does, and returns the count of what no cache answers.
func (r *rig) throughCache() *counted {
	live := &counted{Reader: r.host.Live}
	r.host.Live = live
	r.host.Reader = cached.World{Reader: trimmed{r.host.Reader}, Contents: &cached.Contents{Metadata: r.client, Live: live}}
	return live
}

// TestRestReadsNothingUncached: a host that is as wanted, free or provisioned, is looked at from the cache alone, its
// credentials and its hardware included, and is not written to.
func TestRestReadsNothingUncached(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	live := r.throughCache()
	for _, state := range []metal3v1alpha1.ProvisioningState{metal3v1alpha1.StateAvailable, metal3v1alpha1.StateProvisioned} {
		r.untilState(state)
		for range 5 {
			r.pass() // it is switched off
		}
		before := live.reads
		r.wantQuiet()
		if n := live.reads - before; n != 0 {
			t.Errorf("%d uncached reads of a host that is %s, want none", n, state)
		}
		if before == 0 {
			t.Error("nothing was read uncached on the way: the count counts nothing")
		}
		r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = image("http://images/a"), true })
	}
}

// TestHardwareIsWhole although the cache keeps a part of it: a status that is lost gets all of it back.
func TestHardwareIsWhole(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	r.throughCache()
	h := r.untilState(metal3v1alpha1.StateAvailable)
	want := h.Status.HardwareDetails.DeepCopy()
	if want.Storage[0].Type == "" {
		t.Fatal("nothing of this hardware is cut off by the cache: nothing would be missed")
	}
	h.Status = metal3v1alpha1.BareMetalHostStatus{}
	if err := r.client.Status().Update(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	h = r.untilState(metal3v1alpha1.StateAvailable)
	if diff := cmp.Diff(want, h.Status.HardwareDetails); diff != "" {
		t.Errorf("hardware (-want +got):\n%s", diff)
	}
}

// TestAnOldHostIsNotActedOn: the cache shows a host with an image, and the image was taken off meanwhile. The status is as it
// has to be, so no write of it tells that the host is old.
func TestAnOldHostIsNotActedOn(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.Image, h.Spec.Online = image("http://images/a"), true
	r := newRig(t, h, secret("right"))
	r.sim.Inject(provisionertest.Fault{On: string(provisioner.Deploy), Kind: fault.Busy, Times: -1})
	r.until("decided", func(h *metal3v1alpha1.BareMetalHost) bool { return len(h.Annotations) > 0 })
	r.wantQuiet()
	r.sim.Heal()
	old := newRig(t, r.get(), secret("right"))
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
	now := r.host.Reader
	r.host.Reader = old.client
	for range 5 {
		r.pass()
	}
	if n := r.sim.Effects(hostID)[provisioner.Deploy]; n != 0 {
		t.Errorf("deployed %d times from an old host", n)
	}
	r.host.Reader = now
	r.untilState(metal3v1alpha1.StateAvailable)
}

// TestAHostMadeAnewKeepsItsHardware: the cache still shows an earlier host of the name, which is being deleted.
func TestAHostMadeAnewKeepsItsHardware(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	earlier := r.untilState(metal3v1alpha1.StateAvailable).DeepCopy()
	earlier.UID, earlier.DeletionTimestamp = provisionertest.AnyUID(7), &metav1.Time{Time: r.clock.Now()}
	r.host.Reader = newRig(t, earlier, secret("right")).client
	r.pass()
	if err := r.client.Get(t.Context(), key, &metal3v1alpha1.HardwareData{}); err != nil {
		t.Errorf("the HardwareData of the host made anew: %v", err)
	}
}

// TestACacheWithoutTheSecretIsNotBelieved: its credentials are looked for where they are newest before they are missed.
func TestACacheWithoutTheSecretIsNotBelieved(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	r.host.Reader = without{r.host.Reader}
	r.pass()
	r.pass()
	if h := r.get(); h.Status.ErrorMessage != "" {
		t.Errorf("told of as missing: %s", h.Status.ErrorMessage)
	}
}

// without is a cache that has not heard of any Secret.
type without struct{ client.Reader }

func (r without) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	if _, ok := obj.(*corev1.Secret); ok {
		key.Name = "unheard-of"
	}
	return r.Reader.Get(ctx, key, obj, opts...)
}
