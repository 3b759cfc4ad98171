package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/cmd/rackplane/manifest"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
	"github.com/rackplane/rackplane/plan"
	"github.com/rackplane/rackplane/remote"
	"github.com/rackplane/rackplane/report"
)

const running = `
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NetConfig
metadata: {name: site, namespace: lab}
spec:
  networks:
    - {name: ctlplane, dnsDomain: example.com, subnets: [{name: a, cidr: 192.0.2.0/24, allocationRanges: [{start: 192.0.2.10, end: 192.0.2.90}]}]}
---
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: NodeSet
metadata: {name: running, namespace: lab}
spec:
  preProvisioned: true
  nodes:
    fit: {ansible: {ansibleHost: 192.0.2.50}, sshHostKeys: ["` + steptest.HostKey + `"]}
    odd: {ansible: {ansibleHost: 192.0.2.51}, sshHostKeys: ["` + steptest.HostKey + `"]}
    old: {ansible: {ansibleHost: 192.0.2.52}, sshHostKeys: ["` + steptest.HostKey + `"]}
    gone: {ansible: {ansibleHost: 127.0.0.1, ansiblePort: 1}, sshHostKeys: ["` + steptest.HostKey + `"]}
  nodeTemplate:
    ansibleSSHPrivateKeySecret: key
    networks: [{name: ctlplane}]
  services: [bootstrap]
  adoption: {accept: [OperatingSystem]}
---
apiVersion: dataplane.rackplane.dev/v1alpha1
kind: DataPlaneNode
metadata: {name: old, namespace: lab, labels: {dataplane.rackplane.dev/nodeset: running}}
spec: {hostName: old}
status: {services: [{name: bootstrap, inputHash: "1", result: Failed, finishedAt: "2026-01-01T00:00:00Z"}]}
`

// lab answers for two servers by their address.
type lab struct{ t *testing.T }

func (l lab) Examine(_ context.Context, target remote.Target, _ adoption.Question) (adoption.Facts, error) {
	f := adoption.Facts{
		OS: adoption.OS{ID: "debian", Version: "13", Name: "Debian GNU/Linux 13 (trixie)"}, Kernel: adoption.Kernel{Running: "6.12.9-amd64", Architecture: "x86_64"},
		Disks: []adoption.Disk{{Path: "/", FreeBytes: 20 << 30}}, Clock: adoption.Clock{Unix: time.Now().UnixMilli()},
		Identity: adoption.Identity{HostName: "fit", FQDN: "fit", MachineID: strings.Repeat("a", 32)},
	}
	switch target.Address {
	case "192.0.2.50":
		return f, nil
	case "192.0.2.51":
		f.OS = adoption.OS{ID: "debian", Version: "11", Name: "Debian GNU/Linux 11 (bullseye)"}
		f.Identity.HostName, f.Identity.FQDN = "node17", "node17.old.example"
		f.Units = []adoption.Unit{{Name: "tripleo_nova_compute.service", Active: "active"}, {Name: "tripleo_ovn_controller.service", Active: "active"}}
		return f, nil
	case "127.0.0.1":
		return adoption.Facts{}, fault.New(fault.Transient, "127.0.0.1:1 does not answer SSH: connection refused")
	}
	l.t.Errorf("asked for %s, which Rackplane has configured already", target.Address)
	return f, nil
}

// checked is the plan of the lab's manifests after a look.
func checked(t *testing.T) preview {
	t.Helper()
	m, err := manifest.Read(newScheme(), strings.NewReader(running), "", []string{"-"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := makePlan(t.Context(), sources{now: m})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.check(t.Context(), m, lab{t}); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCheckText(t *testing.T) {
	p := checked(t)
	for name, text := range map[string]planText{
		"check":         {details: nothing},
		"check-summary": {details: nothing, check: checkText{brief: true}},
		"check-colour":  {details: nothing, check: checkText{style: report.Colour(), brief: true}},
	} {
		var b bytes.Buffer
		if err := p.print(&b, "text", text); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name+".golden")
		if os.Getenv("UPDATE") != "" {
			if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(golden), b.String()); diff != "" {
			t.Errorf("%s (-golden +now; UPDATE=1 writes it anew):\n%s", name, diff)
		}
	}
}

func TestCheckVerdict(t *testing.T) {
	p := checked(t)
	if err := p.verdict(); err == nil || !strings.HasPrefix(err.Error(), "2 of 4 nodes cannot be adopted as they are") {
		t.Errorf("verdict: %v", err)
	}
	got := map[string]string{}
	for _, n := range p.NodeSets[0].Nodes {
		got[n.Name] = n.Check.Result
	}
	want := map[string]string{"fit": "adoptable", "odd": "refused", "old": "configured", "gone": "not seen"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	if err := p.print(&b, "json", planText{}); err != nil || !json.Valid(b.Bytes()) || !strings.Contains(b.String(), `"verdict": "Refuse"`) {
		t.Errorf("%v: %s", err, b.String())
	}
	if err := (preview{}).verdict(); err != nil {
		t.Errorf("a plan without a look: %v", err)
	}
}

// TestCheckWithoutAnAddress: an empty address would be the machine that asks.
func TestCheckWithoutAnAddress(t *testing.T) {
	set := steptest.NodeSet(0)
	set.Spec.PreProvisioned = true
	node := &v1alpha1.DataPlaneNode{ObjectMeta: steptest.Meta("n0")}
	got := checkNode(t.Context(), nil, &plan.Set{NodeSet: set}, node, lab{t})
	if got.Result != resultNotSeen || !strings.Contains(got.Error, "node n0 has neither ansible.ansibleHost nor an address") {
		t.Errorf("%+v", got)
	}
}

// TestCheckWithoutTheKey runs the whole command: without a login key no node is seen, and nothing else changes.
func TestCheckWithoutTheKey(t *testing.T) {
	out, code, message := runPlan(t, running, "-f", "-", "--check", "--summary")
	if code != 1 || !strings.Contains(message, "3 of 4 nodes cannot be adopted") || !strings.Contains(out, "Secret lab/key") {
		t.Errorf("exit %d, %q:\n%s", code, message, out)
	}
	if _, code, _ = runPlan(t, running, "-f", "-", "--summary"); code != exitChanges {
		t.Errorf("without --check: exit %d", code)
	}
	if _, code, message = runPlan(t, "", "-f", rackSample, "-f", services, "--check", "--summary"); code != exitChanges {
		t.Errorf("bare metal needs no look: exit %d, %s", code, message)
	}
}
