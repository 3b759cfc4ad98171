package host_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"

	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/provisioner"
)

// quietly is a rig whose controller lets minor news wait, and what it tells.
func quietly(t *testing.T, password string) (*rig, chan string) {
	t.Helper()
	r := newRig(t, bmh(), secret(password))
	told := make(chan string, 100)
	r.host.Quiet, r.host.Events = &step.Quiet{}, &events.FakeRecorder{Events: told}
	return r, told
}

// writesOf are the writes since the last call.
func (r *rig) writesOf() []string {
	log := r.log
	r.log = nil
	return log
}

// TestFewWrites: what a host passes through costs no write that nobody decides by, and what is told of it is where it has come to.
func TestFewWrites(t *testing.T) {
	t.Parallel()
	r, told := quietly(t, "right")
	const status, host, data = "status *v1alpha1.BareMetalHost", "patch *v1alpha1.BareMetalHost", "create *v1alpha1.HardwareData"
	r.untilState(metal3v1alpha1.StateAvailable)
	// The finalizer; inspecting; what was found; available.
	if diff := cmp.Diff([]string{host, status, data, status, status}, r.writesOf()); diff != "" {
		t.Errorf("to be available (-want +got):\n%s", diff)
	}
	for range 5 {
		r.pass()
	}
	if log := r.writesOf(); len(log) > 1 {
		t.Errorf("at rest %v, want at most one status with what is left to tell", log)
	}
	r.edit(func(h *metal3v1alpha1.BareMetalHost) {
		h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "edpm", Name: "n0"}
		h.Spec.Image, h.Spec.Online = image("http://images/a"), true
	})
	h := r.until("provisioned", func(h *metal3v1alpha1.BareMetalHost) bool {
		return h.Status.Provisioning.State == metal3v1alpha1.StateProvisioned && h.Status.PoweredOn
	})
	// Provisioning; the deployment's id; provisioned.
	if diff := cmp.Diff([]string{status, host, status}, r.writesOf()); diff != "" {
		t.Errorf("to be provisioned (-want +got):\n%s", diff)
	}
	if m := h.Status.OperationHistory; m.Inspect.End.IsZero() || m.Provision.Start.IsZero() || m.Provision.End.IsZero() {
		t.Errorf("history %+v", m)
	}
	for range 5 {
		r.pass()
	}
	r.wantQuiet()
	close(told)
	var all []string
	for text := range told {
		all = append(all, text)
	}
	want := []string{"Normal Available the host is available", "Normal Provisioned the host is provisioned"}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestMinorNewsAreToldInTheEnd, whoever restarts meanwhile, and what a consumer waits for at once.
func TestMinorNewsAreToldInTheEnd(t *testing.T) {
	t.Parallel()
	for _, consumer := range []*corev1.ObjectReference{nil, {Kind: "DataPlaneNode", Namespace: "edpm", Name: "n0"}} {
		r, _ := quietly(t, "right")
		r.untilState(metal3v1alpha1.StateAvailable)
		node, _ := r.sim.Node(hostID)
		node.Power = provisioner.PowerOn // it is left on for a while after inspection
		r.sim.Set(hostID, node.Observation)
		r.edit(func(h *metal3v1alpha1.BareMetalHost) { h.Spec.ConsumerRef = consumer })
		begin := r.clock.Now()
		r.pass()
		if on := r.get().Status.PoweredOn; on != (consumer != nil) {
			t.Errorf("consumed by %v: shown as on: %v", consumer, on)
		}
		r.pass()
		r.host.Quiet = &step.Quiet{} // a restart
		for r.clock.Since(begin) < step.Hush {
			r.pass()
		}
		if r.pass(); !r.get().Status.PoweredOn {
			t.Error("never told that the host is on")
		}
	}
}

// TestQuietCountsFailures: that a failure is let pass because the want is new happens once, although nothing else is worth a
// write: a wrong password must not be tried again and again.
func TestQuietCountsFailures(t *testing.T) {
	t.Parallel()
	r, _ := quietly(t, "wrong")
	begin := r.clock.Now()
	for r.clock.Since(begin) < step.Hush/2 {
		r.pass()
	}
	if n := r.sim.Effects(hostID)[provisioner.Manage]; n > 3 {
		t.Errorf("the wrong password was tried %d times in %s", n, step.Hush/2)
	}
	if h := r.get(); h.Status.ErrorCount == 0 || !strings.Contains(h.Status.ErrorMessage, "401") {
		t.Errorf("shows %+v", h.Status)
	}
}
