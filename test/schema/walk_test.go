package schema_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
	"github.com/rackplane/rackplane/test/cluster"
	"github.com/rackplane/rackplane/test/schema"
	"github.com/rackplane/rackplane/test/world"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

var every = flag.Bool("every", false, "walk every field under a living engine; without it, a third")

// subjects are the objects whose fields are changed, by kind: each lives under the engine.
var subjects = map[string]string{
	"NodeSet": world.SetKey().Name, "NetConfig": "site", "DataPlaneService": "network", "DataPlaneNode": "n0", "DataPlaneDeployment": "asked-for",
	"HostClaimPolicy": "lend", "AddressBlock": "192.168.1.0-24",
}

func subject(t *testing.T, w *world.World, kind string) client.Object {
	t.Helper()
	if subjects[kind] == "" {
		t.Fatalf("%s is a new kind: say in subjects which of its objects lives under the engine", kind)
	}
	empty, err := world.Scheme().New(v1alpha1.GroupVersion.WithKind(kind))
	obj, ok := empty.(client.Object)
	if err != nil || !ok {
		t.Fatal(kind, err)
	}
	if err := w.API.Get(t.Context(), client.ObjectKey{Namespace: world.Namespace, Name: subjects[kind]}, obj); err != nil {
		t.Fatal(err)
	}
	return obj
}

// living returns a world of three nodes that are computes, with an object of every kind.
func living(t *testing.T) *world.World {
	t.Helper()
	j := world.Rack()
	w := j.Make()
	j.Parts[0].Do(t, w)
	w.Settle(t, world.Smooth{})
	asked := &v1alpha1.DataPlaneDeployment{ObjectMeta: metav1.ObjectMeta{Namespace: world.Namespace, Name: "asked-for"}}
	asked.Spec.NodeSet, asked.Spec.Nodes = world.SetKey().Name, []string{"n0"}
	lend := &v1alpha1.HostClaimPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: world.Namespace, Name: "lend"}}
	lend.Spec.Namespaces = []string{"tenant"}
	for _, obj := range []client.Object{asked, lend} {
		if err := w.API.Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
	}
	w.Settle(t, world.Smooth{})
	return w
}

// judge is the real API server: it says what becomes of an object that is written.
type judge struct {
	client.Client
	namespace string
}

// newJudge gives the API server the world's objects.
func newJudge(t *testing.T, w *world.World, kinds []string) judge {
	t.Helper()
	c, err := client.New(cluster.Config(t), client.Options{Scheme: world.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	j := judge{c, cluster.Namespace(t, c)}
	for _, kind := range kinds {
		obj := subject(t, w, kind)
		if err := c.Create(t.Context(), j.here(t, kind, plain(t, obj))); err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
	}
	return j
}

// plain is the object as JSON values.
func plain(t *testing.T, obj client.Object) map[string]any {
	t.Helper()
	text, err := json.Marshal(obj)
	var out map[string]any
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// here is an object with the spec as it is written in the judge's namespace.
func (j judge) here(t *testing.T, kind string, object map[string]any) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"spec": runtime.DeepCopyJSONValue(numbers(object["spec"]))}}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(j.namespace)
	name, _, _ := unstructured.NestedString(object, "metadata", "name")
	u.SetName(name)
	return u
}

// numbers turns whole floats into integers, as the API server reads them.
func numbers(v any) any {
	switch v := v.(type) {
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	}
	return v
}

// rule asks what becomes of the object with another spec.
func (j judge) rule(ctx context.Context, changed *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	for {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(changed.GroupVersionKind())
		if err := j.Get(ctx, client.ObjectKeyFromObject(changed), now); err != nil {
			return nil, err
		}
		now.Object["spec"] = changed.Object["spec"]
		if err := j.Update(ctx, now, client.DryRunAll); !apierrors.IsConflict(err) {
			return now, err
		}
	}
}

// put sets the value at the path, making what is on the way to it from the schema; a nil value removes it.
func put(at any, path []string, schemas []schema.Field, value any) any {
	if len(path) == 0 {
		return value
	}
	switch path[0] {
	case schema.ItemOf:
		list, _ := at.([]any)
		if len(list) == 0 {
			list = []any{filler(schemas[0])}
		}
		inner := put(list[0], path[1:], schemas[1:], value)
		if inner == nil {
			return list[1:]
		}
		return append([]any{inner}, list[1:]...)
	default:
		m, _ := at.(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		key := path[0]
		if key == schema.AnyKey {
			key = "a"
			for k := range m {
				key = k
				break
			}
		}
		inner := m[key]
		if inner == nil && len(path) > 1 {
			inner = filler(schemas[0])
		}
		if next := put(inner, path[1:], schemas[1:], value); next != nil {
			m[key] = next
		} else {
			delete(m, key)
		}
		return m
	}
}

// filler is the least value of a field.
func filler(f schema.Field) any {
	if values := schema.Values(f.Schema); len(values) > 0 && f.Schema.Type != "array" {
		return runtime.DeepCopyJSONValue(values[0])
	}
	return nil
}

// remedy matches what tells a user what would be right.
var remedy = regexp.MustCompile(`(?i)must|should|may not|need|only|at most|at least|supported values|cannot|required|no more than|immutable|\bset\b|\buse\b|unknown field|duplicate|exclude|give|name|each`)

// walk changes one field in every way, and looks at what the engine makes of it.
type walk struct {
	*testing.T
	judge
	field   schema.Field
	parents []schema.Field
	world   *world.World // nil: only what the API server says
}

// change writes the object with the field changed. An object that is taken lives under the engine until it rests.
func (w *walk) change(doing string, value any) (accepted bool) {
	w.Helper()
	changed := w.current()
	changed.Object["spec"] = put(changed.Object["spec"], w.field.Path[1:], w.parents[1:], runtime.DeepCopyJSONValue(value))
	ruled, err := w.rule(w.Context(), changed)
	if err != nil {
		w.checkRefusal(doing, err)
		return false
	}
	if w.world == nil {
		return true
	}
	w.live(doing, ruled.Object["spec"])
	return true
}

// current is the object as it is now, for the judge.
func (w *walk) current() *unstructured.Unstructured {
	w.Helper()
	if w.world != nil {
		return w.here(w.T, w.field.Kind, plain(w.T, subject(w.T, w.world, w.field.Kind)))
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(w.field.Kind))
	key := client.ObjectKey{Namespace: w.namespace, Name: subjects[w.field.Kind]}
	if err := w.Get(w.Context(), key, u); err != nil {
		w.Fatal(err)
	}
	return u
}

// live gives the object in the world the spec and lets the engine work.
func (w *walk) live(doing string, spec any) {
	w.Helper()
	obj := subject(w.T, w.world, w.field.Kind)
	whole := plain(w.T, obj)
	whole["spec"] = spec
	text, err := json.Marshal(whole)
	if err != nil {
		w.Fatal(err)
	}
	next, ok := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
	if !ok {
		w.Fatalf("%T", obj)
	}
	if err := json.Unmarshal(text, next); err != nil {
		w.Fatalf("%s: %v", doing, err)
	}
	defer func() {
		if r := recover(); r != nil {
			w.Errorf("%s: %s: panic: %v", w.field, doing, r)
		}
	}()
	if err := w.world.API.Update(w.Context(), next); err != nil {
		w.Fatalf("%s: %v", doing, err)
	}
	w.world.Live(w, world.Smooth{}, 60) // what is wrong may be tried again and again; only in the end must it rest
}

// all changes the field in every way and puts it back.
func (w *walk) all() {
	w.Helper()
	var before []string
	if w.world != nil {
		before = state(w.T, w.world)
	}
	original := w.current().Object["spec"]
	values := schema.Values(w.field.Schema)
	if len(values) == 0 {
		w.Errorf("%s: test/schema knows no value that it takes (pattern %q)", w.field, w.field.Schema.Pattern)
	}
	for i, v := range values {
		w.change([]string{"set", "change"}[i], v)
	}
	w.change("remove", nil)
	for _, v := range schema.Wrong(w.field.Schema) {
		if w.change("spoil", v) {
			w.Errorf("%s takes %#.100v", w.field, v)
		}
	}
	if w.world == nil {
		return
	}
	w.live("revert", original)
	w.world.Settle(w, world.Smooth{})
	after := state(w.T, w.world)
	for range 3 { // what failed meanwhile is tried again after a while
		if slices.Equal(before, after) {
			return
		}
		w.world.Clock.Step(15 * time.Minute)
		w.world.Settle(w, world.Smooth{})
		after = state(w.T, w.world)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		w.Errorf("%s is put back, and the world is another (-before +after):\n%s", w.field, diff)
	}
}

func (w *walk) checkRefusal(doing string, err error) {
	w.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		w.Fatalf("%s: %v", doing, err)
	}
	message := err.Error()
	named := slices.ContainsFunc(w.field.Path[1:], func(part string) bool {
		return part != schema.ItemOf && part != schema.AnyKey && strings.Contains(message, part)
	})
	if !named || !remedy.MatchString(message) {
		w.Errorf("%s: %s: the refusal names not the field, or no remedy: %s", w.field, doing, message)
	}
}

// state is how all objects do: each condition with its status and reason, each host with its state. Nodes and hosts count
// by what they are like, for a node that came back may be on another host.
func state(t *testing.T, w *world.World) (all []string) {
	t.Helper()
	add := func(kind string, conditions []metav1.Condition, more ...any) {
		words := []string{kind}
		for _, c := range conditions {
			words = append(words, fmt.Sprintf("%s=%s:%s", c.Type, c.Status, c.Reason))
		}
		all = append(all, strings.TrimSpace(strings.Join(words, " ")+" "+fmt.Sprint(more...)))
	}
	for _, list := range []client.ObjectList{
		&v1alpha1.NodeSetList{}, &v1alpha1.DataPlaneNodeList{}, &v1alpha1.DataPlaneDeploymentList{}, &metal3v1alpha1.BareMetalHostList{}, &corev1.SecretList{},
	} {
		for _, obj := range w.Objects(t, list) {
			switch o := obj.(type) {
			case *v1alpha1.NodeSet:
				add("NodeSet", o.Status.Conditions, o.Status.Replicas, o.Status.ReadyReplicas, o.Status.UpdatedReplicas)
			case *v1alpha1.DataPlaneNode:
				add("DataPlaneNode", o.Status.Conditions, len(o.Spec.Networks), len(o.Spec.Services))
			case *v1alpha1.DataPlaneDeployment:
				if !apimeta.IsStatusConditionTrue(o.Status.Conditions, v1alpha1.ConditionReady) {
					add("DataPlaneDeployment", o.Status.Conditions)
				}
			case *metal3v1alpha1.BareMetalHost:
				add("BareMetalHost", nil, o.Status.Provisioning.State, o.Status.PoweredOn, o.Spec.ConsumerRef != nil, o.Status.ErrorMessage)
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestWalk sets, changes, removes and spoils every field of every kind on an object that lives, and puts it back: nothing
// panics or is stuck, each refusal names the field and a remedy, and in the end all is as it was.
func TestWalk(t *testing.T) {
	kinds, err := schema.Kinds()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var fields []schema.Field
	for kind, s := range kinds {
		names = append(names, kind)
		fields = append(fields, schema.Fields(kind, s)...)
	}
	judge := newJudge(t, living(t), names)
	t.Logf("%d fields of %d kinds", len(fields), len(kinds))
	r := rand.New(rand.NewPCG(1, 0)) // always the same third: what fails is to have been changed, not drawn
	for _, f := range fields {
		under := *every || r.IntN(3) == 0
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			w := &walk{T: t, judge: judge, field: f, parents: parents(fields, f)}
			if under {
				w.world = living(t)
			}
			w.all()
		})
	}
}

// parents are the fields on the way to f, from the spec to f itself.
func parents(fields []schema.Field, f schema.Field) (all []schema.Field) {
	all = append(all, schema.Field{Kind: f.Kind, Path: f.Path[:1]})
	for n := 2; n <= len(f.Path); n++ {
		i := slices.IndexFunc(fields, func(o schema.Field) bool { return o.Kind == f.Kind && slices.Equal(o.Path, f.Path[:n]) })
		all = append(all, fields[i])
	}
	return all
}
