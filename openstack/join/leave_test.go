package join_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/join"
)

func leaving() join.Leaving { return join.Leaving{ServiceID: "s0", Name: us} }

func TestDrain(t *testing.T) {
	disable := []openstack.Action{{Verb: openstack.DisableService, Service: "s0", Host: us}}
	seen := whole()
	if got := join.Drain(leaving(), seen, nil); got.Reason != "" || cmp.Diff(disable, got.Actions) != "" {
		t.Errorf("%+v, want it disabled", got)
	}
	got := join.Drain(leaving(), seen, []string{"a", "b", "c", "d", "e", "f"})
	if got.Reason == "" || !strings.Contains(got.Message, "(a, b, c, d, e and 1 more)") || cmp.Diff(disable, got.Actions) != "" {
		t.Errorf("%+v, want it disabled and held", got)
	}
	seen.Services[0].Disabled = true
	if got := join.Drain(leaving(), seen, nil); got.Reason != "" || len(got.Actions) > 0 {
		t.Errorf("%+v, want nothing", got)
	}
	seen.Services[0].Unknown = true
	if got := join.Drain(leaving(), seen, nil); got.Reason == "" || !strings.Contains(got.Message, "cell") {
		t.Errorf("%+v, want it held", got)
	}
	if got := join.Drain(leaving(), openstack.Compute{}, nil); got.Reason != "" || len(got.Actions) > 0 {
		t.Errorf("%+v of a host the cloud does not know", got)
	}
}

// TestOnlyOursLeaves: another machine's service is never touched, even if it has our short name.
func TestOnlyOursLeaves(t *testing.T) {
	l := leaving()
	l.ServiceID = ""
	if got := l.Host(whole()); got != us {
		t.Errorf("by its canonical name: %q", got)
	}
	seen := openstack.Compute{Services: []openstack.ComputeService{{ID: "s9", Host: "c0"}}}
	if got := join.Depart(l, seen); len(got) > 0 || l.Host(seen) != "" {
		t.Errorf("%+v of another machine", got)
	}
	if got := join.Depart(leaving(), seen); len(got) > 0 {
		t.Errorf("%+v of another machine", got)
	}
}

func TestDepart(t *testing.T) {
	seen := whole()
	seen.Agents[0].ID, seen.Agents[1].ID = "a0", "a1"
	seen.Agents = append(seen.Agents, openstack.NetworkAgent{ID: "a2", Binary: "ovn-controller", Host: "c1"})
	want := []openstack.Action{{Verb: openstack.DeleteService, Service: "s0", Host: us}, {Verb: openstack.DeleteAgent, Agent: "a0", Host: us}}
	if diff := cmp.Diff(want, join.Depart(leaving(), seen)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
