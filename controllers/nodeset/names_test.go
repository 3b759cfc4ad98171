package nodeset_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// TestOneHostNameTwiceWaits: of two nodes with one name only the first is made, the message names both, and the other
// comes when it has a name of its own. A node that runs never takes a name that another one has.
func TestOneHostNameTwiceWaits(t *testing.T) {
	set := steptest.NodeSet(0)
	set.Spec.Replicas = nil
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"a": {HostName: "compute-0"}, "b": {HostName: "compute-0.example.com"}, "c": {}}
	r := newRig(t, append(steptest.Site(t, 3), client.Object(set))...)
	names := func() string {
		var all []string
		for _, n := range r.nodes() {
			all = append(all, n.Name+"="+n.Spec.HostName)
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	check := func(want string, problem string) {
		t.Helper()
		r.pass()
		r.settled()
		if got := names(); got != want {
			t.Errorf("nodes %s, want %s", got, want)
		}
		input := meta.FindStatusCondition(r.set().Status.Conditions, v1alpha1.ConditionInputReady)
		if ready := input.Status == "True"; ready != (problem == "") || !strings.Contains(input.Message, problem) {
			t.Errorf("InputReady %s %q, want %q", input.Status, input.Message, problem)
		}
	}
	check("a=compute-0 c=c", "nodes b and a are both called compute-0.example.com: b waits")
	edit(r, r.set(), func(s *v1alpha1.NodeSet) { s.Spec.Nodes["b"] = v1alpha1.NodeSection{} })
	check("a=compute-0 b=b c=c", "")
	edit(r, r.set(), func(s *v1alpha1.NodeSet) { s.Spec.Nodes["c"] = v1alpha1.NodeSection{HostName: "compute-0"} })
	check("a=compute-0 b=b c=c", "nodes c and a are both called compute-0.example.com: c waits")
}
