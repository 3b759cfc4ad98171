package world

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Store is an API server in memory. controller-runtime's fake client encodes every object on every read, which makes
// a thousand journeys slow; it also gives no UIDs and counts no generations.
// What the engine does not use is not there: calling it panics on the nil Client.
type Store struct {
	client.Client
	scheme  *runtime.Scheme
	now     func() time.Time
	version int64
	born    map[string]int // how often an object was made under a name
	objects map[reflect.Type]map[types.NamespacedName]client.Object
	changed func(reflect.Type, types.NamespacedName, client.Object) // if set, is told of every write; nil is an object that is gone
}

func newStore(scheme *runtime.Scheme, now func() time.Time) *Store {
	return &Store{scheme: scheme, now: now, born: map[string]int{}, objects: map[reflect.Type]map[types.NamespacedName]client.Object{}}
}

// Scheme implements client.Client.
func (s *Store) Scheme() *runtime.Scheme { return s.scheme }

func (s *Store) kind(obj client.Object) map[types.NamespacedName]client.Object {
	t := reflect.TypeOf(obj)
	if s.objects[t] == nil {
		s.objects[t] = map[types.NamespacedName]client.Object{}
	}
	return s.objects[t]
}

// of are the objects that a read of obj is about; a read of metadata alone is about those of the kind it names.
func (s *Store) of(obj client.Object) map[types.NamespacedName]client.Object {
	only, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return s.kind(obj)
	}
	kind := only.GroupVersionKind()
	kind.Kind = strings.TrimSuffix(kind.Kind, "List")
	made, err := s.scheme.New(kind)
	if err != nil {
		return nil // a kind that the world has none of
	}
	return s.objects[reflect.TypeOf(made)]
}

func metadataOf(obj client.Object, kind metav1.TypeMeta) metav1.PartialObjectMetadata {
	only := apimeta.AsPartialObjectMetadata(obj)
	only.TypeMeta = kind
	return *only.DeepCopy()
}

func resource(obj client.Object) schema.GroupResource {
	return schema.GroupResource{Resource: fmt.Sprintf("%T", obj)}
}

// put copies an object into the one the caller reads.
func put(from, into client.Object) {
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(from.DeepCopyObject()).Elem())
}

// Get implements client.Reader.
func (s *Store) Get(_ context.Context, key types.NamespacedName, obj client.Object, _ ...client.GetOption) error {
	found := s.of(obj)[key]
	if found == nil {
		return apierrors.NewNotFound(resource(obj), key.Name)
	}
	if only, ok := obj.(*metav1.PartialObjectMetadata); ok {
		*only = metadataOf(found, only.TypeMeta)
		return nil
	}
	put(found, obj)
	return nil
}

// List implements client.Reader.
func (s *Store) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var options client.ListOptions
	options.ApplyOptions(opts)
	only, metadata := list.(*metav1.PartialObjectMetadataList)
	var found []runtime.Object
	objects := s.objects[kindOf(list)]
	if metadata {
		objects = s.of(&metav1.PartialObjectMetadata{TypeMeta: only.TypeMeta})
	}
	keys := slices.SortedFunc(maps.Keys(objects), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		switch {
		case options.Namespace != "" && options.Namespace != key.Namespace:
		case metadata:
			one := metadataOf(objects[key], only.TypeMeta)
			found = append(found, &one)
		default:
			found = append(found, objects[key].DeepCopyObject())
		}
	}
	return apimeta.SetList(list, found)
}

// Create implements client.Writer.
func (s *Store) Create(_ context.Context, obj client.Object, _ ...client.CreateOption) error {
	key := client.ObjectKeyFromObject(obj)
	if s.kind(obj)[key] != nil {
		return apierrors.NewAlreadyExists(resource(obj), key.Name)
	}
	name := fmt.Sprintf("%T/%s", obj, key)
	obj.SetUID(types.UID(fmt.Sprintf("%s/%d", name, s.born[name])))
	s.born[name]++
	obj.SetCreationTimestamp(metav1.NewTime(s.now()))
	obj.SetGeneration(1)
	fresh, err := edit(obj, nil)
	if err != nil {
		return err
	}
	if status := statusOf(fresh); status.IsValid() {
		status.SetZero()
	}
	s.keep(key, fresh)
	put(fresh, obj)
	return nil
}

func (s *Store) keep(key types.NamespacedName, obj client.Object) {
	s.version++
	obj.SetResourceVersion(strconv.FormatInt(s.version, 10))
	s.kind(obj)[key] = obj
	s.tell(key, obj, obj)
}

// drop takes an object out.
func (s *Store) drop(key types.NamespacedName, obj client.Object) {
	delete(s.kind(obj), key)
	s.tell(key, obj, nil)
}

func (s *Store) tell(key types.NamespacedName, of, now client.Object) {
	if s.changed != nil {
		s.changed(reflect.TypeOf(of), key, now)
	}
}

// Delete implements client.Writer.
func (s *Store) Delete(_ context.Context, obj client.Object, opts ...client.DeleteOption) error {
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	key := client.ObjectKeyFromObject(obj)
	found := s.kind(obj)[key]
	switch {
	case found == nil:
		return apierrors.NewNotFound(resource(obj), key.Name)
	case options.Preconditions != nil && options.Preconditions.UID != nil && *options.Preconditions.UID != found.GetUID():
		return apierrors.NewConflict(resource(obj), key.Name, fmt.Errorf("UID is %s", found.GetUID()))
	case options.Preconditions != nil && options.Preconditions.ResourceVersion != nil && *options.Preconditions.ResourceVersion != found.GetResourceVersion():
		return apierrors.NewConflict(resource(obj), key.Name, fmt.Errorf("resourceVersion is %s", found.GetResourceVersion()))
	case len(found.GetFinalizers()) == 0:
		s.drop(key, obj)
	case found.GetDeletionTimestamp() == nil:
		now := metav1.NewTime(s.now())
		found.SetDeletionTimestamp(&now)
		found.SetGeneration(found.GetGeneration() + 1)
		s.keep(key, found)
	}
	return nil
}

// Update implements client.Writer.
func (s *Store) Update(_ context.Context, obj client.Object, _ ...client.UpdateOption) error {
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	return s.change(obj, toObject, func(client.Object) ([]byte, error) { return text, nil })
}

// Patch implements client.Writer.
func (s *Store) Patch(_ context.Context, obj client.Object, patch client.Patch, _ ...client.PatchOption) error {
	return s.change(obj, toObject, merge(obj, patch))
}

// Status implements client.StatusClient.
func (s *Store) Status() client.SubResourceWriter { return statusWriter{s} }

// statusWriter writes nothing but the status.
type statusWriter struct{ *Store }

func (s statusWriter) Create(context.Context, client.Object, client.Object, ...client.SubResourceCreateOption) error {
	panic("a status cannot be created")
}

func (s statusWriter) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	panic("the engine does not apply")
}

func (s statusWriter) Update(_ context.Context, obj client.Object, _ ...client.SubResourceUpdateOption) error {
	text, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	return s.change(obj, toStatus, func(client.Object) ([]byte, error) { return text, nil })
}

func (s statusWriter) Patch(_ context.Context, obj client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
	return s.change(obj, toStatus, merge(obj, patch))
}

func merge(obj client.Object, patch client.Patch) func(client.Object) ([]byte, error) {
	return func(found client.Object) ([]byte, error) {
		diff, err := patch.Data(obj)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(found)
		if err != nil {
			return nil, err
		}
		if patch.Type() != types.MergePatchType {
			return nil, fmt.Errorf("patch of type %s is not known here", patch.Type())
		}
		return jsonpatch.MergePatch(text, diff)
	}
}

// endpoint is what of an object a write is for.
type endpoint int

const (
	toObject endpoint = iota // all but the status
	toStatus
)

// change replaces what is stored by what making makes of it, as far as the endpoint writes it.
func (s *Store) change(obj client.Object, to endpoint, making func(client.Object) ([]byte, error)) error {
	key := client.ObjectKeyFromObject(obj)
	found := s.kind(obj)[key]
	if found == nil {
		return apierrors.NewNotFound(resource(obj), key.Name)
	}
	text, err := making(found)
	if err != nil {
		return err
	}
	next, err := edit(obj, text)
	if err != nil {
		return err
	}
	if v := next.GetResourceVersion(); v != "" && v != found.GetResourceVersion() {
		return apierrors.NewConflict(resource(obj), key.Name, fmt.Errorf("resourceVersion is %s", found.GetResourceVersion()))
	}
	kept, ok := found.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", found)
	}
	if to == toStatus {
		statusOf(kept).Set(statusOf(next))
	} else {
		if statusOf(next).IsValid() {
			statusOf(next).Set(statusOf(kept))
		}
		next.SetGeneration(kept.GetGeneration())
		next.SetUID(kept.GetUID())
		next.SetDeletionTimestamp(kept.GetDeletionTimestamp())
		next.SetCreationTimestamp(kept.GetCreationTimestamp())
		kept = next
	}
	kept.SetResourceVersion(found.GetResourceVersion())
	if specChanged(kept, found) {
		kept.SetGeneration(found.GetGeneration() + 1)
	}
	switch {
	case kept.GetDeletionTimestamp() != nil && len(kept.GetFinalizers()) == 0:
		s.drop(key, obj)
	case !equality.Semantic.DeepEqual(kept, found):
		s.keep(key, kept)
	}
	put(kept, obj)
	return nil
}

// edit makes an object of obj's type from text, or from obj itself, as if it had been sent over a wire.
func edit(obj client.Object, text []byte) (client.Object, error) {
	if text == nil {
		var err error
		if text, err = json.Marshal(obj); err != nil {
			return nil, err
		}
	}
	fresh, ok := reflect.New(reflect.TypeOf(obj).Elem()).Interface().(client.Object)
	if !ok {
		return nil, fmt.Errorf("%T is no object", obj)
	}
	return fresh, json.Unmarshal(text, fresh)
}

func statusOf(obj client.Object) reflect.Value {
	return reflect.ValueOf(obj).Elem().FieldByName("Status")
}

func specChanged(a, b client.Object) bool {
	x, y := reflect.ValueOf(a).Elem().FieldByName("Spec"), reflect.ValueOf(b).Elem().FieldByName("Spec")
	return x.IsValid() && !equality.Semantic.DeepEqual(x.Interface(), y.Interface())
}
