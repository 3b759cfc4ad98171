package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runPlan runs the command line and returns output, exit code and error text.
func runPlan(t *testing.T, stdin string, args ...string) (out string, code int, message string) {
	t.Helper()
	cmd := root()
	var b bytes.Buffer
	cmd.SetOut(&b)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetArgs(append([]string{"plan"}, args...))
	err := cmd.ExecuteContext(t.Context())
	var exit exitError
	switch {
	case err == nil:
		return b.String(), 0, ""
	case errors.As(err, &exit):
		return b.String(), exit.code, ""
	default:
		return b.String(), 1, err.Error()
	}
}

const (
	rackSample = "../../config/samples/rack.yaml"
	services   = "../../config/services"
)

func TestPlanOfTheSampleAssignsHostsAndAddresses(t *testing.T) {
	out, code, message := runPlan(t, "", "-f", rackSample, "-f", services)
	if code != exitChanges {
		t.Fatalf("exit %d: %s", code, message)
	}
	for _, want := range []string{
		"NodeSet openstack/rack7: 2 to create, 0 to change, 0 to delete, 0 as they are",
		"+ r7-n00  openstack/r7-u01  ctlplane=192.168.122.100 internalapi=172.17.0.100",
		"+ r7-n01  openstack/r7-u02  ctlplane=192.168.122.101 internalapi=172.17.0.101",
		"base-iface: bond0", "edpm_nodeset_name", "without status in the files",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "DataPlaneService") {
		t.Errorf("services without a namespace must be found beside the NodeSet:\n%s", out)
	}
}

func TestPlanIsTheSameWhateverTheOrderOfFiles(t *testing.T) {
	a, _, _ := runPlan(t, "", "-f", rackSample, "-f", services)
	b, _, _ := runPlan(t, "", "-f", services, "-f", rackSample)
	if a != b {
		t.Errorf("plans differ:\n%s\n----\n%s", a, b)
	}
}

func TestPlanTellsWhatExcludesEachHost(t *testing.T) {
	data, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	short := strings.Replace(string(data), "replicas: 2", "replicas: 3", 1) + `
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: r8-u01, namespace: openstack, labels: {rack: r8}}
spec: {bootMACAddress: "52:54:00:08:00:01"}
`
	out, code, _ := runPlan(t, short, "-f", "-", "-f", services, "--summary")
	if code != exitChanges || !strings.Contains(out, "! r7-n02: ") || !strings.Contains(out, "r8-u01") {
		t.Errorf("exit %d, want the reason why r7-n02 has no host and r8-u01 does not fit:\n%s", code, out)
	}
}

func TestPlanAppliedLeavesNothingToDo(t *testing.T) {
	out, _, _ := runPlan(t, "", "-f", rackSample, "-f", services, "-o", "json")
	var p preview
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatal(err)
	}
	var nodes strings.Builder
	for _, n := range p.NodeSets[0].Nodes {
		_, host, _ := strings.Cut(n.Host, "/")
		addresses, err := json.Marshal(n.Addresses)
		if err != nil {
			t.Fatal(err)
		}
		nodes.WriteString("---\napiVersion: dataplane.rackplane.dev/v1alpha1\nkind: DataPlaneNode\nmetadata: {name: " + n.Name +
			", namespace: openstack, labels: {dataplane.rackplane.dev/nodeset: rack7}}\nspec: {hostName: " + n.HostName +
			", host: {namespace: openstack, name: " + host + ", uid: \"planned:openstack/" + host + "\"}, networks: " + string(addresses) + ", networkHash: \"" + n.NetworkHash + "\"}\n")
	}
	out, code, message := runPlan(t, nodes.String(), "-f", "-", "-f", rackSample, "-f", services, "--summary")
	if code != 0 {
		t.Errorf("exit %d %s, want 0 after applying the plan:\n%s", code, message, out)
	}
}

func TestPlanRefusesBadInput(t *testing.T) {
	dir := t.TempDir()
	cases := map[string]struct{ manifest, want string }{
		"no NodeSet":    {"apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "no NodeSet"},
		"not YAML":      {"a: [", "document 1"},
		"no kind":       {"apiVersion: v1\nmetadata: {name: bmc}\nstringData: {password: hunter2}\n", "document 1: kind or apiVersion is missing"},
		"no version":    {"kind: Secret\nmetadata: {name: bmc}\nstringData: {password: hunter2}\n", "document 1: kind or apiVersion is missing"},
		"unknown kind":  {"apiVersion: v1\nkind: Nothing\n", "Nothing"},
		"unknown field": {"apiVersion: dataplane.rackplane.dev/v1alpha1\nkind: NodeSet\nmetadata: {name: a}\nspec: {replicaz: 3}\n", "replicaz"},
		"wrong type":    {"apiVersion: dataplane.rackplane.dev/v1alpha1\nkind: NodeSet\nmetadata: {name: a}\nspec: {replicas: many}\n", "replicas"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".yaml")
			if err := os.WriteFile(path, []byte(c.manifest), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, code, message := runPlan(t, "", "-f", path); code != 1 || !strings.Contains(message, c.want) {
				t.Errorf("exit %d, %q; want 1 and %q", code, message, c.want)
			}
		})
	}
	if _, code, message := runPlan(t, "", "-f", filepath.Join(dir, "missing.yaml")); code != 1 || !strings.Contains(message, "missing.yaml") {
		t.Errorf("missing file: exit %d, %q", code, message)
	}
	if _, code, message := runPlan(t, "", "-f", rackSample, "-o", "xml"); code != 1 || !strings.Contains(message, "yaml") {
		t.Errorf("unknown format: exit %d, %q", code, message)
	}
}

// TestPlanTellsWhatTheEngineWouldRefuse: the same words, before anything is applied.
func TestPlanTellsWhatTheEngineWouldRefuse(t *testing.T) {
	data, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	nodes := `  nodes:
    a: {hostName: compute-0, ansible: {ansibleHost: "*", ansibleVars: {ansible_connection: local}}}
    b: {hostName: compute-0}
  replicas: 2`
	host := `
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: talkative, namespace: openstack}
spec: {bmc: {address: "redfish://admin:hunter2@192.0.2.1/redfish/v1/Systems/1", credentialsName: a}, image: {url: "http://169.254.169.254/a", checksum: c}}
`
	out, code, message := runPlan(t, strings.Replace(string(data), "  replicas: 2", nodes, 1)+host, "-f", "-", "-f", services, "--summary")
	if code != exitChanges {
		t.Errorf("exit %d: %s", code, message)
	}
	for _, want := range []string{
		"spec.nodes[a].ansible.ansibleVars[ansible_connection] is Ansible's own and can change how it connects or executes: remove it",
		"spec.nodes[a].ansible.ansibleHost \"*\" is no DNS name",
		"nodes b and a are both called compute-0.",
		"! BareMetalHost openstack/talkative: ", "holds a user name or password",
		"! BareMetalHost openstack/talkative: spec: image.url names the link-local or metadata address 169.254.169.254: name the image server",
	} {
		if strings.Count(out, want) != 1 && !strings.HasPrefix(want, "! BareMetalHost openstack/talkative: ") || !strings.Contains(out, want) {
			t.Errorf("%q is told %d times", want, strings.Count(out, want))
		}
	}
	if strings.Contains(out, "hunter2") {
		t.Error("a password is told")
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestPlanTellsWhatIsWrongWithTheCloud(t *testing.T) {
	data, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	joining := strings.Replace(string(data), "  replicas: 2", "  openstack: {cloudsSecret: cloud-admin, southbound: {endpoints: [\"tcp:192.0.2.1:6642\"]}}\n  replicas: 2", 1)
	out, code, message := runPlan(t, joining, "-f", "-", "-f", services, "--summary")
	if code != exitChanges || !strings.Contains(out, "Secret openstack/cloud-admin (spec.openstack.cloudsSecret of NodeSet rack7) does not exist: create it with the key clouds.yaml") {
		t.Errorf("exit %d, want the Secret that is missing:\n%s%s", code, out, message)
	}
	secret := `
---
apiVersion: v1
kind: Secret
metadata: {name: cloud-admin, namespace: openstack}
stringData:
  clouds.yaml: |
    clouds: {default: {auth: {auth_url: "https://keystone.example.com/v3", username: admin, password: hunter2,
      user_domain_name: Default, project_name: admin, project_domain_name: Default}}}
`
	out, code, message = runPlan(t, joining+secret, "-f", "-", "-f", services, "--summary")
	if code != exitChanges || strings.Contains(out, "cloud-admin") || strings.Contains(out, "hunter2") {
		t.Errorf("exit %d, want no word about a good Secret:\n%s%s", code, out, message)
	}
	out, _, _ = runPlan(t, joining+strings.ReplaceAll(secret, "user_domain_name: Default,", ""), "-f", "-", "-f", services, "--summary")
	if !strings.Contains(out, "key clouds.yaml, cloud default: auth.user_domain_name is missing") || strings.Contains(out, "hunter2") {
		t.Errorf("want what is missing in the Secret:\n%s", out)
	}
}

const lent = `
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: u01, namespace: metal, labels: {rack: r7}}
spec: {bootMACAddress: "52:54:00:08:00:01"}
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: u02, namespace: metal, labels: {rack: r7}}
spec:
  bootMACAddress: "52:54:00:08:00:02"
  consumerRef: {kind: DataPlaneNode, namespace: openstack, name: gone-3}
---
`

// TestPlanReadsConsent: hosts of another namespace are planned when a HostClaimPolicy in the files lends them, and else
// not even named.
func TestPlanReadsConsent(t *testing.T) {
	data, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	asking := lent + strings.Replace(string(data), "  hosts:\n", "  hosts:\n    namespace: metal\n", 1)
	if !strings.Contains(asking, "namespace: metal\n") {
		t.Fatal("the sample has no spec.hosts")
	}
	out, _, message := runPlan(t, asking, "-f", "-", "-f", services, "--summary")
	if !strings.Contains(out, "namespace metal lends no host to namespace openstack") || !strings.Contains(out, "2 hosts of other namespaces") || strings.Contains(out, "u01:") {
		t.Errorf("without a policy:\n%s%s", out, message)
	}
	out, _, message = runPlan(t, asking, "-f", "-", "-f", services, "-f", "../../config/samples/lend.yaml", "--summary")
	for _, want := range []string{
		"+ r7-n00  metal/u01", "host u02: claimed by DataPlaneNode openstack/gone-3, which does not exist: clear spec.consumerRef",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("with a policy, no %q in\n%s%s", want, out, message)
		}
	}
}

// TestPlanTellsWhatIsErased: of nodes that go, what becomes of their servers; of held hosts, why.
func TestPlanTellsWhatIsErased(t *testing.T) {
	const objects = `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneNode
metadata: {name: r7-n90, namespace: openstack, uid: n90, labels: {dataplane.rackplane.dev/nodeset: rack7}}
spec: {hostName: r7-n90, host: {namespace: openstack, name: r7-u90, uid: u90}}
---
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneNode
metadata: {name: r7-n91, namespace: openstack, uid: n91, labels: {dataplane.rackplane.dev/nodeset: rack7}, annotations: {dataplane.rackplane.dev/deletion-policy: Retain}}
spec: {hostName: r7-n91, host: {namespace: openstack, name: r7-u91, uid: u91}}
---
apiVersion: metal3.io/v1alpha1
kind: BareMetalHost
metadata: {name: r7-u90, namespace: openstack, uid: u90, annotations: {dataplane.rackplane.dev/held: abc}}
spec: {online: true}
status: {operationalStatus: error, errorCount: 0, errorMessage: "Ironic's node holds deployment abc", poweredOn: true, provisioning: {ID: x, state: provisioned, image: {url: "http://images/a"}}}
`
	out, code, message := runPlan(t, objects, "-f", rackSample, "-f", services, "-f", "-", "--summary")
	if code != exitChanges {
		t.Fatalf("exit %d: %s", code, message)
	}
	for _, want := range []string{
		"- r7-n90  openstack/r7-u90  its server is erased", "- r7-n91  openstack/r7-u91  its server is kept",
		"! BareMetalHost openstack/r7-u90: Ironic's node holds deployment abc",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestPlanTellsOfAMalformedSelector: nodes that get no host because of it are not passed over in silence.
func TestPlanTellsOfAMalformedSelector(t *testing.T) {
	data, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	bad := strings.Replace(string(data), "selector: {matchLabels: {rack: r7}}", "selector: {matchExpressions: [{key: rack, operator: Near}]}", 1)
	if out, code, message := runPlan(t, bad, "-f", "-", "-f", services, "--summary"); code != 1 || !strings.Contains(message, "spec.hosts.selector is malformed") {
		t.Errorf("exit %d, %q\n%s", code, message, out)
	}
}

// TestPlanInspectsNothing: a host that was never inspected is refused in the plan as by the engine, and what is only not in the
// files is marked.
func TestPlanInspectsNothing(t *testing.T) {
	raw, err := os.ReadFile(rackSample)
	if err != nil {
		t.Fatal(err)
	}
	status := "status: {errorCount: 0, errorMessage: \"\", operationalStatus: OK, poweredOn: false, provisioning: {ID: \"\", state: available, image: {url: \"\"}}}\n"
	withStatus := func(mode string) string {
		var docs []string
		for doc := range strings.SplitSeq(string(raw), "\n---\n") {
			if strings.Contains(doc, "kind: BareMetalHost") {
				doc = strings.TrimRight(strings.Replace(doc, "spec:\n", "spec:\n  inspectionMode: "+mode+"\n", 1), "\n") + "\n" + status
			}
			docs = append(docs, doc)
		}
		return strings.Join(docs, "\n---\n")
	}
	out, _, message := runPlan(t, withStatus("disabled"), "-f", "-", "-f", services)
	if !strings.Contains(out, "not inspected yet") || strings.Contains(out, "taken to fit") {
		t.Errorf("the engine would refuse the hosts, and the plan says (%s):\n%s", message, out)
	}
	out, _, message = runPlan(t, withStatus("agent"), "-f", "-", "-f", services)
	if !strings.Contains(out, "openstack/r7-u01") || !strings.Contains(out, "not inspected as far as the files tell: taken to fit") {
		t.Errorf("an assumption is marked (%s):\n%s", message, out)
	}
}
