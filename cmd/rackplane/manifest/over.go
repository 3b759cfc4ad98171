package manifest

import (
	"fmt"
	"maps"
	"reflect"

	metal3v1alpha1 "github.com/metal3-io/baremetal-operator/apis/metal3.io/v1alpha1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Copy returns a Reader of its own that holds the same objects.
func (r *Reader) Copy() *Reader {
	c := &Reader{scheme: r.scheme}
	for _, obj := range r.objects {
		if o, ok := obj.DeepCopyObject().(client.Object); ok {
			c.objects = append(c.objects, o)
		}
	}
	return c
}

// Over returns what there would be if the objects of r were applied to what base holds. An object in both is r's, with what
// a user does not write taken from base: its identity, its status, and of a BareMetalHost what a claim writes into its spec.
func (r *Reader) Over(base *Reader) *Reader {
	under, over := base.Copy(), r.Copy()
	place := map[string]int{}
	for i, obj := range under.objects {
		place[identity(obj)] = i
	}
	for _, obj := range over.objects {
		i, known := place[identity(obj)]
		if !known {
			under.objects = append(under.objects, obj)
			continue
		}
		inherit(obj, under.objects[i])
		under.objects[i] = obj
	}
	return under
}

func identity(obj client.Object) string {
	return fmt.Sprintf("%T %s/%s", obj, obj.GetNamespace(), obj.GetName())
}

// inherit gives an object what its user does not write of it.
func inherit(obj, from client.Object) {
	obj.SetUID(from.GetUID())
	obj.SetGeneration(from.GetGeneration())
	obj.SetCreationTimestamp(from.GetCreationTimestamp())
	obj.SetDeletionTimestamp(from.GetDeletionTimestamp())
	obj.SetAnnotations(merged(from.GetAnnotations(), obj.GetAnnotations()))
	obj.SetLabels(merged(from.GetLabels(), obj.GetLabels()))
	if status, old := statusOf(obj), statusOf(from); status.IsValid() && status.IsZero() {
		status.Set(old)
	}
	host, isHost := obj.(*metal3v1alpha1.BareMetalHost)
	if old, ok := from.(*metal3v1alpha1.BareMetalHost); ok && isHost {
		keep(&host.Spec.ConsumerRef, old.Spec.ConsumerRef)
		keep(&host.Spec.Image, old.Spec.Image)
		keep(&host.Spec.UserData, old.Spec.UserData)
		keep(&host.Spec.NetworkData, old.Spec.NetworkData)
	}
}

func merged(under, over map[string]string) map[string]string {
	all := maps.Clone(under)
	if all == nil {
		return over
	}
	maps.Copy(all, over)
	return all
}

func keep[T any](field **T, old *T) {
	if *field == nil {
		*field = old
	}
}

func statusOf(obj runtime.Object) reflect.Value {
	return reflect.ValueOf(obj).Elem().FieldByName("Status")
}
