package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/host"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
)

const bmcAddress = "redfish-virtualmedia://bmc1/redfish/v1/Systems/1"

// rig is a host, its controller and a simulated Ironic under one clock.
type rig struct {
	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	sim    *provisionertest.Simulator
	client client.WithWatch
	host   host.Reconciler
	writes int
	log    []string // of those writes, as "verb kind"
	states []metal3v1alpha1.ProvisioningState
}

func newRig(t *testing.T, objects ...client.Object) *rig {
	t.Helper()
	r := &rig{t: t, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC))}
	r.sim = provisionertest.New(r.clock.Now, time.Second)
	r.sim.SetBMC(bmcAddress, "admin", "right")
	r.client = interceptor.NewClient(fake.NewClientBuilder().WithScheme(scheme(t)).
		WithStatusSubresource(&metal3v1alpha1.BareMetalHost{}).WithObjects(objects...).Build(), r.countWrites())
	walled := steptest.Walled(t, r.client)
	r.host = host.Reconciler{
		Client: walled, Reader: walled, Live: walled, Provisioner: r.sim, Clock: r.clock, Events: events.NewFakeRecorder(1000),
	}
	return r
}

func (r *rig) count(verb string, obj client.Object) {
	r.writes++
	r.log = append(r.log, fmt.Sprintf("%s %T", verb, obj))
}

func (r *rig) countWrites() interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			r.count("create", o)
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			r.count("patch", o)
			return c.Patch(ctx, o, p, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			r.count("status", o)
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
		SubResourceUpdate: func(ctx context.Context, c client.Client, sub string, o client.Object, opts ...client.SubResourceUpdateOption) error {
			r.count("status", o)
			return c.SubResource(sub).Update(ctx, o, opts...)
		},
	}
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, metal3v1alpha1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func bmh() *metal3v1alpha1.BareMetalHost {
	return &metal3v1alpha1.BareMetalHost{
		ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "h1", UID: provisionertest.AnyUID(1), Generation: 1},
		Spec: metal3v1alpha1.BareMetalHostSpec{
			BMC: metal3v1alpha1.BMCDetails{Address: bmcAddress, CredentialsName: "h1-bmc"},
		},
	}
}

func secret(password string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "h1-bmc"},
		Data:       map[string][]byte{"username": []byte("admin"), "password": []byte(password)},
	}
}

func image(url string) *metal3v1alpha1.Image {
	return &metal3v1alpha1.Image{URL: url, Checksum: "abc", ChecksumType: metal3v1alpha1.SHA256}
}

var key = client.ObjectKey{Namespace: "metal", Name: "h1"}

func (r *rig) get() *metal3v1alpha1.BareMetalHost {
	r.t.Helper()
	h := &metal3v1alpha1.BareMetalHost{}
	if err := r.client.Get(r.t.Context(), key, h); client.IgnoreNotFound(err) != nil {
		r.t.Fatal(err)
	}
	return h
}

// edit changes the host as a user would: a changed spec is a new generation.
func (r *rig) edit(change func(*metal3v1alpha1.BareMetalHost)) {
	r.t.Helper()
	h := r.get()
	change(h)
	h.Generation++
	if err := r.client.Update(r.t.Context(), h); err != nil {
		r.t.Fatal(err)
	}
}

// pass reconciles once and moves the clock on; it reports whether the host still exists.
func (r *rig) pass() bool {
	r.t.Helper()
	result, err := steptest.Pass(r.t.Context(), &r.host, key)
	if err != nil {
		r.t.Fatal(err)
	}
	after := result.RequeueAfter
	if after == 0 {
		after = time.Minute
	}
	r.clock.SetTime(r.clock.Now().Add(after))
	h := r.get()
	if s := h.Status.Provisioning.State; len(r.states) == 0 || r.states[len(r.states)-1] != s {
		r.states = append(r.states, s)
	}
	return h.Name != ""
}

func (r *rig) until(what string, done func(*metal3v1alpha1.BareMetalHost) bool) *metal3v1alpha1.BareMetalHost {
	r.t.Helper()
	for range 300 {
		r.pass()
		if h := r.get(); done(h) {
			return h
		}
	}
	h := r.get()
	r.t.Fatalf("not %s after 300 passes: %+v; states %v", what, h.Status, r.states)
	return nil
}

func (r *rig) untilState(s metal3v1alpha1.ProvisioningState) *metal3v1alpha1.BareMetalHost {
	r.t.Helper()
	return r.until(string(s), func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.Provisioning.State == s })
}

func (r *rig) wantQuiet() {
	r.t.Helper()
	r.pass()
	before := r.writes
	r.pass()
	r.pass()
	if r.writes != before {
		r.t.Errorf("a settled host was written to %d times", r.writes-before)
	}
}

func TestJourney(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	h := r.untilState(metal3v1alpha1.StateAvailable)
	if h.Status.HardwareDetails == nil || h.Status.HardwareDetails.RAMMebibytes == 0 || h.Status.Provisioning.ID == "" {
		t.Errorf("inventory or ID is missing: %+v", h.Status)
	}
	data := &metal3v1alpha1.HardwareData{}
	if err := r.client.Get(t.Context(), key, data); err != nil || data.Spec.HardwareDetails == nil {
		t.Fatalf("HardwareData: %v", err)
	}
	if diff := cmp.Diff(provisionertest.Hardware(), *data.Spec.HardwareDetails); diff != "" {
		t.Errorf("HardwareData is not what was found (-want +got):\n%s", diff)
	}
	brief := provisionertest.Hardware()
	brief.CPU.Flags, brief.Storage[0].AlternateNames = nil, nil
	if diff := cmp.Diff(&brief, h.Status.HardwareDetails); diff != "" {
		t.Errorf("status.hardware is not that without flags and further names (-want +got):\n%s", diff)
	}
	r.wantQuiet()
	if err := r.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "user"}, Data: map[string][]byte{"userData": []byte("#cloud-config")},
	}); err != nil {
		t.Fatal(err)
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Spec.Image, h.Spec.Online, h.Spec.UserData = image("http://images/a"), true, &corev1.SecretReference{Name: "user"}
	})
	h = r.untilState(metal3v1alpha1.StateProvisioned)
	if h.Status.Provisioning.Image.URL != "http://images/a" || !h.Status.PoweredOn || h.Status.ErrorType != "" || h.Status.OperationalStatus != "OK" {
		t.Errorf("provisioned host shows %+v", h.Status)
	}
	r.wantQuiet()
	node, _ := r.sim.Node(provisioner.HostID{Namespace: "metal", Name: "h1"})
	if node.Drive.UserData.Reveal() != "#cloud-config" {
		t.Errorf("user data did not arrive")
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
	h = r.untilState(metal3v1alpha1.StateAvailable)
	if h.Status.Provisioning.Image.URL != "" {
		t.Errorf("the image stays in the status: %+v", h.Status.Provisioning)
	}
	if err := r.client.Delete(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
	if err := r.client.Get(t.Context(), key, data); !apierrors.IsNotFound(err) {
		t.Errorf("HardwareData is left: %v", err)
	}
	want := []metal3v1alpha1.ProvisioningState{
		"registering", "inspecting", "preparing", "available", "provisioning", "provisioned", "deprovisioning", "available",
		"deleting", "",
	}
	if diff := cmp.Diff(want, r.states); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("wrong"))
	h := r.until("in error", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.ErrorType != "" })
	if h.Status.ErrorType != metal3v1alpha1.RegistrationError || h.Status.OperationalStatus != metal3v1alpha1.OperationalStatusError {
		t.Errorf("shows %s, %s", h.Status.ErrorType, h.Status.OperationalStatus)
	}
	for _, part := range []string{"metal/h1", "metal/h1-bmc", "spec.bmc.credentialsName", "401", bmcAddress} {
		if !strings.Contains(h.Status.ErrorMessage, part) {
			t.Errorf("message %q does not name %s", h.Status.ErrorMessage, part)
		}
	}
	if strings.Contains(h.Status.ErrorMessage, "wrong") {
		t.Error("the message holds the password")
	}
	r.until("retried", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.ErrorCount >= 3 })
	s := &corev1.Secret{}
	if err := r.client.Get(t.Context(), client.ObjectKey{Namespace: "metal", Name: "h1-bmc"}, s); err != nil {
		t.Fatal(err)
	}
	s.Data["password"] = []byte("right")
	if err := r.client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	fixed := r.clock.Now()
	h = r.untilState(metal3v1alpha1.StateAvailable)
	if took := h.Status.LastUpdated.Sub(fixed); took > 10*time.Second || h.Status.ErrorCount != 0 || h.Status.ErrorMessage != "" {
		t.Errorf("after the correction: %s, %+v", took, h.Status)
	}
}

func TestChecksumMismatch(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.Image, h.Spec.Online = image("http://images/bad"), true
	r := newRig(t, h, secret("right"))
	r.sim.BreakImage(provisioner.Image{URL: "http://images/bad", Checksum: "abc", ChecksumType: "sha256"}, provisionertest.ChecksumMismatch)
	h = r.until("failed twice", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.ErrorCount == 2 })
	if h.Status.ErrorType != metal3v1alpha1.ProvisioningError || !strings.Contains(h.Status.ErrorMessage, provisionertest.ChecksumMismatch) ||
		!strings.Contains(h.Status.ErrorMessage, "spec.image.checksum") {
		t.Errorf("shows %s: %s", h.Status.ErrorType, h.Status.ErrorMessage)
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image = image("http://images/good") })
	changed := r.clock.Now()
	h = r.untilState(metal3v1alpha1.StateProvisioned)
	if took := h.Status.LastUpdated.Sub(changed); took > 10*time.Second || h.Status.ErrorType != "" {
		t.Errorf("after the change: %s, %+v", took, h.Status)
	}
}

func TestServiceUnreachable(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	r.sim.Inject(provisionertest.Fault{Kind: fault.Transient, Message: "Ironic at http://i does not answer: connection refused", Times: -1})
	for range 4 {
		r.pass()
	}
	h := r.get()
	if !strings.Contains(h.Status.ErrorMessage, "does not answer") || h.Status.ErrorCount != 0 {
		t.Errorf("shows %+v", h.Status)
	}
	r.wantQuiet()
	r.sim.Heal()
	if h = r.untilState(metal3v1alpha1.StateAvailable); h.Status.ErrorMessage != "" {
		t.Errorf("the message stays: %s", h.Status.ErrorMessage)
	}
}

// TestActionIsNotTaken: a service that answers and does not take the action is told of once, not at every try.
func TestActionIsNotTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	r.sim.Inject(provisionertest.Fault{On: string(provisioner.Manage), Message: "503: no conductor", Times: -1})
	for range 8 {
		r.pass()
	}
	before := r.get()
	if !strings.Contains(before.Status.ErrorMessage, "no conductor") {
		t.Errorf("shows %+v", before.Status)
	}
	for range 4 {
		r.pass()
	}
	if after := r.get(); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("written again and again: %q", after.Status.ErrorMessage)
	}
	r.sim.Heal()
	if h := r.untilState(metal3v1alpha1.StateAvailable); h.Status.ErrorMessage != "" {
		t.Errorf("the message stays: %s", h.Status.ErrorMessage)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*metal3v1alpha1.BareMetalHost)
		secret  map[string][]byte
		message string
	}{
		"no Secret":                    {message: "Secret metal/h1-bmc (spec.bmc.credentialsName) does not exist"},
		"no password":                  {secret: map[string][]byte{"username": []byte("a")}, message: "has no key password"},
		"customDeploy":                 {change: func(h *metal3v1alpha1.BareMetalHost) { h.Spec.CustomDeploy = &metal3v1alpha1.CustomDeploy{Method: "x"} }, message: "spec.customDeploy is not supported"},
		"no BMC name":                  {change: func(h *metal3v1alpha1.BareMetalHost) { h.Spec.BMC.CredentialsName = "" }, message: "spec.bmc.credentialsName is empty"},
		"a login in the BMC's address": {change: func(h *metal3v1alpha1.BareMetalHost) { h.Spec.BMC.Address = "redfish://admin:HUNTER2@bmc1/" }, message: "spec.bmc.address is not usable: it holds a user name or password (redfish://[redacted]@bmc1/): take it out"},
		"a login in the image's URL":   {change: func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image = image("https://u:HUNTER2@images/a") }, message: "spec.image.url holds a user name or password"},
		"a login in the checksum": {change: func(h *metal3v1alpha1.BareMetalHost) {
			h.Spec.Image = image("https://images/a")
			h.Spec.Image.Checksum = "https://u:HUNTER2@images/a.sha256"
		}, message: "spec.image.checksum holds a user name or password"},
		"an @ in the image's path": {change: func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image = image("https://images/a@b") }, message: "an @ in the path is written as %40"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := bmh()
			if c.change != nil {
				c.change(h)
			}
			objects := []client.Object{h}
			if c.secret != nil {
				s := secret("")
				s.Data = c.secret
				objects = append(objects, s)
			}
			r := newRig(t, objects...)
			r.pass()
			r.pass()
			if got := r.get().Status; !strings.Contains(got.ErrorMessage, c.message) || got.OperationalStatus != metal3v1alpha1.OperationalStatusError {
				t.Errorf("shows %+v", got)
			}
			if shown, err := json.Marshal(r.get().Status); err != nil || strings.Contains(string(shown), "HUNTER2") {
				t.Errorf("the status shows the password: %s, %v", shown, err)
			}
			r.wantQuiet()
			if n := len(r.sim.Calls()); n != 0 {
				t.Errorf("%d calls were made", n)
			}
		})
	}
}

func TestMissingUserDataSecretStopsTheDeployment(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.Image, h.Spec.Online, h.Spec.UserData = image("http://images/a"), true, &corev1.SecretReference{Name: "gone"}
	r := newRig(t, h, secret("right"))
	h = r.until("in error", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.ErrorType != "" })
	if !strings.Contains(h.Status.ErrorMessage, "Secret metal/gone (spec.userData) does not exist") {
		t.Errorf("shows %s", h.Status.ErrorMessage)
	}
	if n := r.sim.Effects(provisioner.HostID{Namespace: "metal", Name: "h1"})[provisioner.Deploy]; n != 0 {
		t.Errorf("deployed %d times", n)
	}
}

func TestPausedStandsStill(t *testing.T) {
	t.Parallel()
	for _, annotation := range []string{metal3v1alpha1.PausedAnnotation} {
		t.Run(annotation, func(t *testing.T) {
			t.Parallel()
			h := bmh()
			h.Annotations = map[string]string{annotation: ""}
			r := newRig(t, h, secret("right"))
			r.wantQuiet()
			if n := len(r.sim.Calls()); n != 0 {
				t.Errorf("%d calls were made", n)
			}
		})
	}
}

func TestDeletionWaitsForConsumer(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "edpm", Name: "n0", UID: "node-uid"}
	node := &v1alpha1.DataPlaneNode{ObjectMeta: metav1.ObjectMeta{Namespace: "edpm", Name: "n0", UID: "node-uid"}}
	node.Spec.Host = &v1alpha1.HostReference{Namespace: h.Namespace, Name: h.Name, UID: h.UID}
	r := newRig(t, h, secret("right"), node)
	r.untilState(metal3v1alpha1.StateAvailable)
	if err := r.client.Delete(t.Context(), r.get()); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if got := r.get().Status.ErrorMessage; !strings.Contains(got, "DataPlaneNode edpm/n0 still runs on it") {
		t.Errorf("shows %q", got)
	}
	if err := r.client.Delete(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
}

// TestStatusLossIsHarmless loses the status at every pass of a journey: the end is the same and the image is written once.
func TestStatusLossIsHarmless(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.Image, h.Spec.Online = image("http://images/a"), true
	r := newRig(t, h, secret("right"))
	for range 60 {
		r.pass()
		h := r.get()
		h.Status = metal3v1alpha1.BareMetalHostStatus{}
		if err := r.client.Status().Update(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	h = r.untilState(metal3v1alpha1.StateProvisioned)
	if n := r.sim.Effects(provisioner.HostID{Namespace: "metal", Name: "h1"}); n[provisioner.Deploy] != 1 || n[provisioner.Inspect] != 1 {
		t.Errorf("effects %v", n)
	}
	if h.Status.HardwareDetails == nil {
		t.Error("the inventory did not come back")
	}
}

// TestIronicLosesItsRecords: the image on a running host is kept.
func TestIronicLosesItsRecords(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.Image, h.Spec.Online = image("http://images/a"), true
	r := newRig(t, h, secret("right"))
	r.untilState(metal3v1alpha1.StateProvisioned)
	r.sim.Forget()
	r.pass()
	r.untilState(metal3v1alpha1.StateProvisioned)
	if n := r.sim.Effects(provisioner.HostID{Namespace: "metal", Name: "h1"}); n[provisioner.Deploy] != 1 || n[provisioner.Adopt] != 1 {
		t.Errorf("effects %v", n)
	}
}
