package inputs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/inputs"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/hardware"
	"github.com/rackplane/rackplane/provisioner/claim"
)

func TestDesired(t *testing.T) {
	set := steptest.NodeSet(3)
	set.Spec.HostNameTemplate = "r7-n%02d"
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{"gpu": {HostName: "gpu.example.com"}, "r7-n01": {}}
	var got []string
	for _, n := range inputs.Desired(set) {
		got = append(got, n.Name+"="+n.Spec.HostName)
		if !inputs.IsMember(&n, set) {
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
	x, y := inputs.Section(set, "x"), inputs.Section(set, "y")
	if x.Ansible.AnsibleUser != "root" || x.Ansible.AnsiblePort != 2222 || x.HostName != "x" || !slices.Equal(x.Networks, own) {
		t.Errorf("x: %+v, want its own and the template's", x)
	}
	if y.Ansible.AnsibleUser != "stack" || len(y.Networks) != 2 {
		t.Errorf("y: %+v, want the template's", y)
	}
	if user := inputs.Section(steptest.NodeSet(1), "z").Ansible.AnsibleUser; user != v1alpha1.DefaultAnsibleUser {
		t.Errorf("user %s, want the default", user)
	}
}

func TestHashesTellHostsApart(t *testing.T) {
	set := steptest.NodeSet(1)
	node := inputs.Desired(set)[0]
	node.Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: "192.168.0.10"}, {Network: "internalapi", Subnet: "a", Address: "172.17.0.10"}}
	host := func(uid types.UID) claim.Host {
		return claim.Host{Ref: v1alpha1.HostReference{Namespace: "m", Name: "h", UID: uid}, Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01"}}}}
	}
	hash := func(uid types.UID, collection string) string {
		h := host(uid)
		node.Spec.Host = &h.Ref
		w := inputs.NewWorld([]v1alpha1.NodeSet{*set}, []v1alpha1.DataPlaneNode{node}, []claim.Host{h})
		in := inputs.Set{NodeSet: set, Networks: steptest.NetConfig().Spec}
		inv, err := in.Inventory(&w)
		if err != nil || !inv.Has(node.Name) {
			t.Fatalf("inventory %+v: %v", inv, err)
		}
		return inputs.NewHashes(inv.Inventory, collection).Of(rollout.Service{Name: "s", Playbook: "p"}, &node)
	}
	first := hash("1", "a")
	if again := hash("1", "a"); again != first || hash("2", "a") == first || hash("1", "b") == first {
		t.Error("a hash must be the same for the same, and another for another host or other playbooks")
	}
}

func TestInventoryLeavesOut(t *testing.T) {
	set := steptest.NodeSet(4)
	nodes := inputs.Desired(set)
	hosts := []claim.Host{{Ref: v1alpha1.HostReference{Name: "h"}, Hardware: &hardware.Details{NICs: []hardware.NIC{{Name: "eno1", MAC: "52:54:00:00:00:01"}}}}}
	for i := range nodes {
		nodes[i].Spec.Host = &hosts[0].Ref
		nodes[i].Spec.Networks = []v1alpha1.Address{{Network: "ctlplane", Subnet: "a", Address: "192.168.0.1" + nodes[i].Name[1:]}, {Network: "internalapi", Subnet: "a", Address: "172.17.0.1" + nodes[i].Name[1:]}}
		nodes[i].Status.SSHHostKey = steptest.HostKey + " comment"
	}
	now := steptest.New(t).Clock.Now()
	nodes[1].Spec.Networks = nodes[1].Spec.Networks[:1]               // not addressed
	nodes[2].Spec.Host = &v1alpha1.HostReference{Name: "h", UID: "x"} // made anew
	nodes[3].DeletionTimestamp = &metav1.Time{Time: now}              // leaving
	w := inputs.NewWorld([]v1alpha1.NodeSet{*set}, nodes, hosts)
	in := inputs.Set{NodeSet: set, Networks: steptest.NetConfig().Spec}
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

func TestAuthorizedKeys(t *testing.T) {
	for _, c := range []struct {
		name string
		data map[string]string
		want []string
	}{
		{"given", map[string]string{"authorized_keys": "ssh-rsa A a\n\nssh-rsa B b\n", "ssh-publickey": "ssh-rsa C"}, []string{"ssh-rsa A a", "ssh-rsa B b"}},
		{"public half", map[string]string{"ssh-publickey": "ssh-rsa C\n"}, []string{"ssh-rsa C"}},
		{"derived", nil, []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			secret := steptest.LoginSecret(t)
			for name, text := range c.data {
				secret.Data[name] = []byte(text)
			}
			key, err := inputs.ReadSSHKey(t.Context(), steptest.New(t, secret).Plain, steptest.NodeSet(1))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, key.Authorized); diff != "" {
				t.Errorf("authorized keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadService(t *testing.T) {
	files := &corev1.ConfigMap{ObjectMeta: steptest.Meta("files"), Data: map[string]string{"a": "1"}, BinaryData: map[string][]byte{"b": {2}}}
	secret := &corev1.Secret{ObjectMeta: steptest.Meta("secret"), Data: map[string][]byte{"a": []byte("later wins")}}
	obj := &v1alpha1.DataPlaneService{ObjectMeta: steptest.Meta("s"), Spec: v1alpha1.DataPlaneServiceSpec{Role: "r", TaskTimeoutSeconds: 30, RunTimeoutSeconds: 90, DataSources: []v1alpha1.DataSource{
		{ConfigMapRef: &v1alpha1.DataSourceRef{Name: "files"}}, {SecretRef: &v1alpha1.DataSourceRef{Name: "secret"}},
	}}}
	got, err := inputs.ReadService(t.Context(), steptest.New(t, files, secret, obj).Plain, client.ObjectKeyFromObject(obj))
	if err != nil {
		t.Fatal(err)
	}
	want := rollout.Service{
		Name: "s", Role: "r", Type: "s", Data: map[string][]byte{"a": []byte("later wins"), "b": {2}},
		Limits: rollout.Limits{Task: 30 * time.Second, Run: 90 * time.Second},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("service (-want +got):\n%s", diff)
	}
}

func TestProblemsAreNotFailures(t *testing.T) {
	if !inputs.IsProblem(fault.New(fault.Missing, "x")) || inputs.IsProblem(errors.New("x")) || inputs.IsProblem(nil) {
		t.Error("only what a user can put right is a problem")
	}
}
