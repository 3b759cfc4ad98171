package node_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// lending is consent of a namespace to another.
func lending(hosts, to string) *v1alpha1.HostClaimPolicy {
	p := &v1alpha1.HostClaimPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: hosts, Name: "lend"}}
	p.Spec.Namespaces = []string{to}
	return p
}

// foreign is a site whose node n0 is written onto far, a host of the namespace metal.
func foreign(t *testing.T, change func(*metal3Host), more ...client.Object) *rig {
	t.Helper()
	host := steptest.Host("far")
	host.Namespace = "metal"
	change(host)
	n := planned()
	n.Spec.Host = &v1alpha1.HostReference{Namespace: "metal", Name: "far", UID: "uid-of-metal-far"}
	set := steptest.NodeSet(1)
	set.Spec.Hosts.Namespace = "metal"
	return newRig(t, append(append(steptest.Site(t, 0), set, n, host), more...)...)
}

func (r *rig) far() *metal3Host {
	r.Helper()
	h := &metal3Host{}
	if err := r.Plain.Get(r.Context(), client.ObjectKey{Namespace: "metal", Name: "far"}, h); err != nil {
		r.Fatal(err)
	}
	return h
}

// untouched runs the node and its deletion, and expects the host to stay exactly as it is.
func (r *rig) untouched(host func() *metal3Host) {
	r.Helper()
	before := host().Spec
	r.pass()
	r.pass()
	r.drop(planned())
	for range 3 {
		r.pass()
	}
	if diff := cmp.Diff(before, host().Spec); diff != "" {
		r.Errorf("the host changed (-before +after):\n%s", diff)
	}
	if err := r.Plain.Get(r.Context(), client.ObjectKeyFromObject(planned()), &v1alpha1.DataPlaneNode{}); !apierrors.IsNotFound(err) {
		r.Errorf("the node: %v, want it gone", err)
	}
}

func runs(h *metal3Host) {
	h.Spec.Image, h.Spec.Online = &metal3v1alpha1.Image{URL: "http://192.0.2.9/payroll"}, true
	provisioned(h)
}

// TestHandMadeNode: a DataPlaneNode that somebody writes onto a host, of whatever namespace and state, gets nothing that a
// NodeSet would not, and the host is not touched when it goes.
func TestHandMadeNode(t *testing.T) {
	nobody := func(*metal3Host) {}
	cases := []struct {
		name   string
		change func(*metal3Host)
		more   []client.Object
		words  string
	}{
		{"not lent", nobody, nil, "no HostClaimPolicy of namespace metal lends it"},
		{"not lent and running", runs, nil, "no HostClaimPolicy of namespace metal lends it"},
		{"lent and running", runs, []client.Object{lending("metal", "site")}, "already has an image"},
		{"lent to another", nobody, []client.Object{lending("metal", "lab")}, "no HostClaimPolicy of namespace metal lends it"},
		{"lent, of another's", func(h *metal3Host) {
			runs(h)
			h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "payroll", Name: "db-7", UID: "x"}
		}, []client.Object{lending("metal", "site")}, "claimed by a consumer of another namespace"},
		{"lent and externally provisioned", func(h *metal3Host) { h.Spec.ExternallyProvisioned = true }, []client.Object{lending("metal", "site")}, "externally provisioned"},
		{"names the node without a UID and runs", func(h *metal3Host) {
			runs(h)
			h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "site", Name: "n0"}
		}, []client.Object{lending("metal", "site")}, "already has an image"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := foreign(t, c.change, c.more...)
			r.pass()
			r.expect("-Claimed:HostLost", c.words)
			if ready := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionReady); strings.Contains(ready.Message, "db-7") {
				t.Errorf("names a consumer of another namespace: %s", ready.Message)
			}
			r.settled()
			r.untouched(r.far)
		})
	}
}

// TestNodeThatItsSetDidNotMake is held with the reason and a remedy.
func TestNodeThatItsSetDidNotMake(t *testing.T) {
	for name, owners := range map[string][]metav1.OwnerReference{
		"nobody's":      nil,
		"another's":     {*metav1.NewControllerRef(&v1alpha1.NodeSet{ObjectMeta: steptest.Meta("other")}, v1alpha1.GroupVersion.WithKind("NodeSet"))},
		"no controlled": {{Kind: "NodeSet", Name: "rack"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := site(t)
			edit(r, planned(), func(n *v1alpha1.DataPlaneNode) { n.OwnerReferences = owners })
			r.pass()
			r.expect("", "was not made by NodeSet rack", "delete it")
			r.untouched(r.host)
		})
	}
}

// TestForeignHostIsNotTold: whether a host is there, and with which UID, is not told to who may not see it.
func TestForeignHostIsNotTold(t *testing.T) {
	told := map[string]bool{}
	for _, change := range []func(*metal3Host){func(*metal3Host) {}, runs, func(h *metal3Host) { h.UID = "another" }, func(h *metal3Host) { h.Name = "elsewhere" }} {
		r := foreign(t, change)
		r.pass()
		told[meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionReady).Message] = true
	}
	if len(told) != 1 {
		t.Errorf("tells %v", told)
	}
}

// TestConsentThatIsTakenBack ends no claim, is told, and makes no new one.
func TestConsentThatIsTakenBack(t *testing.T) {
	r := foreign(t, func(*metal3Host) {}, lending("metal", "site"))
	r.pass()
	edit(r, r.far(), provisioned)
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices")
	before := r.far().Spec
	r.drop(lending("metal", "site"))
	r.pass()
	r.expect("+Claimed +Addressed +Provisioned -Networked:WaitingForNetwork -Configured:WaitingForServices")
	claimed := meta.FindStatusCondition(r.node().Status.Conditions, v1alpha1.ConditionClaimed)
	if !strings.Contains(claimed.Message, "lends it to namespace site any more: the claim stays") {
		t.Errorf("Claimed: %s", claimed.Message)
	}
	if diff := cmp.Diff(before, r.far().Spec); diff != "" {
		t.Errorf("the host changed (-before +after):\n%s", diff)
	}
	r.settled()
	// Its owner takes the server back by hand: it is not claimed again.
	edit(r, r.far(), func(h *metal3Host) { h.Spec.ConsumerRef = nil })
	r.pass()
	r.expect("-Claimed:HostLost", "HostClaimPolicy")
	r.untouched(r.far)
}

// TestImageOfSomebodyElse on a host that was claimed is neither taken over nor taken off.
func TestImageOfSomebodyElse(t *testing.T) {
	r := site(t)
	edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) { s.Spec.NodeTemplate.AnsibleSSHPrivateKeySecret = "later" })
	r.pass()
	r.expect("+Claimed +Addressed -Provisioned:InvalidInput")
	edit(r, r.host(), runs)
	edit(r, steptest.NodeSet(1), func(s *v1alpha1.NodeSet) { s.Spec.NodeTemplate.AnsibleSSHPrivateKeySecret = "rack-ssh" })
	r.pass()
	r.expect("+Claimed +Addressed -Provisioned:HostError", "did not hand over", "clear spec.image")
	before := r.host().Spec
	r.drop(planned())
	r.pass()
	before.ConsumerRef = nil
	if diff := cmp.Diff(before, r.host().Spec); diff != "" {
		t.Errorf("the host after release (-want +got):\n%s", diff)
	}
}

// TestReleaseWithoutStatus: whose image a host has is known to the host. A lost status neither leaves it running nor
// gives the claim up too early.
func TestReleaseWithoutStatus(t *testing.T) {
	r := site(t)
	r.deployed()
	r.drop(planned())
	for range 2 {
		edit(r, r.node(), func(n *v1alpha1.DataPlaneNode) { n.Status = v1alpha1.DataPlaneNodeStatus{} })
		r.pass()
		if h := r.host(); h.Spec.Image != nil || h.Spec.Online || h.Spec.ConsumerRef == nil {
			t.Errorf("host %+v, want it without image and power, still claimed", h.Spec)
		}
	}
}
