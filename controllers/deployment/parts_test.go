package deployment

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/ansible/inventory"
	"github.com/rackplane/rackplane/ansible/rollout"
	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/controllers/step/steptest"
	"github.com/rackplane/rackplane/fault"
)

// largest is a snapshot of as many nodes with five networks, three host keys each, hashes of
// their own for every service, and 15 services with 20 KiB of data that does not compress.
func largest(nodes int) snapshot {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	s := snapshot{Group: "rack", Targets: map[string]string{}}
	for i := range 15 {
		s.Services = append(s.Services, rollout.Service{Name: fmt.Sprintf("service-%02d", i), Data: map[string][]byte{"a.conf": random(20 << 10)}})
	}
	var vars strings.Builder
	for i := range nodes {
		name := fmt.Sprintf("rack7-row12-compute-%04d", i)
		s.Nodes = append(s.Nodes, target{Name: name, UID: types.UID(hex.EncodeToString(random(16)))})
		s.Targets[name] = fmt.Sprintf("10.%d.%d.10:22", i/250, i%250)
		fmt.Fprintf(&vars, "    %s:\n      ansible_host: 10.%d.%d.10\n      canonical_hostname: %s.ctlplane.example.com\n", name, i/250, i%250, name)
		for _, n := range []string{"ctlplane", "internalapi", "storage", "tenant", "external"} {
			fmt.Fprintf(&vars, "      %[1]s_ip: 172.%d.%d.20\n      %[1]s_cidr: '16'\n      %[1]s_vlan_id: 20\n      %[1]s_mtu: 1500\n      %[1]s_gateway_ip: 172.17.0.1\n      %[1]s_host_routes: []\n", n, i/250, i%250)
		}
		for i, kind := range []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"} {
			key := kind + " " + base64.StdEncoding.EncodeToString(random([]int{51, 104, 407}[i]))
			s.Hosts = append(s.Hosts, inventory.KnownHost{Node: name, Names: []string{name, name + ".ctlplane.example.com", s.Targets[name][:len(s.Targets[name])-3]}, Key: key})
		}
	}
	s.Inventory = []byte("rack:\n  hosts:\n" + vars.String() + "  vars:\n    edpm_known_hosts: []\n    edpm_nodeset_name: \"rack\"\n")
	hash := func(string, int) string { return hex.EncodeToString(random(8)) }
	s.setHashes(hash)
	return s
}

func passOf(t *testing.T, s snapshot) (*pass, *steptest.API) {
	t.Helper()
	d := &v1alpha1.DataPlaneDeployment{ObjectMeta: steptest.Meta("d"), Spec: v1alpha1.DataPlaneDeploymentSpec{NodeSet: "rack"}}
	api := steptest.New(t, d)
	return &pass{Reconciler: &Reconciler{Client: api, Reader: api.Plain, Live: api.Plain, Memory: NewMemory(0)}, deployment: d, snapshot: s}, api
}

func secrets(t *testing.T, api *steptest.API) []corev1.Secret {
	t.Helper()
	var list corev1.SecretList
	if err := api.Plain.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// recalled reads the snapshot again, as another engine does.
func recalled(t *testing.T, p *pass) snapshot {
	t.Helper()
	p.Memory.forget(p.key())
	return looked(t, p)
}

// looked looks at the snapshot again, as the engine that made it does.
func looked(t *testing.T, p *pass) snapshot {
	t.Helper()
	head, err := p.readPart(t.Context(), headName("d"))
	if err != nil {
		t.Fatal(err)
	}
	p.snapshot = snapshot{}
	if out, err := p.recall(t.Context(), head); err != nil || !out.IsDone() {
		t.Fatalf("%+v, %v", out, err)
	}
	return p.snapshot
}

// TestNoObjectIsTooLarge: however large the snapshot, no Secret of it comes near what an API server takes, and together they
// are the snapshot.
func TestNoObjectIsTooLarge(t *testing.T) {
	want := largest(5000)
	p, api := passOf(t, want)
	if out, err := p.store(t.Context()); err != nil || !out.IsDone() {
		t.Fatalf("%+v, %v", out, err)
	}
	all, total := secrets(t, api), 0
	for i := range all {
		text, err := json.Marshal(all[i])
		if err != nil {
			t.Fatal(err)
		}
		if total += len(text); len(text) > 256<<10 {
			t.Errorf("Secret %s takes %d bytes, more than 256 KiB", all[i].Name, len(text))
		}
		if all[i].Immutable == nil || !*all[i].Immutable || len(all[i].OwnerReferences) != 1 {
			t.Errorf("Secret %s can change, or is nobody's", all[i].Name)
		}
	}
	t.Logf("5,000 nodes: %d KiB, %d Secrets, %d KiB as JSON", p.snapshot.size>>10, len(all), total>>10)
	want.digest = p.snapshot.digest
	if !reflect.DeepEqual(want, recalled(t, p)) {
		t.Error("the snapshot has changed")
	}
	if p, api = passOf(t, largest(1)); true {
		p.snapshot.Services = p.snapshot.Services[:3]
		if _, err := p.store(t.Context()); err != nil || len(secrets(t, api)) != 1 {
			t.Errorf("one node with little data takes %d Secrets, %v", len(secrets(t, api)), err)
		}
	}
}

// TestKeysStandOnce: in what is stored; a run gets them in its known_hosts and, where the inventory spreads them, there too.
func TestKeysStandOnce(t *testing.T) {
	p, api := passOf(t, largest(2))
	p.snapshot.Targets = map[string]string{"rack7-row12-compute-0001": "10.0.1.10:22"} // the other is of another set
	if _, err := p.store(t.Context()); err != nil {
		t.Fatal(err)
	}
	var packed []byte
	for _, s := range secrets(t, api) {
		packed = append(packed, s.Data[partKey]...)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	archive, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	s := recalled(t, p)
	text, err := inventory.AddKnownHosts(s.Inventory, s.Hosts)
	if err != nil || len(s.Hosts) != 6 {
		t.Fatal(len(s.Hosts), err)
	}
	for _, h := range s.Hosts {
		if n := bytes.Count(archive, []byte(h.Key)); n != 1 {
			t.Errorf("the archive holds a key of %s %d times", h.Node, n)
		}
		if !bytes.Contains(text, []byte(h.Key)) {
			t.Errorf("the inventory lacks a key of %s", h.Node)
		}
		if reached := h.Node == "rack7-row12-compute-0001"; bytes.Contains(s.knownHosts(), []byte(h.Node+" "+h.Key+"\n")) != reached {
			t.Errorf("known_hosts has a key of %s: %t", h.Node, !reached)
		}
	}
}

// TestSnapshotThatIsTooLarge is refused before anything is written, and told how to be smaller.
func TestSnapshotThatIsTooLarge(t *testing.T) {
	s := largest(10)
	s.Inventory = make([]byte, 13<<20)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range s.Inventory {
		s.Inventory[i] = byte(r.Uint32())
	}
	p, api := passOf(t, s)
	out, err := p.store(t.Context())
	if err != nil || out.Reason() != v1alpha1.ReasonInvalidInput || len(secrets(t, api)) != 0 {
		t.Fatalf("%+v, %v, %d Secrets", out, err, len(secrets(t, api)))
	}
	for _, word := range []string{"DataPlaneDeployment d", "10 nodes", "11520 KiB", "spec.nodes"} {
		if !strings.Contains(out.Message(), word) {
			t.Errorf("%q does not tell %q", out.Message(), word)
		}
	}
}

// TestSnapshotThatUnpacksWithoutEnd: a few Secrets that somebody wrote do not take the engine's memory.
func TestSnapshotThatUnpacksWithoutEnd(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	zeros := make([]byte, 1<<20)
	for range maxArchive/len(zeros) + 1 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := unpack(packed.Bytes(), "x"); !fault.Is(err, fault.Rejected) || !strings.Contains(err.Error(), "larger than 131072 KiB") {
		t.Errorf("%d KiB that unpack to more than %d: %v", packed.Len()>>10, maxArchive>>10, err)
	}
	s := snapshot{Inventory: make([]byte, maxArchive)}
	p, api := passOf(t, s)
	out, err := p.store(t.Context())
	if err != nil || out.IsDone() || !strings.Contains(out.Message(), "make deployments with fewer nodes") || len(secrets(t, api)) > 0 {
		t.Errorf("one of our own that nobody could read again: %q, %v, %d Secrets", out.Message(), err, len(secrets(t, api)))
	}
}

// TestSnapshotHasAHeadOrIsNone: an engine that dies between two parts leaves no snapshot; the next one makes its own,
// even of another world, and all that was left goes with the deployment.
func TestSnapshotHasAHeadOrIsNone(t *testing.T) {
	p, api := passOf(t, largest(300))
	died := errors.New("died")
	after := 2
	api.Inject = func(string, client.Object) error {
		if after--; after < 0 {
			return died
		}
		return nil
	}
	if _, err := p.store(t.Context()); !errors.Is(err, died) {
		t.Fatalf("%v", err)
	}
	if _, err := p.readPart(t.Context(), headName("d")); !apierrors.IsNotFound(err) {
		t.Fatalf("half a snapshot has a head: %v", err)
	}
	api.Inject = nil
	left := len(secrets(t, api))
	for _, nodes := range []int{300, 301} {
		again, _ := passOf(t, largest(nodes))
		p.snapshot = again.snapshot
		if _, err := p.store(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := recalled(t, p); len(got.Nodes) != nodes {
			t.Errorf("%d nodes, want %d", len(got.Nodes), nodes)
		}
		if err := api.Plain.Delete(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta(headName("d"))}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(secrets(t, api)); left != 2 || n <= left {
		t.Fatalf("%d parts were left, %d are there now", left, n)
	}
	if _, err := p.letGo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(secrets(t, api)); n != 0 {
		t.Errorf("%d Secrets outlive their deployment", n)
	}
}

// TestPartOfAnother: a Secret that somebody else made under a part's name is neither used nor overwritten, and a part that
// is gone is told.
func TestPartOfAnother(t *testing.T) {
	p, api := passOf(t, largest(300))
	if _, err := p.store(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Memory.forget(p.key())
	name := partName("d", p.snapshot.digest, 1)
	if err := api.Plain.Delete(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta(name)}); err != nil {
		t.Fatal(err)
	}
	head, err := p.readPart(t.Context(), headName("d"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := p.recall(t.Context(), head); err != nil || out.Reason() != v1alpha1.ReasonMissing || !strings.Contains(out.Message(), name) {
		t.Errorf("%+v, %v", out, err)
	}
	if err := api.Plain.Create(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta(name), Data: map[string][]byte{partKey: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	if out, err := p.recall(t.Context(), head); err != nil || out.Reason() != v1alpha1.ReasonMissing {
		t.Errorf("%+v, %v", out, err)
	}
	p.snapshot = largest(300)
	if out, err := p.store(t.Context()); err != nil || out.Reason() != v1alpha1.ReasonInvalidInput {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestHashesOfNodesThatAgreeStandOnce, and are each node's where they do not.
func TestHashesOfNodesThatAgreeStandOnce(t *testing.T) {
	s := snapshot{Services: []rollout.Service{{Name: "same"}, {Name: "own"}}, Nodes: []target{{Name: "n0"}, {Name: "n1"}}}
	s.setHashes(func(service string, i int) string {
		if service == "own" {
			return fmt.Sprint("hash-", i)
		}
		return "hash"
	})
	if diff := cmp.Diff(map[string]string{"same": "hash"}, s.Hashes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, n := range s.Nodes {
		if s.hash("same", n) != "hash" || s.hash("own", n) != fmt.Sprint("hash-", i) {
			t.Errorf("%s: %q and %q", n.Name, s.hash("same", n), s.hash("own", n))
		}
	}
}

// TestSnapshotIsReadOnce: while the head says that it is the same, its parts are not read again.
func TestSnapshotIsReadOnce(t *testing.T) {
	p, api := passOf(t, largest(300))
	if _, err := p.store(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := api.Plain.Delete(t.Context(), &corev1.Secret{ObjectMeta: steptest.Meta(partName("d", p.snapshot.digest, 1))}); err != nil {
		t.Fatal(err)
	}
	if got := looked(t, p); len(got.Nodes) != 300 {
		t.Errorf("%d nodes", len(got.Nodes))
	}
	p.Memory.forget(p.key())
	if head, err := p.readPart(t.Context(), headName("d")); err != nil {
		t.Error(err)
	} else if out, _ := p.recall(t.Context(), head); out.Reason() != v1alpha1.ReasonMissing {
		t.Errorf("%+v: a snapshot that was dropped is still kept", out)
	}
}

// TestSnapshotOfAnOlderVersion is told as such, not as damaged, and goes with its deployment although it bears no label.
func TestSnapshotOfAnOlderVersion(t *testing.T) {
	p, api := passOf(t, largest(1))
	head := p.piece(headName("d"), map[string][]byte{"inputs.json.gz": []byte("x")})
	head.Labels = map[string]string{v1alpha1.NodeSetLabel: "rack"}
	if err := api.Plain.Create(t.Context(), head); err != nil {
		t.Fatal(err)
	}
	out, err := p.inputReady(t.Context())
	if err != nil || out.Reason() != v1alpha1.ReasonInvalidInput || !strings.Contains(out.Message(), "older version") || !strings.Contains(out.Message(), "delete the DataPlaneDeployment") {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := p.letGo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(secrets(t, api)); n != 0 {
		t.Errorf("%d Secrets outlive their deployment", n)
	}
}
