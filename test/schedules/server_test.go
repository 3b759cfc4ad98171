package schedules

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// change is an object as a write left it; nil when it is gone.
type change struct {
	key    types.NamespacedName
	object client.Object
}

// server is the API server: it keeps every write, for caches to be behind.
type server struct {
	client.Client
	log map[reflect.Type][]change
	// wrote is told of every write: what there was and what there is.
	wrote func(before, after client.Object)
	// unfenced takes AddressBlocks whatever resourceVersion they come with: the fence is broken on purpose.
	unfenced bool
}

func (s *server) last(obj client.Object) client.Object {
	log := s.log[reflect.TypeOf(obj)]
	for _, written := range slices.Backward(log) {
		if written.key == client.ObjectKeyFromObject(obj) {
			return written.object
		}
	}
	return nil
}

func (s *server) write(ctx context.Context, obj client.Object, do func() error) error {
	kind, key := reflect.TypeOf(obj), client.ObjectKeyFromObject(obj)
	err := do()
	if err != nil {
		return err
	}
	now, ok := reflect.New(kind.Elem()).Interface().(client.Object)
	if !ok {
		panic(kind)
	}
	if s.Get(ctx, key, now) != nil {
		now = nil
	}
	before := s.last(obj)
	if before != nil && now != nil && before.GetResourceVersion() == now.GetResourceVersion() {
		return nil
	}
	s.log[kind] = append(s.log[kind], change{key, now})
	s.wrote(before, now)
	return nil
}

func (s *server) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return s.write(ctx, obj, func() error { return s.Client.Create(ctx, obj, opts...) })
}

func (s *server) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	if _, is := obj.(*v1alpha1.AddressBlock); is && s.unfenced {
		obj.SetResourceVersion("")
	}
	return s.write(ctx, obj, func() error { return s.Client.Update(ctx, obj, opts...) })
}

func (s *server) Patch(ctx context.Context, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
	return s.write(ctx, obj, func() error { return s.Client.Patch(ctx, obj, p, opts...) })
}

func (s *server) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return s.write(ctx, obj, func() error { return s.Client.Delete(ctx, obj, opts...) })
}

func (s *server) Status() client.SubResourceWriter { return statuses{s.Client.Status(), s} }

type statuses struct {
	client.SubResourceWriter
	server *server
}

func (w statuses) Patch(ctx context.Context, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return w.server.write(ctx, obj, func() error { return w.SubResourceWriter.Patch(ctx, obj, p, opts...) })
}

// cache is what a manager has heard of: each kind up to a write of its own.
type cache struct {
	server  *server
	objects map[reflect.Type]map[types.NamespacedName]client.Object
	at      map[reflect.Type]int
	// read are the nodes that were read last under each name, here or live.
	read map[string]types.UID
}

func newCache(s *server) *cache {
	return &cache{server: s, objects: map[reflect.Type]map[types.NamespacedName]client.Object{}, at: map[reflect.Type]int{}, read: map[string]types.UID{}}
}

// hear takes in the next n writes of a kind.
func (c *cache) hear(kind reflect.Type, n int) {
	log := c.server.log[kind]
	if c.objects[kind] == nil {
		c.objects[kind] = map[types.NamespacedName]client.Object{}
	}
	for ; n > 0 && c.at[kind] < len(log); n-- {
		next := log[c.at[kind]]
		c.at[kind]++
		if next.object == nil {
			delete(c.objects[kind], next.key)
			continue
		}
		c.objects[kind][next.key] = next.object
	}
}

func (c *cache) kinds() []reflect.Type {
	return slices.SortedFunc(maps.Keys(c.server.log), func(a, b reflect.Type) int { return strings.Compare(a.String(), b.String()) })
}

func (c *cache) hearAll() {
	for _, kind := range c.kinds() {
		c.hear(kind, len(c.server.log[kind]))
	}
}

func (c *cache) Get(_ context.Context, key types.NamespacedName, obj client.Object, _ ...client.GetOption) error {
	found := c.objects[reflect.TypeOf(obj)][key]
	if found == nil {
		return apierrors.NewNotFound(schema.GroupResource{Resource: reflect.TypeOf(obj).String()}, key.Name)
	}
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(found.DeepCopyObject()).Elem())
	c.note(obj)
	return nil
}

func (c *cache) note(obj client.Object) {
	if _, is := obj.(*v1alpha1.DataPlaneNode); is {
		c.read[obj.GetName()] = obj.GetUID()
	}
}

func (c *cache) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	objects := c.objects[reflect.PointerTo(reflect.ValueOf(list).Elem().FieldByName("Items").Type().Elem())]
	var found []runtime.Object
	for _, key := range slices.SortedFunc(maps.Keys(objects), func(a, b types.NamespacedName) int { return strings.Compare(a.Name, b.Name) }) {
		if (o.Namespace == "" || o.Namespace == key.Namespace) && (o.LabelSelector == nil || o.LabelSelector.Matches(labels.Set(objects[key].GetLabels()))) {
			found = append(found, objects[key].DeepCopyObject())
		}
	}
	return apimeta.SetList(list, found)
}
