package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/openstack/join"
	"github.com/rackplane/rackplane/plan"
)

func joiningSet() *v1alpha1.NodeSet {
	set := steptest.NodeSet(1)
	set.Spec.Services = []string{"ovn", "neutron-metadata", "nova-gpu"}
	set.Spec.OpenStack = &v1alpha1.OpenStackJoin{CloudsSecret: "clouds"}
	return set
}

func southbound(endpoint, secret string) func(*v1alpha1.OpenStackJoin) {
	return func(o *v1alpha1.OpenStackJoin) {
		o.Southbound = &v1alpha1.OVNSouthbound{Endpoints: []string{endpoint}, TLSSecret: secret}
	}
}

func TestWantJoined(t *testing.T) {
	set := joiningSet()
	southbound("tcp:192.0.2.1:6642", "")(set.Spec.OpenStack)
	set.Spec.OpenStack.AvailabilityZone, set.Spec.OpenStack.Aggregates, set.Spec.OpenStack.Traits = "rack7", []string{"gpu"}, []string{"CUSTOM_GPU"}
	node := plan.Desired(set)[0]
	node.Status.OpenStack = &v1alpha1.ComputeStatus{Chassis: "system-0"}
	node.Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: "192.168.0.10"}, {Network: "internalapi", Subnet: "a", Address: "172.17.0.10"}}
	known := []v1alpha1.DataPlaneService{{ObjectMeta: steptest.Meta("nova-gpu"), Spec: v1alpha1.DataPlaneServiceSpec{EDPMServiceType: "nova"}}}
	got := plan.WantJoined(set, &node, steptest.Networks(), plan.ServiceTypes(set, known))
	want := join.Want{
		Set: "NodeSet site/rack", Chassis: true, Agents: []string{"ovn-controller", "neutron-ovn-metadata-agent"},
		Zone: "rack7", Aggregates: []string{"gpu"}, Traits: []string{"CUSTOM_GPU"},
	}
	want.Host.Names, want.Host.Chassis, want.Host.EncapIP = []string{"n0.example.com", "n0"}, "system-0", "192.168.0.10"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWantedChassis(t *testing.T) {
	for name, c := range map[string]struct {
		variables, own map[string]string
		ip             string
		mappings       []string
	}{
		"given":            {map[string]string{"edpm_ovn_encap_ip": `"192.0.2.7"`, "edpm_ovn_bridge_mappings": `["a:br-a", "b:br-b"]`}, nil, "192.0.2.7", []string{"a:br-a", "b:br-b"}},
		"the node's own":   {map[string]string{"edpm_ovn_encap_ip": `"192.0.2.7"`}, map[string]string{"edpm_ovn_encap_ip": `"192.0.2.8"`}, "192.0.2.8", nil},
		"another network":  {map[string]string{"edpm_ovn_encap_ip": `"{{ internalapi_ip }}"`}, nil, "172.17.0.10", nil},
		"an expression":    {map[string]string{"edpm_ovn_encap_ip": `"{{ tenant_ip | default(ctlplane_ip) }}"`, "edpm_ovn_bridge_mappings": `["{{ a }}:br-a"]`}, nil, "", nil},
		"mappings in text": {map[string]string{"edpm_ovn_bridge_mappings": `"a:br-a, b:br-b"`}, nil, "192.168.0.10", []string{"a:br-a", "b:br-b"}},
		"none":             {nil, nil, "192.168.0.10", nil},
	} {
		t.Run(name, func(t *testing.T) {
			set := joiningSet()
			node := plan.Desired(set)[0]
			set.Spec.NodeTemplate.Ansible.AnsibleVars = variables(c.variables)
			set.Spec.Nodes = map[string]v1alpha1.NodeSection{node.Name: {Ansible: v1alpha1.AnsibleOptions{AnsibleVars: variables(c.own)}}}
			node.Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Address: "192.168.0.10"}, {Network: "internalapi", Address: "172.17.0.10"}}
			got := plan.WantJoined(set, &node, steptest.Networks(), []string{"ovn"})
			if diff := cmp.Diff(c.mappings, got.BridgeMappings); got.Host.EncapIP != c.ip || diff != "" {
				t.Errorf("address %q, want %q; mappings (-want +got):\n%s", got.Host.EncapIP, c.ip, diff)
			}
		})
	}
}

func variables(in map[string]string) map[string]apiextensionsv1.JSON {
	out := map[string]apiextensionsv1.JSON{}
	for name, raw := range in {
		out[name] = apiextensionsv1.JSON{Raw: []byte(raw)}
	}
	return out
}
