package nodeset_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/nodeset"
	"github.com/rackplane/rackplane/controllers/step/steptest"
)

// shared reads as the manager's cache does when it is not asked to copy: lists point to what it keeps. It never changes.
type shared struct {
	client.Reader
	lists map[string][]runtime.Object
}

func (s *shared) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	kind := fmt.Sprintf("%T", list)
	if s.lists[kind] == nil {
		if err := s.Reader.List(ctx, list, opts...); err != nil {
			return err
		}
		items, err := meta.ExtractList(list)
		s.lists[kind] = append([]runtime.Object{}, items...)
		return err
	}
	return meta.SetList(list, s.lists[kind])
}

// BenchmarkNoOp is a pass over a ready NodeSet with bonds, five networks and 15 services of 4 KiB data, which has nothing to do. It must
// write nothing and read nothing live.
func BenchmarkNoOp(b *testing.B) {
	for _, size := range []int{100, 1000, 5000} {
		b.Run(strconv.Itoa(size), func(b *testing.B) { benchmarkNoOp(b, size) })
	}
}

func benchmarkNoOp(b *testing.B, size int) {
	b.Helper()
	set := steptest.NodeSet(int32(size))
	objects := steptest.Site(b, size)
	bonded(set, objects)
	objects = append(objects, fed(set)...)
	api := steptest.New(b, append(objects, set)...)
	controller := nodeset.Reconciler{Client: api, Reader: api.Reader, Live: api.Reader, Clock: api.Clock, Events: &events.FakeRecorder{}, Collection: rollout.Collection{Version: "1"}}
	pass := func() {
		b.Helper()
		if _, err := steptest.Pass(b.Context(), &controller, client.ObjectKeyFromObject(set)); err != nil {
			b.Fatal(err)
		}
	}
	pass()
	ready(b, api, false)
	pass()
	ready(b, api, true)
	pass()
	controller.Reader = &shared{Reader: api.Reader, lists: map[string][]runtime.Object{}}
	controller.Live = nil // whoever reads live panics
	pass()
	api.Writes()
	b.ReportAllocs()
	for b.Loop() {
		pass()
	}
	if w := api.Writes(); len(w) > 0 {
		b.Errorf("%d writes, want none; the first is %s", len(w), w[0])
	}
	b.ReportMetric(0, "writes/op")
}

// bonded gives every host two cards, and has the set bond them and carry five networks on it.
func bonded(set *v1alpha1.NodeSet, objects []client.Object) {
	for _, obj := range objects {
		switch obj := obj.(type) {
		case *metal3Host:
			card := obj.Status.HardwareDetails.NIC[0]
			second := card
			second.Name, second.MAC = "eno2", "52:54:00:00:00:02"
			obj.Status.HardwareDetails.NIC = append(obj.Status.HardwareDetails.NIC, second)
		case *v1alpha1.NetConfig:
			for i, name := range []string{"storage", "storagemgmt", "tenant"} {
				vlan := int32(30 + i)
				n := v1alpha1.Network{Name: name, Subnets: []v1alpha1.Subnet{{Name: "a", CIDR: fmt.Sprintf("172.%d.0.0/16", 18+i), VLAN: &vlan}}}
				n.Subnets[0].AllocationRanges = []v1alpha1.AllocationRange{{Start: fmt.Sprintf("172.%d.0.10", 18+i), End: fmt.Sprintf("172.%d.255.250", 18+i)}}
				obj.Spec.Networks = append(obj.Spec.Networks, n)
			}
			obj.Spec.Networks[0].Subnets[0].CIDR = "10.0.0.0/16"
			obj.Spec.Networks[0].Subnets[0].Gateway = "10.0.0.1"
			obj.Spec.Networks[0].Subnets[0].AllocationRanges[0] = v1alpha1.AllocationRange{Start: "10.0.0.10", End: "10.0.255.250"}
			obj.Spec.Networks[1].Subnets[0].CIDR = "172.17.0.0/16"
			obj.Spec.Networks[1].Subnets[0].AllocationRanges[0] = v1alpha1.AllocationRange{Start: "172.17.0.10", End: "172.17.255.250"}
		}
	}
	template := &set.Spec.NodeTemplate
	for _, name := range []string{"storage", "storagemgmt", "tenant"} {
		template.Networks = append(template.Networks, v1alpha1.NodeNetwork{Name: name})
	}
	template.NetworkConfig = &v1alpha1.NetworkConfig{Bonds: []v1alpha1.Bond{{
		Name: "bond0", Mode: "802.3ad", Ports: []v1alpha1.BondPort{{MAC: "nic1"}, {MAC: "nic2"}}, Networks: []string{"ctlplane"}, VLANs: []string{"internalapi", "storage", "storagemgmt", "tenant"},
	}}}
}

// fed are 15 services with 4 KiB of data each, which the set gets.
func fed(set *v1alpha1.NodeSet) []client.Object {
	var objects []client.Object
	set.Spec.Services = nil
	for i := range 15 {
		name := fmt.Sprintf("service-%d", i)
		objects = append(objects, &corev1.ConfigMap{ObjectMeta: steptest.Meta(name), Data: map[string]string{"data": fmt.Sprintf("%04096d", i)}})
		s := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta(name), Spec: v1alpha1.DataPlaneServiceSpec{
			Playbook: "osp.edpm." + name, DataSources: []v1alpha1.DataSource{{ConfigMapRef: &v1alpha1.DataSourceRef{Name: name}}}, DeployOnAllNodeSets: i == 14,
		}}
		objects = append(objects, s)
		set.Spec.Services = append(set.Spec.Services, name)
	}
	return objects
}

// ready gives every node its host key, and once the inputs are decided also good results.
func ready(b *testing.B, api *steptest.API, results bool) {
	b.Helper()
	var list v1alpha1.DataPlaneNodeList
	if err := api.Plain.List(context.WithoutCancel(b.Context()), &list); err != nil {
		b.Fatal(err)
	}
	for i := range list.Items {
		n := &list.Items[i]
		n.Status.SSHHostKey = steptest.HostKey
		for _, s := range n.Spec.Services {
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: s.Name, InputHash: s.InputHash, Result: v1alpha1.ServiceSucceeded})
		}
		if results {
			for _, c := range []string{v1alpha1.ConditionProvisioned, v1alpha1.ConditionReady} {
				meta.SetStatusCondition(&n.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue, Reason: "Done"})
			}
		}
		if err := api.Plain.Status().Update(b.Context(), n); err != nil {
			b.Fatal(err)
		}
	}
}
