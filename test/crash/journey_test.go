package crash

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/provisioner"
)

func cmpString(a, b string) int { return cmp.Compare(a, b) }

// act is one thing the user does.
type act struct {
	name string
	do   func(t *testing.T, w *world)
}

// journey is what the user does: three nodes on four hosts, then four, then three, then none.
func journey() []act {
	return []act{
		{"3 nodes", func(t *testing.T, w *world) { t.Helper(); w.populate(t) }},
		{"scale to 4", scale(4)},
		{"scale to 3", scale(3)},
		{"delete", func(t *testing.T, w *world) {
			t.Helper()
			if err := w.api.Delete(t.Context(), nodeSet()); err != nil {
				t.Fatal(err)
			}
		}},
	}
}

func scale(replicas int32) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		t.Helper()
		set := &v1alpha1.NodeSet{}
		if err := w.api.Get(t.Context(), client.ObjectKeyFromObject(nodeSet()), set); err != nil {
			t.Fatal(err)
		}
		set.Spec.Replicas = &replicas
		set.Generation++
		if err := w.api.Update(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
}

// travel makes the whole journey and returns what there is after each act.
func travel(t *testing.T, w *world, k *killer) (states []string) {
	t.Helper()
	deaths := 0
	for _, a := range journey() {
		a.do(t, w)
		deaths += w.settle(t, k)
		states = append(states, a.name+"\n"+w.dump(t))
	}
	if want := min(k.at, 1); deaths != want {
		t.Errorf("the engine died %d times, want %d", deaths, want)
	}
	for host, n := range w.deploys() {
		if n > 1 {
			t.Errorf("%s was deployed %d times, want once", host, n)
		}
	}
	done := map[provisioner.CloudAction]int{}
	for _, effect := range w.cloud.Effects() {
		if done[effect]++; done[effect] > 1 {
			t.Errorf("%+v had an effect %d times, want once", effect, done[effect])
		}
	}
	return states
}

func TestDieAtEveryAct(t *testing.T) {
	smooth := &killer{}
	w := newWorld()
	want := travel(t, w, smooth)
	for i, replicas := range []string{"3", "4", "3"} {
		if !strings.Contains(want[i], `"readyReplicas":`+replicas+`,"replicas":`+replicas) {
			t.Fatalf("act %d does not end well without any death:\n%s", i, want[i])
		}
		if n, _ := strconv.Atoi(replicas); strings.Count(want[i], ".example.com") < 2*n || !strings.Contains(want[i], "aggregate {Name:rack Zone:rack") {
			t.Fatalf("act %d: the nodes are not in their zone:\n%s", i, want[i])
		}
	}
	w.checkEmpty(t)
	t.Logf("%d acts of the engine, %d runs, deploys %v", smooth.acts, len(w.runner.Started()), w.deploys())
	for _, after := range []bool{false, true} {
		for at := 1; at <= smooth.acts; at++ {
			name := fmt.Sprintf("before %d", at)
			if after {
				name = fmt.Sprintf("after %d", at)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				k := &killer{at: at, after: after}
				got := travel(t, newWorld(), k)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Errorf("died at %q; what comes out differs (-without +with):\n%s", k.log[at-1], diff)
				}
			})
		}
	}
}

// checkEmpty tells what is left after the NodeSet was deleted and should not be.
func (w *world) checkEmpty(t *testing.T) {
	t.Helper()
	for _, list := range []client.ObjectList{&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneDeploymentList{}} {
		for _, obj := range w.objects(t, list) {
			t.Errorf("%T %s is left", obj, obj.GetName())
		}
	}
	for _, obj := range w.objects(t, &corev1.SecretList{}) {
		if !slices.Contains([]string{"bmc", "clouds", "rack-ssh"}, obj.GetName()) {
			t.Errorf("Secret %s is left", obj.GetName())
		}
	}
	w.cloud.Edit(func(c *openstacktest.World) {
		if len(c.Services)+len(c.Hypervisors)+len(c.Providers)+len(c.Agents)+len(c.Chassis) > 0 {
			t.Errorf("%+v is left in the cloud", c)
		}
	})
	for _, obj := range w.objects(t, &metal3v1alpha1.BareMetalHostList{}) {
		if h, ok := obj.(*metal3v1alpha1.BareMetalHost); !ok || h.Spec.ConsumerRef != nil || h.Status.PoweredOn || h.Status.Provisioning.State != metal3v1alpha1.StateAvailable {
			t.Errorf("BareMetalHost %s is not free and off", obj.GetName())
		}
	}
}

// deploys counts how often each host was made to write each image.
func (w *world) deploys() map[string]int {
	counts := map[string]int{}
	for _, c := range w.ironic.Calls() {
		if c.Effect && c.What == string(provisioner.Deploy) {
			counts[c.Host.String()+" "+c.Image]++
		}
	}
	return counts
}

// check are the invariants that hold after every round.
func (w *world) check(t *testing.T) {
	t.Helper()
	held := map[string]string{}
	planned := map[types.UID]string{}
	for _, obj := range w.objects(t, &v1alpha1.DataPlaneNodeList{}) {
		n, ok := obj.(*v1alpha1.DataPlaneNode)
		if !ok {
			t.Fatalf("%T", obj)
		}
		for _, a := range n.Spec.Networks {
			if other, taken := held[a.Address]; taken {
				t.Errorf("address %s is held by %s and %s", a.Address, other, n.Name)
			}
			held[a.Address] = n.Name
		}
		if n.Spec.Host != nil && n.DeletionTimestamp.IsZero() {
			if other, taken := planned[n.Spec.Host.UID]; taken {
				t.Errorf("host %s is planned for %s and %s", n.Spec.Host.Name, other, n.Name)
			}
			planned[n.Spec.Host.UID] = n.Name
		}
	}
	claimed := map[types.UID]string{}
	for _, obj := range w.objects(t, &metal3v1alpha1.BareMetalHostList{}) {
		h, ok := obj.(*metal3v1alpha1.BareMetalHost)
		if !ok {
			t.Fatalf("%T", obj)
		}
		if ref := h.Spec.ConsumerRef; ref != nil {
			if other, taken := claimed[ref.UID]; taken {
				t.Errorf("node %s claims both %s and %s", ref.Name, other, h.Name)
			}
			claimed[ref.UID] = h.Name
		}
	}
}

func (w *world) objects(t *testing.T, list client.ObjectList) []client.Object {
	t.Helper()
	if err := w.api.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	items, err := apimeta.ExtractList(list)
	if err != nil {
		t.Fatal(err)
	}
	var out []client.Object
	for _, item := range items {
		obj, ok := item.(client.Object)
		if !ok {
			t.Fatalf("%T is no object", item)
		}
		out = append(out, obj)
	}
	slices.SortFunc(out, func(a, b client.Object) int { return cmpString(a.GetName(), b.GetName()) })
	return out
}

// dump is all there is, without what depends on time or on how work was cut into deployments.
func (w *world) dump(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, list := range []client.ObjectList{
		&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &metal3v1alpha1.BareMetalHostList{}, &metal3v1alpha1.HardwareDataList{}, &corev1.SecretList{},
	} {
		for _, obj := range w.objects(t, list) {
			if strings.HasSuffix(obj.GetName(), "-inputs") {
				continue
			}
			obj.SetResourceVersion("")
			obj.SetCreationTimestamp(metav1.Time{})
			line, err := json.Marshal(timeless(t, obj))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&text, "%T %s %s\n", obj, obj.GetName(), line)
		}
	}
	for _, obj := range w.objects(t, &v1alpha1.DataPlaneDeploymentList{}) {
		d, ok := obj.(*v1alpha1.DataPlaneDeployment)
		if !ok || !apimeta.IsStatusConditionTrue(d.Status.Conditions, v1alpha1.ConditionReady) {
			fmt.Fprintf(&text, "deployment %s has not ended well\n", obj.GetName())
		}
	}
	for _, a := range w.aggregates() {
		fmt.Fprintf(&text, "aggregate %+v\n", a)
	}
	return text.String()
}

// aggregates are the cloud's, in order.
func (w *world) aggregates() (all []provisioner.HostAggregate) {
	w.cloud.Edit(func(c *openstacktest.World) {
		for _, a := range c.Aggregates {
			a.Hosts = slices.Sorted(slices.Values(a.Hosts))
			all = append(all, a)
		}
	})
	slices.SortFunc(all, func(a, b provisioner.HostAggregate) int { return cmpString(a.Name, b.Name) })
	return all
}

// privateKey is a key as OpenSSH writes it, with a random number in it.
var privateKey = regexp.MustCompile(`(?s)-----BEGIN OPENSSH.*?END OPENSSH PRIVATE KEY-----`)

// timeless removes fields that tell when, or by which deployment, something was done.
func timeless(t *testing.T, obj client.Object) any {
	t.Helper()
	if secret, ok := obj.(*corev1.Secret); ok {
		for name, content := range secret.Data {
			secret.Data[name] = privateKey.ReplaceAll(content, nil)
		}
	}
	text, err := json.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	var fields any
	if err := json.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	strip(fields)
	return fields
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"lastTransitionTime", "finishedAt", "deployment", "lastUpdated", "operationHistory", "deployedHash"} {
			delete(v, key)
		}
		for _, inner := range v {
			strip(inner)
		}
	case []any:
		for _, inner := range v {
			strip(inner)
		}
	}
}
