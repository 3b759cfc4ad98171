package cached

import (
	"context"
	"fmt"
	"reflect"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rackplane/rackplane/controllers/brief"
)

// Options returns what the manager's cache keeps: no managed fields, texts that many objects have once, and of HardwareData only
// what hosts are chosen and networks rendered by. What is cut off here must never be written back: whoever writes HardwareData
// reads it past the cache.
func Options() cache.Options {
	strip, shared := cache.TransformStripManagedFields(), newTexts()
	compact := func(in any) (any, error) {
		out, err := strip(in)
		shared.compact(reflect.ValueOf(out))
		return out, err
	}
	return cache.Options{
		DefaultTransform: compact,
		ByObject: map[client.Object]cache.ByObject{&metal3v1alpha1.HardwareData{}: {Transform: func(in any) (any, error) {
			if data, ok := in.(*metal3v1alpha1.HardwareData); ok && data.Spec.HardwareDetails != nil {
				data.Spec.HardwareDetails = essence(data.Spec.HardwareDetails)
			}
			return compact(in)
		}}},
	}
}

// essence is what hosts are chosen and networks rendered by (hardware.FromMetal3): of disks the size of the largest. What makes hardware
// large, and nothing is decided by, is left out.
func essence(d *metal3v1alpha1.HardwareDetails) *metal3v1alpha1.HardwareDetails {
	out := &metal3v1alpha1.HardwareDetails{CPU: metal3v1alpha1.CPU{Arch: d.CPU.Arch, Count: d.CPU.Count}, RAMMebibytes: d.RAMMebibytes}
	for i := range d.NIC {
		n := &d.NIC[i]
		out.NIC = append(out.NIC, metal3v1alpha1.NIC{Name: n.Name, Model: n.Model, MAC: n.MAC, IP: n.IP, SpeedGbps: n.SpeedGbps, PXE: n.PXE})
	}
	var largest metal3v1alpha1.Capacity
	for i := range d.Storage {
		largest = max(largest, d.Storage[i].SizeBytes)
	}
	if len(d.Storage) > 0 {
		out.Storage = []metal3v1alpha1.Storage{{SizeBytes: largest}}
	}
	return out
}

// ClientOptions returns how the manager's client reads: it waits for its own writes.
func ClientOptions() client.Options {
	return client.Options{Cache: &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}}
}

// Writer is the manager's client for controllers. Kinds that are not read from typed informers are written without waiting:
// else each write would start an informer of the whole kind, all Secrets of the cluster, and hang without the right to list.
type Writer struct {
	client.Client
	// Contents are told of the Secrets and ConfigMaps that are written: they need not be read to be known.
	Contents *Contents
}

// isRead reports whether the kind's writer reads it from a typed informer.
func isRead(obj client.Object) bool {
	switch obj.(type) {
	case *corev1.Secret, *corev1.ConfigMap, *coordinationv1.Lease, *batchv1.Job, *metal3v1alpha1.HardwareData:
		return false
	}
	return true
}

// Create implements client.Writer.
func (w Writer) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	if !isRead(obj) {
		opts = append(opts, client.DisableReadYourWritesConsistency)
	}
	return w.known(obj, w.Client.Create(ctx, obj, opts...))
}

// Update implements client.Writer.
func (w Writer) Update(ctx context.Context, obj client.Object, opts ...client.UpdateOption) error {
	if !isRead(obj) {
		opts = append(opts, client.DisableReadYourWritesConsistency)
	}
	return w.known(obj, w.Client.Update(ctx, obj, opts...))
}

// Patch implements client.Writer.
func (w Writer) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if !isRead(obj) {
		return w.known(obj, w.Client.Patch(ctx, obj, patch, append(opts, client.DisableReadYourWritesConsistency)...))
	}
	return metadataOf(obj, func() error { return w.Client.Patch(brief.Answers(ctx), obj, patch, opts...) })
}

// Status implements client.StatusClient.
func (w Writer) Status() client.SubResourceWriter { return statusWriter{w.Client.Status()} }

// statusWriter writes statuses, all of kinds that are read from informers.
type statusWriter struct{ client.SubResourceWriter }

// Patch implements client.SubResourceWriter.
func (w statusWriter) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return metadataOf(obj, func() error { return w.SubResourceWriter.Patch(brief.Answers(ctx), obj, patch, opts...) })
}

// metadataOf takes nothing but metadata from the answer to a patch of obj: the client empties what it decodes an answer into, and
// what else obj has was sent, or is as it was read.
func metadataOf(obj client.Object, patch func() error) error {
	target := reflect.ValueOf(obj).Elem()
	sent := reflect.New(target.Type()).Elem()
	sent.Set(target)
	if err := patch(); err != nil {
		return err
	}
	accessor, ok := obj.(metav1.ObjectMetaAccessor)
	if !ok {
		return fmt.Errorf("%T has no metadata", obj)
	}
	meta, ok := accessor.GetObjectMeta().(*metav1.ObjectMeta)
	if !ok {
		return fmt.Errorf("metadata of %T are of another type", obj)
	}
	answered := *meta
	target.Set(sent)
	*meta = answered // meta points into obj
	return nil
}

// known keeps what the API server answered to a write.
func (w Writer) known(obj client.Object, err error) error {
	if err != nil || w.Contents == nil {
		return err
	}
	switch obj.(type) {
	case *corev1.Secret, *corev1.ConfigMap:
		return w.Contents.written(obj)
	}
	return nil
}

// Delete implements client.Writer. It is never waited for: of an object that was made and deleted while the watch was cut off, the
// cache sees no deletion, and every list of the kind would hang for good.
func (w Writer) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return w.Client.Delete(ctx, obj, append(opts, client.DisableReadYourWritesConsistency)...)
}

// New returns how controllers write and read through a manager's client, which ClientOptions were given, and its API reader.
func New(c client.Client, live client.Reader) (Writer, World) {
	contents := &Contents{Metadata: c, Live: live}
	return Writer{c, contents}, World{Reader: c, Contents: contents}
}

// World reads the cached world.
type World struct {
	// Reader reads from informers.
	client.Reader
	// Contents are those of Secrets and ConfigMaps.
	Contents *Contents
}

// Get implements client.Reader.
func (w World) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	switch obj.(type) {
	case *corev1.Secret, *corev1.ConfigMap:
		return w.Contents.Get(ctx, key, obj)
	}
	return w.Reader.Get(ctx, key, obj, opts...)
}
