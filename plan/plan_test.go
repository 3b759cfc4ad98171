package plan_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/provisioner/claim"
	"github.com/rackplane/rackplane/provisioner/hardware"
)

func TestDesired(t *testing.T) {
	set := steptest.NodeSet(3)
	set.Spec.HostNameTemplate = "r7-n%02d"
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"gpu": {HostName: "gpu.example.com"}, "r7-n01": {}}
	var got []string
	for _, n := range plan.Desired(set) {
		got = append(got, n.Name+"="+n.Spec.HostName)
		if !plan.IsMember(&n, set) {
			t.Errorf("%s is no member of its own set", n.Name)
		}
	}
	if diff := cmp.Diff([]string{"gpu=gpu.example.com", "r7-n00=r7-n00", "r7-n01=r7-n01", "r7-n02=r7-n02"}, got); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func TestSection(t *testing.T) {
	set := steptest.NodeSet(1)
	own := []v1alpha1.NodeNetwork{{Name: "storage"}}
	set.Spec.NodeTemplate.Ansible = v1alpha1.AnsibleOptions{AnsibleUser: "stack", AnsiblePort: 2222}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"x": {Networks: own, Ansible: v1alpha1.AnsibleOptions{AnsibleUser: "root"}}}
	x, y := plan.Section(set, "x"), plan.Section(set, "y")
	if x.Ansible.AnsibleUser != "root" || x.Ansible.AnsiblePort != 2222 || x.HostName != "x" || !slices.Equal(x.Networks, own) {
		t.Errorf("x: %+v, want its own and the template's", x)
	}
	if y.Ansible.AnsibleUser != "stack" || len(y.Networks) != 2 {
		t.Errorf("y: %+v, want the template's", y)
	}
	if user := plan.Section(steptest.NodeSet(1), "z").Ansible.AnsibleUser; user != v1alpha1.DefaultAnsibleUser {
		t.Errorf("user %s, want the default", user)
	}
}

// decided writes down the network that follows for a node.
func decided(t *testing.T, set *v1alpha1.NodeSet, node *v1alpha1.DataPlaneNode, host *claim.Host) {
	t.Helper()
	rendered, err := plan.RenderNetwork(set, node, steptest.Networks(), host)
	if err != nil {
		t.Fatal(err)
	}
	node.Spec.NetworkHash = rendered.Hash
}

// What is rendered for a run is what was decided: with another network, a node is not run on.
func TestOtherNetworkThanDecided(t *testing.T) {
	set := steptest.NodeSet(1)
	set.Spec.Services = []string{"s"}
	node := plan.Desired(set)[0]
	h := claim.Host{Ref: v1alpha1.HostReference{Namespace: node.Namespace, Name: "h", UID: "1"}, State: "available", Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01"}}}}
	node.Spec.Host = &h.Ref
	w := plan.NewWorld([]v1alpha1.NodeSet{*set}, []v1alpha1.DataPlaneNode{node}, []claim.Host{h})
	decision, err := plan.Decide(w, set, steptest.Networks())
	if err != nil || decision.Nodes["n0"].NetworkHash == "" {
		t.Fatalf("%+v, %v; want a network to be decided with its addresses", decision, err)
	}
	w.Nodes[0].Spec = decision.Nodes["n0"]
	late := func() (nodes []string) {
		in := plan.Set{NodeSet: set, Site: steptest.Networks()}
		inv, err := in.Inventory(&w)
		if err != nil {
			t.Fatal(err)
		}
		hashes := plan.NewHashes(inv.Inventory, []rollout.Service{{Name: "s", Playbook: "p"}, {Name: "by-hand", Playbook: "p"}}, rollout.Collection{Version: "1"})
		nodes = hashes.Undecided(set, w.Members(set), inv)
		if len(inv.Undecided) == 0 {
			w.Nodes[0].Spec.Services = []v1alpha1.ServiceInput{{Name: "s", InputHash: hashes.Of("s", &w.Nodes[0])}}
		}
		return nodes
	}
	if got := late(); len(got) != 1 {
		t.Errorf("undecided %v, want the node whose input nobody has decided yet", got)
	}
	if got := late(); len(got) != 0 {
		t.Errorf("undecided %v, want none: all that the set lists is decided", got)
	}
	w.Hosts[0].Hardware.NICs[0].Name = "eno2"
	if got := late(); len(got) != 1 {
		t.Errorf("undecided %v, want the node whose network is rendered otherwise now", got)
	}
	w.Hosts[0].Hardware.NICs[0].Name = "eno1"
	w.Nodes[0].Spec.Services[0].InputHash = "old"
	if got := late(); len(got) != 1 {
		t.Errorf("undecided %v, want the node with another input than was decided", got)
	}
}

func TestHashesTellHostsApart(t *testing.T) {
	set := steptest.NodeSet(1)
	node := plan.Desired(set)[0]
	node.Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: "192.168.0.10"}, {Network: "internalapi", Subnet: "a", Address: "172.17.0.10"}}
	host := func(uid types.UID) claim.Host {
		return claim.Host{Ref: v1alpha1.HostReference{Namespace: "m", Name: "h", UID: uid}, Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01"}}}}
	}
	hash := func(uid types.UID, collection string) string {
		h := host(uid)
		node.Spec.Host = &h.Ref
		decided(t, set, &node, &h)
		w := plan.NewWorld([]v1alpha1.NodeSet{*set}, []v1alpha1.DataPlaneNode{node}, []claim.Host{h})
		in := plan.Set{NodeSet: set, Site: steptest.Networks()}
		inv, err := in.Inventory(&w)
		if err != nil || !inv.Has(node.Name) {
			t.Fatalf("inventory %+v: %v", inv, err)
		}
		return plan.NewHashes(inv.Inventory, []rollout.Service{{Name: "s", Playbook: "p"}}, rollout.Collection{Version: collection}).Of("s", &node)
	}
	first := hash("1", "a")
	if again := hash("1", "a"); again != first || hash("2", "a") == first || hash("1", "b") == first {
		t.Error("a hash must be the same for the same, and another for another host or other playbooks")
	}
}

func TestInventoryLeavesOut(t *testing.T) {
	set := steptest.NodeSet(4)
	nodes := plan.Desired(set)
	hosts := []claim.Host{{Ref: v1alpha1.HostReference{Name: "h"}, Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01"}}}}}
	for i := range nodes {
		nodes[i].Spec.Host = &hosts[0].Ref
		nodes[i].Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: "192.168.0.1" + nodes[i].Name[1:]}, {Network: "internalapi", Subnet: "a", Address: "172.17.0.1" + nodes[i].Name[1:]}}
		nodes[i].Status.SSHHostKey = steptest.HostKey + " comment"
	}
	decided(t, set, &nodes[0], &hosts[0])
	now := steptest.New(t).Clock.Now()
	nodes[1].Spec.Networks = nodes[1].Spec.Networks[:1]               // not addressed
	nodes[2].Spec.Host = &v1alpha1.HostReference{Name: "h", UID: "x"} // made anew
	nodes[3].DeletionTimestamp = &metav1.Time{Time: now}              // leaving
	w := plan.NewWorld([]v1alpha1.NodeSet{*set}, nodes, hosts)
	in := plan.Set{NodeSet: set, Site: steptest.Networks()}
	inv, err := in.Inventory(&w)
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Hosts) != 1 || !inv.Has("n0") || inv.Has("n1") {
		t.Errorf("inventory of %d hosts, want n0 alone", len(inv.Hosts))
	}
	var known []string
	for _, k := range inv.KnownHosts {
		known = append(known, k.Node+" "+k.Key)
		if !slices.Contains(k.Names, "n0.example.com") && !slices.Contains(k.Names, "n1.example.com") && !slices.Contains(k.Names, "n2.example.com") {
			t.Errorf("known as %v, want the canonical name too", k.Names)
		}
	}
	if len(known) != 3 || strings.Contains(known[0], "comment") {
		t.Errorf("known hosts %v, want all that stay, without comments", known)
	}
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", MAC: "nic9", Networks: []string{"ctlplane"}}}}
	inv, err = in.Inventory(&w)
	if err != nil || len(inv.Hosts) != 0 || len(inv.NodeProblems()) != 1 || !fault.Is(inv.Problems["n0"], fault.Rejected) {
		t.Errorf("inventory %+v, %v; want n0's layout to be its problem", inv.Problems, err)
	}
}

func TestProblemsAreNotFailures(t *testing.T) {
	if !plan.IsProblem(fault.New(fault.Missing, "x")) || plan.IsProblem(errors.New("x")) || plan.IsProblem(nil) {
		t.Error("only what a user can put right is a problem")
	}
}
