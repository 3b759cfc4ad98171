package claim

import (
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// TestMarks: a free host with a mark is refused by its words, and the node that has it keeps it.
func TestMarks(t *testing.T) {
	for want, mark := range map[string]func(*metal3v1alpha1.BareMetalHost){
		"in maintenance (new DIMMs): remove annotation dataplane.rackplane.dev/maintenance": note(v1alpha1.MaintenanceAnnotation, "new DIMMs"),
		"cordoned: remove annotation":                 note(v1alpha1.CordonAnnotation, ""),
		"quarantined (failed 5 times)":                note(v1alpha1.QuarantineAnnotation, "failed 5 times"),
		"marked unhealthy by Cluster API":             note("capm3.metal3.io/unhealthy", ""),
		"held off by annotation reboot.metal3.io/iha": note("reboot.metal3.io/iha", "{}"),
		"kept by Cluster API for kcp":                 func(h *metal3v1alpha1.BareMetalHost) { h.Labels = map[string]string{nodeReuseLabel: "kcp"} },
		"tainted (dedicated=gpu:NoSchedule)": func(h *metal3v1alpha1.BareMetalHost) {
			h.Spec.Taints = []corev1.Taint{{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}}
		},
		"unhealthy (fan 2 failed)": func(h *metal3v1alpha1.BareMetalHost) {
			h.Status.Conditions = []metav1.Condition{{Type: "Healthy", Status: metav1.ConditionFalse, Message: "fan 2 failed"}}
		},
	} {
		bmh := metal3v1alpha1.BareMetalHost{}
		bmh.Namespace, bmh.Name, bmh.UID = "edpm", "h", "uid-h"
		bmh.Status.Provisioning.State = metal3v1alpha1.StateAvailable
		n := need("n0")
		n.HostNamespace = "edpm"
		if got, err := Refused(n, FromBareMetalHost(bmh)); got != "" || err != nil {
			t.Fatal(got, err)
		}
		mark(&bmh)
		if got, err := Refused(n, FromBareMetalHost(bmh)); err != nil || !strings.Contains(got, want) {
			t.Errorf("%q is not in %q (%v)", want, got, err)
		}
		bmh.Spec.ConsumerRef = &corev1.ObjectReference{Kind: OwnerKind, Namespace: "edpm", Name: "n0", UID: n.Node.UID}
		held := v1alpha1.HostReference{Namespace: "edpm", Name: "h", UID: "uid-h"}
		n.Held = &held
		if p := makePlan(t, []Need{n}, []Host{FromBareMetalHost(bmh)}); len(p.Keep) != 1 {
			t.Errorf("%s: the node does not keep its host: %+v", want, p)
		}
	}
}

func note(key, value string) func(*metal3v1alpha1.BareMetalHost) {
	return func(h *metal3v1alpha1.BareMetalHost) { h.Annotations = map[string]string{key: value} }
}
