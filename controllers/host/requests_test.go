package host_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
)

var simHost = provisioner.HostID{Namespace: "metal", Name: "h1"}

func running(t *testing.T) *rig {
	t.Helper()
	h := bmh()
	h.Spec.Image, h.Spec.Online = image("http://images/a"), true
	r := newRig(t, h, secret("right"))
	r.until("runs", func(h *metal3v1alpha1.BareMetalHost) bool {
		return h.Status.Provisioning.State == metal3v1alpha1.StateProvisioned && h.Status.PoweredOn
	})
	return r
}

func (r *rig) note(key, value string) {
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		if h.Annotations == nil {
			h.Annotations = map[string]string{}
		}
		h.Annotations[key] = value
	})
}

func (r *rig) done(a provisioner.Action) int { return r.sim.Effects(simHost)[a] }

// TestFencing: while a reboot annotation with a suffix is there, the server is off; the last one that goes has it on again.
func TestFencing(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]provisioner.Action{"hard": provisioner.CutPower, "soft": provisioner.SwitchOff} {
		r := running(t)
		r.note("reboot.metal3.io/iha", `{"mode": "`+mode+`"}`)
		r.note("reboot.metal3.io/other", "")
		off := func(h *metal3v1alpha1.BareMetalHost) bool { return !h.Status.PoweredOn }
		r.until("off", off)
		if r.done(want) != 1 || r.done(provisioner.CutPower)+r.done(provisioner.SwitchOff) != 1 {
			t.Errorf("%s: %v", mode, r.sim.Effects(simHost))
		}
		r.edit(func(h *metal3v1alpha1.BareMetalHost) { delete(h.Annotations, "reboot.metal3.io/iha") })
		for range 10 {
			r.pass()
		}
		if h := r.get(); !off(h) || h.Annotations["reboot.metal3.io/other"] != "" || r.done(provisioner.Undeploy) != 0 {
			t.Errorf("the other annotation holds the server off: %+v", h.Status)
		}
		r.edit(func(h *metal3v1alpha1.BareMetalHost) { delete(h.Annotations, "reboot.metal3.io/other") })
		r.until("on", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.PoweredOn })
	}
}

// TestRebootOnce: without a suffix the server goes off and on once, and the annotation goes.
func TestRebootOnce(t *testing.T) {
	t.Parallel()
	r := running(t)
	ons := r.done(provisioner.SwitchOn)
	r.note("reboot.metal3.io", "")
	h := r.until("rebooted", func(h *metal3v1alpha1.BareMetalHost) bool {
		_, asked := h.Annotations["reboot.metal3.io"]
		return !asked && h.Status.PoweredOn && r.done(provisioner.SwitchOn) == ons+1
	})
	for range 20 {
		r.pass()
	}
	if r.done(provisioner.SwitchOff) != 1 || r.done(provisioner.SwitchOn) != ons+1 || h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned {
		t.Errorf("one reboot took %v", r.sim.Effects(simHost))
	}
}

// TestShutdownThatFailsIsCut: the power is cut once the system did not shut down, and not before.
func TestShutdownThatFailsIsCut(t *testing.T) {
	t.Parallel()
	r := running(t)
	r.sim.Inject(provisionertest.Fault{On: provisionertest.FailShutdown, Message: "Failed to change power state to 'soft power off'. Error: timed out"})
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Online = false })
	h := r.until("off", func(h *metal3v1alpha1.BareMetalHost) bool { return !h.Status.PoweredOn })
	if r.done(provisioner.SwitchOff) != 1 || r.done(provisioner.CutPower) != 1 || h.Status.ErrorCount != 0 {
		t.Errorf("%v, %+v", r.sim.Effects(simHost), h.Status)
	}
}

// TestDetached: the service forgets the server, nothing is switched or cleaned, and it is taken back as it runs, with another
// BMC address, too.
func TestDetached(t *testing.T) {
	t.Parallel()
	r := running(t)
	before := r.sim.Effects(simHost)
	r.note(metal3v1alpha1.DetachedAnnotation, "")
	h := r.until("detached", func(h *metal3v1alpha1.BareMetalHost) bool {
		return h.Status.OperationalStatus == metal3v1alpha1.OperationalStatusDetached
	})
	if _, there := r.sim.Node(simHost); there || h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned || h.Status.Provisioning.Image.URL == "" {
		t.Errorf("detached is %+v", h.Status)
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Spec.BMC.Address = "redfish-virtualmedia://bmc2/redfish/v1/Systems/1"
		delete(h.Annotations, metal3v1alpha1.DetachedAnnotation)
	})
	h = r.until("attached", func(h *metal3v1alpha1.BareMetalHost) bool {
		return h.Status.OperationalStatus == metal3v1alpha1.OperationalStatusOK && h.Status.Provisioning.State == metal3v1alpha1.StateProvisioned
	})
	after := r.sim.Effects(simHost)
	for _, a := range []provisioner.Action{provisioner.Undeploy, provisioner.Deploy, provisioner.SwitchOff, provisioner.CutPower, provisioner.Provide} {
		if before[a] != after[a] {
			t.Errorf("%s was done to a server that was only detached", a)
		}
	}
	if after[provisioner.Adopt] != 1 || h.Status.ErrorMessage != "" {
		t.Errorf("taken back by %v: %+v", after, h.Status)
	}
}

// TestDetachedIsDeletedLater: with deleteAction delay the host stays until it is attached again.
func TestDetachedIsDeletedLater(t *testing.T) {
	t.Parallel()
	r := running(t)
	r.note(metal3v1alpha1.DetachedAnnotation, `{"deleteAction": "delay"}`)
	r.until("detached", func(h *metal3v1alpha1.BareMetalHost) bool {
		return h.Status.OperationalStatus == metal3v1alpha1.OperationalStatusDetached
	})
	if err := r.client.Delete(t.Context(), r.get()); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if !r.pass() {
			t.Fatal("the host went at once")
		}
	}
}

// TestMovedHostKeepsItsServer: a host that comes with its status in an annotation has its server taken over as it runs.
func TestMovedHostKeepsItsServer(t *testing.T) {
	t.Parallel()
	old := running(t).get()
	status, err := json.Marshal(old.Status)
	if err != nil {
		t.Fatal(err)
	}
	moved := bmh()
	moved.Spec, moved.UID = old.Spec, "99999999-0000-4000-8000-000000000009"
	moved.Annotations = map[string]string{metal3v1alpha1.StatusAnnotation: string(status)}
	r := newRig(t, moved, secret("right"))
	h := r.until("taken over", func(h *metal3v1alpha1.BareMetalHost) bool {
		_, kept := h.Annotations[metal3v1alpha1.StatusAnnotation]
		return !kept && h.Status.Provisioning.State == metal3v1alpha1.StateProvisioned && r.done(provisioner.Adopt) == 1
	})
	if r.done(provisioner.Deploy) != 0 || r.done(provisioner.Inspect) != 0 || h.Status.HardwareDetails == nil {
		t.Errorf("the server runs on: %v", r.sim.Effects(simHost))
	}
}

// TestInspectedAgain: the annotation has an available host inspected once more, and goes.
func TestInspectedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	r.untilState(metal3v1alpha1.StateAvailable)
	r.note(metal3v1alpha1.InspectAnnotationPrefix, "")
	r.sim.Inject(provisionertest.Fault{On: provisionertest.FailInspect, Message: "no lease"})
	r.until("told to fail", func(h *metal3v1alpha1.BareMetalHost) bool {
		return h.Status.ErrorType == metal3v1alpha1.InspectionError
	})
	r.until("inspected", func(h *metal3v1alpha1.BareMetalHost) bool {
		_, asked := h.Annotations[metal3v1alpha1.InspectAnnotationPrefix]
		return !asked && h.Status.Provisioning.State == metal3v1alpha1.StateAvailable
	})
	for range 20 {
		r.pass()
	}
	if n := r.done(provisioner.Inspect); n != 3 { // the first, the one that failed, and the one that was asked for
		t.Errorf("inspected %d times", n)
	}
}

// TestSuppliedHardware: what the user says of the hardware counts where nothing is inspected.
func TestSuppliedHardware(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.InspectionMode = metal3v1alpha1.InspectionModeDisabled
	h.Annotations = map[string]string{metal3v1alpha1.HardwareDetailsAnnotation: `{"ramMebibytes": 1024, "cpu": {"arch": "x86_64"}}`}
	r := newRig(t, h, secret("right"))
	h = r.until("shown", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.HardwareDetails != nil })
	data := &metal3v1alpha1.HardwareData{}
	if err := r.client.Get(t.Context(), key, data); err != nil || data.Spec.HardwareDetails.RAMMebibytes != 1024 || h.Status.HardwareDetails.RAMMebibytes != 1024 {
		t.Errorf("%+v, %v", data.Spec, err)
	}
}

// TestRefusedByName: what is not done is told by its name, and nothing is done to the server.
func TestRefusedByName(t *testing.T) {
	t.Parallel()
	iso := "live-iso"
	set := func(key, value string) func(*metal3v1alpha1.BareMetalHost) {
		return func(h *metal3v1alpha1.BareMetalHost) { h.Annotations = map[string]string{key: value} }
	}
	for want, change := range map[string]func(*metal3v1alpha1.BareMetalHost){
		"spec.preprovisioningNetworkDataName) does not exist": func(h *metal3v1alpha1.BareMetalHost) { h.Spec.PreprovisioningNetworkDataName = "static" },
		"spec.preprovisioningNetworkDataName: scheme redfish": func(h *metal3v1alpha1.BareMetalHost) {
			h.Spec.PreprovisioningNetworkDataName, h.Spec.BMC.Address = "static", "redfish://bmc1/redfish/v1/Systems/1"
		},
		"spec.customDeploy": func(h *metal3v1alpha1.BareMetalHost) { h.Spec.CustomDeploy = &metal3v1alpha1.CustomDeploy{Method: "x"} },
		"live-iso": func(h *metal3v1alpha1.BareMetalHost) {
			h.Spec.Image = &metal3v1alpha1.Image{URL: "http://images/a.iso", DiskFormat: &iso}
		},
		"spec.raid":            func(h *metal3v1alpha1.BareMetalHost) { h.Spec.RAID = &metal3v1alpha1.RAIDConfig{} },
		"spec.hardwareProfile": func(h *metal3v1alpha1.BareMetalHost) { h.Spec.HardwareProfile = "libvirt" },
		"spec.inspectionMode":  func(h *metal3v1alpha1.BareMetalHost) { h.Spec.InspectionMode = "fast" },
		"is an MD5 sum": func(h *metal3v1alpha1.BareMetalHost) {
			h.Spec.Image = &metal3v1alpha1.Image{URL: "http://images/a", Checksum: strings.Repeat("a", 32)}
		},
		"reboot.metal3.io/fence":    set("reboot.metal3.io/fence", `{"mode": "gentle"}`),
		"spec.disablePowerOff":      func(h *metal3v1alpha1.BareMetalHost) { h.Spec.DisablePowerOff = true; set("reboot.metal3.io/x", "")(h) },
		"detached cannot be read":   set(metal3v1alpha1.DetachedAnnotation, `{"deleteAction": "later"}`),
		"status cannot be read":     set(metal3v1alpha1.StatusAnnotation, "{"),
		"hardwaredetails cannot be": set(metal3v1alpha1.HardwareDetailsAnnotation, `{"memory": 1}`),
		"annotation inspect.metal3.io asks": func(h *metal3v1alpha1.BareMetalHost) {
			h.Spec.InspectionMode = metal3v1alpha1.InspectionModeDisabled
			set(metal3v1alpha1.InspectAnnotationPrefix, "")(h)
		},
	} {
		h := bmh()
		change(h)
		r := newRig(t, h, secret("right"))
		for range 5 {
			r.pass()
		}
		if h = r.get(); !strings.Contains(h.Status.ErrorMessage, want) || len(r.sim.Calls()) != 0 {
			t.Errorf("%q is not in %q, or %d calls were made", want, h.Status.ErrorMessage, len(r.sim.Calls()))
		}
	}
}

// TestRamdiskNetwork: the deploy agent gets its network, and a changed one registers the host anew.
func TestRamdiskNetwork(t *testing.T) {
	t.Parallel()
	h := bmh()
	h.Spec.PreprovisioningNetworkDataName = "static"
	network := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "static", UID: "n"}, Data: map[string][]byte{"networkData": []byte("links: []")}}
	r := newRig(t, h, secret("right"), network)
	r.untilState(metal3v1alpha1.StateAvailable)
	registered := r.done(provisioner.Register)
	network = network.DeepCopy()
	network.ResourceVersion, network.Data = "", map[string][]byte{"networkData": []byte("links: [{id: a}]")}
	if err := r.client.Update(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		r.pass()
	}
	if n := r.done(provisioner.Register); n != registered+1 {
		t.Errorf("registered %d times after the change", n-registered)
	}
}

// TestLabelsOfASecretRegisterNothing: only another login is one.
func TestLabelsOfASecretRegisterNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, bmh(), secret("right"))
	r.untilState(metal3v1alpha1.StateAvailable)
	registered := r.done(provisioner.Register)
	s := &corev1.Secret{}
	at := key
	at.Name = "h1-bmc"
	if err := r.client.Get(t.Context(), at, s); err != nil {
		t.Fatal(err)
	}
	s.Labels = map[string]string{"team": "a"}
	if err := r.client.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	r.wantQuiet()
	if n := r.done(provisioner.Register); n != registered {
		t.Errorf("registered %d times for a label", n-registered)
	}
}

// TestRefusedSettingsStopNothingElse: settings that the service does not take are told with the remedy, and the power still
// follows.
func TestRefusedSettingsStopNothingElse(t *testing.T) {
	t.Parallel()
	r := running(t)
	r.sim.Inject(provisionertest.Fault{
		On: string(provisioner.Register), Times: -1, Kind: "Rejected",
		Message: "Node n1 can not have boot_interface updated unless it is in one of allowed (enroll, available) states or in maintenance mode.",
	})
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Spec.BMC.Address, h.Spec.Online = "redfish://bmc1/redfish/v1/Systems/1", false
	})
	r.until("off", func(h *metal3v1alpha1.BareMetalHost) bool { return !h.Status.PoweredOn })
	for range 20 {
		r.pass()
	}
	h := r.get()
	if h.Status.ErrorType != metal3v1alpha1.ProvisionedRegistrationError || !strings.Contains(h.Status.ErrorMessage, metal3v1alpha1.DetachedAnnotation) {
		t.Errorf("shows %s: %s", h.Status.ErrorType, h.Status.ErrorMessage)
	}
	r.sim.Heal()
	r.until("registered", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Status.ErrorType == "" })
	r.clock.SetTime(r.clock.Now().Add(time.Minute))
	if !slices.Contains(r.states, metal3v1alpha1.StateProvisioned) {
		t.Error(r.states)
	}
}
