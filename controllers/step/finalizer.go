package step

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rackplane/rackplane/api/v1alpha1"
)

// AddFinalizer puts v1alpha1.Finalizer on obj before anything is made that it must clean up.
// Only metadata is written; the status that obj holds in memory stays as it is.
func AddFinalizer(ctx context.Context, c client.Client, obj client.Object) error {
	return editMeta(ctx, c, obj, func(o client.Object) bool { return controllerutil.AddFinalizer(o, v1alpha1.Finalizer) })
}

// RemoveFinalizer lets obj go. An object that is already gone is no error.
func RemoveFinalizer(ctx context.Context, c client.Client, obj client.Object) error {
	err := editMeta(ctx, c, obj, func(o client.Object) bool { return controllerutil.RemoveFinalizer(o, v1alpha1.Finalizer) })
	return client.IgnoreNotFound(err)
}

func editMeta(ctx context.Context, c client.Client, obj client.Object, edit func(client.Object) bool) error {
	old, ok := obj.DeepCopyObject().(client.Object)
	edited, ok2 := obj.DeepCopyObject().(client.Object)
	if !ok || !ok2 {
		return fmt.Errorf("%T is no object", obj)
	}
	if !edit(edited) {
		return nil
	}
	if err := c.Patch(ctx, edited, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	obj.SetFinalizers(edited.GetFinalizers())
	obj.SetResourceVersion(edited.GetResourceVersion())
	return nil
}
