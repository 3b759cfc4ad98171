package nodeset_test

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// TestHostsOfAnotherNamespaceNeedConsent: NodeSet rack of the namespace site asks for hosts of the namespace metal.
func TestHostsOfAnotherNamespaceNeedConsent(t *testing.T) {
	far := func(name, rack string) *metal3Host {
		h := steptest.Host(name)
		h.Namespace, h.Labels = "metal", map[string]string{"rack": rack}
		return h
	}
	busy := far("payroll-db-7", "r8")
	busy.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "payroll", Name: "db-7", UID: "x"}
	r := site(t, 0, 1, far("u01", "r7"), far("u02", "r8"), busy)
	edit(r, steptest.NodeSet(0), func(s *v1alpha1.NodeSet) { s.Spec.Hosts.Namespace = "metal" })
	r.pass()
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionFalse, v1alpha1.ReasonNoHost,
		"namespace metal lends no host to namespace site: its owner does that with a HostClaimPolicy", "3 hosts of other namespaces")
	told := meta.FindStatusCondition(r.set().Status.Conditions, v1alpha1.ConditionPlanned).Message
	if strings.Contains(told, "u0") || strings.Contains(told, "payroll") {
		t.Errorf("tells of hosts that are not lent: %s", told)
	}
	r.settled()

	lend := &v1alpha1.HostClaimPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "metal", Name: "lend"}}
	lend.Spec.Namespaces = []string{"site"}
	lend.Spec.HostSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"rack": "r8"}}
	if err := r.Plain.Create(t.Context(), lend); err != nil {
		t.Fatal(err)
	}
	r.pass()
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonDone)
	if n := r.nodes(); n[0].Spec.Host == nil || n[0].Spec.Host.Name != "u02" {
		t.Fatalf("planned %+v, want the host that is lent", n[0].Spec.Host)
	}

	if err := r.Plain.Delete(t.Context(), lend); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if n := r.nodes(); n[0].Spec.Host != nil {
		t.Errorf("planned %+v, want nothing: it was not claimed when consent was taken back", n[0].Spec.Host)
	}
	lend.ResourceVersion = ""
	if err := r.Plain.Create(t.Context(), lend); err != nil {
		t.Fatal(err)
	}
	r.pass()
	edit(r, far("u02", "r8"), func(h *metal3Host) {
		h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: "site", Name: "n0", UID: r.nodes()[0].UID}
	})
	if err := r.Plain.Delete(t.Context(), lend); err != nil {
		t.Fatal(err)
	}
	r.pass()
	if n := r.nodes(); n[0].Spec.Host == nil {
		t.Error("a claim ends because consent is taken back")
	}
}

// TestHandMadeNodeReservesNothing: a DataPlaneNode without a set, written onto a host of whatever namespace, keeps it from nobody.
func TestHandMadeNodeReservesNothing(t *testing.T) {
	squatter := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta("a")}
	squatter.Namespace = "elsewhere"
	squatter.Spec = v1alpha1.DataPlaneNodeSpec{HostName: "a", Host: &v1alpha1.HostReference{Namespace: "site", Name: "h0", UID: "uid-of-site-h0"}}
	r := site(t, 1, 1, squatter)
	r.pass()
	for _, n := range r.nodes() {
		if n.Name == "n0" && (n.Spec.Host == nil || n.Spec.Host.Name != "h0") {
			t.Errorf("planned %+v, want h0", n.Spec.Host)
		}
	}
	r.expect(v1alpha1.ConditionPlanned, metav1.ConditionTrue, v1alpha1.ReasonDone)
}

// TestClaimOfNobody: a claim that an engine made for a node that was gone by then is taken off, but never from a host that was
// handed an image, was deployed, or whose node is there.
func TestClaimOfNobody(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*metal3Host)
		freed  bool
	}{
		"nothing deployed": {func(*metal3Host) {}, true},
		"an image":         {func(h *metal3Host) { h.Spec.Image = &metal3v1alpha1.Image{URL: "http://x/y"} }, false},
		"in use":           {func(h *metal3Host) { h.Status.Provisioning.State = metal3v1alpha1.StateProvisioned }, false},
		"once deployed":    {func(h *metal3Host) { h.Annotations = map[string]string{v1alpha1.DeploymentAnnotation: "id"} }, false},
		"held":             {func(h *metal3Host) { h.Annotations = map[string]string{v1alpha1.HeldAnnotation: "x"} }, false},
		"claimed by hand":  {func(h *metal3Host) { h.Spec.ConsumerRef.UID = "" }, false},
		"another's":        {func(h *metal3Host) { h.Spec.ConsumerRef.Namespace = "payroll" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			host := steptest.Host("h9")
			host.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "DataPlaneNode", Namespace: steptest.Namespace, Name: "n7", UID: "gone"}
			c.change(host)
			r := site(t, 0, 0, host)
			r.pass()
			got := &metal3Host{}
			if err := r.Plain.Get(t.Context(), client.ObjectKeyFromObject(host), got); err != nil {
				t.Fatal(err)
			}
			if (got.Spec.ConsumerRef == nil) != c.freed {
				t.Errorf("claimed by %+v, want freed %t", got.Spec.ConsumerRef, c.freed)
			}
		})
	}
}
