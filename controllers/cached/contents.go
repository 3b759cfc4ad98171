package cached

import (
	"container/list"
	"context"
	"fmt"
	"reflect"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// maxWritten is the largest content that is kept because it was written: the Secrets of a node are less, and those of a
// deployment, which nobody reads twice, are more.
const maxWritten = 32 << 10

// maxBytes bounds the contents that are kept: some three Secrets for each of 5,000 nodes, and their services' files.
const maxBytes = 64 << 20

// Contents are those of the Secrets and ConfigMaps that are asked for, each read once per resourceVersion. What was asked
// for longest ago is forgotten first, and what is gone at once. It is safe for concurrent use.
type Contents struct {
	// Metadata reads metadata from an informer. That there is none of an object is believed.
	Metadata client.Reader
	// Live reads contents.
	Live client.Reader
	// MaxBytes of contents are kept; 0 is 64 MiB.
	MaxBytes int

	mu    sync.Mutex
	kept  map[id]*list.Element // of *content
	order list.List            // what was asked for last is in front
	bytes int
}

type id struct {
	kind string
	key  client.ObjectKey
}

type content struct {
	id    id
	obj   client.Object
	bytes int
}

// Get reads a Secret or ConfigMap.
func (c *Contents) Get(ctx context.Context, key client.ObjectKey, obj client.Object) error {
	kind := reflect.TypeOf(obj).Elem().Name()
	at := id{kind, key}
	seen := &metav1.PartialObjectMetadata{}
	seen.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	if err := c.Metadata.Get(ctx, key, seen); err != nil {
		if apierrors.IsNotFound(err) {
			c.forget(at)
		}
		return err
	}
	if c.has(at, seen, obj) {
		return nil
	}
	if err := c.Live.Get(ctx, key, obj); err != nil {
		return err
	}
	return c.keep(at, obj)
}

// has fills obj with what is kept, if that is no older than what was seen.
func (c *Contents) has(at id, seen *metav1.PartialObjectMetadata, obj client.Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.kept[at]
	if found == nil {
		return false
	}
	kept := entry(found).obj
	if kept.GetUID() != seen.UID || older(kept.GetResourceVersion(), seen.ResourceVersion) {
		return false
	}
	c.order.MoveToFront(found)
	reflect.ValueOf(obj).Elem().Set(reflect.ValueOf(kept.DeepCopyObject()).Elem())
	return true
}

// older reports whether a version is before another. They are numbers that grow (Kubernetes 1.35 and later say so); any
// other are only compared.
func older(a, b string) bool {
	x, err := strconv.ParseUint(a, 10, 64)
	y, err2 := strconv.ParseUint(b, 10, 64)
	if err != nil || err2 != nil {
		return a != b
	}
	return x < y
}

func (c *Contents) keep(at id, obj client.Object) error {
	kept, ok := obj.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", obj)
	}
	kept.SetManagedFields(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(at)
	if c.kept == nil {
		c.kept = map[id]*list.Element{}
	}
	made := &content{at, kept, size(kept)}
	c.kept[at] = c.order.PushFront(made)
	c.bytes += made.bytes
	limit := c.MaxBytes
	if limit == 0 {
		limit = maxBytes
	}
	for c.bytes > limit {
		c.drop(entry(c.order.Back()).id)
	}
	return nil
}

// written keeps what the API server answered to a write of ours.
func (c *Contents) written(obj client.Object) error {
	if size(obj) > maxWritten {
		return nil
	}
	return c.keep(id{reflect.TypeOf(obj).Elem().Name(), client.ObjectKeyFromObject(obj)}, obj)
}

func (c *Contents) forget(at id) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(at)
}

func (c *Contents) drop(at id) {
	if found := c.kept[at]; found != nil {
		c.bytes -= entry(found).bytes
		c.order.Remove(found)
		delete(c.kept, at)
	}
}

// size is about how many bytes an object takes.
func size(obj client.Object) int {
	n := 1024 // metadata and bookkeeping
	switch o := obj.(type) {
	case *corev1.Secret:
		for name, data := range o.Data {
			n += len(name) + len(data)
		}
	case *corev1.ConfigMap:
		for name, text := range o.Data {
			n += len(name) + len(text)
		}
		for name, data := range o.BinaryData {
			n += len(name) + len(data)
		}
	}
	return n
}

// entry is an element of the list: there is nothing but contents in it.
func entry(e *list.Element) *content {
	found, ok := e.Value.(*content)
	if !ok {
		panic("not a content")
	}
	return found
}
