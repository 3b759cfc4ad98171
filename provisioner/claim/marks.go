package claim

import (
	"fmt"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/line"
	"github.com/rackplane/rackplane/provisioner/hostspec"
)

// Marks that Cluster API's provider for Metal3 puts on hosts (cluster-api-provider-metal3 v1.13, baremetal/metal3machine_manager.go
// and metal3remediation_manager.go).
const (
	nodeReuseLabel      = "infrastructure.cluster.x-k8s.io/node-reuse"
	unhealthyAnnotation = "capm3.metal3.io/unhealthy"
)

// healthyCondition is Metal3's (apis v0.13.1), by Ironic's or the BMC's word.
const healthyCondition = "Healthy"

// marksOf are the reasons for which a host that is otherwise free is not to be given out: by its operator's word, by another
// claimer's, or by its health.
func marksOf(h *metal3v1alpha1.BareMetalHost) []string {
	var marks []string
	for _, m := range []struct{ annotation, word string }{
		{v1alpha1.MaintenanceAnnotation, "in maintenance"},
		{v1alpha1.CordonAnnotation, "cordoned"},
		{v1alpha1.QuarantineAnnotation, "quarantined"},
	} {
		if why, set := h.Annotations[m.annotation]; set {
			marks = append(marks, withReason(m.word, why)+": remove annotation "+m.annotation+" to have it back")
		}
	}
	if owner, kept := h.Labels[nodeReuseLabel]; kept {
		marks = append(marks, fmt.Sprintf("kept by Cluster API for %s: remove label %s if it is free", line.Short(owner, maxReason), nodeReuseLabel))
	}
	if _, unhealthy := h.Annotations[unhealthyAnnotation]; unhealthy {
		marks = append(marks, "marked unhealthy by Cluster API: remove annotation "+unhealthyAnnotation+" once it is mended")
	}
	if c := meta.FindStatusCondition(h.Status.Conditions, healthyCondition); c != nil && c.Status == metav1.ConditionFalse {
		marks = append(marks, withReason("unhealthy", c.Message)+": mend the server")
	}
	if reboot, _ := hostspec.RebootOf(h); reboot.Wanted() {
		marks = append(marks, "held off by annotation "+reboot.Key()+": whoever fenced it removes that")
	}
	for i := range h.Spec.Taints {
		t := &h.Spec.Taints[i]
		marks = append(marks, fmt.Sprintf("tainted (%s): remove it from spec.taints", line.Short(t.ToString(), maxReason)))
	}
	return marks
}

// maxReason is how much of a person's reason is shown.
const maxReason = 120

func withReason(word, why string) string {
	if why = line.Short(why, maxReason); why == "" || why == "true" {
		return word
	}
	return word + " (" + why + ")"
}
