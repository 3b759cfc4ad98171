package main

import (
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// audit is a service of a user's own, whose playbook may read anything.
const audit = `
---
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneService
metadata: {name: audit, namespace: openstack}
spec: {playbookContents: "- hosts: all", dataSources: [{secretRef: {name: audit}}]}
---
apiVersion: v1
kind: Secret
metadata: {name: audit, namespace: openstack}
stringData: {audit.rules: "hunter2"}
`

// rack is the sample with so many servers and nodes, a login key, and audit behind its services.
func rack(t *testing.T, nodes int) string {
	t.Helper()
	data, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "test")
	if err != nil {
		t.Fatal(err)
	}
	key := string(pem.EncodeToMemory(block))
	begin, end := strings.Index(string(data), "    -----BEGIN"), strings.Index(string(data), "END OPENSSH PRIVATE KEY-----\n")
	text := string(data[:begin]) + indent(indent(key)) + string(data[end+len("END OPENSSH PRIVATE KEY-----\n"):])
	text = strings.NewReplacer("replicas: 2", fmt.Sprintf("replicas: %d", nodes), "ssh-known-hosts]", "ssh-known-hosts, audit]").Replace(text)
	hosts := make([]string, 0, nodes)
	for i := 3; i <= nodes; i++ {
		hosts = append(hosts, fmt.Sprintf("\n---\napiVersion: metal3.io/v1alpha1\nkind: BareMetalHost\nmetadata: {name: r7-u%02d, namespace: openstack, labels: {rack: r7}}\nspec: {bootMACAddress: \"52:54:00:07:00:%02d\"}\n", i, i))
	}
	return text + strings.Join(hosts, "") + audit
}

// applied are the nodes of a plan as the engine would write them, with their host keys.
func applied(t *testing.T, manifests string) []v1alpha1.DataPlaneNode {
	t.Helper()
	out, _, message := runPlan(t, manifests, "-f", "-", "-f", services, "-o", "json")
	var p preview
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(message, err)
	}
	var nodes []v1alpha1.DataPlaneNode
	for _, planned := range p.NodeSets[0].Nodes {
		_, host, _ := strings.Cut(planned.Host, "/")
		n := v1alpha1.DataPlaneNode{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "DataPlaneNode"},
			ObjectMeta: metav1.ObjectMeta{Namespace: "openstack", Name: planned.Name, UID: types.UID(planned.Name), Labels: map[string]string{v1alpha1.NodeSetLabel: "rack7"}},
			Spec: v1alpha1.DataPlaneNodeSpec{
				HostName: planned.HostName, Networks: planned.Addresses, NetworkHash: planned.NetworkHash, Services: planned.Services,
				Host: &v1alpha1.HostReference{Namespace: "openstack", Name: host, UID: types.UID("planned:openstack/" + host)},
			},
		}
		n.Status.SSHHostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOpKbGPinFIKvvVQexMuxfmVR3auvr57kkIe6mkURtIs"
		n.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionProvisioned, Status: metav1.ConditionTrue, Reason: "Done"}}
		for _, s := range planned.Services {
			n.Status.Services = append(n.Status.Services, v1alpha1.ServiceResult{Name: s.Name, InputHash: s.InputHash, Result: v1alpha1.ServiceSucceeded})
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func documents(t *testing.T, nodes []v1alpha1.DataPlaneNode) string {
	t.Helper()
	var b strings.Builder
	for i := range nodes {
		data, err := yaml.Marshal(&nodes[i])
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("---\n" + string(data))
	}
	return b.String()
}

// configured is a rack whose nodes have been given everything.
func configured(t *testing.T, count int) (manifests string, nodes []v1alpha1.DataPlaneNode) {
	t.Helper()
	manifests = rack(t, count)
	for range 2 { // host keys are told to all nodes
		nodes = applied(t, manifests+documents(t, nodes))
	}
	return manifests, nodes
}

// planned is what plan prints of files laid over others.
func planned(t *testing.T, files, over string, args ...string) (out string, code int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "over.yaml")
	if err := os.WriteFile(path, []byte(over), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code, message := runPlan(t, files, slices.Concat([]string{"-f", "-", "--over", path, "--over", services, "--summary"}, args)...)
	if message != "" {
		t.Fatal(message)
	}
	return out, code
}

// TestPlanTellsWhatRunsAndWhy: nodes together for which it is the same, and never a value.
func TestPlanTellsWhatRunsAndWhy(t *testing.T) {
	manifests, nodes := configured(t, 5)
	last := nodes[4].Status.Services
	last[3].Result, last[3].Failures = v1alpha1.ServiceFailed, 3
	nodes[3].Status.Services = nil
	there := manifests + documents(t, nodes)

	edits := strings.NewReplacer("ntp.example.com", "time.example.com", "replicas: 5", "replicas: 6", "hunter2", "hunter3").Replace(rack(t, 6))
	for name, files := range map[string]string{"runs": edits, "runs-again": manifests} {
		out, code := planned(t, files, there)
		if code != exitChanges {
			t.Errorf("%s: exit %d, want %d", name, code, exitChanges)
		}
		path := filepath.Join("testdata", name+".golden")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, []byte(out), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(golden), out); diff != "" {
			t.Errorf("%s (-golden +now; UPDATE=1 writes it anew):\n%s", name, diff)
		}
	}
}

// TestPlanOfOneVariable: another timesync_ntp_servers runs configure-os on all nodes, and nothing else.
func TestPlanOfOneVariable(t *testing.T) {
	manifests, nodes := configured(t, 2)
	manifests = strings.ReplaceAll(manifests, ", audit]", "]") // which may read any
	there := manifests + documents(t, nodes)
	if out, code := planned(t, manifests, there); code != 0 || strings.Contains(out, "to run") {
		t.Fatalf("exit %d before anything is changed:\n%s", code, out)
	}
	out, code := planned(t, strings.ReplaceAll(manifests, "ntp.example.com", "time.example.com"), there)
	want := "services to run on r7-n00, r7-n01:\n    configure-os  changed: variable timesync_ntp_servers\n"
	if code != exitChanges || !strings.Contains(out, want) || strings.Count(out, "services to run") != 1 {
		t.Errorf("exit %d, want %q in\n%s", code, want, out)
	}
	without, _, _ := runPlan(t, strings.ReplaceAll(there, "ntp.example.com", "time.example.com"), "-f", "-", "-f", services, "--summary")
	if want := "services to run on r7-n00, r7-n01:\n    configure-os  what it gets is not what it ran with\n"; !strings.Contains(without, want) {
		t.Errorf("without --over, want %q in\n%s", want, without)
	}
}

// TestPlanNamesWhatNothingReads: a mistyped variable is told with where it is set, and never its value; with a playbook that may read
// any, nothing is told.
func TestPlanNamesWhatNothingReads(t *testing.T) {
	manifests, _ := configured(t, 1)
	mistyped := strings.ReplaceAll(manifests, "timesync_ntp_servers", "timesync_ntp_server")
	if out, _, _ := runPlan(t, mistyped, "-f", "-", "-f", services, "--summary"); strings.Contains(out, "note: no playbook") {
		t.Errorf("audit may read any:\n%s", out)
	}
	out, _, _ := runPlan(t, strings.ReplaceAll(mistyped, ", audit]", "]"), "-f", "-", "-f", services, "--summary")
	if !strings.Contains(out, "note: no playbook reads the variables timesync_ntp_server (spec.nodeTemplate)") || strings.Contains(out, "ntp.example.com") {
		t.Errorf("the mistyped variable is not told:\n%s", out)
	}
}

// TestPlanTellsWhatWaitsForAWave: what tells of all nodes runs on the old ones when no more come.
func TestPlanTellsWhatWaitsForAWave(t *testing.T) {
	manifests, nodes := configured(t, 2)
	_, more := configured(t, 3)
	fresh := more[2]
	fresh.Spec.Services, fresh.Status.Services, fresh.Status.Conditions = nil, nil, nil
	out, code := planned(t, rack(t, 3), manifests+documents(t, append(nodes, fresh)))
	want := "services to run on r7-n00, r7-n01:\n    ssh-known-hosts  what it got before is not what it ran with; runs once no more nodes come\n"
	if code != exitChanges || !strings.Contains(out, want) || strings.Contains(out, "nodes that come or go") {
		t.Errorf("exit %d, want %q in\n%s", code, want, out)
	}
}

// TestPlanCannotTellWhatWasNot: of a node whose earlier inputs cannot be told, nothing is made up.
func TestPlanCannotTellWhatWasNot(t *testing.T) {
	manifests, nodes := configured(t, 2)
	nodes[1].Spec.NetworkHash = ""
	nodes[1].Status.Services[0].InputHash = "another"
	out, _ := planned(t, manifests, manifests+documents(t, nodes))
	if want := "services to run on r7-n01:\n    bootstrap  what it gets is not what it ran with\n"; !strings.Contains(out, want) {
		t.Errorf("want %q in\n%s", want, out)
	}
}

func TestPlanOverNeedsFiles(t *testing.T) {
	if _, code, message := runPlan(t, "", "--over", "cluster"); code != 1 || !strings.Contains(message, "--over without -f") {
		t.Errorf("exit %d, %q", code, message)
	}
}
