package world

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/adoption"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/remote"
)

// running are two servers that already run: n0, and n1, which its owner puts right after a while. Whatever has begun to
// run on one leaves it in a state that no look would pass.
type running struct {
	*World
	right time.Time
}

// Probe implements remote.Prober.
func (r running) Probe(ctx context.Context, target remote.Target) (remote.Seen, error) {
	var n v1alpha1.DataPlaneNode
	err := r.API.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: target.Address}, &n)
	for _, result := range n.Status.Services {
		if result.Name == "network" && result.Result == v1alpha1.ServiceSucceeded {
			return remote.Seen{NetworkHash: n.Spec.NetworkHash}, err
		}
	}
	return remote.Seen{}, err
}

// Examine implements remote.Examiner.
func (r running) Examine(_ context.Context, target remote.Target, _ adoption.Question) (adoption.Facts, error) {
	name := target.Address
	facts := adoption.Facts{
		OS: adoption.OS{ID: "debian", Version: "13"}, Kernel: adoption.Kernel{Running: "6.12"}, Clock: adoption.Clock{Unix: r.Clock.Now().UnixMilli()},
		Disks:    []adoption.Disk{{Path: "/", FreeBytes: 100 << 30}},
		Identity: adoption.Identity{HostName: name, FQDN: name, MachineID: strings.Repeat("0", 32)},
	}
	if name == "n1" && r.Clock.Now().Before(r.right) {
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
	for _, run := range r.Runner.Started() {
		if slices.Contains(run.Nodes, name) {
			return true
		}
	}
	return false
}

// Adoption is two servers that already run and are adopted, of which one is not fit at first.
func Adoption() Journey {
	start := func() *World {
		w := New()
		r := running{World: w, right: w.Clock.Now().Add(3 * time.Minute)}
		w.Nodes = r
		w.awaited = append(w.awaited, func() bool { return w.Clock.Now().Before(r.right.Add(time.Minute)) })
		w.laws = append(w.laws, func(tb testing.TB) {
			tb.Helper()
			if r.begun("n1") && w.Clock.Now().Before(r.right) {
				tb.Fatal("something ran on n1 before it was found fit")
			}
		})
		return w
	}
	return Journey{Name: "adoption", Make: start, Parts: []Part{{"2 servers", func(tb testing.TB, w *World) { tb.Helper(); w.furnish(tb) }, 2}}}
}

// furnish applies a set of both servers.
func (w *World) furnish(tb testing.TB) {
	tb.Helper()
	set := nodeSet()
	set.Spec.PreProvisioned, set.Spec.Replicas, set.Spec.HostNameTemplate, set.Spec.Image, set.Spec.OpenStack = true, nil, "", nil, nil
	set.Spec.NodeTemplate.NetworkConfig = &v1alpha1.NetworkConfig{Ethernets: []v1alpha1.Ethernet{{Name: "eth0", Networks: []string{"ctlplane"}, VLANs: []string{"internalapi"}}}}
	set.Spec.Nodes = map[string]v1alpha1.NodeSection{}
	for _, name := range []string{"n0", "n1"} {
		set.Spec.Nodes[name] = v1alpha1.NodeSection{Ansible: v1alpha1.AnsibleOptions{AnsibleHost: name}, SSHHostKeys: []string{steptest.HostKey}}
	}
	objects := []client.Object{
		&corev1.Secret{ObjectMeta: meta("rack-ssh"), Data: map[string][]byte{corev1.SSHAuthPrivateKey: loginKey(tb)}},
		&v1alpha1.NetConfig{ObjectMeta: meta("site"), Spec: networks()},
	}
	for _, name := range services() {
		s := &v1alpha1.DataPlaneService{ObjectMeta: meta(name), Spec: v1alpha1.DataPlaneServiceSpec{Playbook: "osp.edpm." + name}}
		s.Spec.DeployOnAllNodeSets = name == "known"
		objects = append(objects, s)
	}
	for _, obj := range append(objects, set) {
		if err := w.API.Create(tb.Context(), obj); err != nil {
			tb.Fatal(err)
		}
	}
}
