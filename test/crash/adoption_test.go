package crash

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/node"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/provisioner"
	"github.com/rackplane/rackplane/provisioner/adoption"
)

// running are two servers that already run: n0, and n1, which its owner puts right after a while. Whatever has begun to
// run on one leaves it in a state that no look would pass.
type running struct {
	*world
	right time.Time
}

// Probe implements provisioner.Prober.
func (r running) Probe(ctx context.Context, target provisioner.SSHTarget) (provisioner.SSHSeen, error) {
	var n v1alpha1.DataPlaneNode
	err := r.api.Get(ctx, client.ObjectKey{Namespace: namespace, Name: target.Address}, &n)
	for _, result := range n.Status.Services {
		if result.Name == "network" && result.Result == v1alpha1.ServiceSucceeded {
			return provisioner.SSHSeen{NetworkHash: n.Status.NetworkHash}, err
		}
	}
	return provisioner.SSHSeen{}, err
}

// Examine implements provisioner.Examiner.
func (r running) Examine(_ context.Context, target provisioner.SSHTarget, _ adoption.Question) (adoption.Facts, error) {
	name := target.Address
	facts := adoption.Facts{
		OS: adoption.OS{ID: "debian", Version: "13"}, Kernel: adoption.Kernel{Running: "6.12"}, Clock: adoption.Clock{Unix: r.clock.Now().UnixMilli()},
		Disks:    []adoption.Disk{{Path: "/", FreeBytes: 100 << 30}},
		Identity: adoption.Identity{HostName: name, FQDN: name, MachineID: strings.Repeat("0", 32)},
	}
	if name == "n1" && r.clock.Now().Before(r.right) {
		facts.Identity.HostName, facts.Identity.FQDN = "node17", "node17"
	}
	if r.begun(name) {
		facts.Record = []string{name, name + ".example.com"}
		facts.Disks[0].FreeBytes = 0
	}
	return facts, nil
}

// begun reports whether a run was ever started on the server.
func (r running) begun(name string) bool {
	for _, run := range r.runner.Started() {
		if slices.Contains(run.Nodes, name) {
			return true
		}
	}
	return false
}

// adoptBoth lets an engine that dies at k's act adopt both servers, and returns what there is in the end.
func adoptBoth(t *testing.T, k *killer) string {
	t.Helper()
	w := newWorld()
	r := running{world: w, right: w.clock.Now().Add(3 * time.Minute)}
	w.furnish(t)
	engine := r.equip(w.build(k))
	still := 0
	for range limit {
		before := k.acts
		if w.round(t, engine) {
			engine = r.equip(w.build(k))
			if k.after {
				w.runner.Lose()
			}
		}
		if r.begun("n1") && w.clock.Now().Before(r.right) {
			t.Fatal("something ran on n1 before it was found fit")
		}
		w.clock.Step(tick)
		if still++; k.acts != before || w.runner.Running() > 0 || w.clock.Now().Before(r.right.Add(time.Minute)) {
			still = 0
		}
		if still == quiet {
			return w.dump(t)
		}
	}
	t.Fatalf("still at work after %d rounds; last acts %v", limit, k.log[max(0, len(k.log)-10):])
	return ""
}

// equip gives the node controller the servers' answers.
func (r running) equip(engine []controller) []controller {
	for _, c := range engine {
		if n, ok := c.reconciler.(*node.Reconciler); ok {
			n.Prober, n.Examiner = r, r
		}
	}
	return engine
}

// furnish applies a set of both servers.
func (w *world) furnish(t *testing.T) {
	t.Helper()
	set := nodeSet()
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.HostNameTemplate, set.Spec.Image, set.Spec.OpenStack = true, nil, "", nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{}
	for _, name := range []string{"n0", "n1"} {
		set.Spec.Nodes[name] = v1alpha1.NodeSection{Ansible: v1alpha1.AnsibleOptions{AnsibleHost: name}, SSHHostKeys: []string{steptest.HostKey}}
	}
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: meta("rack-ssh"), Data: map[string][]byte{corev1.SSHAuthPrivateKey: loginKey(t)}},
		&v1alpha1.NetConfig{ObjectMeta: meta("site"), Spec: networks()},
	}
	for _, name := range services() {
		s := &v1alpha1.DataPlaneService{ObjectMeta: meta(name), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: "osp.edpm." + name}}
		s.Spec.DeployOnAllNodeSets = name == "known"
		objects = append(objects, s)
	}
	for _, obj := range append(objects, set) {
		if err := w.api.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDieWhileAdopting: wherever the engine dies, nothing runs on a server before it was found fit, and what its own runs
// do to a server never counts against it.
func TestDieWhileAdopting(t *testing.T) {
	smooth := &killer{}
	want := adoptBoth(t, smooth)
	if !strings.Contains(want, `"readyReplicas":2,"replicas":2`) {
		t.Fatalf("both servers are not adopted without any death:\n%s", want)
	}
	t.Logf("%d acts of the engine", smooth.acts)
	for _, after := range []bool{false, true} {
		for at := 1; at <= smooth.acts; at++ {
			t.Run(fmt.Sprintf("%d after=%t", at, after), func(t *testing.T) {
				t.Parallel()
				k := &killer{at: at, after: after}
				if diff := gocmp.Diff(want, adoptBoth(t, k)); diff != "" {
					t.Errorf("died at %q; what comes out differs (-without +with):\n%s", k.log[at-1], diff)
				}
			})
		}
	}
}
