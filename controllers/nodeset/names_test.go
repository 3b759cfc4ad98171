package nodeset_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
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

// TestCloudIsRecorded: sets of one Keystone and region have one identity, however the address ends, and none without a cloud.
func TestCloudIsRecorded(t *testing.T) {
	clouds := func(url, region string) *corev1.Secret {
		text := "{clouds: {default: {region_name: " + region + ", auth: {auth_url: '" + url + "', username: u, password: p, user_domain_name: D, project_name: s, project_domain_name: D}}}}"
		return &corev1.Secret{ObjectMeta: steptest.Meta("clouds"), Data: map[string][]byte{"clouds.yaml": []byte(text)}}
	}
	recorded := func(secret *corev1.Secret) string {
		set := steptest.NodeSet(0)
		set.Spec.OpenStack = &v1alpha1.OpenStackJoin{CloudsSecret: "clouds"}
		r := newRig(t, append(steptest.Site(t, 0), set, secret)...)
		r.pass()
		r.settled()
		first := r.set().Status.Cloud
		edit(r, r.set(), func(s *v1alpha1.NodeSet) { s.Spec.OpenStack = nil })
		r.pass()
		if left := r.set().Status.Cloud; left != "" {
			t.Errorf("a set that joins no cloud has the cloud %s", left)
		}
		return first
	}
	one := recorded(clouds("https://keystone.example.com:5000/v3", "r1"))
	same := recorded(clouds("https://Keystone.example.com:5000/v3/", "r1"))
	other := recorded(clouds("https://keystone.example.com:5000/v3", "r2"))
	if one == "" || one != same || one == other {
		t.Errorf("clouds %q, %q and %q", one, same, other)
	}
}
