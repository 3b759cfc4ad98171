package node_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/openstack/openstacktest"
)

// quietRig is a node that its cloud waits for, under a controller whose minor news wait for others.
type quietRig struct {
	*cloudRig
	told   chan string
	writes int
}

func quietly(t *testing.T, services int) *quietRig {
	t.Helper()
	var names []string
	for i := range services {
		names = append(names, fmt.Sprintf("service-%d", i))
	}
	r := &quietRig{cloudRig: unplanned(t, names), told: make(chan string, 100)}
	r.controller.Quiet, r.controller.Events = &step.Quiet{}, &events.FakeRecorder{Events: r.told}
	return r
}

// after makes a pass so much later and counts how often it writes the node's status.
func (r *quietRig) after(d time.Duration) {
	r.Helper()
	r.Clock.Step(d)
	r.Writes()
	r.pass()
	for _, w := range r.Writes() {
		if strings.Contains(w, "status") && strings.Contains(w, "n0") {
			r.writes++
		}
	}
}

func (r *quietRig) events() []string {
	var all []string
	for len(r.told) > 0 {
		all = append(all, <-r.told)
	}
	return all
}

// TestFewWritesToReady: fifteen services and a cloud cost a node no more than four status writes and two events.
func TestFewWritesToReady(t *testing.T) {
	r := quietly(t, 15)
	r.after(0)
	edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) { n.Spec = planned().Spec })
	for range 5 {
		r.after(time.Second)
	}
	r.prober.err = fault.New(fault.Transient, "connection refused")
	edit(r.rig, r.host(), provisioned)
	for range 5 {
		r.after(3 * time.Second)
	}
	r.prober.err = nil
	edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) {
		for i := range 15 {
			n.Spec.Services = append(n.Spec.Services, v1alpha1.ServiceInput{Name: fmt.Sprintf("service-%d", i), InputHash: "1"})
		}
	})
	r.after(3 * time.Second)
	for i := range 15 {
		r.prober.seen.NetworkHash = r.node().Spec.NetworkHash
		edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) {
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: n.Spec.Services[i].Name, InputHash: "1", Result: v1alpha1.ServiceSucceeded})
		})
		if i == 13 {
			r.cloud.Edit(func(w *openstacktest.World) { w.Start(hostName, "192.168.0.10", "datacentre:br-ex"); w.Discover() })
		}
		r.after(time.Second)
	}
	r.after(time.Second)
	if !meta.IsStatusConditionTrue(r.node().Status.Conditions, v1alpha1.ConditionReady) {
		t.Fatalf("not Ready: %v", r.node().Status.Conditions)
	}
	told := r.events()
	if r.writes > 4 || len(told) > 2 {
		t.Errorf("%d status writes and %d events, want at most 4 and 2: %q", r.writes, len(told), told)
	}
	for _, what := range []string{"Provisioned is True", "Ready is True"} {
		if !strings.Contains(strings.Join(told, "\n"), what) {
			t.Errorf("no event tells that %s: %q", what, told)
		}
	}
}

// TestMinorNewsWait: what a node waits for is told in the end, whoever restarts meanwhile, and trouble and its end at once.
func TestMinorNewsWait(t *testing.T) {
	r := quietly(t, 1)
	r.after(0)
	if r.writes != 0 {
		t.Errorf("%d writes although the plan may come at any moment", r.writes)
	}
	r.after(step.Hush)
	r.expect("-Claimed:WaitingForPlan", "no BareMetalHost is planned")
	edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) { n.Spec = planned().Spec })
	r.after(0)
	r.expect("+Claimed +Addressed -Provisioned:WaitingForHost")
	edit(r.rig, r.host(), provisioned)
	r.prober.err = fault.New(fault.Transient, "connection refused")
	r.after(0)
	r.expect("+Claimed +Addressed -Provisioned:WaitingForHost")
	r.controller.Quiet = &step.Quiet{} // a restart
	r.after(step.Hush)
	r.after(step.Hush)
	r.expect("+Claimed +Addressed -Provisioned:WaitingForSSH", "connection refused")
	r.events()

	r.prober.err = fault.New(fault.Rejected, "another key")
	r.after(0)
	r.expect("+Claimed +Addressed -Provisioned:HostKeyMismatch", "another key")
	if told := r.events(); len(told) != 1 || !strings.HasPrefix(told[0], "Warning HostKeyMismatch Provisioned is False") {
		t.Errorf("events %q, want one that warns", told)
	}
	r.prober.err = fault.New(fault.Transient, "connection refused")
	r.after(0)
	r.expect("+Claimed +Addressed -Provisioned:WaitingForSSH")
	if told := r.events(); len(told) != 1 || !strings.HasPrefix(told[0], "Normal WaitingForSSH") {
		t.Errorf("events %q, want one that tells the end of the trouble", told)
	}
}

// TestAskingKeepsNoNewsWaiting: news that wait are told in time although the node is being asked whenever that comes.
func TestAskingKeepsNoNewsWaiting(t *testing.T) {
	r := quietly(t, 1)
	r.after(0)
	edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) { n.Spec = planned().Spec })
	r.after(0)
	edit(r.rig, r.host(), provisioned)
	r.after(0)
	const before = "inputs are decided for 0 of 1 services"
	r.configured(before + ": condition InputReady of NodeSet rack tells what is missing")
	edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec.Services = []v1alpha1.ServiceInput{{Name: "service-0", InputHash: "1"}}
	})
	r.after(0)
	for range 2 {
		r.after(step.Hush / 2)
		r.prober.err = fault.New(fault.Busy, "asked")
		r.after(0)
		r.prober.err = nil
	}
	r.after(0)
	r.configured("services are to run: status.services has those that have, DataPlaneDeployments of NodeSet rack run the others")
}

// unplanned is a node of a set with the services and a cloud, before anything is planned for it.
func unplanned(t *testing.T, services []string) *cloudRig {
	t.Helper()
	r := joining(t, func(s *v1alpha1.NodeSet) { s.Spec.Services = services })
	fresh := steptest.Host("h0")
	edit(r.rig, r.host(), func(h *metal3Host) { h.Spec, h.Status = fresh.Spec, fresh.Status })
	edit(r.rig, planned(), func(n *v1alpha1.DataPlaneNode) {
		n.Spec, n.Status = v1alpha1.DataPlaneNodeSpec{HostName: "n0"}, v1alpha1.DataPlaneNodeStatus{}
	})
	return r
}
