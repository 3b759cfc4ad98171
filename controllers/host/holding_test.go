package host_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/provisionertest"
)

var hostID = provisioner.HostID{Namespace: "metal", Name: "h1"}

// deployed is a rig whose host runs an image, and the host as it was when it was free.
func deployed(t *testing.T) (r *rig, free *metal3v1alpha1.BareMetalHost) {
	t.Helper()
	r = newRig(t, bmh(), secret("right"))
	free = r.untilState(metal3v1alpha1.StateAvailable).DeepCopy()
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = image("http://images/a"), true })
	r.untilState(metal3v1alpha1.StateProvisioned)
	r.pass()
	return r, free
}

// restore puts the host as it was in its place, as a restored backup does; a UID that is not empty is the new one.
func (r *rig) restore(old *metal3v1alpha1.BareMetalHost, uid types.UID) {
	r.t.Helper()
	now := r.get()
	now.Finalizers = nil
	if err := r.client.Update(r.t.Context(), now); err != nil {
		r.t.Fatal(err)
	}
	if err := r.client.Delete(r.t.Context(), now); err != nil {
		r.t.Fatal(err)
	}
	h := old.DeepCopy()
	h.ResourceVersion = ""
	if uid != "" {
		h.UID = uid
	}
	if err := r.client.Create(r.t.Context(), h); err != nil {
		r.t.Fatal(err)
	}
}

// wantUntouched makes passes and checks that the server runs on and nothing was done to it.
func (r *rig) wantUntouched(before map[provisioner.Action]int) *metal3v1alpha1.BareMetalHost {
	r.t.Helper()
	for range 40 {
		r.pass()
	}
	after := r.sim.Effects(hostID)
	for _, a := range []provisioner.Action{
		provisioner.Undeploy, provisioner.Provide, provisioner.Deploy, provisioner.Inspect, provisioner.SwitchOff,
	} {
		if after[a] != before[a] {
			r.t.Errorf("%s: %d times", a, after[a]-before[a])
		}
	}
	return r.get()
}

func (r *rig) wantHeld(h *metal3v1alpha1.BareMetalHost, texts ...string) {
	r.t.Helper()
	if h.Annotations[v1alpha1.HeldAnnotation] == "" || h.Status.OperationalStatus != metal3v1alpha1.OperationalStatusError {
		r.t.Errorf("not held: %s, annotations %v", h.Status.OperationalStatus, h.Annotations)
	}
	for _, text := range texts {
		if !strings.Contains(h.Status.ErrorMessage, text) {
			r.t.Errorf("%q lacks %q", h.Status.ErrorMessage, text)
		}
	}
	r.wantQuiet()
}

// TestRestoredOlderHost: the backup knows the host as free, its server runs. Nothing is done until a person decides.
func TestRestoredOlderHost(t *testing.T) {
	t.Parallel()
	for _, uid := range []types.UID{"", provisionertest.AnyUID(7)} {
		r, free := deployed(t)
		before := r.sim.Effects(hostID)
		node, _ := r.sim.Node(hostID)
		r.restore(free, uid)
		h := r.wantUntouched(before)
		r.wantHeld(h, node.Deployment, "is none", "rackplane keep -n metal h1", "rackplane release --force -n metal h1")
		if h.Annotations[v1alpha1.HeldAnnotation] != node.Deployment {
			t.Errorf("held for %s, the node holds %s", h.Annotations[v1alpha1.HeldAnnotation], node.Deployment)
		}

		r.edit(func(h *metal3v1alpha1.BareMetalHost) {
			h.Annotations[v1alpha1.ReleaseAnnotation] = "what was there before"
		})
		r.wantUntouched(before)
		r.edit(func(h *metal3v1alpha1.BareMetalHost) {
			h.Annotations[v1alpha1.ReleaseAnnotation] = h.Annotations[v1alpha1.HeldAnnotation]
		})
		r.untilState(metal3v1alpha1.StateAvailable)
		h = r.until("without marks", func(h *metal3v1alpha1.BareMetalHost) bool { return len(h.Annotations) == 0 })
		if n := r.sim.Effects(hostID)[provisioner.Undeploy]; n != before[provisioner.Undeploy]+1 || h.Status.ErrorMessage != "" {
			t.Errorf("undeployed %d times, %q", n, h.Status.ErrorMessage)
		}
	}
}

// TestKeepRestoredHost: what `rackplane keep` writes makes the running server the host's again.
func TestKeepRestoredHost(t *testing.T) {
	t.Parallel()
	r, free := deployed(t)
	before := r.sim.Effects(hostID)
	r.restore(free, provisionertest.AnyUID(7))
	r.wantHeld(r.wantUntouched(before))
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Annotations[v1alpha1.DeploymentAnnotation] = h.Annotations[v1alpha1.HeldAnnotation]
		h.Spec.Image, h.Spec.Online = h.Status.Provisioning.Image.DeepCopy(), true
	})
	h := r.wantUntouched(before)
	if h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned || h.Status.ErrorMessage != "" || h.Annotations[v1alpha1.HeldAnnotation] != "" {
		t.Errorf("kept as %+v, %v", h.Status, h.Annotations)
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
	r.untilState(metal3v1alpha1.StateAvailable)
}

// TestRestoredHostWithANewUID: a backup of now, in a new API: the deployment id proves whose server it is.
func TestRestoredHostWithANewUID(t *testing.T) {
	t.Parallel()
	r, _ := deployed(t)
	before := r.sim.Effects(hostID)
	old := r.get()
	old.Status = metal3v1alpha1.BareMetalHostStatus{} // as most tools restore it
	r.restore(old, provisionertest.AnyUID(7))
	h := r.wantUntouched(before)
	node, _ := r.sim.Node(hostID)
	if h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned || node.HostUID != h.UID || h.Status.ErrorMessage != "" {
		t.Errorf("restored as %s, node of %s: %q", h.Status.Provisioning.State, node.HostUID, h.Status.ErrorMessage)
	}
}

// TestRestoredHostOfAnotherServer: the name and the id fit, the BMC does not.
func TestRestoredHostOfAnotherServer(t *testing.T) {
	t.Parallel()
	r, _ := deployed(t)
	before := r.sim.Effects(hostID)
	old := r.get()
	old.Spec.BMC.Address = "redfish-virtualmedia://bmc2/redfish/v1/Systems/1"
	r.restore(old, provisionertest.AnyUID(7))
	if h := r.wantUntouched(before); !strings.Contains(h.Status.ErrorMessage, "another BMC or boot MAC address") {
		t.Errorf("shows %q", h.Status.ErrorMessage)
	}
}

// TestDeletedWithItsImage: neither a deleted host nor the removal of its kind erases a server that runs.
func TestDeletedWithItsImage(t *testing.T) {
	t.Parallel()
	r, _ := deployed(t)
	before := r.sim.Effects(hostID)
	if err := r.client.Delete(t.Context(), r.get()); err != nil {
		t.Fatal(err)
	}
	r.wantHeld(r.wantUntouched(before), "was never taken off", "rackplane release --force -n metal h1")
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Annotations[v1alpha1.ReleaseAnnotation] = h.Annotations[v1alpha1.HeldAnnotation]
	})
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
	if n := r.sim.Effects(hostID); n[provisioner.Undeploy] != 1 {
		t.Errorf("effects %v", n)
	}
}

// TestRetain: the host goes, its server and what Ironic knows of it stay, and the host made anew has it again.
func TestRetain(t *testing.T) {
	t.Parallel()
	r, _ := deployed(t)
	before := r.sim.Effects(hostID)
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Annotations[v1alpha1.DeletionPolicyAnnotation] = string(v1alpha1.DeletionRetain)
	})
	old := r.get()
	if err := r.client.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
	if node, _ := r.sim.Node(hostID); node.State != provisioner.StateActive || node.Power != provisioner.PowerOn {
		t.Errorf("left as %+v", node)
	}
	old.ResourceVersion, old.UID, old.Status = "", provisionertest.AnyUID(7), metal3v1alpha1.BareMetalHostStatus{}
	if err := r.client.Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if h := r.wantUntouched(before); h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned {
		t.Errorf("back as %s: %s", h.Status.Provisioning.State, h.Status.ErrorMessage)
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Annotations[v1alpha1.DeletionPolicyAnnotation] = "retain" })
	r.pass()
	if h := r.get(); !strings.Contains(h.Status.ErrorMessage, `"retain" is not known: use Retain or Delete`) {
		t.Errorf("shows %q", h.Status.ErrorMessage)
	}
}

// TestIronicAndStatusAreLost: what is left in the API says that something is on the server: it is taken over, and if
// nothing is wanted on it, left alone.
func TestIronicAndStatusAreLost(t *testing.T) {
	t.Parallel()
	for _, wanted := range []bool{true, false} {
		r, _ := deployed(t)
		before := r.sim.Effects(hostID)
		r.sim.Forget()
		h := r.get()
		h.Status = metal3v1alpha1.BareMetalHostStatus{}
		if err := r.client.Status().Update(t.Context(), h); err != nil {
			t.Fatal(err)
		}
		if !wanted {
			r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
		}
		h = r.wantUntouched(before)
		if wanted && (h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned || h.Status.ErrorMessage != "") {
			t.Errorf("shows %s: %s", h.Status.Provisioning.State, h.Status.ErrorMessage)
		}
		if !wanted {
			r.wantHeld(h, "Ironic has no record of it")
		}
	}
}

// TestDeployedBeforeIDs: a host that an older version deployed is made known once, if it has what is wanted.
func TestDeployedBeforeIDs(t *testing.T) {
	t.Parallel()
	for _, wanted := range []bool{true, false} {
		r, _ := deployed(t)
		before := r.sim.Effects(hostID)
		node, _ := r.sim.Node(hostID)
		node.Deployment, node.Server = "", ""
		r.sim.Set(hostID, node.Observation)
		r.edit(func(h *metal3v1alpha1.BareMetalHost) {
			h.Annotations = nil
			if !wanted {
				h.Spec.Image, h.Spec.Online = nil, false
			}
		})
		h := r.wantUntouched(before)
		node, _ = r.sim.Node(hostID)
		if wanted && (node.Deployment == "" || node.Deployment != h.Annotations[v1alpha1.DeploymentAnnotation]) {
			t.Errorf("node holds %q, host %v", node.Deployment, h.Annotations)
		}
		if !wanted {
			r.wantHeld(h, "holds deployment none")
		}
	}
}

// TestDirtyDisksAreCleanedWithoutStatus: cleaning failed, the host is deleted and its status is lost: it is cleaned all
// the same before it goes.
func TestDirtyDisksAreCleanedWithoutStatus(t *testing.T) {
	t.Parallel()
	r, _ := deployed(t)
	r.sim.Inject(provisionertest.Fault{On: provisionertest.FailClean})
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
	r.until("not cleaned", func(*metal3v1alpha1.BareMetalHost) bool {
		node, _ := r.sim.Node(hostID)
		return node.State == provisioner.StateManageable
	})
	if err := r.client.Delete(t.Context(), r.get()); err != nil {
		t.Fatal(err)
	}
	h := r.get()
	h.Status = metal3v1alpha1.BareMetalHostStatus{}
	if err := r.client.Status().Update(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	before := r.sim.Effects(hostID)[provisioner.Provide]
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
	if n := r.sim.Effects(hostID)[provisioner.Provide]; n != before+1 {
		t.Errorf("cleaned %d times", n-before)
	}
}

// TestPausedEngineShowsWhatItWouldDo and does nothing, not even to a host that is deleted.
func TestPausedEngineShowsWhatItWouldDo(t *testing.T) {
	t.Parallel()
	r, _ := deployed(t)
	before, closed := r.sim.Effects(hostID), "a backup was restored"
	r.host.Gate = func() string { return closed }
	r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.Image, h.Spec.Online = nil, false })
	h := r.wantUntouched(before)
	if !strings.Contains(h.Status.ErrorMessage, "Act{Undeploy} deprovisioning") || !strings.Contains(h.Status.ErrorMessage, closed) ||
		h.Status.Provisioning.State != metal3v1alpha1.StateProvisioned {
		t.Errorf("shows %s: %q", h.Status.Provisioning.State, h.Status.ErrorMessage)
	}
	r.wantQuiet()
	if err := r.client.Delete(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	r.wantUntouched(before)
	closed = ""
	r.until("gone", func(h *metal3v1alpha1.BareMetalHost) bool { return h.Name == "" })
	if n := r.sim.Effects(hostID)[provisioner.Undeploy]; n != 1 {
		t.Errorf("undeployed %d times", n)
	}
}
