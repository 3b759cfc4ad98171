package world

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/openstack"
	"github.com/rackplane/rackplane/openstack/openstacktest"
	"github.com/rackplane/rackplane/provisioner"
)

// Journey is a world and what its user does in it.
type Journey struct {
	Name string
	// Make returns the world before the user does anything.
	Make  func() *World
	Parts []Part
}

// Part is one thing the user does.
type Part struct {
	Name string
	Do   func(tb testing.TB, w *World)
	// Nodes are those of the set once all has settled.
	Nodes int32
}

// Rack is three nodes on four hosts that become computes, then four, then three, then none.
func Rack() Journey {
	return Journey{Name: "rack", Make: New, Parts: []Part{
		{"3 nodes", func(tb testing.TB, w *World) { tb.Helper(); w.populate(tb) }, 3},
		{"scale to 4", scale(4), 4},
		{"scale to 3", scale(3), 3},
		{"delete", func(tb testing.TB, w *World) {
			tb.Helper()
			if err := w.API.Delete(tb.Context(), nodeSet()); err != nil {
				tb.Fatal(err)
			}
		}, 0},
	}}
}

// Furnished is Rack on hosts that are all available before the set is applied, so that which node gets which does not depend
// on how fast they came.
func Furnished() Journey {
	j := Rack()
	j.Name = "furnished rack"
	j.Parts[0].Do = func(tb testing.TB, w *World) { tb.Helper(); w.apply(tb) }
	j.Parts = append([]Part{{"hosts", func(tb testing.TB, w *World) { tb.Helper(); w.supply(tb) }, 0}}, j.Parts...)
	return j
}

// SetKey names the NodeSet of every journey.
func SetKey() client.ObjectKey { return client.ObjectKeyFromObject(nodeSet()) }

func scale(replicas int32) func(testing.TB, *World) {
	return func(tb testing.TB, w *World) {
		tb.Helper()
		set := &v1alpha1.NodeSet{}
		if err := w.API.Get(tb.Context(), SetKey(), set); err != nil {
			tb.Fatal(err)
		}
		set.Spec.Replicas = &replicas
		set.Generation++
		if err := w.API.Update(tb.Context(), set); err != nil {
			tb.Fatal(err)
		}
	}
}

// Travel makes the whole journey and returns what there is after each part, and how often the engine died.
func (j Journey) Travel(tb testing.TB, w *World, hook Hook) (states []string, deaths int) {
	tb.Helper()
	for _, part := range j.Parts {
		part.Do(tb, w)
		deaths += w.Settle(tb, hook)
		states = append(states, part.Name+"\n"+w.dump(tb))
		w.checkSecrets(tb)
	}
	w.checkOnce(tb)
	if j.Parts[len(j.Parts)-1].Nodes == 0 {
		w.CheckEmpty(tb)
	}
	return states, deaths
}

// checkOnce tells what was done more than once and must not be.
func (w *World) checkOnce(tb testing.TB) {
	tb.Helper()
	for host, n := range w.Deploys() {
		if n > 1 {
			tb.Errorf("%s was deployed %d times, want once", host, n)
		}
	}
	done := map[openstack.Action]int{}
	for _, effect := range w.Cloud.Effects() {
		if done[effect]++; done[effect] > 1 {
			tb.Errorf("%+v had an effect %d times, want once", effect, done[effect])
		}
	}
}

// CheckEmpty tells what is left after the NodeSet was deleted and should not be.
func (w *World) CheckEmpty(tb testing.TB) {
	tb.Helper()
	for _, list := range []client.ObjectList{&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneDeploymentList{}} {
		for _, obj := range w.Objects(tb, list) {
			tb.Errorf("%T %s is left", obj, obj.GetName())
		}
	}
	for _, obj := range w.Objects(tb, &corev1.SecretList{}) {
		if !slices.Contains([]string{"bmc", "clouds", "rack-ssh"}, obj.GetName()) {
			tb.Errorf("Secret %s is left", obj.GetName())
		}
	}
	w.Cloud.Edit(func(c *openstacktest.World) {
		if len(c.Services)+len(c.Hypervisors)+len(c.Providers)+len(c.Agents)+len(c.Chassis) > 0 {
			tb.Errorf("%+v is left in the cloud", c)
		}
	})
	for _, obj := range w.Objects(tb, &metal3v1alpha1.BareMetalHostList{}) {
		if h, ok := obj.(*metal3v1alpha1.BareMetalHost); !ok || h.Spec.ConsumerRef != nil || h.Status.PoweredOn || h.Status.Provisioning.State != metal3v1alpha1.StateAvailable {
			tb.Errorf("BareMetalHost %s is not free and off", obj.GetName())
		}
	}
}

// Deploys counts how often each host was made to write each image.
func (w *World) Deploys() map[string]int {
	counts := map[string]int{}
	for _, c := range w.Ironic.Calls() {
		if c.Effect && c.What == string(provisioner.Deploy) {
			counts[c.Host.String()+" "+c.Image]++
		}
	}
	return counts
}

// Check checks the invariants that hold after every round.
func (w *World) Check(tb testing.TB) {
	tb.Helper()
	for _, law := range w.laws {
		law(tb)
	}
	held, named := map[string]string{}, map[string]string{}
	planned := map[types.UID]string{}
	for _, obj := range w.Objects(tb, &v1alpha1.DataPlaneNodeList{}) {
		n, ok := obj.(*v1alpha1.DataPlaneNode)
		if !ok {
			tb.Fatalf("%T", obj)
		}
		if other, taken := named[n.Spec.HostName]; taken {
			tb.Errorf("host name %s is borne by %s and %s", n.Spec.HostName, other, n.Name)
		}
		named[n.Spec.HostName] = n.Name
		for _, a := range n.Spec.Networks {
			if other, taken := held[a.Address]; taken {
				tb.Errorf("address %s is held by %s and %s", a.Address, other, n.Name)
			}
			held[a.Address] = n.Name
		}
		if n.Spec.Host != nil && n.DeletionTimestamp.IsZero() {
			if other, taken := planned[n.Spec.Host.UID]; taken {
				tb.Errorf("host %s is planned for %s and %s", n.Spec.Host.Name, other, n.Name)
			}
			planned[n.Spec.Host.UID] = n.Name
		}
	}
	claimed := map[types.UID]string{}
	for _, obj := range w.Objects(tb, &metal3v1alpha1.BareMetalHostList{}) {
		h, ok := obj.(*metal3v1alpha1.BareMetalHost)
		if !ok {
			tb.Fatalf("%T", obj)
		}
		if ref := h.Spec.ConsumerRef; ref != nil {
			if other, taken := claimed[ref.UID]; taken {
				tb.Errorf("node %s claims both %s and %s", ref.Name, other, h.Name)
			}
			claimed[ref.UID] = h.Name
		}
	}
}

// Objects returns what the API has of a kind.
func (w *World) Objects(tb testing.TB, list client.ObjectList) []client.Object {
	tb.Helper()
	if err := w.API.List(tb.Context(), list); err != nil {
		tb.Fatal(err)
	}
	items, err := apimeta.ExtractList(list)
	if err != nil {
		tb.Fatal(err)
	}
	var out []client.Object
	for _, item := range items {
		obj, ok := item.(client.Object)
		if !ok {
			tb.Fatalf("%T is no object", item)
		}
		out = append(out, obj)
	}
	slices.SortFunc(out, func(a, b client.Object) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// dump is all there is, without what depends on time or on how work was cut into deployments.
func (w *World) dump(tb testing.TB) string {
	tb.Helper()
	var text strings.Builder
	for _, list := range []client.ObjectList{
		&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &metal3v1alpha1.BareMetalHostList{}, &metal3v1alpha1.HardwareDataList{}, &corev1.SecretList{},
	} {
		for _, obj := range w.Objects(tb, list) {
			if strings.Contains(obj.GetName(), "-inputs") {
				continue
			}
			obj.SetResourceVersion("")
			obj.SetCreationTimestamp(metav1.Time{})
			line, err := json.Marshal(timeless(tb, obj))
			if err != nil {
				tb.Fatal(err)
			}
			fmt.Fprintf(&text, "%T %s %s\n", obj, obj.GetName(), line)
		}
	}
	for _, obj := range w.Objects(tb, &v1alpha1.DataPlaneDeploymentList{}) {
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

var (
	counted = regexp.MustCompile(`"(observedGeneration|generation)":\d+,?`)
	number  = regexp.MustCompile(`"provisioning":\{"ID":"[^"]*"`)
)

// Bare is a state, line by line, without how often specs were written.
func Bare(state string) []string { return strings.Split(counted.ReplaceAllString(state, ""), "\n") }

// Unnumbered is a state without what Ironic calls the hosts: the simulator counts them as they come.
func Unnumbered(state string) string { return number.ReplaceAllString(state, `"provisioning":{`) }

// aggregates are the cloud's, in order.
func (w *World) aggregates() (all []openstack.HostAggregate) {
	w.Cloud.Edit(func(c *openstacktest.World) {
		for _, a := range c.Aggregates {
			a.Hosts = slices.Sorted(slices.Values(a.Hosts))
			all = append(all, a)
		}
	})
	slices.SortFunc(all, func(a, b openstack.HostAggregate) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// privateKey is a key as OpenSSH writes it, with a random number in it.
var privateKey = regexp.MustCompile(`(?s)-----BEGIN OPENSSH.*?END OPENSSH PRIVATE KEY-----`)

// timeless removes fields that tell when, or by which deployment, something was done.
func timeless(tb testing.TB, obj client.Object) any {
	tb.Helper()
	if secret, ok := obj.(*corev1.Secret); ok {
		for name, content := range secret.Data {
			secret.Data[name] = privateKey.ReplaceAll(content, nil)
		}
	}
	text, err := json.Marshal(obj)
	if err != nil {
		tb.Fatal(err)
	}
	var fields any
	if err := json.Unmarshal(text, &fields); err != nil {
		tb.Fatal(err)
	}
	strip(fields)
	return fields
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"lastTransitionTime", "finishedAt", "deployment", v1alpha1.DeploymentAnnotation, "lastUpdated", "operationHistory", "deployedHash"} {
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
