package nodeset_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// TestWhatIsRememberedHidesNothing: whatever changes, a controller that remembers what it has decided decides as one does
// that was started just now.
func TestWhatIsRememberedHidesNothing(t *testing.T) {
	config := &corev1.ConfigMap{ObjectMeta: steptest.Meta("tuning"), Data: map[string]string{"a": "1"}}
	service := func(r *rig) *v1alpha1.DataPlaneService {
		return &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("bootstrap")}
	}
	for name, change := range map[string]func(r *rig){
		"more nodes": func(r *rig) { edit(r, r.set(), func(s *v1alpha1.NodeSet) { s.Spec.Replicas = new(int32(3)) }) },
		"a variable": func(r *rig) {
			edit(r, r.set(), func(s *v1alpha1.NodeSet) {
				s.Spec.NodeTemplate.Ansible.AnsibleVars = steptest.Vars(`{"timezone": "UTC"}`)
			})
		},
		"host taken by hand": func(r *rig) {
			edit(r, steptest.Host("h0"), func(h *metal3Host) {
				h.Spec.ConsumerRef = &corev1.ObjectReference{Kind: "Machine", Name: "other", UID: "x"}
			})
		},
		"host in trouble": func(r *rig) {
			edit(r, steptest.Host("h1"), func(h *metal3Host) {
				h.Status.ErrorType, h.Status.ErrorMessage = metal3v1alpha1.PowerManagementError, "x"
			})
		},
		"host is gone": func(r *rig) { r.delete(steptest.Host("h0")) },
		"host has another card": func(r *rig) {
			edit(r, steptest.Host("h0"), func(h *metal3Host) { h.Status.HardwareDetails.NIC[0].MAC = "52:54:00:00:00:09" })
		},
		"network wider": func(r *rig) {
			edit(r, steptest.NetConfig(), func(c *v1alpha1.NetConfig) { c.Spec.Networks[1].DNSDomain = "internal.example.com" })
		},
		"service has another playbook": func(r *rig) {
			edit(r, service(r), func(s *v1alpha1.DataPlaneService) { s.Spec.Playbook = "osp.edpm.other" })
		},
		"service is gone": func(r *rig) { r.delete(service(r)) },
		"data changed": func(r *rig) {
			edit(r, config.DeepCopy(), func(c *corev1.ConfigMap) { c.Data["a"] = "2" })
		},
		"login key is gone": func(r *rig) { r.delete(steptest.LoginSecret(r.T)) },
		"another host key": func(r *rig) {
			n := r.nodes()[0]
			edit(r, &n, func(n *v1alpha1.DataPlaneNode) { n.Status.SSHHostKey = otherKey })
		},
		"node's spec by hand": func(r *rig) {
			n := r.nodes()[0]
			edit(r, &n, func(n *v1alpha1.DataPlaneNode) { n.Spec.Services = nil })
		},
		"node is gone": func(r *rig) {
			n := r.nodes()[0]
			edit(r, &n, func(n *v1alpha1.DataPlaneNode) { n.Finalizers = nil })
			r.delete(&n)
		},
		"ledger is gone": func(r *rig) {
			for _, b := range r.blocks() {
				r.delete(&b)
			}
		},
		"policy": func(r *rig) {
			if err := r.Plain.Create(r.Context(), &v1alpha1.HostClaimPolicy{ObjectMeta: steptest.Meta("lend"), Spec: v1alpha1.HostClaimPolicySpec{Namespaces: []string{"x"}}}); err != nil {
				r.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			play := func(forgets bool) *rig {
				r := site(t, 4, 2, config.DeepCopy())
				edit(r, service(r), func(s *v1alpha1.DataPlaneService) {
					s.Spec.DataSources = []v1alpha1.DataSource{{ConfigMapRef: &v1alpha1.DataSourceRef{Name: "tuning"}}}
				})
				r.pass()
				r.deployed()
				for range 3 {
					r.pass()
				}
				if !nodeset.Remembers(&r.controller, client.ObjectKeyFromObject(r.set())) {
					t.Error("nothing is remembered of a set at rest")
				}
				change(r)
				for range 3 {
					if forgets {
						c := &r.controller
						r.controller = nodeset.Reconciler{Client: c.Client, Reader: c.Reader, Live: c.Live, Clock: c.Clock, Events: c.Events, Collection: c.Collection}
					}
					r.pass()
				}
				return r
			}
			a, b := play(false), play(true)
			same := cmp.Options{cmpopts.IgnoreFields(metav1.ObjectMeta{}, "UID", "ResourceVersion", "ManagedFields", "OwnerReferences"), cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime"), cmpopts.EquateEmpty()}
			if diff := cmp.Diff(b.nodes(), a.nodes(), same); diff != "" {
				t.Error("nodes differ:", diff)
			}
			if diff := cmp.Diff(b.set(), a.set(), same); diff != "" {
				t.Error("the set differs:", diff)
			}
			if diff := cmp.Diff(b.deployments(), a.deployments(), same); diff != "" {
				t.Error("deployments differ:", diff)
			}
		})
	}
}

func (r *rig) delete(obj client.Object) {
	r.Helper()
	if err := r.Plain.Delete(r.Context(), obj); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) blocks() []v1alpha1.AddressBlock {
	r.Helper()
	var list v1alpha1.AddressBlockList
	if err := r.Plain.List(r.Context(), &list); err != nil {
		r.Fatal(err)
	}
	return list.Items
}
