package conformance_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/provisioner/ironic"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
	"github.com/rackplane/rackplane/test/rack"
)

// lane is one BareMetalHost with a loop that reconciles it as the manager's queue would.
type lane struct {
	t      *testing.T
	client client.Client
	engine *host.Reconciler
	key    client.ObjectKey
	wake   chan struct{}
	began  time.Time
}

func newLanes(t *testing.T, r *rack.Rack) []*lane {
	t.Helper()
	api, reconciler := newEngine(t, r)
	lanes := make([]*lane, 0, len(r.Hosts))
	for n, h := range r.Hosts {
		secret := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: h.Name + "-bmc"},
			Data:       map[string][]byte{"username": []byte(h.BMCUsername), "password": []byte(h.BMCPassword)},
		}
		if err := api.Create(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		lanes = append(lanes, newLane(t, reconciler, &metal3v1alpha1.BareMetalHost{
			ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: h.Name, UID: provisionertest.AnyUID(n), Generation: 1},
			Spec: metal3v1alpha1.BareMetalHostSpec{
				BMC: metal3v1alpha1.BMCDetails{Address: h.BMCAddress, CredentialsName: h.Name + "-bmc"}, BootMACAddress: h.BootMAC, Online: true,
			},
		}))
	}
	return lanes
}

// newLane makes the host and drives it.
func newLane(t *testing.T, r *host.Reconciler, bmh *metal3v1alpha1.BareMetalHost) *lane {
	t.Helper()
	if err := r.Client.Create(t.Context(), bmh); err != nil {
		t.Fatal(err)
	}
	l := &lane{t: t, client: r.Client, engine: r, key: client.ObjectKeyFromObject(bmh), wake: make(chan struct{}, 1), began: time.Now()}
	go l.loop(t.Context(), r)
	return l
}

func newEngine(t *testing.T, r *rack.Rack) (client.Client, *host.Reconciler) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, metal3v1alpha1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	api := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&metal3v1alpha1.BareMetalHost{}).Build()
	adapter, err := ironic.New(ironic.Config{Endpoint: r.IronicURL})
	if err != nil {
		t.Fatal(err)
	}
	return api, &host.Reconciler{Client: api, Reader: api, Live: api, Provisioner: adapter, Clock: clock.RealClock{}, Events: events.NewFakeRecorder(10000)}
}

func (l *lane) loop(ctx context.Context, r *host.Reconciler) {
	shown := ""
	for ctx.Err() == nil {
		result, err := r.Reconcile(ctx, reconcile.Request{NamespacedName: l.key})
		after := result.RequeueAfter
		if err != nil {
			after = time.Second
		} else if after == 0 {
			after = time.Minute
		}
		h := &metal3v1alpha1.BareMetalHost{}
		if l.client.Get(ctx, l.key, h) == nil {
			if now := fmt.Sprintf("%s %s", h.Status.Provisioning.State, h.Status.ErrorMessage); now != shown {
				shown = now
				l.t.Logf("%6.1fs %s %s", time.Since(l.began).Seconds(), l.key.Name, now)
			}
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-time.After(after):
		}
	}
}

func (l *lane) get() *metal3v1alpha1.BareMetalHost {
	h := &metal3v1alpha1.BareMetalHost{}
	if err := client.IgnoreNotFound(l.client.Get(l.t.Context(), l.key, h)); err != nil {
		l.t.Error(err)
	}
	return h
}

func (l *lane) edit(change func(*metal3v1alpha1.BareMetalHost)) {
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		h := &metal3v1alpha1.BareMetalHost{}
		if err := l.client.Get(l.t.Context(), l.key, h); err != nil {
			return err
		}
		change(h)
		h.Generation++
		return l.client.Update(l.t.Context(), h)
	})
	if err != nil {
		l.t.Error(err)
	}
	l.wake <- struct{}{}
}

// until waits at most ten minutes: a host that a new Ironic has taken over is inspected again before it is free, and stays on for a
// while after that.
func (l *lane) until(what string, done func(*metal3v1alpha1.BareMetalHost) bool) {
	h := &metal3v1alpha1.BareMetalHost{}
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		h = &metal3v1alpha1.BareMetalHost{}
		if err := client.IgnoreNotFound(l.client.Get(l.t.Context(), l.key, h)); err != nil {
			l.t.Error(err)
			return
		}
		if done(h) {
			l.t.Logf("%6.1fs %s is %s", time.Since(l.began).Seconds(), l.key.Name, what)
			return
		}
	}
	l.t.Errorf("%s is not %s in time: %+v", l.key.Name, what, h.Status)
}

func state(s metal3v1alpha1.ProvisioningState) func(*metal3v1alpha1.BareMetalHost) bool {
	return func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.Provisioning.State == s }
}

// TestHostsOnIronic takes four hosts through their life at once, each with one trouble of its own.
func TestHostsOnIronic(t *testing.T) {
	r, log := startRack(t)
	lanes := newLanes(t, r)
	image := &metal3v1alpha1.Image{URL: r.Image.URL, Checksum: r.Image.ChecksumURL, DiskFormat: &r.Image.Format}
	badImage := *image
	badImage.Checksum = r.Image.WrongChecksumURL
	free := make([]*metal3v1alpha1.BareMetalHost, len(lanes)) // a backup
	var wg sync.WaitGroup
	for n, l := range lanes {
		wg.Go(func() {
			l.until("available", state(metal3v1alpha1.StateAvailable))
			free[n] = l.get()
			l.edit(func(h *metal3v1alpha1.BareMetalHost) {
				if h.Spec.Image = image; n == 3 {
					h.Spec.Image = &badImage
				}
			})
			if n == 3 {
				l.until("failed by its checksum", func(h *metal3v1alpha1.BareMetalHost) bool {
					return h.Status.ErrorType == metal3v1alpha1.ProvisioningError && strings.Contains(h.Status.ErrorMessage, "checksum")
				})
				l.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image = image })
			}
			l.until("provisioned", func(h *metal3v1alpha1.BareMetalHost) bool {
				return state(metal3v1alpha1.StateProvisioned)(h) && h.Status.PoweredOn && h.Status.ErrorType == "" && h.Status.Provisioning.Image.URL == image.URL
			})
		})
	}
	wg.Wait()
	ironicAway(t, r, lanes)
	nothingIsWiped(t, r, log, lanes, free)
	for n, l := range lanes {
		wg.Go(func() {
			if n%2 == 0 {
				l.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
				l.until("free and off", func(h *metal3v1alpha1.BareMetalHost) bool {
					return state(metal3v1alpha1.StateAvailable)(h) && !h.Status.PoweredOn && h.Status.Provisioning.Image.URL == ""
				})
			}
			if err := l.client.Delete(t.Context(), &metal3v1alpha1.BareMetalHost{ObjectMeta: metav1.ObjectMeta{Namespace: l.key.Namespace, Name: l.key.Name}}); err != nil {
				t.Error(err)
			}
			l.wake <- struct{}{}
			if n%2 == 1 {
				l.until("held", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Annotations[v1alpha1.HeldAnnotation] != "" })
				l.edit(func(h *metal3v1alpha1.BareMetalHost) {
					h.Annotations[v1alpha1.ReleaseAnnotation] = h.Annotations[v1alpha1.HeldAnnotation]
				})
			}
			l.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
		})
	}
	wg.Wait()
}

// ironicAway stops Ironic: the hosts say so, stay what they are, and forget it when Ironic is back.
func ironicAway(t *testing.T, r *rack.Rack, lanes []*lane) {
	t.Helper()
	r.StopIronic()
	for _, l := range lanes {
		l.wake <- struct{}{}
		l.until("waiting for Ironic", func(h *metal3v1alpha1.BareMetalHost) bool {
			return strings.Contains(h.Status.ErrorMessage, "does not answer: connection refused") && state(metal3v1alpha1.StateProvisioned)(h)
		})
	}
	if err := r.StartIronic(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, l := range lanes {
		l.until("over it", func(h *metal3v1alpha1.BareMetalHost) bool {
			return h.Status.ErrorMessage == "" && state(metal3v1alpha1.StateProvisioned)(h)
		})
	}
}
